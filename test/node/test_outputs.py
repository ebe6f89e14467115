"""What stands beside a camera: each topic's content, and nothing where nobody listens."""
from dataclasses import replace
import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from nav_msgs.msg import OccupancyGrid  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from roadseg_ros.ground import CameraModel, CameraPose, GroundGrid, on_ground  # noqa: E402
from roadseg_ros.groups import load_class_groups  # noqa: E402
from roadseg_ros.inference.segmenter import Segmentation  # noqa: E402
from roadseg_ros.node.outputs import LATCHED, Outputs  # noqa: E402
from roadseg_ros.node.planner_views import PlannerViews  # noqa: E402
from roadseg_ros.node.transforms import Transforms  # noqa: E402
from roadseg_ros.overlay import blend, colorize, legend  # noqa: E402

ALPHA, ROAD, SKY, UNLABELLED = 0.3, 3, 0, 255
cameras = itertools.count()


def pixels(message):
    """Return the picture of an Image message whose rows must be tight."""
    channels = {'mono8': 1, 'rgb8': 3}[message.encoding]
    assert message.step == message.width * channels
    shape = (message.height, message.width, channels)[:2 if channels == 1 else 3]
    return np.frombuffer(message.data, np.uint8).reshape(shape)


@pytest.fixture
def prefix():
    return f'/camera_{next(cameras)}/segmentation'


@pytest.fixture
def settings():
    return SimpleNamespace(camera_height=1.5, camera_pitch=0.1, base_frame='base_footprint',
                           grid_resolution=0.2, grid_length=12.0, grid_width=6.0)


@pytest.fixture
def planner(peer, settings):
    return PlannerViews(peer.node, '/camera/image_raw', settings, load_class_groups(),
                        Transforms(peer.node))


@pytest.fixture
def outputs(peer, prefix, planner):
    outputs = Outputs(peer.node, prefix, True, planner)
    yield outputs
    outputs.destroy()


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.fixture
def result():
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 11, (37, 53), np.uint8)
    ids[:5] = 255
    confidence = rng.integers(0, 256, (37, 53), np.uint8)
    return Segmentation(ids, confidence, made='full', age_ms=1.25, timing_ms={'network': 7.0})


@pytest.fixture
def header():
    header = Header(frame_id='front_optical')
    header.stamp.sec, header.stamp.nanosec = 1700000000, 987654321
    return header


def receive(peer, outputs, kind, topic, name, publish):
    messages = peer.collect(kind, f'{topic}/{name}')
    peer.wait(lambda: outputs.listened() == {name}, f'{name} to be listened to')
    publish()
    peer.wait(lambda: messages, name)
    return messages[0]


@pytest.mark.parametrize('name, expected', [
    ('mask', lambda frame, result, table: result.class_ids),
    ('confidence', lambda frame, result, table: result.confidence),
    ('color_mask', lambda frame, result, table: colorize(result.class_ids, table)),
    ('drivable', lambda frame, result, table: np.where(
        result.class_ids == ROAD, np.uint8(255), np.uint8(0))),
    ('overlay', lambda frame, result, table: blend(
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), result.class_ids, table, ALPHA)),
])
def test_pictures(peer, outputs, prefix, frame, result, header, labels, name, expected):
    message = receive(peer, outputs, Image, prefix, name, lambda: outputs.publish(
        header, frame, result, labels, ALPHA, None))
    assert message.header == header
    picture = expected(frame, result, labels.color_table)
    assert message.encoding == ('mono8' if picture.ndim == 2 else 'rgb8')
    assert np.array_equal(pixels(message), picture)


def test_compressed_mask_keeps_the_ids(peer, outputs, prefix, frame, result, header, labels):
    message = receive(peer, outputs, CompressedImage, prefix, 'mask/compressed',
                      lambda: outputs.publish(header, frame, result, labels, ALPHA, None))
    assert message.header == header and 'png' in message.format
    data = np.frombuffer(message.data, np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), result.class_ids)


def test_compressed_overlay_is_a_jpeg_of_the_overlay(peer, outputs, prefix, result, header,
                                                     labels):
    frame = np.full((64, 64, 3), (200, 120, 40), np.uint8)
    road = Segmentation(np.full((64, 64), 3, np.uint8), None)
    message = receive(peer, outputs, CompressedImage, prefix, 'overlay/compressed',
                      lambda: outputs.publish(header, frame, road, labels, ALPHA, None))
    assert message.header == header and 'jpeg' in message.format
    assert bytes(message.data[:2]) == b'\xff\xd8'
    picture = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    wanted = blend(frame[..., ::-1].copy(), road.class_ids, labels.color_table, ALPHA)
    assert np.abs(picture[..., ::-1].astype(int) - wanted).max() <= 4


def test_camera_info_goes_out_under_the_frames_header(peer, outputs, prefix, frame, result,
                                                      header, labels):
    info = CameraInfo(height=37, width=53, distortion_model='plumb_bob', d=[0.1] * 5,
                      k=[float(value) for value in range(9)])
    info.header.frame_id = 'elsewhere'
    message = receive(peer, outputs, CameraInfo, prefix, 'camera_info',
                      lambda: outputs.publish(header, frame, result, labels, ALPHA, info))
    assert message.header == header
    assert info.header.frame_id == 'elsewhere'
    message.header = info.header
    assert message == info


def test_road_grid(peer, outputs, prefix, frame, result, header, labels, settings):
    info = CameraInfo(height=37, width=53, k=[40.0, 0.0, 26.0, 0.0, 40.0, 18.0, 0.0, 0.0, 1.0])
    outputs.follow(settings)
    grid = receive(peer, outputs, OccupancyGrid, prefix, 'road_grid',
                   lambda: outputs.publish(header, frame, result, labels, ALPHA, info))
    assert (grid.header.stamp, grid.header.frame_id) == (header.stamp, 'base_footprint')
    assert (grid.info.width, grid.info.height) == (60, 30)
    assert grid.info.resolution == pytest.approx(0.2)
    origin = grid.info.origin
    assert (origin.position.x, origin.position.y, origin.orientation.w) == (
        0.0, pytest.approx(-3.0), 1.0)
    ids = on_ground(result.class_ids, GroundGrid(0.2, 12.0, 6.0),
                    CameraModel((37, 53), (40.0, 40.0), (26.0, 18.0)),
                    CameraPose.above_ground(1.5, 0.1))
    expected = np.select([ids == ROAD, (ids == SKY) | (ids == UNLABELLED)], [0, -1], 100)
    assert set(np.unique(expected)) == {-1, 0, 100}
    assert np.array_equal(np.reshape(grid.data, (30, 60)), expected)


def test_provenance_says_how_the_mask_was_made(peer, outputs, prefix, frame, result, header,
                                               labels):
    message = receive(peer, outputs, DiagnosticArray, prefix, 'provenance',
                      lambda: outputs.publish(header, frame, result, labels, ALPHA, None))
    assert message.header == header
    assert {value.key: value.value for value in message.status[0].values} == {
        'made': 'full', 'age_ms': '1.2', 'network_ms': '7.00'}


@pytest.mark.parametrize('made, values', [
    ('warped', {'made': 'warped', 'age_ms': '66.7', 'change': '2.13', 'warp_ms': '5.00'}),
    ('cached', {'made': 'cached', 'age_ms': '66.7', 'change': '2.13', 'warp_ms': '5.00'}),
])
def test_provenance_of_a_reused_mask(peer, outputs, prefix, frame, result, header, labels, made,
                                     values):
    reused = replace(result, made=made, age_ms=66.67, change=2.13, timing_ms={'warp': 5.0})
    message = receive(peer, outputs, DiagnosticArray, prefix, 'provenance',
                      lambda: outputs.publish(header, frame, reused, labels, ALPHA, None))
    assert {value.key: value.value for value in message.status[0].values} == values
    assert message.status[0].message == made


def test_silent_where_there_is_nothing_to_say(peer, outputs, prefix, frame, header, labels):
    """No camera_info without a calibration, no confidence where the engine has none."""
    infos = peer.collect(CameraInfo, f'{prefix}/camera_info')
    confidences = peer.collect(Image, f'{prefix}/confidence')
    masks = peer.collect(Image, f'{prefix}/mask')
    names = {'camera_info', 'confidence', 'mask'}
    peer.wait(lambda: outputs.listened() == names, f'{names} to be listened to')
    bare = Segmentation(np.zeros((37, 53), np.uint8), None)
    for _ in range(3):
        outputs.publish(header, frame, bare, labels, ALPHA, None)
    peer.wait(lambda: len(masks) >= 2, 'the masks')
    assert (infos, confidences) == ([], [])


def test_nothing_is_made_for_a_topic_nobody_listens_to(outputs, header, labels):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f'{name} was computed for nobody')

    assert outputs.listened() == set()
    outputs.publish(header, Untouchable(), Untouchable(), labels, ALPHA, None)


def test_legend_reaches_who_comes_late(peer, outputs, prefix, labels):
    outputs.publish_legend(labels)
    messages = peer.collect(Image, f'{prefix}/legend', LATCHED)
    peer.wait(lambda: messages, 'the legend')
    assert messages[0].encoding == 'rgb8'
    assert np.array_equal(pixels(messages[0]), legend(labels))


def test_compressed_topics_are_off_unless_asked_for(peer, prefix, planner):
    outputs = Outputs(peer.node, prefix, False, planner)
    names = {name for name, _ in peer.node.get_topic_names_and_types()
             if name.startswith(f'{prefix}/')}
    outputs.destroy()
    assert f'{prefix}/mask' in names
    assert not any(name.endswith('compressed') for name in names)
