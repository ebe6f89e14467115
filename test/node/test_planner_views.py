"""Where the camera is, and why there is no road grid where that is not known."""
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from sensor_msgs.msg import CameraInfo  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from roadseg_ros.ground import CameraModel, CameraPose, GroundError  # noqa: E402
from roadseg_ros.groups import load_class_groups  # noqa: E402
from roadseg_ros.node import planner_views  # noqa: E402
from roadseg_ros.node.planner_views import PlannerViews  # noqa: E402
from roadseg_ros.node.transforms import Transforms  # noqa: E402

ROAD = 3
K = [40.0, 0.0, 26.0, 0.0, 40.0, 18.0, 0.0, 0.0, 1.0]
P = [30.0, 0.0, 20.0, 0.0, 0.0, 30.0, 15.0, 0.0, 0.0, 0.0, 1.0, 0.0]
LEVEL = (-0.5, 0.5, -0.5, 0.5)  # the turn of an optical frame that looks straight ahead


def settings(**changes):
    return SimpleNamespace(**{
        'camera_height': 0.0, 'camera_pitch': 0.0, 'base_frame': 'base_link',
        'grid_resolution': 0.5, 'grid_length': 10.0, 'grid_width': 6.0, **changes})


class Node:
    """Takes warnings down."""

    def __init__(self):
        self.said = []

    def get_logger(self):
        return SimpleNamespace(warning=self.said.append)


class Tf:
    """A stand-in for the module tf2_ros."""

    class TransformException(Exception):
        pass

    def __init__(self):
        self.known, self.listeners = {}, []
        self.Buffer = lambda: SimpleNamespace(lookup_transform=self.look_up)

    def TransformListener(self, buffer, node):
        listener = SimpleNamespace(unregister=lambda: self.listeners.remove(listener))
        self.listeners.append(listener)
        return listener

    def look_up(self, target, source, time):
        assert time.nanoseconds == 0  # the latest
        if (target, source) not in self.known:
            raise self.TransformException(f'"{source}" does not exist.\nAt all')
        (x, y, z, w), (ahead, left, up) = self.known[target, source]
        return SimpleNamespace(transform=SimpleNamespace(
            rotation=SimpleNamespace(x=x, y=y, z=z, w=w),
            translation=SimpleNamespace(x=ahead, y=left, z=up)))


@pytest.fixture
def tf(monkeypatch):
    tf = Tf()
    monkeypatch.setitem(sys.modules, 'tf2_ros', tf)
    return tf


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(planner_views, 'COMPLAINT_PERIOD_SEC', 0.0)
    return Node()


def views(node, topic='/camera/image_raw', transforms=None, **changes):
    return PlannerViews(node, topic, settings(**changes), load_class_groups(),
                        transforms or Transforms(node))


def grid(planner, labels, info=None, frame_id='optical'):
    """Return the grid of a mask that is all road."""
    info = info or CameraInfo(height=37, width=53, k=K)
    ids = np.full((37, 53), ROAD, np.uint8)
    message = planner.road_grid(Header(frame_id=frame_id), ids, labels, info)
    return None if message is None else np.reshape(message.data, (12, 20))


def test_tf_says_where_the_camera_is(tf, node, labels):
    planner = views(node)
    assert grid(planner, labels) is None
    tf.known['base_link', 'optical'] = LEVEL, (2.0, 0.0, 1.5)
    planner.follow(settings(), True)
    ahead = grid(planner, labels)
    measured = views(node)
    measured.follow(settings(camera_height=1.5), True)
    expected = grid(measured, labels)
    assert (expected == 0).any() and (expected == -1).any()
    assert np.array_equal(ahead[:, 4:], expected[:, :-4]) and (ahead[:, :4] == -1).all()


def test_a_height_that_is_taken_back_leaves_no_pose(tf, node, labels):
    planner = views(node)
    planner.follow(settings(camera_height=1.5), True)
    assert grid(planner, labels, frame_id='') is not None
    planner.follow(settings(), True)
    assert grid(planner, labels, frame_id='') is None


def test_tf_is_heard_only_while_somebody_listens(tf, node, labels):
    planner = views(node)
    grid(planner, labels)
    planner.follow(settings(), False)
    assert tf.listeners == []
    for _ in range(3):
        planner.follow(settings(), True)
        assert len(tf.listeners) == 1
    planner.follow(settings(), False)
    assert tf.listeners == []
    planner.follow(settings(), True)
    planner.follow(settings(camera_height=1.5), True)
    assert tf.listeners == []
    planner.follow(settings(), True)
    planner.close()
    assert tf.listeners == []


def test_cameras_of_a_node_share_what_listens_to_tf(tf, node, labels):
    """It goes with the last that asks."""
    transforms = Transforms(node)
    left, right = (views(node, topic, transforms) for topic in ('/left', '/right'))
    for planner in (left, right):
        grid(planner, labels)
        planner.follow(settings(), True)
    assert len(tf.listeners) == 1
    left.close()
    assert len(tf.listeners) == 1
    right.follow(settings(), False)
    assert tf.listeners == []


def test_a_mount_that_trembles_costs_nothing(tf, node, labels):
    """The geometry is kept until the camera has moved by what a pixel shows."""
    planner, poses = views(node), set()
    grid(planner, labels)
    for height in (1.5, 1.50004, 1.50008, 1.50012, 1.6):
        tf.known['base_link', 'optical'] = LEVEL, (0.0, 0.0, height)
        planner.follow(settings(), True)
        poses.add(planner._pose.position[2])
    assert sorted(poses) == [1.5, 1.50012, 1.6]


def test_height_and_pitch_change_while_it_runs(node, labels):
    planner, found = views(node), []
    for changes in ({}, {'camera_pitch': 0.3}, {'camera_height': 2.5}):
        planner.follow(settings(**{'camera_height': 1.5, **changes}), True)
        found.append(grid(planner, labels).tobytes())
    assert len(set(found)) == 3 and node.said == []


def test_what_is_missing_is_said(tf, node, labels, monkeypatch):
    def said_of(**arguments):
        node.said.clear()
        planner.follow(settings(), True)
        assert grid(planner, labels, **arguments) is None
        assert planner.road_grid_problem
        assert all(line.endswith(f': {planner.road_grid_problem}') for line in node.said)
        return node.said

    planner = views(node)
    assert said_of(frame_id='') == [
        '/camera/image_raw: no road_grid: the frames have no frame_id that TF could be asked for']
    said_of()  # from now on the frame_id is known
    assert said_of() == [
        "/camera/image_raw: no road_grid: no transform from 'optical' to 'base_link': "
        '"optical" does not exist. At all']
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    assert 'camera_height is 0 and tf2_ros is not installed' in said_of()[0]
    assert planner.road_grid(Header(), np.zeros((4, 4), np.uint8), labels, None) is None
    assert node.said[-1] == '/camera/image_raw: no road_grid: no camera_info'
    planner.follow(settings(camera_height=1.5), True)
    fisheye = CameraInfo(height=37, width=53, k=K, distortion_model='equidistant', d=[0.1] * 4)
    assert grid(planner, labels, fisheye) is None
    assert "'equidistant' with 4 coefficients; supported: plumb_bob" in node.said[-1]
    assert node.said[-1].endswith(f': {planner.road_grid_problem}')
    planner.follow(settings(camera_height=1.5), False)
    assert planner.road_grid_problem == ''  # nobody listens
    assert grid(planner, labels, fisheye) is None and planner.road_grid_problem
    assert grid(planner, labels) is not None
    assert planner.road_grid_problem == ''


def test_a_moment_without_a_grid_is_not_worth_a_word(labels):
    node = Node()
    planner = views(node)
    for _ in range(3):
        assert grid(planner, labels) is None
    assert node.said == []


@pytest.mark.parametrize('topic, model', [
    ('/camera/image_raw', CameraModel((37, 53), (40.0, 40.0), (26.0, 18.0), (0.1,) * 5)),
    ('/camera/image_rect_color/compressed', CameraModel((37, 53), (30.0, 30.0), (20.0, 15.0))),
])
def test_which_calibration_holds(node, labels, monkeypatch, topic, model):
    """image_proc's pictures have no distortion, and P in the place of K."""
    asked = []
    monkeypatch.setattr(planner_views, 'on_ground', lambda ids, cells, camera, pose: (
        asked.append((camera, pose)) or np.zeros(cells.shape, np.uint8)))
    planner = views(node, topic)
    planner.follow(settings(camera_height=1.5), True)
    grid(planner, labels, CameraInfo(height=37, width=53, k=K, p=P, d=[0.1] * 5,
                                     distortion_model='plumb_bob'))
    assert asked == [(model, CameraPose.above_ground(1.5, 0.0))]


def test_a_window_of_the_sensor(node, labels, monkeypatch):
    asked = []
    monkeypatch.setattr(planner_views, 'on_ground', lambda ids, cells, camera, pose: (
        asked.append(camera) or np.zeros(cells.shape, np.uint8)))
    planner = views(node)
    planner.follow(settings(camera_height=1.5), True)
    info = CameraInfo(height=400, width=600, k=K)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 6, 8, 53, 37
    grid(planner, labels, info)
    assert asked == [CameraModel((37, 53), (40.0, 40.0), (20.0, 10.0))]


def test_a_grid_that_is_too_large_is_refused(node):
    with pytest.raises(GroundError, match='500.0 x 500.0 m in cells of 0.01 m'):
        views(node, grid_resolution=0.01, grid_length=500.0, grid_width=500.0)
