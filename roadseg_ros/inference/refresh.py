"""When the network has to look at a frame again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadseg_ros.inference.feature_cache import StreamState
from roadseg_ros.inference.optical_flow import grid, Motion

POLICIES = ('off', 'warp', 'adaptive')
TARGET_DRIFT = 0.04  # share of the pixels; benchmarks/LOG.md has what it trades
LEARNING_RATE = 0.5  # of the drift rate, at each key
STILL = 0.05  # pixels a frame that even a standing camera is taken to move


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


def key_is_due(state: StreamState, stamp_ns: int, settings: CacheSettings) -> bool:
    """
    Return whether a frame must be a key, before its motion is known.

    :param state: of its stream; `since_key` does not count this frame yet.
    :param stamp_ns: of the frame.
    :param settings: the policy and its numbers.
    """
    key = state.key
    return (key is None or state.since_key + 1 >= settings.interval
            or (stamp_ns - key.stamp_ns) / 1e6 > settings.max_age_ms)


def has_drifted(state: StreamState) -> bool:
    """
    Return whether too much of the mask is expected to have changed since the key.

    Frame differences and the flow's size alone predict that badly. What is asked here is how much
    the network had corrected at the last keys, for the motion there had been (after the label
    disagreement of Li et al., 2018).

    :param state: of the stream, the new frame's motion already in `travelled`.
    """
    return state.drift_rate is None or state.drift_rate * state.travelled > TARGET_DRIFT


def learn_drift(state: StreamState, changed: float) -> float:
    """
    Return the drift rate after a key has shown what had changed.

    :param state: before the key.
    :param changed: share of the pixels whose class the key corrected.
    """
    seen = changed / state.travelled
    if state.drift_rate is None:
        return seen
    return state.drift_rate + LEARNING_RATE * (seen - state.drift_rate)


def speed(motion: Motion) -> float:
    """Return the mean motion of a frame in pixels."""
    moved = np.abs(motion.origins - grid(*motion.origins.shape[:2]))
    return STILL + float(moved.mean())
