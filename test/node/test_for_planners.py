"""The node as its own process: what planners hear over DDS, and what they must mend first."""
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from nav_msgs.msg import OccupancyGrid  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from roadseg_ros.ground import CameraModel, CameraPose, GroundGrid, on_ground  # noqa: E402
from roadseg_ros.labels import LabelSpace  # noqa: E402

OUT = '/camera/segmentation'
K = [60.0, 0.0, 31.5, 0.0, 60.0, 20.0, 0.0, 0.0, 1.0]
MODEL = CameraModel((48, 64), (60.0, 60.0), (31.5, 20.0))
GRID = GroundGrid(0.25, 20.0, 10.0)


def pixels(message):
    assert message.encoding == 'mono8' and message.step == message.width
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


@pytest.fixture(scope='module')
def picture():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))


@pytest.fixture(scope='module')
def ids(segmenter, picture):
    """Return what the mask must hold: the network's ids above the bonnet."""
    ids = segmenter.segment([picture])[0].class_ids.copy()
    ids[36:] = 255
    return ids


@pytest.fixture(scope='module')
def drivable(ids):
    """Return the two ids below the horizon that a network of random weights sees most."""
    two = np.bincount(ids[21:36].ravel()).argsort()[:-3:-1].tolist()
    assert not np.isin(ids[21:36], two).all()
    return two


@pytest.fixture(scope='module')
def files(tmp_path_factory, labels, drivable):
    """Return class groups of one's own, and a bonnet over the lowest quarter of the picture."""
    folder = tmp_path_factory.mktemp('files')
    groups = folder / 'groups.yaml'
    others = [name for index, name in enumerate(labels.names) if index not in drivable]
    groups.write_text(yaml.safe_dump({
        'drivable': [labels.names[index] for index in drivable], 'obstacle': others,
        'sidewalk': [], 'dynamic': [], 'sky': []}))
    bonnet = np.zeros((24, 32), np.uint8)
    bonnet[18:] = 1
    ego = folder / 'ego.png'
    ego.write_bytes(cv2.imencode('.png', bonnet)[1].tobytes())
    return SimpleNamespace(groups=groups, ego=ego)


@pytest.fixture(scope='module')
def talk(start_node, peer, files):
    """Return a node with a calibrated camera, and what comes from it."""
    node = start_node(image_topics="['/camera/image_raw']", camera_height=1.4, camera_pitch=0.1,
                      class_groups=files.groups, ego_mask=files.ego, grid_resolution=0.25,
                      grid_length=20.0, grid_width=10.0)
    peer.wait(lambda: 'waiting for frames' in node.log, 'the node', 60)
    talk = SimpleNamespace(node=node, image=peer.publisher(Image, '/camera/image_raw'),
                           info=peer.publisher(CameraInfo, '/camera/camera_info'))
    for name, kind in {'mask': Image, 'confidence': Image, 'drivable': Image,
                       'road_grid': OccupancyGrid}.items():
        setattr(talk, name, peer.collect(kind, f'{OUT}/{name}'))
        peer.heard(f'{OUT}/{name}')
    return talk


def exchange(peer, talk, picture):
    """Send a frame until its results are all there; return them."""
    def answered():
        talk.info.publish(CameraInfo(height=48, width=64, k=K))
        message = peer.image(picture)
        peer.exchange(talk.image, message, talk.mask)
        try:
            return peer.wait(lambda: result_of(message), timeout=0.5)
        except AssertionError:
            return None

    def result_of(message):
        found = {name: peer.answer(message, getattr(talk, name))
                 for name in ('mask', 'confidence', 'drivable', 'road_grid')}
        return SimpleNamespace(sent=message, **found) if all(found.values()) else None

    return peer.wait(answered, 'all results of a frame')


def expected_grid(ids, drivable, pitch):
    on_cells = on_ground(ids, GRID, MODEL, CameraPose.above_ground(1.4, pitch))
    return np.select([np.isin(on_cells, drivable), on_cells == 255], [0, -1], 100)


def test_why_there_is_no_grid_is_in_the_diagnostics(peer, talk, picture):
    """The camera is not calibrated yet."""
    reports = peer.collect(DiagnosticArray, '/diagnostics')

    def said():
        talk.image.publish(peer.image(picture))
        return {value.value for report in reports for status in report.status
                for value in status.values if value.key == 'road_grid_problem'}

    peer.wait(lambda: 'no camera_info' in said(), 'the reason')


def test_drivable_pixels_and_the_road_on_the_ground(peer, talk, picture, ids, drivable):
    result = exchange(peer, talk, picture)
    assert np.array_equal(pixels(result.mask), ids)
    assert not pixels(result.confidence)[36:].any() and pixels(result.confidence)[:36].all()
    assert result.drivable.header == result.sent.header
    assert np.array_equal(pixels(result.drivable), 255 * np.isin(ids, drivable))
    grid = result.road_grid
    assert grid.header.stamp == result.sent.header.stamp
    assert grid.header.frame_id == 'base_link'
    expected = expected_grid(ids, drivable, 0.1)
    assert np.array_equal(np.reshape(grid.data, GRID.shape), expected)
    assert set(np.unique(expected)) == {-1, 0, 100}


def test_the_pitch_is_live(peer, talk, picture, ids, drivable):
    assert peer.set_parameter('camera_pitch', 0.2) == (True, '')
    expected = expected_grid(ids, drivable, 0.2)
    peer.wait(lambda: np.array_equal(np.reshape(
        exchange(peer, talk, picture).road_grid.data, GRID.shape), expected), 'the new pitch')
    accepted, reason = peer.set_parameter('base_frame', 'other')
    assert not accepted and reason.startswith('base_frame takes effect at configure')


def test_reloaded_names_mean_what_they_say(peer, talk, checkpoint, picture, ids, drivable,
                                           tmp_path):
    """The same network, the name of one drivable class now another's, and one new to all."""
    names, (first, second) = list(checkpoint.labels.names), drivable
    other = next(index for index in np.unique(ids[:36]).tolist() if index not in drivable)
    names[other], names[first], names[second] = names[first], names[other], 'hedge'
    swapped = replace(checkpoint, labels=LabelSpace(tuple(names), checkpoint.labels.colors))
    path = tmp_path / 'swapped.safetensors'
    swapped.save(path)
    assert peer.set_parameter('checkpoint', str(path))[0]
    assert peer.call(Trigger, '/roadseg/reload_checkpoint').success
    assert 'class_groups: no group holds hedge: taken for obstacles' in talk.node.log
    result = exchange(peer, talk, picture)
    assert np.array_equal(pixels(result.drivable), 255 * (ids == other))


def test_bad_files_and_grids_fail_configure_in_one_line(peer, talk, tmp_path, files):
    """Last of those that share the node."""
    bad = tmp_path / 'bad.yaml'
    bad.write_text('drivabel: [road]\n')
    assert peer.change_state('deactivate') and peer.change_state('cleanup')
    for name, wrong, words, right in [
            ('class_groups', str(bad), f'class_groups: {bad}: unknown group drivabel; the groups',
             str(files.groups)),
            ('ego_mask', str(bad), f'ego_mask: {bad} is no picture', str(files.ego)),
            ('grid_resolution', 0.01, 'a grid of 20.0 x 500.0 m in cells of 0.01 m', 0.25)]:
        assert peer.set_parameter('grid_width', 500.0 if name == 'grid_resolution' else 10.0)[0]
        assert peer.set_parameter(name, wrong) == (True, '')
        assert not peer.change_state('configure')
        peer.wait(lambda w=words: w in talk.node.log, words)
        (line,) = [line for line in talk.node.log.splitlines() if words in line]
        assert f'configure failed: {words}' in line
        assert peer.set_parameter(name, right)[0]
    assert peer.change_state('configure') and 'Traceback' not in talk.node.log
