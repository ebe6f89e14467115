"""The client against a node that echoes: stamps, counts, and nodes that are silent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import threading
import time
from typing import Any

import numpy as np
import pytest

from roadseg_ros.tools.benchmark.drive import START_NS

TOPIC, ANSWERS = '/echo/image_raw', ('/echo/first', '/echo/second')
WORK_SEC = 0.02


@contextmanager
def spinning(depth: int, on_frame: Callable[[Any, Callable[[Any], None]], None]
             ) -> Iterator[None]:
    """Run a node that hands `on_frame` each frame of `TOPIC`, and what answers one."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from sensor_msgs.msg import Image

    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('echo', context=context)
    publishers = [node.create_publisher(Image, topic, 2) for topic in ANSWERS]

    def answer(message: Image) -> None:
        for publisher in publishers:
            publisher.publish(message)

    node.create_subscription(Image, TOPIC, lambda message: on_frame(message, answer), depth)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield
    context.try_shutdown()
    thread.join(10)


@pytest.fixture
def echo(domain_id):
    """Run a node that answers every frame at once; return those it heard."""
    heard: list[Any] = []

    def on_frame(message: Any, answer: Callable[[Any], None]) -> None:
        heard.append(message)
        answer(message)

    with spinning(2, on_frame):
        yield heard


@pytest.fixture
def slow_echo(domain_id):
    """Run a node that keeps the newest frame until its worker is free; return its turns in ms."""
    slot: deque[tuple[Any, Callable[[Any], None]]] = deque(maxlen=1)
    full, ending, turns = threading.Event(), threading.Event(), []

    def on_frame(message: Any, answer: Callable[[Any], None]) -> None:
        slot.append((message, answer))
        full.set()

    def work() -> None:
        while full.wait() and not ending.is_set():
            full.clear()
            if slot:
                start = time.perf_counter()
                message, answer = slot.popleft()
                ending.wait(WORK_SEC)
                turns.append((time.perf_counter() - start) * 1e3)
                answer(message)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with spinning(1, on_frame):
        yield turns
        ending.set()
        full.set()
        worker.join(10)


@pytest.fixture
def client_of(domain_id, pictures):
    """Return what makes a client of one camera."""
    from roadseg_ros.tools.benchmark.client import Client, Feed
    from roadseg_ros.tools.benchmark.messages import ImageMessages

    def make(answers: tuple[str, ...] = ANSWERS, **kwargs) -> Client:
        return Client([Feed(TOPIC, answers, ImageMessages(pictures, 10.0))], **kwargs)
    return make


def test_every_frame_is_answered(client_of, echo, pictures):
    with client_of() as client:
        client.connect()
        met = len(echo)
        latencies = client.latencies(5)
        assert {topic: len(values) for topic, values in latencies.items()} == dict.fromkeys(
            ANSWERS, 5)
        assert all(0 < value < 10_000 for values in latencies.values() for value in values)
        played = client.play(50.0, 0.2)[TOPIC]
        assert played.sent == 10 and len(played.latencies_ms) == 10
        assert played.seconds == pytest.approx(0.2, rel=0.5)
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in echo]
    assert len(echo) == met + 5 + 10
    assert np.all(np.diff(stamps) == 10**8) and stamps[0] >= START_NS
    # there and back: the turns are 0 1 2 3 2 1
    for message, stamp in zip(echo, stamps):
        turn = (0, 1, 2, 3, 2, 1)[(stamp - START_NS) // 10**8 % 6]
        assert message.encoding == 'bgr8' and message.header.frame_id == 'camera'
        assert np.array_equal(np.frombuffer(message.data, np.uint8), pictures[turn].reshape(-1))


def test_a_frame_is_always_waiting(client_of, slow_echo):
    from roadseg_ros.tools.benchmark.client import PROBES

    with client_of() as client:
        client.connect()
        met = len(slow_echo)
        intervals = client.saturate(40)
        # one frame at most is lost, while the client finds out how many the node holds
        assert 36 <= len(intervals) <= 39
        assert len(slow_echo) == met + PROBES + len(intervals) + 1
        assert np.median(intervals) == pytest.approx(np.median(slow_echo[met:]), rel=0.1)


def test_node_that_does_not_answer(client_of, echo, monkeypatch):
    from roadseg_ros.tools.benchmark import client as client_module
    from roadseg_ros.tools.node_process import NodeError

    monkeypatch.setattr(client_module, 'START_TIMEOUT_SEC', 0.5)
    with client_of(('/nowhere',)) as client, pytest.raises(NodeError, match='no answer within'):
        client.connect()


def test_node_that_is_not_well_is_noticed(client_of):
    from roadseg_ros.tools.node_process import NodeError

    def check() -> None:
        raise NodeError('it broke')

    with client_of(check=check) as client, pytest.raises(NodeError, match='it broke'):
        client.connect()
