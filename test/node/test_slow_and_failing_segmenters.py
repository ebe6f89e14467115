"""The node in the test's own process, with segmenters that load slowly or fail."""
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from roadseg_ros.inference.segmenter import Segmenter  # noqa: E402
from roadseg_ros.node.lifecycle import SegmentationNode  # noqa: E402
from roadseg_ros.node.outputs import Outputs  # noqa: E402


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


def test_the_newest_frame_wins_while_one_is_worked_on(start, peer, picture):
    entered, leave = threading.Event(), threading.Event()

    class Slow(Segmenter):
        def segment(self, frames, streams=None, stamps=None):
            if streams:
                entered.set()
                assert leave.wait(20)
            return super().segment(frames, streams, stamps)

    start(lambda settings: Slow(settings.checkpoint_path, device='cpu'))
    publisher = peer.publisher(Image, '/a/image')
    masks = peer.collect(Image, '/a/segmentation/mask')
    diagnostics = peer.collect(DiagnosticArray, '/diagnostics')
    peer.heard('/a/segmentation/mask')
    frames = [peer.image(picture) for _ in range(6)]
    publisher.publish(frames[0])
    peer.wait(entered.is_set, 'the first frame to be worked on')
    for count, frame in enumerate(frames[1:], 2):
        publisher.publish(frame)
        peer.wait(lambda c=count: values(diagnostics, 'a').get('received') == str(c), 'receipt')
    leave.set()
    peer.wait(lambda: len(masks) == 2, 'two masks')
    assert [mask.header for mask in masks] == [frames[0].header, frames[-1].header]
    peer.wait(lambda: values(diagnostics, 'a')['published'] == '2', 'the count')
    assert values(diagnostics, 'a')['dropped'] == '4'


def test_a_frame_that_takes_too_long_is_said_to(start, peer, picture, caplog):
    leave = threading.Event()

    class Stuck(Segmenter):
        def segment(self, frames, streams=None, stamps=None):
            assert not streams or leave.wait(30)
            return super().segment(frames, streams, stamps)

    caplog.set_level('INFO', 'roadseg_ros')
    start(lambda settings: Stuck(settings.checkpoint_path, device='cpu'))
    publisher = peer.publisher(Image, '/a/image')
    masks = peer.collect(Image, '/a/segmentation/mask')
    peer.heard('/a/segmentation/mask')
    timer = peer.node.create_timer(0.2, lambda: publisher.publish(peer.image(picture)))
    line = peer.wait(lambda: [text for text in caplog.messages if 'takes longer' in text],
                     'the line')[0]
    assert line.startswith('/a/image: no mask for ') and ' dropped)' in line
    leave.set()
    peer.wait(lambda: masks and '/a/image: masks come' in caplog.messages, 'the good news')
    peer.node.destroy_timer(timer)


def values(diagnostics, camera):
    """Return the latest numbers of a camera."""
    name = f'roadseg: /{camera}/image'
    return next(({value.key: value.value for value in status.values}
                 for message in reversed(diagnostics) for status in message.status
                 if status.name == name), {})


def test_weights_that_break_on_loading_are_an_error_in_one_line(start, peer, picture):
    def make_once(settings, loaded=[]):  # noqa: B006
        loaded.append(settings)
        if len(loaded) > 1:
            raise RuntimeError('CUDA out of\nmemory')
        return make(settings)

    start(make_once)
    response = peer.call(Trigger, '/roadseg/reload_checkpoint')
    assert not response.success
    assert response.message == 'kept the old checkpoint: RuntimeError: CUDA out of memory'
    masks = peer.collect(Image, '/a/segmentation/mask')
    peer.heard('/a/segmentation/mask')
    peer.exchange(peer.publisher(Image, '/a/image'), peer.image(picture), masks)


def test_a_failure_counts_against_the_frames_it_hit_alone(start, peer, picture):
    start(make)
    masks, diagnostics = {}, peer.collect(DiagnosticArray, '/diagnostics')
    cameras = {name: peer.publisher(Image, f'/{name}/image') for name in 'ab'}
    for name in cameras:
        masks[name] = peer.collect(Image, f'/{name}/segmentation/mask')
        peer.heard(f'/{name}/segmentation/mask')
    peer.exchange(cameras['b'], peer.image(picture), masks['b'])
    cameras['a'].publish(peer.image(np.zeros_like(picture)))

    peer.wait(lambda: values(diagnostics, 'a').get('failed') == '1', 'the failure')
    assert 'RuntimeError: out of device memory' in values(diagnostics, 'a')['last_error']
    assert values(diagnostics, 'b')['failed'] == '0'
    for name, publisher in cameras.items():
        peer.exchange(publisher, peer.image(picture), masks[name])


def test_beside_a_gpu_masks_leave_while_the_next_frame_is_in_the_network(
        start, peer, picture, monkeypatch):
    calls, second_is_in, publish = [], threading.Event(), Outputs.publish

    class Gpu(Segmenter):
        device = 'cuda:0'  # leaves the CPU to others, so it says

        def segment(self, frames, streams=None, stamps=None):
            if streams:
                calls.append(streams)
                if len(calls) == 2:
                    second_is_in.set()
            return super().segment(frames, streams, stamps)

    def publish_late(*arguments):
        assert second_is_in.wait(20)
        publish(*arguments)

    monkeypatch.setattr(Outputs, 'publish', publish_late)
    start(lambda settings: Gpu(settings.checkpoint_path, device='cpu'))
    publisher = peer.publisher(Image, '/a/image')
    masks = peer.collect(Image, '/a/segmentation/mask')
    peer.heard('/a/segmentation/mask')
    frames = [peer.image(picture) for _ in range(2)]
    publisher.publish(frames[0])
    peer.wait(lambda: calls, 'the first frame to be worked on')
    publisher.publish(frames[1])
    peer.wait(lambda: len(masks) == 2, 'two masks')
    assert [mask.header for mask in masks] == [frame.header for frame in frames]


def test_three_times_what_it_can_take_delays_no_frame_by_more_than_two(start, peer, picture):
    """The newest frame wins: the delay is that of the frame at work and the own one."""
    class Slow(Segmenter):
        def segment(self, frames, streams=None, stamps=None):
            threading.Event().wait(0.05)
            return super().segment(frames, streams, stamps)

    start(lambda settings: Slow(settings.checkpoint_path, device='cpu'))
    sent, came = {}, {}
    peer.node.create_subscription(
        Image, '/a/segmentation/mask',
        lambda mask: came.setdefault(mask.header.stamp.sec, time.perf_counter()), 50)
    publisher = peer.publisher(Image, '/a/image')
    peer.heard('/a/segmentation/mask')
    for _ in range(300):
        message = peer.image(picture)
        sent[message.header.stamp.sec] = time.perf_counter()
        publisher.publish(message)
        peer.take_for(1 / 60)
    newest = max(sent)
    peer.wait(lambda: newest in came, 'the newest frame, which is never dropped')
    assert list(came) == sorted(came) and 20 < len(came) < 0.5 * len(sent)
    frame_sec = (came[newest] - min(came.values())) / (len(came) - 1)
    delays = [came[stamp] - sent[stamp] for stamp in came]
    assert np.percentile(delays, 95) < 2 * frame_sec + 0.01, (frame_sec, delays)


def test_a_device_that_is_lost_is_warned_of_and_masks_go_on(start, peer, picture, capfd):
    class Gpu(Segmenter):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.warm_up()
            real = self._engine
            self._engine = SimpleNamespace(
                name='torch', device='cuda:0', input_stride=real.input_stride, fallback=None,
                run=lambda frames: lost(), close=lambda: lost())

        def warm_up(self, height=0, width=0):
            if self.device == 'cpu':
                super().warm_up(height, width)

    def lost():
        raise RuntimeError('CUDA error: the launch timed out')

    start(lambda settings: Gpu(settings.checkpoint_path, device='cpu'))
    masks = peer.collect(Image, '/a/segmentation/mask')
    diagnostics = peer.collect(DiagnosticArray, '/diagnostics')
    peer.heard('/a/segmentation/mask')
    publisher = peer.publisher(Image, '/a/image')
    for _ in range(3):
        peer.exchange(publisher, peer.image(picture), masks)
    status = peer.wait(lambda: next(
        (status for message in diagnostics for status in message.status
         if status.name == 'roadseg' and status.level == DiagnosticStatus.WARN), None), 'a WARN')
    assert status.message == 'cuda:0 failed (RuntimeError: CUDA error: the launch timed out)'
    assert {'device': 'cpu', 'failed': '0'}.items() <= {
        **{value.key: value.value for value in status.values}, **values(diagnostics, 'a')}.items()
    assert capfd.readouterr().err.count('goes on on the CPU') == 1
