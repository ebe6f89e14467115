"""What goes wrong on a vehicle, done to the node as its own process."""
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.executors import ExternalShutdownException  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from roadseg_ros.node.lifecycle import _serve  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CAMERA, MASK = '/camera/image_raw', '/camera/segmentation/mask'
STALLED = f'''
import rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('stalled')
node.create_subscription(Image, '{MASK}', lambda message: print('heard', flush=True), 1)
rclpy.spin(node)
'''


@pytest.fixture(scope='module')
def node(start_node, peer):
    """Return the node, on simulated time and with a policy that looks at stamps."""
    process = start_node(use_sim_time='true', **{'cache.policy': 'warp'})
    peer.wait(lambda: 'waiting for frames' in process.log, 'the node', 60)
    return process


@pytest.fixture(scope='module')
def talk(node, peer):
    """Return what comes back."""
    return SimpleNamespace(masks=peer.collect(Image, MASK),
                           diagnostics=peer.collect(DiagnosticArray, '/diagnostics'))


@pytest.fixture
def camera(node, talk, peer):
    """Return a camera's publisher; it vanishes afterwards."""
    publisher = peer.publisher(Image, CAMERA)
    yield publisher
    peer.node.destroy_publisher(publisher)


def message_of(talk):
    """Return what the diagnostics say of the camera."""
    return next((status.message for array in reversed(talk.diagnostics) for status in array.status
                 if status.name == f'roadseg: {CAMERA}'), '')


def assert_served(peer, talk, camera, message):
    mask = peer.exchange(camera, message, talk.masks)
    assert mask.header == message.header
    assert (mask.height, mask.width, mask.encoding) == (message.height, message.width, 'mono8')
    assert len(np.unique(np.frombuffer(mask.data, np.uint8))) > 1
    return mask


def test_a_camera_vanishes_and_returns(peer, talk, picture):
    for _ in range(2):
        camera = peer.publisher(Image, CAMERA)
        assert_served(peer, talk, camera, peer.image(picture))
        peer.node.destroy_publisher(camera)
        peer.wait(lambda: message_of(talk).startswith('nobody publishes this topic'),
                  'the diagnostics')


@pytest.mark.parametrize('size, encoding', [((48, 64), 'bgr8'), ((37, 53), 'rgb8'),
                                            ((96, 64), 'bgr8')])
def test_a_publisher_restarts_with_another_size_or_encoding(
        peer, talk, camera, picture, size, encoding):
    frame = np.ascontiguousarray(np.resize(picture, (*size, 3)))
    message = peer.image(frame)
    message.encoding = encoding
    assert_served(peer, talk, camera, message)


def test_two_publishers_on_one_topic(peer, talk, camera, picture):
    other = peer.publisher(Image, CAMERA)
    small = np.ascontiguousarray(picture[:37, :53])
    for _ in range(5):
        assert_served(peer, talk, camera, peer.image(picture, 'front'))
        assert_served(peer, talk, other, peer.image(small, 'rear'))
    peer.node.destroy_publisher(other)


def test_a_subscriber_that_stalls_holds_nobody_up(peer, talk, camera, picture):
    stalled = subprocess.Popen([sys.executable, '-c', STALLED], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE)
    try:
        def heard():
            assert_served(peer, talk, camera, peer.image(picture))
            return select.select([stalled.stdout], [], [], 0)[0]

        peer.wait(heard, 'the other subscriber')
        stalled.send_signal(signal.SIGSTOP)
        frame = np.ascontiguousarray(picture.repeat(8, 0).repeat(8, 1))
        seconds = []
        for _ in range(60):
            started = time.perf_counter()
            assert_served(peer, talk, camera, peer.image(frame))
            seconds.append(time.perf_counter() - started)
        assert np.median(seconds[-20:]) < 2 * np.median(seconds[:20]) + 0.02, seconds
    finally:
        stalled.kill()
        stalled.communicate()


@pytest.mark.parametrize('jump_sec', [3600, -3600, 0, 2 ** 30])
def test_the_clock_jumps(peer, node, talk, camera, picture, jump_sec):
    clock = peer.publisher(Clock, '/clock')
    for start in (10_000, 10_000 + jump_sec):
        for tick in range(3):
            now = Clock()
            now.clock.sec = start + tick
            clock.publish(now)
            message = peer.image(picture)
            message.header.stamp.sec = start + tick
            message.header.stamp.nanosec = jump_sec & 0xFFFF
            talk.masks.clear()
            assert_served(peer, talk, camera, message)
        # the diagnostics go on, and with the clock they follow
        peer.wait(lambda s=start: any(array.header.stamp.sec in range(s, s + 3)
                                      for array in talk.diagnostics[-2:]), 'the new time')
    peer.node.destroy_publisher(clock)
    assert 'ERROR' not in node.log


def test_what_one_callback_raises_is_its_own_loss():
    spun, said = [], []

    def spin():
        spun.append(True)
        raise ValueError('no such request') if len(spun) < 4 else ExternalShutdownException

    stand_in = SimpleNamespace(
        context=SimpleNamespace(ok=lambda: True),
        get_logger=lambda: SimpleNamespace(error=lambda text, **options: said.append(text)))
    _serve(stand_in, SimpleNamespace(spin=spin))
    assert said == ['no such request'] * 3


def test_killed_and_restarted_by_a_supervisor(peer, node, talk, camera, picture, start_node):
    """Last of those that share the node; nobody else is told of the restart."""
    assert_served(peer, talk, camera, peer.image(picture))
    os.kill(node.pid, signal.SIGKILL)
    assert node.wait(5) == -signal.SIGKILL
    again = start_node()
    peer.wait(lambda: 'waiting for frames' in again.log, 'the node', 60)

    def answered():
        message = peer.image(picture)
        camera.publish(message)
        peer.take_for(0.1)
        return peer.answer(message, talk.masks)

    mask = peer.wait(answered, 'a mask of the new node')
    assert (mask.height, mask.width) == picture.shape[:2]
    for _ in range(3):
        assert_served(peer, talk, camera, peer.image(picture))
