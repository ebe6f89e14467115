"""What the doctor says from outside of a node of another process, over DDS."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import json
import os
from pathlib import Path
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rcl_interfaces.srv import GetParameters, SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSDurabilityPolicy, QoSProfile  # noqa: E402
from rclpy.qos import QoSReliabilityPolicy as Reliability
from rclpy.serialization import serialize_message  # noqa: E402
from rclpy.topic_endpoint_info import TopicEndpointInfo, TopicEndpointTypeEnum  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

from roadseg_ros.node import graph  # noqa: E402
from roadseg_ros.node.silence import Endpoint, Surroundings  # noqa: E402
from roadseg_ros.tools.doctor import running as running_nodes  # noqa: E402
from roadseg_ros.tools.doctor.check import Check  # noqa: E402
from roadseg_ros.tools.doctor.onlooker import Onlooker  # noqa: E402
from roadseg_ros.tools.doctor.running import examine_graph  # noqa: E402
from roadseg_ros.tools.listener import Listener  # noqa: E402
from roadseg_ros.tools.main import main  # noqa: E402
from roadseg_ros.tools.node_process import NodeProcess, private_environment  # noqa: E402

FRONT, SMALL = '/front/image', '/small/image/compressed'
OTHERS = ('/misnamed/image', '/type/image', '/qos/image', '/quiet/image', '/encoding/image')
LIMIT = 1_000_000  # pixels
BEST_EFFORT = QoSProfile(depth=2, reliability=Reliability.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope='module')
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the node of some cameras, in a domain of their own, that send ten times a second."""
    with private_environment(tmp_path_factory.mktemp('ros_log')), \
            Listener('driver', {}) as listener:
        node = listener.node
        for kind, topic, qos in ((Image, '/misnamed/image_raw', 1), (CameraInfo, OTHERS[1], 1),
                                 (Image, OTHERS[2], BEST_EFFORT), (Image, OTHERS[3], 1)):
            node.create_publisher(kind, topic, qos)
        frame = np.zeros((48, 64, 3), np.uint8)
        image = Image(height=48, width=64, encoding='bgr8', step=192,
                      data=array('B', frame.tobytes()))
        odd = Image(height=48, width=64, encoding='rgb565', step=192, data=image.data)
        import cv2
        png = CompressedImage(format='png',
                              data=array('B', cv2.imencode('.png', frame)[1].tobytes()))
        sent = [(node.create_publisher(type(message), topic, 2), message) for topic, message in (
            (FRONT, image), (SMALL, png), (OTHERS[4], odd))]
        node.create_timer(0.1, lambda: [publisher.publish(message) for publisher, message in sent])
        yield node


@pytest.fixture(scope='module')
def running(driver: Any, checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory
            ) -> Iterator[NodeProcess]:
    """Return a node with all these cameras, at work."""
    folder = tmp_path_factory.mktemp('node')
    parameters = {'image_topics': [FRONT, SMALL, *OTHERS], 'checkpoint': str(checkpoint_path),
                  'device': 'cpu', 'input_reliability': 'reliable', 'max_image_pixels': LIMIT}
    with NodeProcess(parameters, folder / 'node.yaml', folder / 'node.log') as node, \
            Onlooker() as onlooker:
        assert onlooker.wait(lambda: onlooker.statuses, 60)
        yield node


def found(*topics: str) -> dict[str, list[Check]]:
    """Return what the doctor finds, by the names of the checks."""
    checks: dict[str, list[Check]] = {}
    for check in examine_graph(topics):
        checks.setdefault(check.name, []).append(check)
    return checks


@contextmanager
def latched_listener(driver: Any) -> Iterator[None]:
    """Listen to an overlay by a QoS that the node does not offer."""
    listener = driver.create_subscription(
        Image, '/front/segmentation/overlay', lambda message: None, LATCHED)
    try:
        yield
    finally:
        driver.destroy_subscription(listener)


def test_a_node_at_work_is_fine(running: NodeProcess) -> None:
    checks = found(FRONT, SMALL)
    assert [str(check) for group in checks.values() for check in group] == [
        'ok    node         /roadseg is active',
        f'ok    frames       {FRONT}: frames arrive, 64x48 bgr8',
        f'ok    frames       {SMALL}: frames arrive, 64x48 png',
        'ok    masks        /front/segmentation/mask: masks come, nobody but this command '
        'listens to them',
        'ok    masks        /small/segmentation/mask: masks come, nobody but this command '
        'listens to them']


def test_each_cause_is_told_from_outside(running: NodeProcess) -> None:
    checks = found()
    frames = {check.message.partition(': ')[0]: check for check in checks['frames']}
    assert {topic for topic, check in frames.items() if check.status == 'FAIL'} == {*OTHERS}
    said = {
        '/misnamed/image': 'nobody publishes this topic; similar: /misnamed/image_raw',
        '/type/image': '/driver publishes sensor_msgs/msg/CameraInfo there; supported: sensor',
        '/qos/image': 'incompatible QoS: reliability: /driver offers best_effort, /roadseg asks '
                      'for reliable',
        '/quiet/image': 'no frame arrives, though /driver publishes the topic',
        '/encoding/image': "unknown encoding 'rgb565'; supported: bgr8"}
    masks = {check.message.partition('/segmentation')[0]: check for check in checks['masks']}
    for topic, words in said.items():
        assert words in frames[topic].message
        silent = masks[topic.removesuffix('/image')]
        assert silent.status == 'FAIL'
        assert f'none within 5 s; the node says: {words}' in silent.message
    assert frames['/qos/image'].fix == 'set input_reliability to auto'
    assert masks['/front'].status == 'ok'


def test_a_listener_that_cannot_be_reached_is_a_warning(running: NodeProcess, driver: Any) -> None:
    with latched_listener(driver):
        line, = found(FRONT)['listener']
    assert line.status == 'warn' and line.message == (
        'incompatible QoS: /front/segmentation/overlay, durability: /roadseg offers volatile, '
        '/driver asks for transient_local')


def test_the_name_of_a_listener_is_waited_for(running: NodeProcess, driver: Any,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes when it has been asked for three times."""
    full_name, all_named = graph._full_name, running_nodes._all_named
    answers: list[bool] = []

    def late(info: TopicEndpointInfo) -> str:
        is_listener = info.endpoint_type == TopicEndpointTypeEnum.SUBSCRIPTION
        return graph.NAMELESS if is_listener and len(answers) < 3 and (
            info.node_name == 'driver') else full_name(info)

    def asked(onlooker: Onlooker, topics: Sequence[str]) -> bool:
        answers.append(all_named(onlooker, topics))
        return answers[-1]

    monkeypatch.setattr(graph, '_full_name', late)
    monkeypatch.setattr(running_nodes, '_all_named', asked)
    with latched_listener(driver):
        line, = found(FRONT)['listener']
    assert answers[:3] == [False] * 3 and answers[-1]
    assert '/driver asks for transient_local' in line.message


def test_a_node_is_asked_for_its_parameters_at_once(
        running: NodeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    with Onlooker() as onlooker:
        ask = onlooker.ask
        monkeypatch.setattr(onlooker, 'ask', lambda *what: asked.append(what[0]) or ask(*what))
        node, = (running_nodes._see(onlooker, name)
                 for name in running_nodes._node_names(onlooker))
    assert node.max_image_pixels == LIMIT and '/front/segmentation/mask' in node.cameras
    assert asked.count(GetParameters) == 1


def test_a_paused_node_says_so(running: NodeProcess) -> None:
    with Onlooker() as onlooker:
        def enable(data: bool) -> bool:
            request = SetBool.Request(data=data)
            return onlooker.ask(SetBool, '/roadseg/enable', request, 10.0).success

        assert enable(False)
        masks, = found(FRONT)['masks']
        assert enable(True)
    assert masks.status == 'FAIL' and 'the node says: paused by ~/enable' in masks.message
    assert 'data: true' in masks.fix


def test_blank_masks_are_a_warning(running: NodeProcess) -> None:
    """With the node's reason, also where it says so only after some seconds."""
    def cache(policy: str, background: bool, max_age_ms: int) -> list[bool]:
        values = {'policy': policy, 'background': background, 'max_age_ms': max_age_ms}
        request = SetParameters.Request(parameters=[
            Parameter(f'cache.{name}', value=value).to_parameter_msg()
            for name, value in values.items()])
        answer = onlooker.ask(SetParameters, '/roadseg/set_parameters', request, 10.0)
        return [result.successful for result in answer.results]

    with Onlooker() as onlooker:
        assert all(cache('warp', True, 1))
        masks, = found(FRONT)['masks']
        assert all(cache('off', False, 500))
    assert masks.status == 'warn' and 'masks are all unlabelled' in masks.message
    assert 'cache.background to false' in masks.fix


@pytest.mark.parametrize('label, status', [(255, 'warn'), (3, 'ok')])
def test_blank_masks_that_the_node_does_not_speak_of(label: int, status: str) -> None:
    mask = '/front/segmentation/mask'
    data = serialize_message(Image(height=2, width=2, data=array('B', [255, 255, 255, label])))
    onlooker = SimpleNamespace(
        node=SimpleNamespace(get_subscriptions_info_by_topic=lambda topic: []),
        counts={mask: 1}, statuses={}, heard={mask: data})
    node = running_nodes.Seen('/roadseg', 'active', {}, (FRONT,), (mask,))
    assert running_nodes._masks(onlooker, mask, node).status == status
    assert running_nodes._none_unexplained(onlooker, {mask: node}) == (status == 'ok')


def test_a_topic_that_no_node_subscribes_to_is_named(running: NodeProcess) -> None:
    checks = found('/misnamed/image_raw')
    failed = [check for check in checks['node'] if check.status == 'FAIL']
    assert 'no node subscribes to /misnamed/image_raw; they do to: ' in failed[0].message
    assert FRONT in failed[0].message
    assert 'no frame arrives' in checks['frames'][0].message and 'masks' not in checks


def test_masks_are_not_offered_as_cameras(running: NodeProcess) -> None:
    frames, = found('/front/segmentation/overlays')['frames']
    said, nobody, suggested = frames.message.partition('nobody publishes this topic')
    assert nobody and 'segmentation/overlay' not in suggested


def test_an_inactive_node_is_told_how_to_go_on(running: NodeProcess) -> None:
    with Onlooker() as onlooker:
        def change(transition: int) -> bool:
            request = ChangeState.Request(transition=Transition(id=transition))
            return onlooker.ask(ChangeState, '/roadseg/change_state', request, 10.0).success

        assert change(Transition.TRANSITION_DEACTIVATE)
        checks = found(FRONT)
        assert change(Transition.TRANSITION_ACTIVATE)
    assert str(checks['node'][0]) == ('FAIL  node         /roadseg is inactive; fix: `ros2 '
                                      'lifecycle set /roadseg activate`')
    assert checks['frames'][0].status == 'ok' and 'masks' not in checks


@pytest.mark.slow
def test_the_command_ends_with_what_it_found(running: NodeProcess,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['doctor', '--topic', FRONT, '--json']) == 0
    checks = json.loads(capsys.readouterr().out)['checks']
    assert {'torch', 'openvino', 'middleware', 'weights', 'node', 'frames', 'masks'} <= {
        check['name'] for check in checks if check['status'] == 'ok'}


def test_a_node_that_does_not_answer_may_be_loading(tmp_path: Path) -> None:
    code = ('import threading\n'
            'from roadseg_ros.node import lifecycle, segmentation_node\n'
            'lifecycle._make_segmenter = lambda settings: threading.Event().wait()\n'
            'segmentation_node.main()')
    with private_environment(tmp_path), NodeProcess(
            {'image_topics': [FRONT]}, tmp_path / 'node.yaml', tmp_path / 'node.log',
            [sys.executable, '-c', code]) as loading, Onlooker() as onlooker:
        assert onlooker.wait(lambda: 'still loading the weights' in loading.last_line(), 30)
        node, = found()['node']
    assert node.status == 'FAIL'
    assert node.message.startswith('/roadseg is there and does not answer: still loading')


def test_no_node_is_a_failure_only_where_one_is_asked_about(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_nodes, 'DISCOVERY_SEC', 0.5)
    with private_environment(tmp_path):
        node, = found()['node']
        assert node.status == 'warn' and os.environ['ROS_DOMAIN_ID'] in node.message
        checks = found(FRONT)
    assert checks['node'][0].status == 'FAIL'
    assert 'nobody publishes this topic, nor any other image' in checks['frames'][0].message


@pytest.mark.parametrize('topic', ['/a b/x', '/1cam/x', '{foo}/x', '/cam//x', 'cam/', ''])
def test_a_name_that_is_none_names_no_camera(topic: str) -> None:
    assert running_nodes._cameras(['/front/image', topic], '/roadseg') == {}


@pytest.mark.parametrize('name, mask', [
    ('/roadseg', '/camera/segmentation/mask'), ('/car/roadseg', '/car/camera/segmentation/mask')])
def test_what_the_node_says_of_a_relative_topic_is_found(name: str, mask: str) -> None:
    cameras = running_nodes._cameras(['camera/image_raw'], name)
    topic = mask.replace('segmentation/mask', 'image_raw')
    assert {mask: topic} == {mask: camera.topic for mask, camera in cameras.items()}
    node = running_nodes.Seen(name, 'active', cameras, (), (mask,))
    assert node.topics(()) == node.topics([topic]) == [topic] and node.masks([topic]) == [mask]
    said = DiagnosticStatus(message='paused', values=[KeyValue(key='fix', value='go on')])
    onlooker = SimpleNamespace(
        node=SimpleNamespace(get_subscriptions_info_by_topic=lambda topic: []), counts={},
        heard={}, statuses={f'{name[1:]}: camera/image_raw': said})
    assert running_nodes._masks(onlooker, mask, node) == Check(
        'masks', 'FAIL', f'{mask}: none within 5 s; the node says: paused', 'go on')
    onlooker.counts[mask] = 3
    assert running_nodes._masks(onlooker, mask, node).status == 'ok'
    said.level, said.message = DiagnosticStatus.WARN, 'blank'
    assert running_nodes._masks(onlooker, mask, node) == Check(
        'masks', 'warn', f'{mask}: masks come; the node says: blank', 'go on')


@pytest.mark.parametrize('limit, served, status, said', [
    (None, True, 'ok', 'frames arrive'),
    (None, False, 'FAIL', 'limit of 33554432 (the default: no node here says its '),
    (5800 * 5800, False, 'ok', 'frames arrive, 5800x5800 mono8'),
    (1000, False, 'FAIL', '5800x5800 pixels, more than the limit of 1000')])
def test_a_frame_is_judged_by_the_limit_of_its_node(
        monkeypatch: pytest.MonkeyPatch, limit: int | None, served: bool, status: str, said: str
        ) -> None:
    """What the node makes masks of is fine, whatever is thought of it here."""
    camera = Endpoint('/driver', 'sensor_msgs/msg/Image', 'reliable', 'volatile')
    monkeypatch.setattr(running_nodes, 'survey', lambda *_: Surroundings(FRONT, (camera,)))
    large = serialize_message(Image(height=5800, width=5800, encoding='mono8', step=5800,
                                    data=array('B', bytes(5800 * 5800 if limit else 0))))
    onlooker = SimpleNamespace(node=None, heard={FRONT: large})
    owner = running_nodes.Seen('/roadseg', 'active', {}, (FRONT,), (), limit)
    check = running_nodes._frames(onlooker, FRONT, owner, served)
    assert check.status == status and said in check.message
    assert limit is None or 'the default' not in check.message
