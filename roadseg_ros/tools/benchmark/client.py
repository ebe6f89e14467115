"""
The benchmark's side of DDS, for any node that answers images with images. Imports rclpy.

    feed = Feed('/camera/image_raw', ('/camera/segmentation/mask',), ImageMessages(frames))
    with NodeProcess(...) as node, Client([feed], node.check) as client:
        start_up_s = client.connect() - node.started
        latencies_ms = client.latencies(40)['/camera/segmentation/mask']
        frame_ms = client.saturate(80)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
import time
from typing import Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from roadseg_ros.tools.benchmark.messages import ImageMessages
from roadseg_ros.tools.listener import Listener
from roadseg_ros.tools.node_process import NodeError

START_TIMEOUT_SEC, FRAME_TIMEOUT_SEC = 300.0, 30.0
RESEND_SEC, PATIENCE_SEC = 0.1, 5.0
PROBES = 3  # frames that say how long one takes
# a node may publish one frame, infer the next, and have one lying ready; the least is without
# the first of these
MOST_ON_THE_WAY, LEAST_ON_THE_WAY = 3, 2


@dataclass(frozen=True)
class Feed:
    """
    One camera of the node that is measured.

    :param topic: sensor_msgs/Image, where the frames go.
    :param answers: sensor_msgs/Image topics that carry the stamps of the frames.
    :param messages: to publish.
    """

    topic: str
    answers: Sequence[str]
    messages: ImageMessages


@dataclass(frozen=True)
class Played:
    """
    What came of frames sent at a rate to one camera.

    :param sent: how many frames.
    :param seconds: they were sent in, the pause after the last one included.
    :param latencies_ms: from publishing a frame to its first answer topic, of those answered.
    """

    sent: int
    seconds: float
    latencies_ms: list[float]


class Client:
    """
    Publish frames to a node and note when its answers come; a context manager.

    It is light, as it shares the machine with the node: messages are serialised beforehand,
    answers are not decoded.

    :param feeds: the cameras; `latencies` and `saturate` use the first.
    :param check: raises when the node is not well.
    :param name: of its own ROS node.
    """

    def __init__(self, feeds: Sequence[Feed], check: Callable[[], None] = lambda: None,
                 name: str = 'roadseg_benchmark') -> None:
        self._feeds, self._check = feeds, check
        self._listener = Listener(name, {
            topic: Image for feed in feeds for topic in feed.answers})

    def __enter__(self) -> Client:
        """Join the domain of the environment."""
        self._listener.__enter__()
        try:
            self._publishers = {
                feed.topic: self._listener.node.create_publisher(Image, feed.topic, 2)
                for feed in self._feeds}
        except BaseException:
            self._listener.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the domain."""
        self._listener.__exit__(*error)

    def connect(self) -> float:
        """
        Send frames until every camera answers on every topic, and let the node come to rest.

        :return: when (perf_counter, s) the first answer of the first topic came.
        :raises NodeError: the node is not well, or does not answer in time.
        """
        deadline = time.perf_counter() + START_TIMEOUT_SEC
        while not self._listener.wait(self._all_heard, RESEND_SEC):
            self._check()
            if time.perf_counter() > deadline:
                raise NodeError(f'no answer within {START_TIMEOUT_SEC:.0f} s')
            for feed in self._feeds:
                if self._publishers[feed.topic].get_subscription_count():
                    self._send(feed)
        with self._listener.arrived:
            first = min(self._listener.times[self._feeds[0].answers[0]].values())
        for feed in self._feeds:
            self._answered(feed, self._send(feed)[0])
        return first

    def latencies(self, count: int) -> dict[str, list[float]]:
        """
        Send one frame at a time, each when the last one is answered on every topic.

        :param count: how many frames.
        :return: by answer topic, milliseconds from publishing to receiving.
        :raises NodeError: the node is not well, or a frame stays without an answer.
        """
        feed = self._feeds[0]
        milliseconds: dict[str, list[float]] = {topic: [] for topic in feed.answers}
        self._listener.forget()
        for _ in range(count):
            stamp_ns, sent = self._send(feed)
            self._answered(feed, stamp_ns)
            for topic in feed.answers:
                milliseconds[topic].append((self._listener.times[topic][stamp_ns] - sent) * 1e3)
        return milliseconds

    def saturate(self, count: int) -> list[float]:
        """
        Keep a frame ready whenever the node is done with one.

        Frames never go out close together: a node that keeps only the newest would lose one.

        :param count: how many frames.
        :return: milliseconds from one frame answered on every topic to the next.
        :raises NodeError: the node is not well, or answers nothing any more.
        """
        feed = self._feeds[0]
        pause = min(max(answers) for answers in zip(*self.latencies(PROBES).values())) / 2e3
        waiting: deque[int] = deque()
        done: list[float] = []
        places, sent = MOST_ON_THE_WAY, 0.0
        self._listener.forget()
        for _ in range(count):
            while len(waiting) >= places:
                moments, lost = self._take_answered(feed, waiting)
                done += moments
                places = max(places - lost, LEAST_ON_THE_WAY)
            time.sleep(max(sent + pause - time.perf_counter(), 0.0))
            stamp_ns, sent = self._send(feed)
            waiting.append(stamp_ns)
        while waiting:
            done += self._take_answered(feed, waiting)[0]
        return [(later - earlier) * 1e3 for earlier, later in zip(done, done[1:])]

    def play(self, rate_hz: float, seconds: float) -> dict[str, Played]:
        """
        Send frames at a rate to all cameras, at once as a triggered rig does.

        :param rate_hz: of each camera.
        :param seconds: how long.
        :return: what came of it, by image topic.
        :raises NodeError: the node is not well.
        """
        sent: dict[str, dict[int, float]] = {feed.topic: {} for feed in self._feeds}
        self._listener.forget()
        start = time.perf_counter()
        for tick in range(max(round(rate_hz * seconds), 1)):
            messages = [feed.messages.take() for feed in self._feeds]
            time.sleep(max(start + tick / rate_hz - time.perf_counter(), 0.0))
            for feed, (stamp_ns, data) in zip(self._feeds, messages):
                sent[feed.topic][stamp_ns] = self._publish(feed, data)
        lasted = max(time.perf_counter() - start, (tick + 1) / rate_hz)
        # the newest frame always gets its turn; one that is lost on the way is not waited for
        self._listener.wait(lambda: all(self._complete(feed, max(sent[feed.topic]))
                                        for feed in self._feeds), PATIENCE_SEC)
        self._check()
        return {feed.topic: self._played(feed, sent[feed.topic], lasted) for feed in self._feeds}

    def next_message(self, topic: str, kind: type, timeout_sec: float = 5.0) -> Any:
        """
        Return the next message of another topic.

        :raises NodeError: none comes in time.
        """
        data = self._listener.next_message(topic, kind, timeout_sec)
        if data is None:
            self._check()
            raise NodeError(f'nothing came on {topic} within {timeout_sec:.0f} s')
        return deserialize_message(data, kind)

    def _publish(self, feed: Feed, data: bytes) -> float:
        """Publish a message; return when (perf_counter, s)."""
        now = time.perf_counter()
        self._publishers[feed.topic].publish(data)
        return now

    def _send(self, feed: Feed) -> tuple[int, float]:
        """Publish the next frame; return its stamp (ns) and when (perf_counter, s)."""
        stamp_ns, data = feed.messages.take()
        return stamp_ns, self._publish(feed, data)

    def _all_heard(self) -> bool:
        """Return whether every camera has answered on every topic."""
        return all(self._listener.times.values())

    def _complete(self, feed: Feed, stamp_ns: int) -> bool:
        """Return whether a frame is answered on every topic."""
        return all(stamp_ns in self._listener.times[topic] for topic in feed.answers)

    def _answered(self, feed: Feed, stamp_ns: int) -> None:
        """Wait for all answers to a frame."""
        self._wait(lambda: self._complete(feed, stamp_ns))

    def _take_answered(self, feed: Feed, waiting: deque[int]) -> tuple[list[float], int]:
        """
        Wait for a frame; remove it and what was sent before.

        :return: when (perf_counter, s) each was answered, and how many never will be.
        """
        self._wait(lambda: any(self._complete(feed, stamp) for stamp in waiting))
        newest = max(stamp for stamp in waiting if self._complete(feed, stamp))
        gone = []
        while waiting and waiting[0] <= newest:
            gone.append(waiting.popleft())
        moments = [max(self._listener.times[topic][stamp] for topic in feed.answers)
                   for stamp in gone if self._complete(feed, stamp)]
        return moments, len(gone) - len(moments)

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait for what a node that is well does in time."""
        if not self._listener.wait(condition, FRAME_TIMEOUT_SEC):
            self._check()
            raise NodeError(f'no answer to a frame within {FRAME_TIMEOUT_SEC:.0f} s')

    def _played(self, feed: Feed, sent: dict[int, float], seconds: float) -> Played:
        """Return what came of the frames of a camera."""
        came = self._listener.times[feed.answers[0]]
        return Played(len(sent), seconds, [(came[stamp] - moment) * 1e3
                                           for stamp, moment in sent.items() if stamp in came])
