"""What is kept of each camera stream between frames, and nothing else."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
import time
from typing import Any

import numpy as np

from roadseg_ros.inference.optical_flow import Motion, Path

# Cameras remembered at once: each takes at most 11 bytes for a pixel the network works at (2 MB
# at 480x360), and while it waits for a key in the background, a copy of that frame. With policy
# recurrent it takes what the network keeps, in float32 68 bytes a pixel for NetWarp (12 MB) and 8
# for STFCN as their recipes build them; half of that in half precision
MAX_STREAMS = 64
IDLE_SEC = 60.0  # after which a camera that has gone is forgotten


@dataclass
class Key:
    """
    A frame the network has seen, and the way from it to the newest one.

    :param stamp_ns: when it was taken.
    :param path: from it to the newest frame.
    :param kept: what the network made of it: class ids and confidence, or deep features.
    """

    stamp_ns: int
    path: Path
    kept: Any


@dataclass
class StreamState:
    """
    One camera.

    :param frame_size: (height, width) of its frames.
    :param stamp_ns: of the newest one.
    :param picture: (h, w) uint8, the newest one as the flow sees it.
    :param key: what masks are made from, None before the first.
    :param coming: the key the network works on in the background; `kept` is its future.
    :param asked_ns: stamp of the frame that first asked for the key that is coming; one that waits
        for other cameras' gives way to newer frames.
    :param delay_ns: how long keys take from then until a frame can use them; 0 in the foreground.
    :param since_key: frames since the newest key, be it done or coming.
    :param drift: by how much masks grow worse with each frame, 0 before it is known.
    :param motion: the newest that was estimated, None before the first.
    """

    frame_size: tuple[int, int]
    stamp_ns: int
    picture: np.ndarray
    key: Key | None = None
    coming: Key | None = None
    asked_ns: int | None = None
    delay_ns: int = 0
    since_key: int = 0
    drift: float = 0.0
    motion: Motion | None = None
    seen: float = 0.0

    def drop(self) -> None:
        """Call off the key that is coming."""
        if self.coming is not None:
            self.coming.kept.cancel()


class FeatureCache:
    """
    The states of all streams, bounded in number.

    `resets` counts by reason how often a stream began anew: 'size', 'time went back', 'gap',
    'scene cut', 'too many cameras', 'asked'.

    :param clock: returns seconds, to notice cameras that have gone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.resets: Counter[str] = Counter()
        self._clock = clock
        self._states: OrderedDict[str, StreamState] = OrderedDict()

    def __len__(self) -> int:
        """Return how many streams are remembered."""
        return len(self._states)

    def get(self, stream: str, frame_size: tuple[int, int], stamp_ns: int, max_gap_ms: float
            ) -> StreamState | None:
        """
        Return what is known of a stream, if the frame can follow from it.

        :param stream: the camera.
        :param frame_size: (height, width) of the new frame.
        :param stamp_ns: when it was taken.
        :param max_gap_ms: between two frames of one motion.
        :return: None for a new stream, and after a reset.
        """
        state = self._states.get(stream)
        if state is None:
            return None
        reason = _break(state, frame_size, stamp_ns, max_gap_ms)
        if reason is not None:
            self.reset(stream, reason)
            return None
        return state

    def update(self, stream: str, state: StreamState) -> None:
        """Keep the state of a stream; forget cameras that have gone, and the oldest of many."""
        state.seen = self._clock()
        self._states[stream] = state
        self._states.move_to_end(stream)
        while len(self._states) > MAX_STREAMS:
            self.reset(next(iter(self._states)), 'too many cameras')
        while next(iter(self._states.values())).seen < state.seen - IDLE_SEC:
            _, gone = self._states.popitem(last=False)
            gone.drop()

    def reset(self, stream: str | None = None, reason: str = 'asked') -> None:
        """
        Forget a stream.

        :param stream: which; None = all.
        :param reason: counted in `resets`.
        """
        streams = list(self._states) if stream is None else [stream]
        for name in streams:
            state = self._states.pop(name, None)
            if state is not None:
                state.drop()
                self.resets[reason] += 1


def _break(state: StreamState, frame_size: tuple[int, int], stamp_ns: int, max_gap_ms: float
           ) -> str | None:
    """Return why a frame does not follow from a state, None if it does."""
    if frame_size != state.frame_size:
        return 'size'
    if stamp_ns < state.stamp_ns:
        return 'time went back'
    if stamp_ns - state.stamp_ns > max_gap_ms * 1e6:
        return 'gap'
    return None
