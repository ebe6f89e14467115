"""A node that only looks: hears topics, asks services, and waits no longer than it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from roadseg_ros.node.silence import Endpoint
from roadseg_ros.node.topics import IMAGE_TYPES

NAME = '_roadseg_doctor'  # `ros2 node list` leaves out what begins so
_CLASSES = dict(zip(IMAGE_TYPES, (Image, CompressedImage)))


class Onlooker:
    """
    Look at the ROS domain of the environment; a context manager.

    `heard` has, by image topic, the CDR data of its last message, and `counts` how many came.
    `statuses` has the last of each name on /diagnostics.
    """

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.statuses: dict[str, DiagnosticStatus] = {}

    def __enter__(self) -> Onlooker:
        """Join the domain."""
        with ExitStack() as leaving:
            context = Context()
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
            leaving.callback(context.try_shutdown)
            self.node = rclpy.create_node(NAME, context=context)
            leaving.callback(self.node.destroy_node)
            self.node.create_subscription(
                DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
            self._executor = SingleThreadedExecutor(context=context)
            leaving.callback(self._executor.shutdown)
            self._executor.add_node(self.node)
            self._leaving = leaving.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the domain."""
        self._leaving.close()

    def wait(self, condition: Callable[[], object], timeout_sec: float) -> bool:
        """
        Receive until the condition holds.

        :return: whether it does.
        """
        deadline = time.monotonic() + timeout_sec
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def ask(self, kind: type, service: str, request: Any, timeout_sec: float) -> Any:
        """
        Call a service.

        :return: its response, None where none comes in time.
        """
        client = self.node.create_client(kind, service)
        try:
            if not self.wait(client.service_is_ready, timeout_sec):
                return None
            future = client.call_async(request)
            self.wait(future.done, timeout_sec)
            return future.result() if future.done() else None
        finally:
            self.node.destroy_client(client)

    def hear(self, topic: str, publishers: Sequence[Endpoint]) -> None:
        """
        Subscribe to an image topic, undecoded, as its publishers can serve; once.

        :param publishers: of the topic; nothing happens where none publishes images.
        """
        cameras = [found for found in publishers if found.type in _CLASSES]
        if topic in self.counts or not cameras:
            return
        self.counts[topic] = 0
        reliable = all(camera.reliability == 'reliable' for camera in cameras)

        def take(data: bytes) -> None:
            self.heard[topic] = data
            self.counts[topic] += 1

        self.node.create_subscription(
            _CLASSES[cameras[-1].type], topic, take, QoSProfile(
                depth=1, reliability=QoSReliabilityPolicy.RELIABLE if reliable
                else QoSReliabilityPolicy.BEST_EFFORT), raw=True)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep what each says of itself."""
        self.statuses.update((status.name, status) for status in message.status)
