"""A recurrent network, told of each frame what it made of those before."""

from __future__ import annotations

from collections.abc import Callable
import time

import numpy as np

from roadseg_ros.inference.cache_policy import FrameByFrame, Prepare
from roadseg_ros.inference.engines import Steps
from roadseg_ros.inference.feature_cache import Key
from roadseg_ros.inference.optical_flow import network_flow, Path
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings

# those with models.network.Recurrent, by name: to ask them would load torch
RECURRENT_NETWORKS = ('net_warp', 'stfcn')


class Recurrence(FrameByFrame):
    """
    Run the network on every frame with the state that the last one of the same camera left.

    :param steps: of the network.
    :param prepare: resizes frames to a (height, width) and makes the engine's batch of them.
    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the policy; a camera silent for longer than its maximum age begins anew.
    """

    def __init__(self, steps: Steps, prepare: Prepare,
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        super().__init__(prepare, network_size, settings)
        self._steps = steps

    def _predict(self, frame: np.ndarray, stream: str, stamp_ns: int) -> Prediction:
        """Predict one frame."""
        started = time.perf_counter()
        state, motion = self._followed(frame, stream, stamp_ns)
        # what fails from here on leaves nothing to go on from: the motion has gone further
        key, state.key = state.key, None
        followed = time.perf_counter()
        height, width = size = self._network_size(frame.shape[:2])
        batch = self._prepare([frame], size)
        prepared = time.perf_counter()
        kept, flow = (), None
        if motion is not None and key is not None:
            kept = key.kept
            flow = network_flow(motion, size, batch.shape[1:3])[None]
        ids, confidence, kept = self._steps.step(batch, kept, flow)
        state.key = Key(stamp_ns, Path(), kept)
        timing = {'flow': (followed - started) * 1e3, 'preprocess': (prepared - followed) * 1e3,
                  'network': (time.perf_counter() - prepared) * 1e3}
        return Prediction(ids[0, :height, :width], confidence[0, :height, :width],
                          frame.shape[:2], change=0.0 if motion is None else motion.residual,
                          timing_ms=timing)
