"""Early layers on every frame, late ones now and then (Shelhamer et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
import time

import numpy as np

from roadseg_ros.inference.cache_policy import FrameByFrame, Prepare
from roadseg_ros.inference.engines import Features, Stages
from roadseg_ros.inference.feature_cache import Key, StreamState
from roadseg_ros.inference.optical_flow import Path
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings, faded
from roadseg_ros.labels import UNLABELLED

# those with models.network.Staged, by name: to ask them would load torch
STAGED_NETWORKS = ('fcn16s', 'fcn8s', 'segnet', 'segnet_basic')


class Clockwork(FrameByFrame):
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

    def __init__(self, stages: Stages, prepare: Prepare,
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        super().__init__(prepare, network_size, settings)
        self._stages = stages

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
        share, and 4 ms beside stages of hundreds.
        """
        state, motion = self._followed(frame, stream, stamp_ns)
        return state, 0.0 if motion is None else motion.residual

    def _tick(self, state: StreamState, shallow: Features, stream: str, stamp_ns: int) -> None:
        """Compute late features, here or in the background, when their clock says so."""
        self._collect(state, stamp_ns)
        if not self._make_way(state, stamp_ns):
            state.since_key += 1
            return
        work = partial(self._stages.deep, shallow)
        if self.settings.background:
            self._begin(state, stream, stamp_ns, work)
        else:
            state.key, state.since_key = Key(stamp_ns, Path(), work()), 0

    def _label(self, state: StreamState, shallow: Features, stamp_ns: int,
               size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
        """Return ids and confidence of the padded frame, and the age of its late features."""
        if state.key is not None:
            age_ms = (stamp_ns - state.key.stamp_ns) / 1e6
            if age_ms <= self.settings.max_age_ms:
                ids, confidence = self._stages.head(shallow, state.key.kept, size)
                return ids[0], faded(confidence[0], age_ms, self.settings), age_ms
        return np.full(size, UNLABELLED, np.uint8), np.zeros(size, np.uint8), math.inf
