"""The demo's side of DDS: frames out, masks in, each moment noted. Imports rclpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
import statistics
import struct
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from tqdm import tqdm

from roadseg_ros.node.image_messages import to_image_message
from roadseg_ros.node.topics import output_prefixes
from roadseg_ros.tools.demo.log import LogFrame
from roadseg_ros.tools.demo.node_process import NodeError
from roadseg_ros.tools.demo.recorder import Recorder
from roadseg_ros.tools.demo.summary import Play

START_TIMEOUT_SEC, FRAME_TIMEOUT_SEC = 120.0, 30.0
IN_FLIGHT = 3  # frames that may be on their way without being lost
QUEUE_DEPTH = 100


class Player:
    """
    Publish frames and take the node's outputs; a context manager.

    :param topic: the frames go to.
    :param check: raises when the node is not well.
    """

    def __init__(self, topic: str, check: Callable[[], None]) -> None:
        prefix = output_prefixes([topic])[topic]
        self._mask, self._overlay = f'{prefix}/mask', f'{prefix}/overlay/compressed'
        self._topic, self._check = topic, check
        self._types: dict[str, type] = {
            self._mask: Image, self._overlay: CompressedImage, '/diagnostics': DiagnosticArray}
        self._times: dict[str, dict[int, float]] = {topic: {} for topic in self._types}
        self._arrived = threading.Condition()
        self._recorder: Recorder | None = None
        self._failure: Exception | None = None
        self._stamps_spent = 0
        self._stopping = False

    def __enter__(self) -> Player:
        """Join the domain of the environment."""
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('roadseg_demo', context=self._context)
        self._publisher = self._node.create_publisher(Image, self._topic, 2)
        for topic, kind in self._types.items():
            self._node.create_subscription(
                kind, topic, partial(self._on_message, topic), QoSProfile(depth=QUEUE_DEPTH),
                raw=True)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='demo', daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the domain."""
        self._stopping = True
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def connect(self, frame: LogFrame, last_line: Callable[[], str]) -> None:
        """
        Wait until frames come back as masks and overlays, sending one again and again.

        :param frame: to send.
        :param last_line: returns what the node said last.
        :raises NodeError: the node is not well, or nothing comes back in time.
        """
        deadline = time.perf_counter() + START_TIMEOUT_SEC
        while time.perf_counter() < deadline:
            self._check()
            subscribed = self._publisher.get_subscription_count() > 0
            if subscribed:
                self._send(frame, self._spare_stamp())
            with self._arrived:
                came = self._arrived.wait_for(self._both_came, 2.0 if subscribed else 0.1)
            self._raise_failure()
            if came:
                return
        raise NodeError(f'no mask within {START_TIMEOUT_SEC:.0f} s; the node said last: '
                        f'{last_line()}')

    def round_trip_sec(self, frames: Iterable[LogFrame], bag: Path) -> float:
        """
        Measure, with a recording going on, how long the node needs for a frame.

        :param bag: a file to record to, removed afterwards.
        :return: median seconds from publishing a frame to both mask and overlay being here.
        :raises NodeError: the node is not well or a frame is lost.
        :raises SinkError: the recording cannot be written.
        """
        seconds = []
        with self._record(bag):
            for frame in frames:
                stamp_ns = self._spare_stamp()
                sent = self._send(frame, stamp_ns)
                if not self._wait_for([stamp_ns], FRAME_TIMEOUT_SEC):
                    self._check()
                    raise NodeError(f'no mask within {FRAME_TIMEOUT_SEC:.0f} s of a frame')
                seconds.append(max(self._times[self._mask][stamp_ns],
                                   self._times[self._overlay][stamp_ns]) - sent)
        bag.unlink()
        return statistics.median(seconds)

    def play(self, frames: list[LogFrame], speed: float, patience_sec: float, bag: Path,
             allowed_missing: int | None = None) -> Play:
        """
        Play and record.

        :param frames: in the order of their stamps, which are kept.
        :param speed: 1 for the rhythm of the stamps, 0.5 for half as fast.
        :param patience_sec: how long to wait for what is missing after the last frame.
        :param bag: the file to record to; replaced.
        :param allowed_missing: give up once more masks are lost; None = never.
        :return: when what was sent and received.
        :raises NodeError: the node is not well.
        :raises SinkError: the recording cannot be written.
        """
        sent: dict[int, float] = {}
        with self._arrived:
            self._times = {topic: {} for topic in self._types}
        with self._record(bag):
            start = time.perf_counter()
            for frame in tqdm(frames, 'playing', unit='frame', disable=None):
                due = start + (frame.stamp_ns - frames[0].stamp_ns) / 1e9 / speed
                sent[frame.stamp_ns] = self._send(frame, frame.stamp_ns, due)
                self._raise_failure()
                missing = len(sent) - IN_FLIGHT - len(self._times[self._mask])
                if allowed_missing is not None and missing > allowed_missing:
                    break
            self._check()
            self._wait_for(list(sent), patience_sec)
        with self._arrived:
            masks = dict(self._times[self._mask])
        return Play(sent, {stamp: masks[stamp] for stamp in sent if stamp in masks})

    def _record(self, bag: Path) -> Recorder:
        """Hand what arrives from now on to a new recorder."""
        self._recorder = Recorder(bag, {
            topic: f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
            for topic, kind in self._types.items()})
        return self._recorder

    def _send(self, frame: LogFrame, stamp_ns: int, due: float = 0.0) -> float:
        """Publish a frame, not before it is due; return when (perf_counter, s)."""
        header = Header(frame_id=frame.frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 10**9)
        message = to_image_message(frame.picture, 'bgr8', header)
        time.sleep(max(due - time.perf_counter(), 0.0))
        now = time.perf_counter()
        self._publisher.publish(message)
        return now

    def _spare_stamp(self) -> int:
        """Return a stamp no log has: the first nanoseconds of 1970."""
        self._stamps_spent += 1
        return self._stamps_spent

    def _both_came(self) -> bool:
        """Return whether the node was heard on both topics, or will never be."""
        return bool(self._failure or
                    (self._times[self._mask] and self._times[self._overlay]))

    def _wait_for(self, stamps: list[int], timeout_sec: float) -> bool:
        """Wait until masks and overlays of all stamps are here; return whether they are."""
        with self._arrived:
            came = self._arrived.wait_for(
                lambda: self._failure or all(
                    stamp in self._times[topic] for stamp in reversed(stamps)
                    for topic in (self._mask, self._overlay)), timeout_sec)
        self._raise_failure()
        return bool(came)

    def _on_message(self, topic: str, data: Any) -> None:
        """Note when a message came and record it."""
        now = time.perf_counter()
        # CDR: four bytes, the second odd for little endian, then the header's stamp
        seconds, nanoseconds = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
        if self._recorder is not None:
            self._recorder.write(topic, data)
        with self._arrived:
            self._times[topic].setdefault(seconds * 10**9 + nanoseconds, now)
            self._arrived.notify_all()

    def _spin(self) -> None:
        """Receive until told to stop; what fails is raised where somebody waits."""
        try:
            while not self._stopping:
                self._executor.spin_once(timeout_sec=0.1)
        except Exception as error:
            with self._arrived:
                self._failure = error
                self._arrived.notify_all()

    def _raise_failure(self) -> None:
        """Raise what ended the receiving thread."""
        if self._failure is not None:
            raise self._failure
