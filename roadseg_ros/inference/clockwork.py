"""Early layers on every frame, late ones now and then (Shelhamer et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
import math
import time

import numpy as np

from roadseg_ros.inference.background import Background
from roadseg_ros.inference.engines import Features, Stages
from roadseg_ros.inference.feature_cache import FeatureCache, Key, StreamState
from roadseg_ros.inference.optical_flow import flow_picture, FlowEstimator, Path
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings, faded, key_is_due
from roadseg_ros.labels import UNLABELLED


class Clockwork:
    """
    Put the early features of each frame together with the late ones of a frame before.

    The fixed schedule computes late features on every `interval`-th frame. The pipelined one
    (`background`) computes them beside the frames, at most that often, and starts on the newest
    frame when the last are done, so that no frame waits for them.

    :param stages: of the network.
    :param prepare: resizes frames to a (height, width) and makes the engine's batch of them.
    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the clock.
    """

    def __init__(self, stages: Stages,
                 prepare: Callable[[Sequence[np.ndarray], tuple[int, int]], np.ndarray],
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        self.settings = settings
        self.cache = FeatureCache()
        self._stages, self._prepare, self._network_size = stages, prepare, network_size
        self._flow = FlowEstimator()
        self._background = Background()

    def close(self) -> None:
        """Wait for the late features that are being worked on."""
        self._background.close()

    def predict(self, frames: Sequence[np.ndarray], streams: Sequence[str],
                stamps: Sequence[int]) -> list[Prediction]:
        """
        Predict frames one by one.

        :param frames: (H, W, 3) uint8 BGR each.
        :param streams: which camera each is from; of one camera in order.
        :param stamps: integer nanoseconds.
        """
        return [self._predict(*each) for each in zip(frames, streams, stamps)]

    def _predict(self, frame: np.ndarray, stream: str, stamp_ns: int) -> Prediction:
        """Predict one frame."""
        started = time.perf_counter()
        state, change = self._follow(frame, stream, stamp_ns)
        followed = time.perf_counter()
        size = self._network_size(frame.shape[:2])
        batch = self._prepare([frame], size)
        prepared = time.perf_counter()
        shallow = self._stages.shallow(batch)
        self._tick(state, shallow, stream, stamp_ns)
        ids, confidence, age_ms = self._label(state, shallow, stamp_ns, batch.shape[1:3])
        timing = {'flow': (followed - started) * 1e3, 'preprocess': (prepared - followed) * 1e3,
                  'network': (time.perf_counter() - prepared) * 1e3}
        own = state.since_key == 0 and not self.settings.background
        made = 'none' if age_ms == math.inf else 'full' if own else 'cached'
        return Prediction(ids[:size[0], :size[1]], confidence[:size[0], :size[1]],
                          frame.shape[:2], made, age_ms, change, timing)

    def _follow(self, frame: np.ndarray, stream: str, stamp_ns: int
                ) -> tuple[StreamState, float]:
        """
        Return the stream's state, a new one after a break, and how much the frame differs.

        The flow carries nothing here: it is the one notion of a scene cut that all policies
        share, and 5 ms beside stages of hundreds.
        """
        picture = flow_picture(frame, self._network_size(frame.shape[:2]))
        state = self.cache.get(stream, frame.shape[:2], stamp_ns)
        if state is not None:
            motion = self._flow.estimate(state.picture, picture)
            if not motion.is_cut:
                state.picture, state.stamp_ns = picture, stamp_ns
                self.cache.update(stream, state)
                return state, motion.residual
            self.cache.reset(stream, 'scene cut')
        state = StreamState(frame.shape[:2], stamp_ns, picture)
        self.cache.update(stream, state)
        return state, 0.0

    def _tick(self, state: StreamState, shallow: Features, stream: str, stamp_ns: int) -> None:
        """Compute late features, here or in the background, when their clock says so."""
        if state.coming is not None and state.coming.kept.done():
            done, state.coming = state.coming, None
            # what failed fails this frame alone: nothing holds back the next
            state.key = Key(done.stamp_ns, Path(), done.kept.result())
        if state.coming is None:
            due = key_is_due(state, stamp_ns, self.settings)
        else:
            due = state.coming.kept.cancel()  # it still waits for other cameras'
        if not due:
            state.since_key += 1
            return
        work = partial(self._stages.deep, shallow)
        if self.settings.background:
            state.coming = Key(stamp_ns, Path(), self._background.offer(stream, work))
        else:
            state.key = Key(stamp_ns, Path(), work())
        state.since_key = 0

    def _label(self, state: StreamState, shallow: Features, stamp_ns: int,
               size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
        """Return ids and confidence of the padded frame, and the age of its late features."""
        if state.key is not None:
            age_ms = (stamp_ns - state.key.stamp_ns) / 1e6
            if age_ms <= self.settings.max_age_ms:
                ids, confidence = self._stages.head(shallow, state.key.kept, size)
                return ids[0], faded(confidence[0], age_ms, self.settings), age_ms
        return np.full(size, UNLABELLED, np.uint8), np.zeros(size, np.uint8), math.inf
