"""Hear topics without decoding what comes, each moment noted. Imports rclpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
import struct
import threading
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

QUEUE_DEPTH = 100
STAMP = slice(4, 12)  # of CDR, whose first four bytes say how it is coded; a header comes first


class Listener:
    """
    Receive in a thread of its own; a context manager.

    `node` is its ROS node, to publish with. `times` says by topic when (perf_counter, s) the
    first message of each stamp (ns) came; to walk through it, hold `arrived`.

    :param name: of the node.
    :param topics: message type by topic; the types begin with a header.
    :param on_message: called in the thread with topic and CDR data of each message.
    """

    def __init__(self, name: str, topics: Mapping[str, type],
                 on_message: Callable[[str, bytes], None] = lambda topic, data: None) -> None:
        self._name, self._topics, self._on_message = name, topics, on_message
        self.arrived = threading.Condition()
        self.times: dict[str, dict[int, float]] = {topic: {} for topic in topics}
        self._failure: Exception | None = None
        self._stopping = False

    def __enter__(self) -> Listener:
        """Join the domain of the environment."""
        with ExitStack() as leaving:
            context = Context()
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
            leaving.callback(context.try_shutdown)
            self.node = rclpy.create_node(self._name, context=context)
            leaving.callback(self.node.destroy_node)
            for topic, kind in self._topics.items():
                self.node.create_subscription(kind, topic, partial(self._on_data, topic),
                                              QoSProfile(depth=QUEUE_DEPTH), raw=True)
            self._executor = SingleThreadedExecutor(context=context)
            leaving.callback(self._executor.shutdown)
            self._executor.add_node(self.node)
            self._thread = threading.Thread(target=self._spin, name=self._name, daemon=True)
            self._thread.start()
            self._leaving = leaving.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the domain."""
        self._stopping = True
        self._thread.join()
        self._leaving.close()

    def forget(self) -> None:
        """Empty `times`."""
        with self.arrived:
            self.times = {topic: {} for topic in self._topics}

    def wait(self, condition: Callable[[], object], timeout_sec: float) -> bool:
        """
        Wait until the condition holds, which is looked at whenever a message came.

        :return: whether it does.
        :raises Exception: what ended the thread.
        """
        with self.arrived:
            came = self.arrived.wait_for(lambda: self._failure or condition(), timeout_sec)
        self.check()
        return bool(came)

    def next_message(self, topic: str, kind: type, timeout_sec: float) -> bytes | None:
        """
        Hear one more topic.

        :return: CDR of the first message from now on, None if none comes in time.
        """
        came: list[bytes] = []

        def take(data: Any) -> None:
            with self.arrived:
                came.append(data)
                self.arrived.notify_all()

        subscription = self.node.create_subscription(kind, topic, take, QUEUE_DEPTH, raw=True)
        try:
            self.wait(lambda: came, timeout_sec)
        finally:
            self.node.destroy_subscription(subscription)
        return came[0] if came else None

    def check(self) -> None:
        """
        Look whether the thread still receives.

        :raises Exception: what ended it.
        """
        if self._failure is not None:
            raise self._failure

    def _on_data(self, topic: str, data: Any) -> None:
        """Note when a message came and hand it on."""
        now = time.perf_counter()
        seconds, nanoseconds = struct.unpack(stamp_format(data), data[STAMP])
        self._on_message(topic, data)
        with self.arrived:
            self.times[topic].setdefault(seconds * 10**9 + nanoseconds, now)
            self.arrived.notify_all()

    def _spin(self) -> None:
        """Receive until told to stop; what fails is raised where somebody waits."""
        try:
            while not self._stopping:
                self._executor.spin_once(timeout_sec=0.1)
        except Exception as error:
            with self.arrived:
                self._failure = error
                self.arrived.notify_all()


def stamp_format(data: bytes) -> str:
    """Return how the stamp of a message in CDR is packed: seconds, nanoseconds."""
    return '<iI' if data[1] & 1 else '>iI'
