"""The node in the test's own process, with segmenters that load slowly or fail."""
import threading

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from roadseg_ros.inference.segmenter import Segmenter  # noqa: E402
from roadseg_ros.node.segmentation_node import SegmentationNode  # noqa: E402


class OddSegmenter(Segmenter):
    """A real one that refuses black frames."""

    def segment(self, frames, streams=None, stamps=None):
        # warm-up is black too, but of no stream
        if streams and any(not frame.any() for frame in frames):
            raise RuntimeError('out of device memory')
        return super().segment(frames, streams, stamps)


@pytest.fixture
def start(ros_domain, checkpoint_path):
    """Return a function that spins an active node over cameras /a/image and /b/image."""
    nodes, context = [], Context()
    rclpy.init(context=context)

    def start(make_segmenter):
        node = SegmentationNode(
            make_segmenter=make_segmenter, context=context, parameter_overrides=[
                Parameter('checkpoint', value=str(checkpoint_path)),
                Parameter('image_topics', value=['/a/image', '/b/image'])])
        node.trigger_configure()
        node.trigger_activate()
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        nodes.append((node, executor, thread))

    yield start
    for node, executor, thread in nodes:
        executor.shutdown()
        thread.join(10)
        node.destroy_node()
    context.try_shutdown()


def make(settings):
    return OddSegmenter(settings.checkpoint_path, device='cpu')


def test_frames_are_served_while_a_checkpoint_loads(start, peer, picture):
    loaded, release = [], threading.Event()

    def make_slowly(settings):
        if loaded:
            assert release.wait(20)
        loaded.append(settings)
        return make(settings)

    start(make_slowly)
    publisher = peer.publisher(Image, '/a/image')
    masks = peer.collect(Image, '/a/segmentation/mask')
    peer.heard('/a/segmentation/mask')
    client = peer.node.create_client(Trigger, '/roadseg/reload_checkpoint')
    peer.wait(client.service_is_ready)
    replies = [client.call_async(Trigger.Request()) for _ in range(2)]
    for _ in range(3):
        peer.exchange(publisher, peer.image(picture), masks)
    assert not any(reply.done() for reply in replies) and len(loaded) == 1
    release.set()
    peer.wait(lambda: all(reply.done() for reply in replies), 'both answers')
    assert all(reply.result().success for reply in replies) and len(loaded) == 3
    peer.exchange(publisher, peer.image(picture), masks)


def test_a_failure_counts_against_the_frames_it_hit_alone(start, peer, picture):
    start(make)
    masks, diagnostics = {}, peer.collect(DiagnosticArray, '/diagnostics')
    cameras = {name: peer.publisher(Image, f'/{name}/image') for name in 'ab'}
    for name in cameras:
        masks[name] = peer.collect(Image, f'/{name}/segmentation/mask')
        peer.heard(f'/{name}/segmentation/mask')
    peer.exchange(cameras['b'], peer.image(picture), masks['b'])
    cameras['a'].publish(peer.image(np.zeros_like(picture)))

    def failed():
        statuses = {status.name: status for message in diagnostics for status in message.status}
        return {name[-7]: next(value.value for value in status.values if value.key == 'failed')
                for name, status in statuses.items() if name.startswith('roadseg: ')}

    peer.wait(lambda: failed().get('a') == '1', 'the failure in diagnostics')
    assert failed() == {'a': '1', 'b': '0'}
    assert 'RuntimeError: out of device memory' in str(diagnostics[-1]) + str(diagnostics[-2])
    for name, publisher in cameras.items():
        peer.exchange(publisher, peer.image(picture), masks[name])
