"""What a page knows of the frames of one camera: no more of it than a page can show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

LIMIT = 160  # spans a page; with pictures of two times 640x480, some ten megabytes
LOST = 'lost'  # how the mask of a frame was made that got none


@dataclass
class Pace:
    """Milliseconds of frames whose masks were made in one way."""

    frames: int = 0
    timed: int = 0
    total_ms: float = 0.0
    worst_ms: float = 0.0

    @property
    def mean_ms(self) -> float:
        """Return the mean, NaN where no frame has a time."""
        return self.total_ms / self.timed if self.timed else float('nan')

    def add(self, other: Pace) -> None:
        """Take other frames in."""
        self.frames += other.frames
        self.timed += other.timed
        self.total_ms += other.total_ms
        self.worst_ms = max(self.worst_ms, other.worst_ms)


@dataclass
class Span:
    """
    One frame, or several that follow each other, as one.

    :param seconds: when the first was taken.
    :param number: of the first frame, from 0.
    :param pictures: addresses of the first frame and its overlay, '' for one that is missing.
    :param shares: (C + 1,) float64 parts of the picture, of `class_shares`, summed over frames.
    :param paces: by how the masks were made.
    """

    seconds: float
    number: int
    pictures: tuple[str, str]
    shares: np.ndarray
    paces: defaultdict[str, Pace] = field(default_factory=lambda: defaultdict(Pace))

    @property
    def frames(self) -> int:
        """Return how many it is of."""
        return sum(pace.frames for pace in self.paces.values())

    @property
    def mean_shares(self) -> np.ndarray:
        """Return the mean of the shares over the frames with a mask, NaN where none has one."""
        masks = sum(pace.frames for made, pace in self.paces.items() if made != LOST)
        return self.shares / masks if masks else np.full_like(self.shares, np.nan)

    def add(self, later: Span) -> None:
        """Take the frames after it in; the pictures stay those of its first."""
        self.shares = self.shares + later.shares
        for made, pace in later.paces.items():
            self.paces[made].add(pace)


class Timeline:
    """
    The frames of a camera in at most `limit` spans of equally many frames.

    However long the log is, memory is bounded: where the spans would become too many, each two
    become one. Sums and worst times stay exact, pictures are dropped.

    :param classes: of the label space.
    :param limit: 2 or more.
    """

    def __init__(self, classes: int, limit: int = LIMIT) -> None:
        self.spans: list[Span] = []
        self.frames = 0
        self._classes, self._limit = classes, limit
        self._stride = 1

    def add(self, seconds: float, pictures: Callable[[], tuple[str, str]], made: str = LOST,
            milliseconds: float | None = None, shares: np.ndarray | None = None) -> None:
        """
        Take in the next frame.

        :param seconds: when it was taken, not before the last one.
        :param pictures: returns the addresses of frame and overlay; only called where they are
            kept.
        :param made: how its mask was made; `LOST` where it has none.
        :param milliseconds: that took, or None.
        :param shares: (C + 1,) float64 of `class_shares`, or None for a lost one.
        """
        starts = self.frames % self._stride == 0
        if starts and len(self.spans) == self._limit:
            self._halve()
            starts = self.frames % self._stride == 0
        span = Span(seconds, self.frames, pictures() if starts else ('', ''),
                    np.zeros(self._classes + 1) if shares is None else shares)
        span.paces[made] = (Pace(1) if milliseconds is None
                            else Pace(1, 1, milliseconds, milliseconds))
        if starts:
            self.spans.append(span)
        else:
            self.spans[-1].add(span)
        self.frames += 1

    def edges(self) -> np.ndarray:
        """Return the (N + 1,) float64 seconds between which the spans lie."""
        starts = [span.seconds for span in self.spans]
        last = float(np.median(np.diff(starts))) if len(starts) > 1 else 1.0
        return np.array([*starts, starts[-1] + last])

    def made(self) -> Counter[str]:
        """Return the number of frames by how their masks were made, lost ones last."""
        total = sum((Counter({made: pace.frames for made, pace in span.paces.items()})
                     for span in self.spans), Counter())
        return Counter({made: total[made] for made in sorted(total, key=LOST.__eq__)})

    def _halve(self) -> None:
        """Make one span of each two."""
        for first, second in _pairs(self.spans):
            first.add(second)
        self.spans = self.spans[::2]
        self._stride *= 2


def class_shares(class_ids: np.ndarray, classes: int) -> np.ndarray:
    """
    Measure how much of a picture each class covers.

    :param class_ids: (H, W) uint8, 255 = unlabelled.
    :param classes: C of the label space.
    :return: (C + 1,) float64 that sum to 1, the last what is unlabelled.
    """
    counts = cv2.calcHist([class_ids], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    return np.append(counts[:classes], counts[classes:].sum()) / class_ids.size


def _pairs(spans: list[Span]) -> Iterator[tuple[Span, Span]]:
    """Yield the first and second, the third and fourth and so on."""
    return zip(spans[::2], spans[1::2])
