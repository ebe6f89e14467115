"""The client against a node that echoes: stamps, counts, and nodes that are silent."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from roadseg_ros.tools.benchmark.drive import START_NS

TOPIC, ANSWERS = '/echo/image_raw', ('/echo/first', '/echo/second')


@pytest.fixture
def echo(domain_id):
    """Run a node that answers the frames of `TOPIC`, unless told which to leave out."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from sensor_msgs.msg import Image

    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('echo', context=context)
    publishers = [node.create_publisher(Image, topic, 2) for topic in ANSWERS]
    heard: list[Image] = []

    def answer(message: Image) -> None:
        heard.append(message)
        for publisher in publishers:
            publisher.publish(message)

    node.create_subscription(Image, TOPIC, answer, 2)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield heard
    context.try_shutdown()
    thread.join(10)


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
        intervals = client.saturate(8)
        assert 4 <= len(intervals) <= 7 and all(value >= 0 for value in intervals)
        played = client.play(50.0, 0.2)[TOPIC]
        assert played.sent == 10 and len(played.latencies_ms) == 10
        assert played.seconds == pytest.approx(0.2, rel=0.5)
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in echo]
    assert len(echo) == met + 5 + 8 + 10
    assert np.all(np.diff(stamps) == 10**8) and stamps[0] >= START_NS
    # there and back: the turns are 0 1 2 3 2 1
    for message, stamp in zip(echo, stamps):
        turn = (0, 1, 2, 3, 2, 1)[(stamp - START_NS) // 10**8 % 6]
        assert message.encoding == 'bgr8' and message.header.frame_id == 'camera'
        assert np.array_equal(np.frombuffer(message.data, np.uint8), pictures[turn].reshape(-1))


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
