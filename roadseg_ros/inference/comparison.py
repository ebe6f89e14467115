"""Cache policies beside every-frame inference on one drive: what they save and what they lose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
import time

import numpy as np

from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings, EVERY_FRAME, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import add_consistency, ConfusionMatrix, origins_between

CLOCKS = (2, 3, 4, 5, 6)  # every how many frames the network runs
LONGEST_WAITS = (4, 6, 8)  # for a policy that decides itself
INTERVALS = {'adaptive': LONGEST_WAITS, 'recurrent': (1,)}  # other than the clocks
ROUNDS = max(CLOCKS)
WARM_UP_FRAMES = 3
CLIP_BYTES = 256 * 2**20  # of pictures in memory at once

Keys = Callable[[int, int], Sequence[bool]]


@dataclass(frozen=True)
class Shot:
    """
    A frame of a drive.

    :param picture: (H, W, 3) uint8 BGR.
    :param stamp_ns: when it was taken.
    :param stream: its camera.
    :param truth: (H, W) uint8 ids, 255 = unlabelled; None where nobody knows.
    """

    picture: np.ndarray
    stamp_ns: int
    stream: str = ''
    truth: np.ndarray | None = None


@dataclass
class Contestant:
    """
    One way to reuse results, and how it did.

    :param settings: the policy and its interval.
    :param keys: (round, frames) to which frames are keys, in place of the policy's own clock.
    :param refused: why the checkpoint cannot do it, '' where it can.
    :param phases: labels, against the truth where there is one, else against every-frame masks;
        one count for each phase of the clock.
    :param steady: likewise, against the mask before carried along the flow.
    :param seconds: of the segmenter, by round.
    :param made: frames by how their masks were made.
    """

    settings: CacheSettings
    keys: Keys | None = None
    refused: str = ''
    phases: list[ConfusionMatrix] = field(default_factory=list)
    steady: list[ConfusionMatrix] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)

    @property
    def interval(self) -> int | None:
        """Return the interval, None where it plays no part."""
        clockless = self.settings.policy in EVERY_FRAME
        return None if clockless or self.refused else self.settings.interval

    @property
    def name(self) -> str:
        """Return the policy, with its interval where it has one."""
        return f'{self.settings.policy} {self.interval or ""}'.rstrip()

    @property
    def ms(self) -> float:
        """Return milliseconds a frame, the median of the rounds' means."""
        return float(np.median(self.seconds)) * 1e3 * len(self.seconds) / sum(self.made.values())

    def speed_up(self, off: Contestant) -> float:
        """Return frames per second as a multiple of every-frame inference in the same round."""
        return float(np.median(np.divide(off.seconds, self.seconds)))

    def mean_iou(self) -> float:
        """Return the mean over the phases."""
        return float(np.mean([phase.mean_iou() for phase in self.phases]))

    def pixel_accuracy(self) -> float:
        """Return the mean over the phases."""
        return float(np.mean([phase.pixel_accuracy() for phase in self.phases]))

    def iou(self) -> np.ndarray:
        """Return the mean over the phases by class, (C,) float64; nan for absent classes."""
        return np.mean([phase.iou() for phase in self.phases], axis=0)

    def consistency(self) -> float:
        """Return the mean IoU with the masks before, the mean over the phases."""
        return float(np.mean([phase.mean_iou() for phase in self.steady]))

    def share(self, made: str = 'full') -> float:
        """Return the share of the frames whose masks were made so."""
        return self.made[made] / sum(self.made.values())


@dataclass(frozen=True)
class Pass:
    """A clip once through: its masks, how each was made, and seconds of the segmenter."""

    masks: list[np.ndarray]
    made: list[str]
    seconds: float


def contestants(policies: Sequence[str] = POLICIES) -> list[Contestant]:
    """Return every-frame inference, and each policy with the intervals that are compared."""
    return [Contestant(CacheSettings()), *(
        Contestant(CacheSettings(policy, interval)) for policy in policies if policy != 'off'
        for interval in INTERVALS.get(policy, CLOCKS))]


def listed(entered: Sequence[Contestant]) -> list[Contestant]:
    """Return who belongs in a table: of a policy that cannot be done here, one."""
    refused: set[str] = set()
    rows = []
    for contestant in entered:
        if contestant.settings.policy not in refused:
            rows.append(contestant)
        if contestant.refused:
            refused.add(contestant.settings.policy)
    return rows


def clips(shots: Iterable[Shot]) -> Iterator[list[Shot]]:
    """Gather each camera's frames into clips that fit into memory together."""
    gathered: dict[str, list[Shot]] = {}
    size = 0
    for shot in shots:
        gathered.setdefault(shot.stream, []).append(shot)
        size += shot.picture.nbytes
        if size >= CLIP_BYTES:
            yield from gathered.values()
            gathered, size = {}, 0
    yield from gathered.values()


def play(segmenter: Segmenter, clip: Sequence[Shot], phase: int = 0,
         keys: Sequence[bool] | None = None) -> Pass:
    """
    Segment a clip, frame by frame, with the policy that is set.

    :param segmenter: which forgets what it has kept.
    :param clip: frames of one camera.
    :param phase: how many frames the clock runs before the clip; they are the clip's first,
        backwards, so that the motion goes on.
    :param keys: whether each frame is to be one, in the place of the policy's clock.
    """
    settings = segmenter.cache
    segmenter.reset_cache()
    for shot in clip[phase:0:-1]:
        segmenter.segment([shot.picture], [shot.stream], [2 * clip[0].stamp_ns - shot.stamp_ns])
    masks, made, seconds = [], [], 0.0
    for index, shot in enumerate(clip):
        if keys is not None:
            segmenter.set_cache(replace(settings, interval=1) if keys[index] else settings)
        began = time.perf_counter()
        result = segmenter.segment([shot.picture], [shot.stream], [shot.stamp_ns])[0]
        seconds += time.perf_counter() - began
        masks.append(result.class_ids)
        made.append(result.made)
    segmenter.set_cache(settings)
    return Pass(masks, made, seconds)


def compare(segmenter: Segmenter, drive: Iterable[Sequence[Shot]],
            entered: Sequence[Contestant], rounds: int = ROUNDS, consistency: bool = False,
            progress: Callable[[int], object] = lambda frames: None) -> None:
    """
    Let contestants take turns on each clip, so that a machine that drifts drifts for all.

    What comes of it is written into them.

    :param segmenter: its policy is changed.
    :param drive: clips; all frames with truth or none.
    :param entered: the first is every-frame inference.
    :param rounds: each plays a clip so often, each time in another phase of its clock as long
        as there are any.
    :param consistency: measure how steady the masks are, too.
    :param progress: told of the frames of each pass.
    """
    for clip in drive:
        _warm_up(segmenter, clip, entered)
        origins = [origins_between(before.picture, now.picture)
                   for before, now in zip(clip, clip[1:])] if consistency else []
        references = [shot.truth for shot in clip]
        for number in range(rounds):
            for contestant in entered:
                if not contestant.refused:
                    played = _turn(segmenter, clip, contestant, number, rounds)
                    if references[0] is None:
                        references = list(played.masks)
                    if number < _phases(contestant):
                        _score(contestant, number, played, references, origins,
                               len(segmenter.labels))
                progress(len(clip))
    segmenter.set_cache(CacheSettings())


def _warm_up(segmenter: Segmenter, clip: Sequence[Shot], entered: Sequence[Contestant]) -> None:
    """Begin each policy unmeasured; note which of them the checkpoint cannot do."""
    for contestant in entered:
        try:
            segmenter.set_cache(contestant.settings)
        except (ValueError, EngineError) as error:
            contestant.refused = str(error)
            continue
        play(segmenter, clip[:WARM_UP_FRAMES])


def _phases(contestant: Contestant) -> int:
    """Return how many phases a contestant's clock has."""
    if contestant.settings.policy in EVERY_FRAME:
        return 1
    return ROUNDS if contestant.keys else contestant.settings.interval


def _turn(segmenter: Segmenter, clip: Sequence[Shot], contestant: Contestant, number: int,
          rounds: int) -> Pass:
    """Let a contestant play a clip in a round."""
    phases = _phases(contestant)
    phase = number * phases // rounds if rounds < phases else number % phases
    keys = contestant.keys(number, len(clip)) if contestant.keys else None
    segmenter.set_cache(contestant.settings)
    played = play(segmenter, clip, 0 if keys is not None else phase, keys)
    if len(contestant.seconds) == number:
        contestant.seconds.append(0.0)
    contestant.seconds[number] += played.seconds
    contestant.made.update(played.made)
    return played


def _score(contestant: Contestant, number: int, played: Pass,
           references: Sequence[np.ndarray | None], origins: Sequence[np.ndarray],
           num_classes: int) -> None:
    """Count the masks of a pass."""
    if len(contestant.phases) == number:
        contestant.phases.append(ConfusionMatrix(num_classes))
        contestant.steady.append(ConfusionMatrix(num_classes))
    for reference, mask in zip(references, played.masks):
        if reference is not None:
            contestant.phases[number].update(reference, mask)
    if origins:
        add_consistency(contestant.steady[number], played.masks, origins)
