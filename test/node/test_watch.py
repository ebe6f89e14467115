"""The node says in its log why no mask comes: one node, a camera for each reason, over DDS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
import logging
import re
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.qos import QoSDurabilityPolicy, QoSProfile  # noqa: E402
from rclpy.qos import QoSReliabilityPolicy as Reliability
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from roadseg_ros.node import watch as module  # noqa: E402
from roadseg_ros.node.graph import RELOAD_SERVICE  # noqa: E402
from roadseg_ros.node.silence import Endpoint, LOADING, Surroundings  # noqa: E402
from roadseg_ros.node.watch import told_when_slow, Watch  # noqa: E402

CAMERAS = ('misnamed', 'type', 'qos', 'quiet', 'encoding', 'unheard', 'deaf', 'served')
BEST_EFFORT = QoSProfile(depth=2, reliability=Reliability.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope='module')
def node(start_node: Callable[..., Any], peer: Any) -> Any:
    """Return a node with all cameras that has been heard to wait for any image at all."""
    topics = ','.join(f"'/{name}/image'" for name in CAMERAS)
    process = start_node(image_topics=f'[{topics}]', input_reliability='reliable')
    peer.wait(lambda: all(lines(process, name) for name in CAMERAS), 'the lines', 60)
    return process


@pytest.fixture(scope='module')
def world(node: Any, peer: Any) -> Iterator[SimpleNamespace]:
    """Bring up what keeps each camera's masks away, and frames five times a second."""
    # one participant cannot hold two types of a topic
    context = Context()
    rclpy.init(context=context)
    stranger = rclpy.create_node('stranger', context=context)
    stranger.create_publisher(CameraInfo, '/type/image', 1)
    other = rclpy.create_node('other_roadseg', context=context)  # as others see one
    other.create_service(Trigger, f'~/{RELOAD_SERVICE}', lambda _, answer: answer)
    other.create_publisher(Image, '/misnamed/image_overlay', 1)
    peer.node.create_publisher(Image, '/misnamed/image_raw', 1)
    peer.node.create_publisher(Image, '/qos/image', BEST_EFFORT)
    peer.node.create_publisher(Image, '/quiet/image', 1)
    peer.collect(Image, '/encoding/segmentation/mask')
    peer.collect(Image, '/deaf/segmentation/mask', LATCHED)
    masks = peer.collect(Image, '/served/segmentation/mask')
    publishers = {name: peer.publisher(Image, f'/{name}/image')
                  for name in ('encoding', 'unheard', 'deaf', 'served')}
    frame = np.zeros((48, 64, 3), np.uint8)

    def publish() -> None:
        for name, publisher in publishers.items():
            message = peer.image(frame)
            if name == 'encoding':
                message.encoding = 'rgb565'
            publisher.publish(message)

    timer = peer.node.create_timer(0.2, publish)
    yield SimpleNamespace(publishers=publishers, masks=masks)
    peer.node.destroy_timer(timer)
    stranger.destroy_node()
    other.destroy_node()
    context.try_shutdown()


def lines(node: Any, name: str, *parts: str) -> list[str]:
    """Return the lines about a camera's silence that hold all parts."""
    return [line for line in node.log.splitlines()
            if f' /{name}/image: no mask for ' in line and all(part in line for part in parts)]


def test_nothing_is_published_at_all(node: Any) -> None:
    for name in CAMERAS:
        line, = lines(node, name, ' s: nobody publishes this topic, nor any other image; ')
        assert 'WARN' in line and 'ROS_DOMAIN_ID' in line


@pytest.mark.parametrize('name, severity, said', [
    ('misnamed', 'WARN', 'nobody publishes this topic; similar: /misnamed/image_raw'),
    ('type', 'WARN', '/stranger publishes sensor_msgs/msg/CameraInfo there; supported: sensor_m'),
    ('qos', 'WARN', 'reliability: /peer offers best_effort, /roadseg asks for reliable; set inp'),
    ('quiet', 'WARN', 'no frame arrives, though /peer publishes the topic; look whether'),
    ('encoding', 'ERROR', "failed): unknown encoding 'rgb565'; supported: bgr8, "),
    ('unheard', 'INFO', 'unheard): nobody listens to the outputs, so none is computed'),
    ('deaf', 'WARN', 'unheard): incompatible QoS: /deaf/segmentation/mask, durability: /roadseg '
                     'offers volatile, /peer asks for transient_local; let the listener ask'),
])
def test_the_cause_is_logged(node: Any, world: Any, peer: Any, name: str, severity: str,
                             said: str) -> None:
    peer.wait(lambda: lines(node, name, said), said)
    line, = lines(node, name, said)
    assert severity in line


def test_masks_of_another_node_are_no_cameras(node: Any, world: Any, peer: Any) -> None:
    peer.wait(lambda: lines(node, 'misnamed', 'similar'), 'the line')
    assert not lines(node, 'misnamed', 'image_overlay')


def test_diagnostics_and_log_say_the_same(node: Any, world: Any, peer: Any) -> None:
    diagnostics = peer.collect(DiagnosticArray, '/diagnostics')
    peer.wait(lambda: diagnostics, 'diagnostics')
    messages = {status.name: status.message for status in diagnostics[0].status}
    for name in CAMERAS[:-1]:
        assert lines(node, name, messages[f'roadseg: /{name}/image'])


def test_masks_that_come_end_the_silence(node: Any, world: Any, peer: Any) -> None:
    peer.wait(lambda: world.masks and '/served/image: masks come' in node.log, 'the line')
    assert len(lines(node, 'served')) == 1


def test_a_pause_is_no_warning(node: Any, world: Any, peer: Any) -> None:
    assert peer.call(SetBool, '/roadseg/enable', data=False).success
    peer.wait(lambda: lines(node, 'served', 'paused by ~/enable'), 'the line')
    line, = lines(node, 'served', 'paused by ~/enable')
    assert 'INFO' in line and 'data: true' in line
    assert peer.call(SetBool, '/roadseg/enable', data=True).success


def test_a_camera_that_goes_is_told_again(node: Any, world: Any, peer: Any) -> None:
    count = len(world.masks)
    peer.wait(lambda: len(world.masks) > count + 1, 'masks after the pause')
    peer.node.destroy_publisher(world.publishers.pop('served'))
    peer.wait(lambda: lines(node, 'served', 'nobody publishes', 'similar'), 'the line')


def test_nothing_is_said_twice(node: Any, world: Any) -> None:
    """Last of those that share the node, which has looked some twenty times."""
    for name in ('misnamed', 'type', 'qos', 'quiet'):
        causes = [re.sub(r'.*no mask for \d+ s: ', '', line)[:30] for line in lines(node, name)]
        # two, or on a slow machine three, which sees one publisher before the other
        assert all(one != other for one, other in zip(causes, causes[1:])) and len(causes) <= 3
    # nobody, failing, the pause, failing
    assert [len(lines(node, 'encoding', said)) for said in ('nor any', 'failed', 'paused')] == [
        1, 2, 1]


@pytest.fixture
def heard() -> Iterator[Callable[[str], threading.Event]]:
    """Return a function that gives an event for a line with certain words."""
    handlers, log = [], logging.getLogger('roadseg_ros.node.watch')

    def listen(words: str) -> threading.Event:
        event, handler = threading.Event(), logging.Handler()
        handler.emit = lambda record: event.set() if words in record.getMessage() else None
        log.addHandler(handler)
        handlers.append(handler)
        return event

    log.setLevel(logging.INFO)
    yield listen
    for handler in handlers:
        log.removeHandler(handler)


def test_slow_loading_is_told_once(heard: Callable[[str], threading.Event]) -> None:
    said = heard(LOADING.message)
    with told_when_slow():
        assert said.wait(10)


def test_slow_loading_that_has_been_explained_is_not_told(
        heard: Callable[[str], threading.Event], monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture) -> None:
    """Such as by an engine, that it converts the network."""
    monkeypatch.setattr(module, 'SILENCE_SEC', 0.3)
    said, before = heard(LOADING.message), {*threading.enumerate()}
    engines = logging.getLogger('roadseg_ros.inference.engines')
    handlers = [*engines.handlers]
    with caplog.at_level(logging.INFO, 'roadseg_ros'), told_when_slow():
        logging.getLogger('roadseg_ros.inference.engines.some').info('converting')
        timer, = (thread for thread in threading.enumerate()
                  if isinstance(thread, threading.Timer) and thread not in before)
        timer.join(10)
        assert not timer.is_alive() and not said.is_set()
    assert engines.handlers == handlers


def test_what_explains_nothing_does_not_silence_it(
        heard: Callable[[str], threading.Event], monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture) -> None:
    """Such as what the segmenter says of a recurrent network."""
    monkeypatch.setattr(module, 'SILENCE_SEC', 0.3)
    said = heard(LOADING.message)
    with caplog.at_level(logging.INFO, 'roadseg_ros'), told_when_slow():
        logging.getLogger('roadseg_ros.inference.segmenter').info('sees each frame alone')
        assert said.wait(10)


def test_quick_loading_is_not_told() -> None:
    before = {*threading.enumerate()}
    with told_when_slow():
        timer, = (thread for thread in threading.enumerate()
                  if isinstance(thread, threading.Timer) and thread not in before)
    timer.join(2)
    assert not timer.is_alive()


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a watch of a camera with its clock, its counts and what it has said."""
    now, counts, said = [0.0], Counter[str](), []
    camera = Endpoint('/driver', 'sensor_msgs/msg/Image', 'reliable', 'volatile')
    monkeypatch.setattr(module, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, 'survey', lambda *_: Surroundings('/slow', (camera,), camera))
    told: list[str] = []
    monkeypatch.setattr(module.LOG, 'log', lambda level, form, *rest: said.append(form % rest))
    monkeypatch.setattr(module.LOG, 'info', lambda form, *rest: told.append(form % rest))
    stream = SimpleNamespace(camera=SimpleNamespace(topic='/slow', last_error=''), outputs=None,
                             totals=lambda: Counter(counts))
    watch = Watch(SimpleNamespace(get_fully_qualified_name=lambda: '/roadseg'), stream)
    return SimpleNamespace(watch=watch, now=now, counts=counts, said=said, told=told)


def test_a_slow_camera_is_told_once(clocked: SimpleNamespace) -> None:
    """One mask in five seconds is silence, but no news each time."""
    for second in range(1, 31):
        clocked.now[0] += 1.0
        if second % 5 == 0:
            clocked.counts.update(received=1, published=1)
        clocked.watch.look()
    assert clocked.said == [
        '/slow: no mask for 3 s: no frame arrives, though /driver publishes the topic; look '
        'whether it is stuck or paused, and what README.md says on large images']


@pytest.mark.parametrize('blank', [1, 3])
def test_blank_masks_are_told_as_silence_is(clocked: SimpleNamespace, blank: int) -> None:
    """The listener gets messages, and in some of every second there is nothing."""
    for _ in range(8):
        clocked.now[0] += 1.0
        clocked.counts.update(received=3, published=3, blank=blank)
        finding = clocked.watch.look()
    assert finding.cause == 'blank' and f'{3 * blank} of 9 masks' in finding.message
    line, = clocked.said
    assert line.startswith(
        f'/slow: blank masks for 3 s (9 received, 9 published, {3 * blank} blank): {3 * blank} of '
        '9 masks are all unlabelled: the network, in the background, had no result of the same ')


def test_blank_masks_that_stop_are_no_masks_that_come(clocked: SimpleNamespace) -> None:
    """A camera begins late, gets nothing but blank masks, and goes."""
    causes = []
    for second in range(1, 21):
        clocked.now[0] += 1.0
        if 7 <= second <= 14:
            clocked.counts.update(received=2, published=2, blank=2)
        causes.append(clocked.watch.look().cause)
    assert [line.partition(' for ')[0] for line in clocked.said] == [
        '/slow: no mask', '/slow: blank masks', '/slow: no mask']
    assert 'blank' in causes and not clocked.told


def test_masks_after_blank_ones_are_told(clocked: SimpleNamespace) -> None:
    for second in range(1, 13):
        clocked.now[0] += 1.0
        clocked.counts.update(received=15, published=15, blank=15 if second < 7 else 0)
        clocked.watch.look()
    assert len(clocked.said) == 1 and 'blank masks' in clocked.said[0]
    assert clocked.told == ['/slow: masks come']


def test_blank_masks_of_a_start_are_no_trouble(clocked: SimpleNamespace) -> None:
    """Until the first key is done, late after the node came up, and after a change of scene."""
    causes = []
    for second in range(1, 31):
        clocked.now[0] += 1.0
        if second >= 10:
            blank = {10: 15, 11: 4, 20: 2}.get(second, 0)
            clocked.counts.update(received=15, published=15, blank=blank)
        causes.append(clocked.watch.look().cause)
    assert set(causes[:9]) == {'', 'no frame'} and causes[9:] == [''] * 21
