"""Frames in, predictions out, with as few of them through the network as a policy allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
import math
import time

import cv2
import numpy as np

from roadseg_ros.inference.feature_cache import FeatureCache, Key, StreamState
from roadseg_ros.inference.optical_flow import flow_picture, FlowEstimator, Motion, Path
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import (
    CacheSettings,
    has_drifted,
    key_is_due,
    learn_drift,
    speed,
)
from roadseg_ros.labels import UNLABELLED

Predict = Callable[[Sequence[np.ndarray]], list[Prediction]]


class Reuse:
    """
    Carry masks along the optical flow between the frames that the network sees.

    :param predict: runs the network on frames of any sizes.
    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the policy; may be replaced between frames.
    """

    def __init__(self, predict: Predict,
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        self.settings = settings
        self.cache = FeatureCache()
        self._predict, self._network_size = predict, network_size
        self._flow = FlowEstimator()
        self._background = ThreadPoolExecutor(1, thread_name_prefix='key frames')

    def close(self) -> None:
        """Wait for the key frame that is being worked on."""
        self._background.shutdown(cancel_futures=True)

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
            for index, key in zip(keys, self._predict([frames[index] for index in keys])):
                self._take_key(frames[index], streams[index], stamps[index], key)
                results[index] = key
        return [result for result in results if result is not None]

    def _without_network(self, frame: np.ndarray, stream: str, stamp_ns: int
                         ) -> Prediction | None:
        """Return a frame's prediction from what is kept, None if it has to be a key."""
        state = self.cache.get(stream, frame.shape[:2], stamp_ns)
        if self.settings.background:
            return self._beside_network(state, frame, stream, stamp_ns)
        if state is None or state.key is None:
            return None
        adaptive = self.settings.policy == 'adaptive'
        due = key_is_due(state, stamp_ns, self.settings)
        if due and not adaptive:  # which has to know what the key will correct
            return None
        started = time.perf_counter()
        motion = self._follow(state, frame, stamp_ns)
        if motion.is_cut:
            self.cache.reset(stream, 'scene cut')
            return None
        if due or (adaptive and has_drifted(state)):
            return None
        return self._carried(state.key, stamp_ns, motion, started)

    def _beside_network(self, state: StreamState | None, frame: np.ndarray, stream: str,
                        stamp_ns: int) -> Prediction:
        """Return a frame's prediction from the latest key that is done; start the next one."""
        started = time.perf_counter()
        motion = None
        if state is not None:
            motion = self._follow(state, frame, stamp_ns)
            if motion.is_cut:
                self.cache.reset(stream, 'scene cut')
                state = None
        if state is None:
            state = StreamState(frame.shape[:2], stamp_ns, self._picture(frame))
        if state.coming is not None and state.coming.kept.done():
            done, state.coming = state.coming, None
            state.key = Key(done.stamp_ns, done.path, done.kept.result()[0])
        if state.coming is None:
            future: Future[list[Prediction]] = self._background.submit(
                self._predict, [frame.copy()])  # the frame may be a view of a message
            state.coming = Key(stamp_ns, Path(state.picture.shape), future)
        self.cache.update(stream, state)
        if state.key is None or motion is None or (
                _age_ms(state.key, stamp_ns) > self.settings.max_age_ms):
            return self._unlabelled(frame, started)
        return self._carried(state.key, stamp_ns, motion, started)

    def _follow(self, state: StreamState, frame: np.ndarray, stamp_ns: int) -> Motion:
        """Go with the keys of a stream one frame further."""
        picture = self._picture(frame)
        motion = self._flow.estimate(state.picture, picture)
        for key in (state.key, state.coming):
            if key is not None:
                key.path.extend(motion)
        state.picture, state.stamp_ns = picture, stamp_ns
        state.since_key += 1
        if self.settings.policy == 'adaptive':
            state.travelled += speed(motion)
        return motion

    def _carried(self, key: Key, stamp_ns: int, motion: Motion, started: float) -> Prediction:
        """Return the mask of a key where its pixels are now."""
        kept, age_ms = key.kept, _age_ms(key, stamp_ns)
        ids, confidence = key.path.carry(kept.class_ids, kept.confidence, UNLABELLED)
        # halved at the age at which it is thrown away
        confidence = cv2.convertScaleAbs(confidence,
                                         alpha=0.5 ** (age_ms / self.settings.max_age_ms))
        return Prediction(ids, confidence, kept.frame_size, 'warped', age_ms, motion.residual,
                          {'warp': (time.perf_counter() - started) * 1e3})

    def _take_key(self, frame: np.ndarray, stream: str, stamp_ns: int, made: Prediction) -> None:
        """Keep what the network made of a frame."""
        picture = self._picture(frame)
        state = self.cache.get(stream, frame.shape[:2], stamp_ns)
        rate = None
        if state is not None and state.key is not None and state.travelled:
            kept = state.key.kept
            before, _ = state.key.path.carry(kept.class_ids, kept.confidence, UNLABELLED)
            rate = learn_drift(state, float((before != made.class_ids).mean()))
        self.cache.update(stream, StreamState(
            frame.shape[:2], stamp_ns, picture, Key(stamp_ns, Path(picture.shape), made),
            drift_rate=rate))

    def _unlabelled(self, frame: np.ndarray, started: float) -> Prediction:
        """Return a mask that says nothing."""
        size = self._network_size(frame.shape[:2])
        return Prediction(np.full(size, UNLABELLED, np.uint8), np.zeros(size, np.uint8),
                          frame.shape[:2], 'none', math.inf, 0.0,
                          {'warp': (time.perf_counter() - started) * 1e3})

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        """Return what the flow sees of a frame."""
        return flow_picture(frame, self._network_size(frame.shape[:2]))


def _age_ms(key: Key, stamp_ns: int) -> float:
    """Return how old a key is when a frame comes, in milliseconds."""
    return (stamp_ns - key.stamp_ns) / 1e6


def _turns(streams: Sequence[str]) -> Iterator[list[int]]:
    """Yield the indices of frames in turns that hold each camera once."""
    waiting = list(range(len(streams)))
    while waiting:
        turn: dict[str, int] = {}
        for index in waiting:
            turn.setdefault(streams[index], index)
        yield list(turn.values())
        waiting = [index for index in waiting if index not in turn.values()]
