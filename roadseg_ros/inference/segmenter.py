"""Frames in, class ids out: what the node, the command line and training.evaluate run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import logging
from pathlib import Path
import time
from typing import TypeVar

import numpy as np

from roadseg_ros.checkpoint import Checkpoint, load_checkpoint
from roadseg_ros.inference.background import spare_one_core
from roadseg_ros.inference.cache_policy import CachePolicy
from roadseg_ros.inference.clockwork import Clockwork, STAGED_NETWORKS
from roadseg_ros.inference.correction import Corrected
from roadseg_ros.inference.crf import CrfSettings, refined_labels
from roadseg_ros.inference.engines import (
    EngineError,
    make_engine,
    scores_of,
    stages_of,
    steps_of,
)
from roadseg_ros.inference.engines.lost import on_the_cpu_instead
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.preprocessing import (
    check_frame,
    CHECKPOINT_HEIGHT,
    network_size,
    padded_size,
    prepare_frame,
    restore,
)
from roadseg_ros.inference.recurrence import Recurrence, RECURRENT_NETWORKS
from roadseg_ros.inference.refresh import CacheSettings, ON_TORCH
from roadseg_ros.inference.reuse import Reuse

# cache policies that not every network can do, and those that can
NETWORKS_FOR = {'clockwork': ('network in stages', STAGED_NETWORKS),
                'recurrent': ('recurrent network', RECURRENT_NETWORKS)}

Result = TypeVar('Result')
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmentation:
    """
    What is known of one frame.

    :param class_ids: (H, W) uint8 of the frame's size, 255 = unlabelled.
    :param confidence: (H, W) uint8, round(255 * probability of the winner), or None.
    :param made: 'full' (the network saw this frame), 'warped' (carried along the flow from one
        it saw), 'cached' (late features of one it saw), or 'none' (nothing to show yet: all
        unlabelled).
    :param age_ms: of what it was made from.
    :param change: grey levels by which the frame differs from the one before after its motion;
        0 where nobody looked.
    :param timing_ms: milliseconds per stage; a batch's network time is shared out evenly.
    """

    class_ids: np.ndarray
    confidence: np.ndarray | None
    made: str = 'full'
    age_ms: float = 0.0
    change: float = 0.0
    timing_ms: Mapping[str, float] = field(default_factory=dict)


class Segmenter:
    """
    Segment frames of any size from one or more streams.

    Each frame is resized, aspect kept, to the height the network was trained at, padded right
    and below, and its ids come back to the frame's size by nearest neighbour. A GPU that fails
    meanwhile, such as by lack of memory, is given up: the CPU does that frame and those to come.

    :param checkpoint: path of a `.safetensors` file, or a checkpoint.
    :param device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
    :param engine: 'auto', 'torch', 'openvino' or 'openvino_int8'.
    :param cache: a policy's name or its settings; 'off' computes every frame. With its
        `background` the network is given all cores but one for as long as the segmenter lives;
        a later `set_cache` does not change that.
    :param inference_height: pixels the network works at; 0 = the checkpoint's, -1 = the
        frame's own.
    :param crf: of a fully connected CRF after the network, which costs far more time than the
        network does; None = none. It takes the engine torch, and no cache.
    :raises CheckpointError: the checkpoint cannot be read or does not fit.
    :raises EngineError: the engine or device is unknown or absent, or the cache policy or the CRF
        is not for it.
    :raises ValueError: unknown cache policy or height.
    """

    def __init__(self, checkpoint: str | Path | Checkpoint, *, device: str = 'auto',
                 engine: str = 'auto', cache: str | CacheSettings = 'off',
                 inference_height: int = 0, crf: CrfSettings | None = None) -> None:
        settings = cache if isinstance(cache, CacheSettings) else CacheSettings(cache)
        if inference_height < -1:
            raise ValueError(f'inference_height is -1, 0 or pixels, not {inference_height}')
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.labels = checkpoint.labels
        if (settings.policy in ON_TORCH or crf is not None) and engine == 'auto':
            engine = 'torch'
        if settings.policy != 'recurrent' and checkpoint.architecture in RECURRENT_NETWORKS:
            _log.info('%s sees each frame alone: cache policy recurrent lets it use those before',
                      checkpoint.architecture)
        beside = settings.background and settings.policy != 'off'
        self._threads = spare_one_core() if beside else None
        self._asked_device, self._asked_engine = device, engine
        self._engine = make_engine(checkpoint, device, engine, threads=self._threads)
        self.crf = crf
        if crf is not None:
            scores_of(self._engine)  # refused now rather than at the first frame
        self._height = (checkpoint.preprocessing.height
                        if inference_height == CHECKPOINT_HEIGHT else inference_height)
        self._reuse: CachePolicy | None = None
        self.set_cache(settings)

    @property
    def device(self) -> str:
        """Return the device in use, such as 'cpu' or 'cuda:0'."""
        return self._engine.device

    @property
    def engine(self) -> str:
        """Return the name of the engine in use."""
        return self._engine.name

    @property
    def fallback(self) -> str | None:
        """Return why it runs on less than there is and was asked for, or None."""
        return self._engine.fallback

    @property
    def cache(self) -> CacheSettings:
        """Return the policy in use."""
        reuse = self._reuse
        return CacheSettings() if reuse is None else reuse.settings

    @property
    def cache_resets(self) -> Mapping[str, int]:
        """Return how often streams began anew, by reason."""
        reuse = self._reuse  # asked from other threads
        return {} if reuse is None else reuse.cache.resets

    def set_cache(self, settings: CacheSettings) -> None:
        """
        Change the policy; not while frames are being segmented.

        Its numbers change under what is kept; another policy, or whether it works in the
        background, forgets that, and counts the resets anew. The engine keeps the threads it was
        started with.

        :param settings: from now on.
        :raises EngineError: the policy is not for this engine or network; the old one stays.
        """
        if settings == self.cache:
            return
        if self._reuse is not None and (settings.policy, settings.background) == (
                self.cache.policy, self.cache.background):
            self._reuse.settings = settings
            return
        policy = self._make_policy(settings)
        if self._reuse is not None:
            self._reuse.close()
        self._reuse = policy

    def check_cache(self, settings: CacheSettings) -> None:
        """
        Refuse a policy that `set_cache` would refuse; safe while frames are segmented.

        :raises EngineError: the policy is not for this engine or network.
        """
        policy = self._make_policy(settings)
        if policy is not None:
            policy.close()

    def reset_cache(self, stream: str | None = None, reason: str = 'asked') -> None:
        """
        Forget what is kept of a stream.

        :param stream: which; None = all.
        :param reason: counted in `cache_resets`.
        """
        if self._reuse is not None:
            self._reuse.cache.reset(stream, reason)

    def warm_up(self, height: int = 0, width: int = 0) -> None:
        """
        Run a frame as the policy does, so that the first real one is not slow.

        :param height: of the frames to come, pixels; 0 = as trained.
        :param width: likewise.
        """
        trained = self.checkpoint.preprocessing
        frame = np.zeros((height or trained.height, width or trained.width, 3), np.uint8)

        def run() -> None:
            # by a policy of its own, so that nothing is left of it in the one in use
            policy = (self._make_policy(CacheSettings(self.cache.policy, interval=1))
                      if self.cache.policy in ON_TORCH else None)
            for stamp_ns in range(2):
                if policy is not None:
                    policy.predict([frame], [''], [stamp_ns])
                    continue
                self._predict([frame])
                if self.cache.policy == 'corrected':
                    self._look(frame)

        if self._asked_device == 'auto':
            self._surely(run)
        else:
            run()

    def close(self) -> None:
        """Give the device's memory back; nothing can be segmented afterwards."""
        self.set_cache(CacheSettings())
        self._engine.close()

    def segment(self, frames: Sequence[np.ndarray], streams: Sequence[str] | None = None,
                stamps: Sequence[int] | None = None) -> list[Segmentation]:
        """
        Segment frames; those of one size go through the network together.

        :param frames: (H, W, 3) uint8 BGR each, sizes may differ.
        :param streams: which camera each frame is from (default: all from one).
        :param stamps: when each was taken, integer nanoseconds.
        :return: one result a frame, in order.
        :raises FrameError: a frame is not a picture.
        :raises ValueError: streams or stamps do not number the frames.
        """
        for name, values in (('streams', streams), ('stamps', stamps)):
            if values is not None and len(values) != len(frames):
                raise ValueError(f'{len(frames)} frames but {len(values)} {name}')
        for frame in frames:
            check_frame(frame)
        if streams is None:
            streams = [''] * len(frames)
        if stamps is None:
            stamps = [time.monotonic_ns()] * len(frames)
        predictions = self._surely(lambda: (
            self._predict(frames) if self._reuse is None
            else self._reuse.predict(frames, streams, stamps)))
        return [_restored(prediction) for prediction in predictions]

    def _surely(self, work: Callable[[], Result]) -> Result:
        """Do what takes the network, on the CPU where the device fails."""
        try:
            return work()
        except RuntimeError as error:  # torch has many for this, most of no class of their own
            if self.device == 'cpu':
                raise
            self._move_to_cpu(error)
        return work()

    def _move_to_cpu(self, error: Exception) -> None:
        """Give a device up that failed; what is kept between frames is forgotten."""
        settings = self.cache
        engine = 'torch' if settings.policy in ON_TORCH else self._asked_engine
        self.set_cache(CacheSettings())  # the network may be at work beside the frames
        self._engine = on_the_cpu_instead(self._engine, error, self.checkpoint, engine,
                                          self._threads)
        self.set_cache(settings)

    def _make_policy(self, settings: CacheSettings) -> CachePolicy | None:
        """Return what a policy needs to run, None for 'off'."""
        if settings.policy == 'off':
            return None
        if self.crf is not None:
            raise EngineError('the CRF looks at every frame, so there is nothing to reuse: with '
                              f'it the cache policy is off, not {settings.policy}')
        if settings.policy in NETWORKS_FOR:  # before the engine: no other would do
            kind, fitting = NETWORKS_FOR[settings.policy]
            if self.checkpoint.architecture not in fitting:
                raise EngineError(
                    f'cache policy {settings.policy} needs a {kind} ({", ".join(fitting)}), '
                    f'which {self.checkpoint.architecture} is not; use policy warp')
        if settings.policy == 'clockwork':
            return Clockwork(stages_of(self._engine), self._prepared, self._network_size, settings)
        if settings.policy == 'recurrent':
            return Recurrence(steps_of(self._engine), self._prepared, self._network_size, settings)
        if settings.policy == 'corrected':
            return Corrected(self._predict, self._look, self._network_size, settings)
        return Reuse(self._predict, self._network_size, settings)

    def _network_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) that frames of a size are resized to."""
        return network_size(frame_size, self._height)

    def _predict(self, frames: Sequence[np.ndarray]) -> list[Prediction]:
        """Run the network; frames of one size go through it together."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, frame in enumerate(frames):
            groups.setdefault(frame.shape[:2], []).append(index)
        results: dict[int, Prediction] = {}
        for indices in groups.values():
            batch = self._predict_batch([frames[index] for index in indices],
                                        self._network_size(frames[indices[0]].shape[:2]))
            results.update(zip(indices, batch))
        return [results[index] for index in range(len(frames))]

    def _look(self, frame: np.ndarray) -> Prediction:
        """Run the network on a frame at half the size it works at."""
        height, width = self._network_size(frame.shape[:2])
        return self._predict_batch([frame], (max(height // 2, 1), max(width // 2, 1)))[0]

    def _predict_batch(self, frames: Sequence[np.ndarray], size: tuple[int, int]
                       ) -> list[Prediction]:
        """Run the network on frames of one size, resized to (height, width)."""
        start = time.perf_counter()
        batch = self._prepared(frames, size)
        prepared = time.perf_counter()
        height, width = size
        share = 1e3 / len(frames)
        timing = {'preprocess': (prepared - start) * share}
        if self.crf is None:
            ids, confidence = self._engine.run(batch)
            timing['network'] = (time.perf_counter() - prepared) * share
        else:
            probabilities = scores_of(self._engine).probabilities(batch)
            scored = time.perf_counter()
            ids, confidence = refined_labels(
                batch[:, :height, :width], probabilities[..., :height, :width], self.crf,
                len(self.labels))
            timing['network'] = (scored - prepared) * share
            timing['crf'] = (time.perf_counter() - scored) * share
        return [Prediction(mask[:height, :width], certainty[:height, :width],
                           frames[0].shape[:2], timing_ms=timing)
                for mask, certainty in zip(ids, confidence)]

    def _prepared(self, frames: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
        """Return frames resized to a size as the engine takes them, (N, h, w, 3) uint8."""
        batch = np.empty((len(frames), *padded_size(size, self._engine.input_stride), 3),
                         np.uint8)
        for frame, out in zip(frames, batch):
            prepare_frame(frame, size, out)
        return batch


def _restored(prediction: Prediction) -> Segmentation:
    """Bring a prediction to its frame's size."""
    start = time.perf_counter()
    ids, confidence = (restore(labels, prediction.frame_size)
                       for labels in (prediction.class_ids, prediction.confidence))
    timing = {**prediction.timing_ms, 'postprocess': (time.perf_counter() - start) * 1e3}
    return Segmentation(ids, confidence, prediction.made, prediction.age_ms, prediction.change,
                        timing)
