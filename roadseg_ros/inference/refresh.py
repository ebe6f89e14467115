"""When the network has to look at a frame again."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from roadseg_ros.inference.feature_cache import StreamState
from roadseg_ros.inference.optical_flow import Path

POLICIES = ('off', 'warp', 'adaptive', 'clockwork', 'corrected', 'recurrent')
EVERY_FRAME = ('off', 'recurrent')  # of them, those without a clock: the network runs each time
ON_TORCH = ('clockwork', 'recurrent')  # those that no other engine can do
TARGET_DRIFT = 0.75  # of `drift`; benchmarks/LOG.md has what it trades
SAMPLE = 2  # of the pixels in each direction


@dataclass(frozen=True)
class CacheSettings:
    """
    How results are reused between frames of one camera.

    :param policy: one of `POLICIES`.
    :param interval: every how many frames the network runs; with 'adaptive', the longest wait.
    :param max_age_ms: no pixel is older.
    :param background: the network works beside the frames, which never wait for it.
    :raises ValueError: a value that cannot be; names what is supported.
    """

    policy: str = 'off'
    interval: int = 3
    max_age_ms: float = 500.0
    background: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.policy not in POLICIES:
            raise ValueError(
                f'unknown cache policy {self.policy!r}; supported: {", ".join(POLICIES)}')
        if self.interval < 1:
            raise ValueError(f'cache interval is at least 1 frame, not {self.interval}')
        if self.max_age_ms <= 0:
            raise ValueError(f'cache max_age_ms is above 0, not {self.max_age_ms}')
        if self.policy == 'corrected' and self.background:
            raise ValueError('cache policy corrected looks at each frame, which would wait for '
                             'the key frame in the background; use policy warp')
        if self.policy == 'recurrent' and self.background:
            raise ValueError('cache policy recurrent runs the network on each frame, none in the '
                             'background; use policy warp')


def key_is_due(state: StreamState, stamp_ns: int, settings: CacheSettings) -> bool:
    """
    Return whether a frame should be a key, before its motion is known.

    It should be one early enough that, if it takes as long as those before took to be done, the
    last key does not become too old meanwhile.

    :param state: of its stream; `since_key` does not count this frame yet.
    :param stamp_ns: of the frame.
    :param settings: the policy and its numbers.
    """
    key, since = state.key, state.since_key
    return (key is None or since + 1 >= settings.interval
            or (stamp_ns - key.stamp_ns + state.delay_ns) / 1e6 > settings.max_age_ms
            or (settings.policy == 'adaptive' and state.drift * (since + 1) > TARGET_DRIFT))


def faded(confidence: np.ndarray, age_ms: float, settings: CacheSettings) -> np.ndarray:
    """Return (h, w) uint8 confidence, halved at the age at which it is thrown away."""
    return cv2.convertScaleAbs(confidence, alpha=0.5 ** (age_ms / settings.max_age_ms))


def drift(path: Path, confidence: np.ndarray) -> float:
    """
    Return how wrong a carried mask is expected to be.

    Wrong are pixels of which the network was not sure to begin with, mostly along the borders of
    things, the more the further they were carried; and those whose motion is not to be trusted.

    :param path: along which the mask was carried.
    :param confidence: (h, w) uint8 of the mask, before it fades with age.
    :return: pixels of motion, weighted with the doubt in the label.
    """
    moved = path.moved(SAMPLE)
    sure = cv2.resize(confidence, moved.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return float(np.mean(moved * (1 - sure / np.float32(255))))
