"""Frames in, predictions out, with as few of them through the network as a policy allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
import math
import time

import numpy as np

from roadseg_ros.inference.cache_policy import CachePolicy
from roadseg_ros.inference.feature_cache import Key, StreamState
from roadseg_ros.inference.optical_flow import Motion, Path
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings, drift, faded, key_is_due
from roadseg_ros.labels import UNLABELLED

Predict = Callable[[Sequence[np.ndarray]], list[Prediction]]


class Reuse(CachePolicy):
    """
    Carry masks along the optical flow between the frames that the network sees.

    :param predict: runs the network on frames of any sizes.
    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the policy; its numbers may be replaced between frames.
    """

    def __init__(self, predict: Predict,
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        super().__init__(network_size, settings)
        self._predict = predict

    def predict(self, frames: Sequence[np.ndarray], streams: Sequence[str],
                stamps: Sequence[int]) -> list[Prediction]:
        """
        Predict frames, the keys among them together.

        :param frames: (H, W, 3) uint8 BGR each.
        :param streams: which camera each is from; of one camera in order.
        :param stamps: integer nanoseconds.
        """
        results: list[Prediction | None] = [None] * len(frames)
        for turn in _turns(streams):
            keys = []
            for index in turn:
                results[index] = self._without_network(
                    frames[index], streams[index], stamps[index])
                if results[index] is None:
                    keys.append(index)
            made = self._predict([frames[index] for index in keys]) if keys else []
            for index, key in zip(keys, made, strict=True):
                self._take_key(frames[index], streams[index], stamps[index], key)
                results[index] = key
        return [result for result in results if result is not None]

    def _without_network(self, frame: np.ndarray, stream: str, stamp_ns: int
                         ) -> Prediction | None:
        """Return a frame's prediction from what is kept, None if it has to be a key."""
        state = self._known(frame, stream, stamp_ns)
        if self.settings.background:
            return self._beside_network(state, frame, stream, stamp_ns)
        if state is None or key_is_due(state, stamp_ns, self.settings):
            return None
        started = time.perf_counter()
        motion = self._follow(state, frame, stream, stamp_ns)
        return None if motion is None else self._shown(state, frame, motion, started)

    def _beside_network(self, state: StreamState | None, frame: np.ndarray, stream: str,
                        stamp_ns: int) -> Prediction:
        """Return a frame's prediction from the latest key that is done; start the next one."""
        started = time.perf_counter()
        due, motion = True, None
        if state is not None:
            self._collect(state, stamp_ns)
            due = self._make_way(state, stamp_ns)
            motion = self._follow(state, frame, stream, stamp_ns)
        if state is None or motion is None:
            due, state = True, StreamState(frame.shape[:2], stamp_ns, self._picture(frame))
            self.cache.update(stream, state)
        if due:
            own = frame.copy()  # it may be a view of a message
            self._begin(state, stream, stamp_ns, lambda: _owned(self._predict([own])[0]))
        return self._shown(state, frame, motion, started)

    def _follow(self, state: StreamState, frame: np.ndarray, stream: str, stamp_ns: int
                ) -> Motion | None:
        """Go with the keys of a stream one frame further; None if this is another scene."""
        motion = self._motion(state, frame, stream, stamp_ns)
        if motion is not None:
            for key in (state.key, state.coming):
                if key is not None:
                    key.path.extend(motion)
            state.since_key += 1
        return motion

    def _shown(self, state: StreamState, frame: np.ndarray, motion: Motion | None,
               started: float) -> Prediction:
        """Return the mask of the key where its pixels are now; one that says nothing if none."""
        key = state.key
        age_ms = math.inf if key is None else (state.stamp_ns - key.stamp_ns) / 1e6
        change = 0.0 if motion is None else motion.residual
        if key is None or age_ms > self.settings.max_age_ms:
            size, age_ms, made = self._network_size(frame.shape[:2]), math.inf, 'none'
            ids, confidence = np.full(size, UNLABELLED, np.uint8), np.zeros(size, np.uint8)
        else:
            kept, made = key.kept, 'warped'
            ids, confidence = key.path.carry(kept.class_ids, kept.confidence, UNLABELLED)
            if self.settings.policy == 'adaptive':
                state.drift = drift(key.path, confidence) / max(key.path.steps, 1)
            confidence = faded(confidence, age_ms, self.settings)
        return Prediction(ids, confidence, frame.shape[:2], made, age_ms, change,
                          {'warp': (time.perf_counter() - started) * 1e3})

    def _take_key(self, frame: np.ndarray, stream: str, stamp_ns: int, made: Prediction) -> None:
        """Keep what the network made of a frame."""
        before = self._known(frame, stream, stamp_ns)
        self.cache.update(stream, StreamState(
            frame.shape[:2], stamp_ns, self._picture(frame), Key(stamp_ns, Path(), _owned(made)),
            motion=None if before is None else before.motion))


def _owned(prediction: Prediction) -> Prediction:
    """Return a prediction that nobody else writes to and that holds no batch in memory."""
    return replace(prediction, class_ids=prediction.class_ids.copy(),
                   confidence=prediction.confidence.copy())


def _turns(streams: Sequence[str]) -> Iterator[list[int]]:
    """Yield the indices of frames in turns that hold each camera once."""
    waiting = list(range(len(streams)))
    while waiting:
        turn: dict[str, int] = {}
        for index in waiting:
            turn.setdefault(streams[index], index)
        yield list(turn.values())
        waiting = [index for index in waiting if index not in turn.values()]
