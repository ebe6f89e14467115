"""The node as its own process: frames in over DDS, masks and words out."""
from array import array
from pathlib import Path
import pickle
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.qos import QoSReliabilityPolicy as Reliability
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from roadseg_ros.checkpoint import default_checkpoint_path  # noqa: E402
from roadseg_ros.inference.segmenter import Segmenter  # noqa: E402
from roadseg_ros.metrics import ConfusionMatrix  # noqa: E402
from roadseg_ros.overlay import blend  # noqa: E402

LEFT, RIGHT = '/cam/left', '/cam/right/compressed'
LEFT_OUT, RIGHT_OUT = '/cam/segmentation/left', '/cam/segmentation/right'
CAMERA, OUT = '/camera/image_raw', '/camera/segmentation'
README = Path(__file__).resolve().parents[2] / 'README.md'
BEST_EFFORT = QoSProfile(depth=2, reliability=Reliability.BEST_EFFORT)


def pixels(message):
    assert message.encoding == 'mono8' and message.step == message.width
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def status_of(diagnostics, name):
    """Return the latest status of a name with its values, None before there is one."""
    for message in reversed(diagnostics):
        for status in message.status:
            if status.name == name:
                values = {value.key: value.value for value in status.values}
                return SimpleNamespace(level=status.level, message=status.message, **values)
    return None


def numbers(status, *names):
    return [int(getattr(status, name)) for name in names]


@pytest.fixture(scope='module')
def node(start_node, peer):
    """Return the node that most tests talk to: a raw and a compressed camera."""
    process = start_node(image_topics=f"['{LEFT}','{RIGHT}']", publish_compressed='true')
    peer.wait(lambda: 'waiting for frames' in process.log, 'the node', 60)
    return process


@pytest.fixture(scope='module')
def talk(node, peer):
    """Return the publishers of both cameras and what comes back."""
    masks, diagnostics = {}, peer.collect(DiagnosticArray, '/diagnostics')
    for out in (LEFT_OUT, RIGHT_OUT):
        masks[out] = peer.collect(Image, f'{out}/mask')
    talk = SimpleNamespace(
        left=peer.publisher(Image, LEFT), right=peer.publisher(CompressedImage, RIGHT),
        left_masks=masks[LEFT_OUT], right_masks=masks[RIGHT_OUT], diagnostics=diagnostics)
    peer.wait(lambda: status_of(diagnostics, f'roadseg: {LEFT}'), 'diagnostics')
    return talk


def random_frame(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return np.ascontiguousarray(coarse[rows][:, columns])


@pytest.mark.parametrize('size', [(48, 64), (37, 53), (53, 37), (1, 1)])
def test_a_raw_frame_gives_the_segmenters_ids(peer, talk, segmenter, size):
    frame = random_frame(*size)
    message = peer.image(frame, 'left_optical')
    mask = peer.exchange(talk.left, message, talk.left_masks)
    assert mask.header == message.header
    assert np.array_equal(pixels(mask), segmenter.segment([frame])[0].class_ids)


@pytest.mark.parametrize('size', [(48, 64), (37, 53)])
def test_a_compressed_frame_gives_the_segmenters_ids(peer, talk, segmenter, size):
    frame = random_frame(*size, seed=1)
    message = peer.compressed(frame, 'right_optical')
    mask = peer.exchange(talk.right, message, talk.right_masks)
    assert mask.header == message.header
    assert np.array_equal(pixels(mask), segmenter.segment([frame])[0].class_ids)


def test_rows_may_be_padded(peer, talk, segmenter, picture):
    message = peer.image(picture)
    message.step += 13
    rows = np.pad(picture.reshape(len(picture), -1), ((0, 0), (0, 13)), constant_values=99)
    message.data = array('B', rows.tobytes())
    mask = peer.exchange(talk.left, message, talk.left_masks)
    assert np.array_equal(pixels(mask), segmenter.segment([picture])[0].class_ids)


def test_cameras_do_not_mix(peer, talk, segmenter):
    frames = random_frame(48, 64, 2), random_frame(48, 64, 3)
    left, right = peer.image(frames[0], 'left'), peer.compressed(frames[1], 'right')
    talk.left.publish(left)
    mask = peer.exchange(talk.right, right, talk.right_masks)
    other = peer.wait(lambda: peer.answer(left, talk.left_masks), 'the left mask')
    wanted = [result.class_ids for result in segmenter.segment(frames)]
    assert np.array_equal(pixels(other), wanted[0]) and other.header.frame_id == 'left'
    assert np.array_equal(pixels(mask), wanted[1]) and mask.header.frame_id == 'right'


def test_overlay_alpha_changes_live(peer, talk, segmenter, labels, picture):
    overlays = peer.collect(Image, f'{LEFT_OUT}/overlay')
    ids = segmenter.segment([picture])[0].class_ids
    for alpha in (0.5, 0.125):
        assert peer.set_parameter('overlay_alpha', alpha) == (True, '')
        overlay = peer.wait(lambda: attempt(peer, talk, picture, overlays), 'an overlay')
        wanted = blend(picture[..., ::-1].copy(), ids, labels.color_table, alpha)
        got = np.frombuffer(overlay.data, np.uint8).reshape(picture.shape)
        assert np.array_equal(got, wanted)
    accepted, reason = peer.set_parameter('overlay_alpha', 5.0)
    assert not accepted and 'overlay_alpha' in reason


def attempt(peer, talk, picture, answers):
    """Send a frame and return the answer, None if its topic was not matched yet."""
    message = peer.image(picture)
    peer.exchange(talk.left, message, talk.left_masks)
    try:
        return peer.wait(lambda: peer.answer(message, answers), timeout=0.5)
    except AssertionError:
        return None


def test_a_change_of_device_is_refused_while_configured(peer, node):
    accepted, reason = peer.set_parameter('device', 'cuda')
    assert not accepted
    assert reason.startswith('device takes effect at configure')


def test_calibration_is_republished_but_never_an_empty_one(peer, talk, picture):
    infos = peer.collect(CameraInfo, f'{LEFT_OUT}/camera_info')
    peer.heard(f'{LEFT_OUT}/camera_info')
    publisher = peer.publisher(CameraInfo, '/cam/camera_info')
    publisher.publish(CameraInfo())
    peer.exchange(talk.left, peer.image(picture), talk.left_masks)
    assert infos == []
    calibration = CameraInfo(height=48, width=64, k=[2.0] * 9, distortion_model='plumb_bob')
    # both cameras stand in /cam: the frame_id says whose calibration it is
    calibration.header.frame_id = 'camera'

    def answered():
        publisher.publish(calibration)
        return attempt(peer, talk, picture, infos)

    info = peer.wait(answered, 'camera_info')
    assert info.header.frame_id == 'camera'
    calibration.header = info.header
    assert info == calibration
    peer.node.destroy_publisher(publisher)


def bad_images(peer, picture):
    """Return messages that cannot be segmented, and what must be said of them."""
    def broken(**fields):
        message = peer.image(picture)
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return [(broken(step=5), 'step 5 is less than 64 x 3 bytes'),
            (broken(data=array('B', bytes(100))), 'got 100'),
            (broken(encoding='rgb565'), "unknown encoding 'rgb565'; supported: bgr8"),
            (broken(height=0), 'the image is empty: 64x0 pixels'),
            (broken(height=60000, width=60000), 'more than the limit of 33554432')]


def test_bad_images_are_named_and_the_next_good_one_served(peer, node, talk, picture):
    for message, words in bad_images(peer, picture):
        talk.left.publish(message)
        peer.wait(lambda w=words: w in getattr(
            status_of(talk.diagnostics, f'roadseg: {LEFT}'), 'last_error', ''), words)
        assert peer.exchange(talk.left, peer.image(picture), talk.left_masks)
        assert peer.answer(message, talk.left_masks) is None
    assert 'left: step 5 is less than' in node.log


def test_a_failed_frame_is_an_error_in_diagnostics(peer, talk, picture):
    failed = numbers(status_of(talk.diagnostics, f'roadseg: {LEFT}'), 'failed')[0]
    message, words = bad_images(peer, picture)[0]
    talk.left.publish(message)

    def first_after():
        for message in talk.diagnostics:
            status = status_of([message], f'roadseg: {LEFT}')
            if status and numbers(status, 'failed') == [failed + 1]:
                return status

    status = peer.wait(first_after, 'the status')
    assert status.level == DiagnosticStatus.ERROR
    assert words in status.message and status.message == status.last_error


@pytest.mark.parametrize('data, words', [
    (b'no picture at all', 'cannot read the compressed image'),
    (b'', 'cannot read the compressed image'),
    (b'\xff\xd8\xff\xc0\x00\x11\x08\x00\x30\x00\x40\x03', 'broken or cut short'),
])
def test_broken_compressed_images_are_named(peer, talk, picture, data, words):
    message = peer.stamp(CompressedImage(format='jpeg', data=array('B', data)))
    talk.right.publish(message)
    peer.wait(lambda: words in getattr(
        status_of(talk.diagnostics, f'roadseg: {RIGHT}'), 'last_error', ''), words)
    assert peer.exchange(talk.right, peer.compressed(picture), talk.right_masks)
    assert peer.answer(message, talk.right_masks) is None


def test_enable_pauses_and_goes_on(peer, talk, picture):
    name = f'roadseg: {LEFT}'
    before = numbers(status_of(talk.diagnostics, name), 'disabled')[0]
    assert peer.call(SetBool, '/roadseg/enable', data=False).message == 'paused'
    message = peer.image(picture)
    talk.left.publish(message)
    peer.wait(lambda: numbers(status_of(talk.diagnostics, name), 'disabled') == [before + 1],
              'the frame to be counted as disabled')
    assert peer.call(SetBool, '/roadseg/enable', data=True).success
    assert peer.exchange(talk.left, peer.image(picture), talk.left_masks)
    assert peer.answer(message, talk.left_masks) is None


def test_the_readmes_calls_without_ros2(peer, node):
    """Its Python pauses, sets parameters and deactivates, as it stands there."""
    example, = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
    try:
        done = subprocess.run([sys.executable, '-c', example], text=True, capture_output=True,
                              timeout=60, check=True)
        enabled, changed, deactivated = done.stdout.splitlines()
        assert 'success=True' in enabled and "message='enabled'" in enabled
        assert 'successful=True' in changed
        answer = peer.call(Trigger, '/roadseg/reset_cache')
        assert 'cache.policy is off' not in answer.message
        assert 'success=True' in deactivated and peer.state() == 'inactive'
    finally:
        assert peer.set_parameter('cache.policy', 'off') == (True, '')
        if peer.state() == 'inactive':
            assert peer.change_state('activate')


def test_reset_cache_answers(peer, node):
    response = peer.call(Trigger, '/roadseg/reset_cache')
    assert response.success and 'cache.policy is off' in response.message


def test_reload_keeps_the_old_weights_when_the_new_are_garbage(
        peer, talk, segmenter, picture, checkpoint_path, tmp_path):
    garbage = tmp_path / 'garbage.safetensors'
    garbage.write_bytes(b'garbage')
    assert peer.set_parameter('checkpoint', str(garbage))[0]
    response = peer.call(Trigger, '/roadseg/reload_checkpoint')
    assert not response.success
    assert response.message.startswith('kept the old checkpoint: ')
    assert 'garbage.safetensors' in response.message and '\n' not in response.message
    mask = peer.exchange(talk.left, peer.image(picture), talk.left_masks)
    assert np.array_equal(pixels(mask), segmenter.segment([picture])[0].class_ids)
    assert peer.set_parameter('checkpoint', str(checkpoint_path))[0]
    assert peer.call(Trigger, '/roadseg/reload_checkpoint').success


def test_diagnostics_say_what_runs(talk, checkpoint_path, labels):
    status = status_of(talk.diagnostics, 'roadseg')
    assert (status.device, status.engine, status.network) == ('cpu', 'openvino', 'u_lite')
    assert (status.checkpoint, status.classes) == (str(checkpoint_path), str(len(labels)))


@pytest.mark.parametrize('size', [(480, 640), (720, 1280)])
@pytest.mark.parametrize('qos', [10, BEST_EFFORT], ids=['reliable', 'best_effort'])
def test_large_frames_arrive(peer, talk, size, qos):
    """At least 99 % of frames that are waited for; `auto` follows the publisher's QoS."""
    peer.node.destroy_publisher(talk.left)
    talk.left = peer.node.create_publisher(Image, LEFT, qos)
    frame, served = random_frame(*size), 0
    # Until the node has followed the change of publishers
    peer.wait(lambda: answered_soon(peer, talk, random_frame(48, 64)), 'the first frame')
    for _ in range(40):
        served += answered_soon(peer, talk, frame, 2.0)
    assert served >= 39.6


def answered_soon(peer, talk, frame, timeout=0.3):
    message = peer.image(frame)
    try:
        return peer.exchange(talk.left, message, talk.left_masks, timeout) is not None
    except AssertionError:
        return False


def test_lifecycle_twice_round(peer, node, talk, segmenter, picture):
    for _ in range(2):
        for transition, state in [('deactivate', 'inactive'), ('cleanup', 'unconfigured'),
                                  ('configure', 'inactive'), ('activate', 'active')]:
            assert peer.change_state(transition)
            assert peer.state() == state
        assert peer.wait(lambda: answered_soon(peer, talk, picture), 'a mask')
        assert np.array_equal(pixels(talk.left_masks[-1]),
                              segmenter.segment([picture])[0].class_ids)


def test_interrupt_in_the_middle_of_frames_ends_it_cleanly(peer, node, talk):
    """Last of those that share the node."""
    for _ in range(5):
        talk.left.publish(peer.image(random_frame(720, 1280)))
    node.interrupt()
    assert node.wait(3) == 0
    for word in ('Traceback', 'Exception', 'RCLError', 'worker:'):
        assert word not in node.log


def test_bad_values_fail_configure_in_one_line_and_can_be_mended(
        start_node, peer, checkpoint_path, tmp_path):
    missing = tmp_path / 'missing.safetensors'
    pickled, truncated = tmp_path / 'pickled.pth', tmp_path / 'cut.safetensors'
    pickled.write_bytes(pickle.dumps({'weight': [1.0]}))
    truncated.write_bytes(checkpoint_path.read_bytes()[:5000])
    node = start_node(overlay_alpha=5.0, autostart=1, overlay_alfa=0.5, device='tpu', engine='x',
                      checkpoint=missing, image_topics='[]')
    peer.wait(lambda: 'configure failed' in node.log, 'the error', 60)
    assert peer.state() == 'unconfigured'
    assert 'not configured, see the error above' in node.log
    errors = [line for line in node.log.splitlines() if 'ERROR' in line]
    assert len(errors) == 2 and 'Traceback' not in node.log
    assert 'autostart must be true or false' in errors.pop(0)
    assert "image_topics is empty; give it such as ['/camera/image_raw']" in errors[0]
    assert 'no parameter overlay_alfa: ignored; did you mean overlay_alpha?' in node.log
    assert 'overlay_alpha must be' in errors[0] and ', not 5' in errors[0]
    assert "engine is 'x'; supported: auto, torch, openvino" in errors[0]

    assert peer.set_parameter('overlay_alpha', 0.5) == (True, '')
    assert peer.set_parameter('engine', 'auto') == (True, '')
    for topics, words in [
            (['/cam era'], '/cam era'), (['/cam//x'], '/cam//x'), ([''], 'at least one'),
            (['/cam/left', 'cam/left'], '/cam/left and cam/left are one topic')]:
        assert peer.set_parameter('image_topics', topics)[0]
        assert not peer.change_state('configure')
        peer.wait(lambda w=words: w in node.log.splitlines()[-1], words)
        assert 'configure failed: image_topics' in node.log.splitlines()[-1]
    assert peer.set_parameter('image_topics', [CAMERA])[0]
    for name, value, words in [
            ('device', 'tpu', 'tpu'), ('checkpoint', str(missing), 'missing.safetensors'),
            ('checkpoint', str(pickled), 'pickled.pth'),
            ('checkpoint', str(truncated), 'cut.safetensors')]:
        if name == 'checkpoint':
            assert peer.set_parameter('device', 'cpu')[0]
        else:
            assert peer.set_parameter('checkpoint', str(checkpoint_path))[0]
        assert peer.set_parameter(name, value)[0]
        count = node.log.count('configure failed')
        assert not peer.change_state('configure')
        peer.wait(lambda c=count: node.log.count('configure failed') > c, 'the error')
        line = [line for line in node.log.splitlines() if 'configure failed' in line][-1]
        assert words in line and 'Traceback' not in node.log
        assert peer.state() == 'unconfigured' and node.alive()

    assert peer.set_parameter('checkpoint', str(checkpoint_path))[0]
    assert peer.change_state('configure') and peer.change_state('activate')
    masks = peer.collect(Image, f'{OUT}/mask')
    publisher = peer.publisher(Image, CAMERA)
    talk = SimpleNamespace(left=publisher, left_masks=masks)
    assert peer.wait(lambda: answered_soon(peer, talk, random_frame(48, 64)), 'a mask')
    node.interrupt()
    node.interrupt()
    assert node.wait(3) == 0
    assert 'Traceback' not in node.log


@pytest.mark.slow
def test_a_real_drive_comes_through_as_evaluate_sees_it(start_node, peer, camvid_root):
    """CamVid's validation frames, each waited for: every mask, and evaluate's mean IoU."""
    weights = default_checkpoint_path()
    if not weights.is_file():
        pytest.skip('the packaged weights are not here')
    from training.datasets import make_dataset
    from training.evaluate import evaluate

    data = make_dataset([{'dataset': 'camvid', 'root': str(camvid_root), 'split': 'val'}])
    frames = [data[index] for index in range(len(data))]
    node = start_node(checkpoint=weights, image_topics="['/drive/image_raw']")
    masks = peer.collect(Image, '/drive/segmentation/mask')
    peer.wait(lambda: 'waiting for frames' in node.log, 'the node', 60)
    peer.heard('/drive/segmentation/mask')
    publisher = peer.publisher(Image, '/drive/image_raw')
    segmenter = Segmenter(weights, device='cpu')
    confusion = ConfusionMatrix(len(segmenter.labels))
    for index, (image, truth) in enumerate(frames):
        message = peer.image(image, f'frame_{index}')
        mask = peer.exchange(publisher, message, masks)
        assert mask.header == message.header
        confusion.update(truth, pixels(mask))
    assert len(masks) == len(frames)
    expected = evaluate(segmenter, frames)
    assert confusion.mean_iou() == pytest.approx(expected.mean_iou(), abs=0.001)
