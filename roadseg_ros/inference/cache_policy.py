"""What all ways of reusing results share: following each camera, and key frames in its time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from roadseg_ros.inference.background import Background, Work
from roadseg_ros.inference.feature_cache import FeatureCache, Key, StreamState
from roadseg_ros.inference.optical_flow import flow_picture, FlowEstimator, Motion, Path
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings, key_is_due

# Of the longest delay of a key, what is kept for the next: cameras that wait for each other's keys
# would otherwise take turns at being late
KEPT_DELAY = 0.98
Prepare = Callable[[Sequence[np.ndarray], tuple[int, int]], np.ndarray]


class CachePolicy(ABC):
    """
    A way of not running the whole network on every frame.

    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the policy; its numbers may be replaced between frames.
    """

    def __init__(self, network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        self.settings = settings
        self.cache = FeatureCache()
        self._network_size = network_size
        self._flow = FlowEstimator()
        self._background = Background()

    @abstractmethod
    def predict(self, frames: Sequence[np.ndarray], streams: Sequence[str],
                stamps: Sequence[int]) -> list[Prediction]:
        """
        Predict frames.

        :param frames: (H, W, 3) uint8 BGR each.
        :param streams: which camera each is from; of one camera in order.
        :param stamps: integer nanoseconds.
        """

    def close(self) -> None:
        """Wait for the key frame that is being worked on; nothing can be predicted afterwards."""
        self._background.close()

    def _known(self, frame: np.ndarray, stream: str, stamp_ns: int) -> StreamState | None:
        """Return what a frame can follow from."""
        return self.cache.get(stream, frame.shape[:2], stamp_ns, self.settings.max_age_ms)

    def _followed(self, frame: np.ndarray, stream: str, stamp_ns: int
                  ) -> tuple[StreamState, Motion | None]:
        """Return a stream's state, and its motion; a new state without one after a break."""
        state = self._known(frame, stream, stamp_ns)
        motion = None if state is None else self._motion(state, frame, stream, stamp_ns)
        if state is None or motion is None:
            state = StreamState(frame.shape[:2], stamp_ns, self._picture(frame))
            self.cache.update(stream, state)
        return state, motion

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        """Return what the flow sees of a frame."""
        return flow_picture(frame, self._network_size(frame.shape[:2]))

    def _motion(self, state: StreamState, frame: np.ndarray, stream: str, stamp_ns: int
                ) -> Motion | None:
        """Go one frame further with a stream; None if this is another scene: it begins anew."""
        picture = self._picture(frame)
        motion = self._flow.estimate(state.picture, picture, state.motion)
        if motion.is_cut:
            self.cache.reset(stream, 'scene cut')
            return None
        state.picture, state.motion, state.stamp_ns = picture, motion, stamp_ns
        self.cache.update(stream, state)
        return motion

    def _collect(self, state: StreamState, stamp_ns: int) -> None:
        """Take the key that the network has done; raise what it failed with, this once."""
        if state.coming is not None and state.coming.kept.done():
            done, state.coming = state.coming, None
            asked_ns, state.asked_ns = state.asked_ns or done.stamp_ns, None
            state.delay_ns = max(stamp_ns - asked_ns, round(KEPT_DELAY * state.delay_ns))
            state.key = replace(done, kept=done.kept.result())

    def _make_way(self, state: StreamState, stamp_ns: int) -> bool:
        """Return whether the network is to look at a frame; calls off one that still waits."""
        if state.coming is None:
            return key_is_due(state, stamp_ns, self.settings)
        if not state.coming.kept.cancel():
            return False
        state.coming = None  # it waited for other cameras' keys
        return True

    def _begin(self, state: StreamState, stream: str, stamp_ns: int, work: Work) -> None:
        """Let the network look at the newest frame of a stream, beside the frames to come."""
        if state.asked_ns is None:
            state.asked_ns = stamp_ns
        state.coming = Key(stamp_ns, Path(), self._background.offer(stream, work))
        state.since_key = 0


class FrameByFrame(CachePolicy):
    """
    A policy that runs stages or steps of the network itself, on one frame after the other.

    :param prepare: resizes frames to a (height, width) and makes the engine's batch of them.
    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the policy; its numbers may be replaced between frames.
    """

    def __init__(self, prepare: Prepare,
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings) -> None:
        super().__init__(network_size, settings)
        self._prepare = prepare

    def predict(self, frames: Sequence[np.ndarray], streams: Sequence[str],
                stamps: Sequence[int]) -> list[Prediction]:
        """
        Predict frames one by one.

        :param frames: (H, W, 3) uint8 BGR each.
        :param streams: which camera each is from; of one camera in order.
        :param stamps: integer nanoseconds.
        """
        return [self._predict(*each) for each in zip(frames, streams, stamps)]

    @abstractmethod
    def _predict(self, frame: np.ndarray, stream: str, stamp_ns: int) -> Prediction:
        """Predict one frame."""
