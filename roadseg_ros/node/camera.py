"""One camera: its subscription, its one-place slot of newest frames, its counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import math
import threading
import time
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import QoSReliabilityPolicy as Reliability
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from roadseg_ros.node.topics import camera_info_topic, COMPRESSED, IMAGE_TYPES

_TYPE_NAMES = dict(zip(IMAGE_TYPES, (Image, CompressedImage)))
COMPLAINT_PERIOD_SEC = 5.0
_RELIABILITIES = {'reliable': Reliability.RELIABLE, 'best_effort': Reliability.BEST_EFFORT}


class Camera:
    """
    Receive one image topic and keep only its newest frame.

    :param node: to subscribe on.
    :param topic: the image topic.
    :param input_reliability: 'auto', 'reliable' or 'best_effort'.
    :param notify: called, from the executor's thread, when a frame lies in the slot.
    :param info_is_shared: other cameras have their calibrations on the same topic; only those
        with the frame_id of this camera's images are taken.

    `counts` has received, dropped (a newer frame came first), disabled (paused), unheard
    (nobody listened) and failed; frames lost before they reach the subscription are in none.
    `last_error` says what was wrong with the last frame that failed.
    """

    def __init__(self, node: Node, topic: str, input_reliability: str,
                 notify: Callable[[], None], info_is_shared: bool = False) -> None:
        self.topic = topic
        self.counts: Counter[str] = Counter()
        self.last_error = ''
        self.accepting = True
        self._node, self._notify, self._wanted = node, notify, input_reliability
        self._info_is_shared = info_is_shared
        self._frame_id: str | None = None
        self._complained = -math.inf
        self._slot: tuple[Any, float] | None = None
        self._lock = threading.Lock()
        self._info: CameraInfo | None = None
        self._subscription: Any = None
        self._info_subscription: Any = None
        self._choice: tuple[type, Reliability] | None = None

    def subscribe(self) -> None:
        """Subscribe as the graph looks now; called again, adapt to what has changed."""
        choice = self._choose()
        if choice == self._choice:
            return
        former = self._subscription
        message_type, reliability = self._choice = choice
        self._subscription = self._node.create_subscription(
            message_type, self.topic, self._on_image,
            QoSProfile(depth=1, reliability=reliability),
            # rclpy's own would warn before `auto` has adapted; a Watch says what lasts
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))
        if former is not None:
            self._node.destroy_subscription(former)
        if self._info_subscription is None:
            self._info_subscription = self._node.create_subscription(
                CameraInfo, camera_info_topic(self.topic), self._on_info,
                QoSProfile(depth=5, reliability=Reliability.BEST_EFFORT))

    def unsubscribe(self) -> None:
        """Stop receiving and forget the frame in the slot."""
        for subscription in (self._subscription, self._info_subscription):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._subscription = self._info_subscription = self._choice = self._info = None
        with self._lock:
            self._slot = None

    def take(self) -> tuple[Any, float] | None:
        """Return the newest message and its arrival (perf_counter, s), once; None if taken."""
        with self._lock:
            taken, self._slot = self._slot, None
        return taken

    @property
    def info(self) -> CameraInfo | None:
        """Return the camera's latest calibration, if it has sent one that is not empty."""
        return self._info

    def publisher_count(self) -> int:
        """Return how many publishers the image topic has."""
        # not count_publishers, which does not know of remapped names
        return len(self._node.get_publishers_info_by_topic(self.topic))

    def fail(self, reason: str) -> None:
        """Count a frame that could not be segmented and remember why."""
        with self._lock:  # one frame may fail at the door while another does on its way out
            self.counts['failed'] += 1
        self.last_error = reason
        # rclpy's own throttle is one for all cameras
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_PERIOD_SEC:
            self._complained = now
            self._node.get_logger().error(f'{self.topic}: {reason}')

    def _choose(self) -> tuple[type, Reliability]:
        """Return the type the graph shows and the reliability every publisher can serve."""
        offered = self._node.get_publishers_info_by_topic(self.topic)
        publishers = [info for info in offered if info.topic_type in _TYPE_NAMES]
        # Before anyone publishes, keep what there is: a swap loses the frame in between
        kept = self._choice or (
            CompressedImage if self.topic.endswith(COMPRESSED) else Image, Reliability.RELIABLE)
        if publishers:
            kept = _TYPE_NAMES[publishers[-1].topic_type], Reliability.RELIABLE
            if any(info.qos_profile.reliability != Reliability.RELIABLE for info in publishers):
                kept = kept[0], Reliability.BEST_EFFORT
        return kept[0], _RELIABILITIES.get(self._wanted, kept[1])

    def _on_image(self, message: Any) -> None:
        """Put a message into the slot; what it displaces counts as dropped."""
        self.counts['received'] += 1
        self._frame_id = message.header.frame_id
        if not self.accepting:
            self.counts['disabled'] += 1
            return
        with self._lock:
            displaced, self._slot = self._slot, (message, time.perf_counter())
        if displaced is not None:
            self.counts['dropped'] += 1
        self._notify()

    def _on_info(self, message: CameraInfo) -> None:
        """Keep the calibration unless it is empty or another camera's."""
        own = not self._info_is_shared or message.header.frame_id == self._frame_id
        if message.width and message.height and own:
            self._info = message
