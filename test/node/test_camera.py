"""One camera's slot, its counters, and the QoS it picks."""
import itertools

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.qos import QoSReliabilityPolicy as Reliability
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from roadseg_ros.node.camera import Camera  # noqa: E402
from roadseg_ros.node.topics import camera_info_topic  # noqa: E402

BEST_EFFORT = QoSProfile(depth=1, reliability=Reliability.BEST_EFFORT)
FRAME = np.zeros((4, 6, 3), np.uint8)
names = itertools.count()


@pytest.fixture
def cameras(peer):
    """Return a function that makes a camera; take them down afterwards."""
    made = []

    def make(topic='', reliability='auto', info_is_shared=False):
        camera = Camera(peer.node, topic or f'/slot_{next(names)}/image', reliability,
                        lambda: None, info_is_shared)
        made.append(camera)
        return camera

    yield make
    for camera in made:
        camera.unsubscribe()


def subscription(peer, topic):
    """Return type and reliability of the only subscription of a topic."""
    info, = peer.wait(lambda: peer.node.get_subscriptions_info_by_topic(topic), topic)
    return info.topic_type, info.qos_profile.reliability


def publish(peer, camera, publisher, message):
    received = camera.counts['received']
    publisher.publish(message)
    peer.wait(lambda: camera.counts['received'] == received + 1, 'the frame')


def test_the_newest_frame_stays_and_the_others_are_counted(peer, cameras):
    camera = cameras()
    camera.subscribe()
    publisher = peer.publisher(Image, camera.topic)
    frames = [peer.image(FRAME) for _ in range(3)]
    for frame in frames:
        publish(peer, camera, publisher, frame)
    assert camera.take()[0].header == frames[-1].header
    assert camera.take() is None
    assert camera.counts == {'received': 3, 'dropped': 2}


def test_a_paused_camera_counts_and_forgets(peer, cameras):
    camera = cameras()
    camera.subscribe()
    publisher = peer.publisher(Image, camera.topic)
    camera.accepting = False
    publish(peer, camera, publisher, peer.image(FRAME))
    assert camera.take() is None
    assert camera.counts == {'received': 1, 'disabled': 1}


@pytest.mark.parametrize('wanted, offered, got', [
    ('auto', 1, Reliability.RELIABLE), ('auto', BEST_EFFORT, Reliability.BEST_EFFORT),
    ('reliable', BEST_EFFORT, Reliability.RELIABLE),
    ('best_effort', 1, Reliability.BEST_EFFORT)])
def test_reliability_follows_the_publisher_unless_told(peer, cameras, wanted, offered, got):
    camera = cameras(reliability=wanted)
    publisher = peer.node.create_publisher(Image, camera.topic, offered)
    peer.wait(lambda: camera.publisher_count(), 'the publisher')
    camera.subscribe()
    assert subscription(peer, camera.topic) == ('sensor_msgs/msg/Image', got)
    peer.node.destroy_publisher(publisher)


def test_the_type_is_the_graphs_else_the_names(peer, cameras):
    camera = cameras('/typed/image/compressed')
    camera.subscribe()
    assert subscription(peer, camera.topic)[0] == 'sensor_msgs/msg/CompressedImage'
    other = cameras('/typed/other')
    publisher = peer.node.create_publisher(CompressedImage, other.topic, 1)
    peer.wait(lambda: other.publisher_count(), 'the publisher')
    other.subscribe()
    assert subscription(peer, other.topic)[0] == 'sensor_msgs/msg/CompressedImage'
    peer.node.destroy_publisher(publisher)


@pytest.fixture
def stranger(ros_domain):
    """Return a node of another participant: one alone cannot hold two types of a topic."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('stranger', context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_a_publisher_of_another_type_does_not_change_the_subscription(peer, cameras, stranger):
    camera = cameras()
    publisher = stranger.create_publisher(CameraInfo, camera.topic, 1)
    peer.wait(lambda: camera.publisher_count(), 'the publisher')
    camera.subscribe()
    assert subscription(peer, camera.topic)[0] == 'sensor_msgs/msg/Image'
    stranger.destroy_publisher(publisher)
    images = peer.publisher(Image, camera.topic)
    publish(peer, camera, images, peer.image(FRAME))


@pytest.mark.parametrize('shared', [False, True])
def test_a_shared_calibration_topic_is_sorted_by_frame_id(peer, cameras, shared):
    camera = cameras(info_is_shared=shared)
    camera.subscribe()
    publish(peer, camera, peer.publisher(Image, camera.topic), peer.image(FRAME, 'right'))
    infos = peer.publisher(CameraInfo, camera_info_topic(camera.topic))
    heard = []
    peer.node.create_subscription(CameraInfo, infos.topic_name, heard.append, 5)
    peer.wait(lambda: infos.get_subscription_count() == 2, 'both subscriptions')
    for frame_id, kept in (('left', not shared), ('right', True)):
        info = CameraInfo(height=4, width=6)
        info.header.frame_id = frame_id
        count = len(heard)
        infos.publish(info)
        peer.wait(lambda c=count: len(heard) > c, 'the calibration')
        peer.wait(lambda k=kept: camera.info or not k, 'the calibration')
        assert (camera.info is not None and camera.info.header.frame_id == frame_id) == kept
