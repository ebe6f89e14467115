"""What the readers hand out: frames with their stamps, not decoded yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


class SourceError(ValueError):
    """An input that cannot be read; the message names it and what is supported."""


@dataclass(frozen=True)
class Frame:
    """
    One frame of an input.

    :param label: how an error message names it.
    :param stem: relative path its mask is stored at, without the ending.
    :param stamp_ns: when it was taken, of the message's header where there is one.
    :param decode: returns the picture, (H, W, 3) uint8 BGR, or raises; only valid until the
        next frame is taken.
    :param topic: image topic it came from, or would have come from.
    :param frame_id: of the header.
    :param bag_time_ns: when it was recorded, where that is known apart from the stamp.
    :param stamp: (sec, nanosec) as the header has them, which may be no time at all.
    :param encoding: of the message.
    """

    label: str
    stem: str
    stamp_ns: int
    decode: Callable[[], np.ndarray]
    topic: str = '/camera/image_raw'
    frame_id: str = 'camera'
    bag_time_ns: int | None = None
    stamp: tuple[int, int] | None = None
    encoding: str = ''

    @property
    def stream(self) -> str:
        """Return a name that is another one wherever frames are not of one picture."""
        return f'{self.topic} {self.frame_id} {self.encoding}'


class Source:
    """
    An open input: a context manager that closes itself, iterable once.

    `count` is how many frames to expect, None if unknown; `note` is what people should know of
    it, in one line, or empty.
    """

    kind: str
    topics: tuple[str, ...] = (Frame.topic,)
    count: int | None = None
    note: str = ''

    def __enter__(self) -> Source:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the input."""

    def __iter__(self) -> Iterator[Frame]:
        """
        Yield each frame once, in order.

        :raises SourceError: the input turns out to be damaged; what came before it is good.
        """
        raise NotImplementedError
