"""The demo's side of DDS: frames out, masks in, each moment noted. Imports rclpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
import statistics
import time

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from tqdm import tqdm

from roadseg_ros.node.image_messages import to_image_message
from roadseg_ros.node.topics import output_prefixes
from roadseg_ros.tools.demo.log import LogFrame
from roadseg_ros.tools.demo.recorder import Recorder
from roadseg_ros.tools.demo.summary import Play
from roadseg_ros.tools.listener import Listener
from roadseg_ros.tools.node_process import NodeError

START_TIMEOUT_SEC, FRAME_TIMEOUT_SEC = 120.0, 30.0
IN_FLIGHT = 3  # frames that may be on their way without being lost


class Player:
    """
    Publish frames and take the node's outputs; a context manager.

    :param topic: the frames go to.
    :param check: raises when the node is not well.
    """

    def __init__(self, topic: str, check: Callable[[], None]) -> None:
        prefix = output_prefixes([topic])[topic]
        self._mask = f'{prefix}/mask'
        outputs: dict[str, type] = {self._mask: Image,
                                    f'{prefix}/overlay/compressed': CompressedImage,
                                    f'{prefix}/provenance': DiagnosticArray}
        self._outputs = tuple(outputs)
        self._topic, self._check = topic, check
        self._types = {**outputs, '/diagnostics': DiagnosticArray}
        self._listener = Listener('roadseg_demo', self._types, self._on_message)
        self._recorder: Recorder | None = None
        self._stamps_spent = 0

    def __enter__(self) -> Player:
        """Join the domain of the environment."""
        self._listener.__enter__()
        self._publisher = self._listener.node.create_publisher(Image, self._topic, 2)
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the domain."""
        self._listener.__exit__(*error)

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
            if self._listener.wait(self._all_came, 2.0 if subscribed else 0.1):
                return
        raise NodeError(f'no mask within {START_TIMEOUT_SEC:.0f} s; the node said last: '
                        f'{last_line()}')

    def round_trip_sec(self, frames: Iterable[LogFrame], bag: Path) -> float:
        """
        Measure, with a recording going on, how long the node needs for a frame.

        :param bag: a file to record to, removed afterwards.
        :return: median seconds from publishing a frame to all of its outputs being here.
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
                seconds.append(max(self._listener.times[topic][stamp_ns]
                                   for topic in self._outputs) - sent)
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
        self._listener.forget()
        with self._record(bag):
            start = time.perf_counter()
            for frame in tqdm(frames, 'playing', unit='frame', disable=None):
                due = start + (frame.stamp_ns - frames[0].stamp_ns) / 1e9 / speed
                sent[frame.stamp_ns] = self._send(frame, frame.stamp_ns, due)
                self._listener.check()
                missing = len(sent) - IN_FLIGHT - len(self._listener.times[self._mask])
                if allowed_missing is not None and missing > allowed_missing:
                    break
            self._check()
            self._wait_for(list(sent), patience_sec)
        with self._listener.arrived:
            masks = dict(self._listener.times[self._mask])
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

    def _all_came(self) -> bool:
        """Return whether the node was heard on every topic of a frame."""
        return all(self._listener.times[topic] for topic in self._outputs)

    def _wait_for(self, stamps: list[int], timeout_sec: float) -> bool:
        """Wait until the outputs of all stamps are here; return whether they are."""
        return self._listener.wait(
            lambda: all(stamp in self._listener.times[topic] for stamp in reversed(stamps)
                        for topic in self._outputs), timeout_sec)

    def _on_message(self, topic: str, data: bytes) -> None:
        """Record what came."""
        if self._recorder is not None:
            self._recorder.write(topic, data)
