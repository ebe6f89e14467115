"""Masks reused between frames by the node as its own process, over DDS."""
import math
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

CAMERA, OUT = '/camera/image_raw', '/camera/segmentation'
FRAME_NS = 1_000_000_000 // 15
START_NS = 1_700_000_000_000_000_000


def pixels(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def values(status):
    return {value.key: value.value for value in status.values}


class Drive:
    """A camera at 15 Hz and what the node makes of its frames."""

    def __init__(self, peer):
        self.peer, self.stamp_ns = peer, START_NS
        self.answers = {name: peer.collect(kind, f'{OUT}/{name}') for name, kind in (
            ('mask', Image), ('confidence', Image), ('provenance', DiagnosticArray))}
        self.diagnostics = peer.collect(DiagnosticArray, '/diagnostics')
        for name in self.answers:
            peer.heard(f'{OUT}/{name}')
        self.camera = peer.publisher(Image, CAMERA)

    def send(self, picture, frame_id='camera', encoding='bgr8'):
        """Send the next frame; return its ids, confidence and how they were made."""
        self.stamp_ns += FRAME_NS
        message = self.peer.image(picture, frame_id)
        message.encoding = encoding
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(self.stamp_ns, 10 ** 9)
        for answers in self.answers.values():
            answers.clear()
        self.camera.publish(message)
        mask, confidence, provenance = self.peer.wait(lambda: self.all_of(message), 'the answers')
        assert mask.header == confidence.header == provenance.header == message.header
        return SimpleNamespace(ids=pixels(mask), confidence=pixels(confidence),
                               **values(provenance.status[0]))

    def all_of(self, message):
        """Return every answer to a message, None while one is missing."""
        found = [self.peer.answer(message, answers) for answers in self.answers.values()]
        return found if all(found) else None

    def until(self, condition, what):
        """Wait for what the latest diagnostics, of the node and of its camera, must say."""
        def found():
            if self.diagnostics:
                node, camera = (values(status) for status in self.diagnostics[-1].status)
                return condition(node, camera)

        self.peer.wait(found, what)


@pytest.fixture(scope='module')
def node(start_node, peer):
    process = start_node(image_topics=f"['{CAMERA}']", **{'cache.policy': 'off'})
    peer.wait(lambda: 'waiting for frames' in process.log, 'the node', 60)
    return process


@pytest.fixture(scope='module')
def connected(node, peer, picture_of):
    """Return the drive once every topic has been matched."""
    drive = Drive(peer)

    def answered():
        message = peer.image(picture_of(0))
        drive.camera.publish(message)
        try:
            return peer.wait(lambda: drive.all_of(message), timeout=0.5)
        except AssertionError:
            return None

    peer.wait(answered, 'the topics to be matched')
    return drive


@pytest.fixture
def drive(connected, peer):
    """Return the drive at a new start, its masks carried along for as long as it takes."""
    for name, value in (('cache.policy', 'off'), ('cache.interval', 1000),
                        ('cache.max_age_ms', 60000), ('cache.background', False),
                        ('cache.policy', 'warp'), ('min_confidence', 0.0)):
        assert peer.set_parameter(name, value) == (True, '')
    connected.stamp_ns += 10 ** 11  # a gap
    return connected


@pytest.fixture(scope='module')
def picture_of():
    """Return a function from a number to a picture."""
    def make(number):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))

    return make


def test_switched_on_and_off_while_running(drive, peer, segmenter, picture):
    wanted = segmenter.segment([picture])[0]
    assert peer.set_parameter('cache.interval', 3) == (True, '')
    frames = [drive.send(picture) for _ in range(5)]
    assert [frame.made for frame in frames] == ['full', 'warped', 'warped', 'full', 'warped']
    assert [frame.age_ms for frame in frames] == ['0.0', '66.7', '133.3', '0.0', '66.7']
    assert all(np.array_equal(frame.ids, wanted.class_ids) for frame in frames)
    assert np.array_equal(frames[0].confidence, wanted.confidence)
    assert 'warp_ms' in vars(frames[1]) and 'network_ms' not in vars(frames[1])
    assert float(frames[1].change) < 1 and 'change' not in vars(frames[0])

    assert peer.set_parameter('cache.policy', False) == (True, '')  # YAML's bare off
    for _ in range(3):
        frame = drive.send(picture)
        assert frame.made == 'full' and np.array_equal(frame.confidence, wanted.confidence)
    drive.until(lambda node, camera: node['cache_policy'] == 'off', 'the policy')


def test_diagnostics_count_how_masks_were_made(drive, picture):
    def counts():
        camera = values(drive.diagnostics[-1].status[1])
        return [int(camera[f'made_{how}']) for how in ('full', 'warped', 'cached', 'none')]

    published = sum(counts()) - 1
    drive.until(lambda node, camera: int(camera['published']) > published, 'diagnostics')
    before = counts()
    for _ in range(4):
        drive.send(picture)
    wanted = [before[0] + 1, before[1] + 3, before[2], before[3]]
    drive.until(lambda node, camera: counts() == wanted, f'{wanted}')
    node, camera = (values(status) for status in drive.diagnostics[-1].status)
    assert {'latency_warp_ms', 'latency_network_ms', 'latency_total_ms'} <= set(camera)
    assert {name: node[f'cache_{name}'] for name in (
        'policy', 'interval', 'max_age_ms', 'background')} == {
        'policy': 'warp', 'interval': '1000', 'max_age_ms': '60000', 'background': 'False'}


def test_no_frame_after_a_bag_has_looped_carries_old_labels(drive, segmenter, picture_of):
    begin, first_lap, second_lap = drive.stamp_ns, picture_of(1), picture_of(2)
    assert [drive.send(first_lap).made for _ in range(4)] == ['full'] + ['warped'] * 3
    drive.stamp_ns = begin
    wanted = segmenter.segment([second_lap])[0].class_ids
    frames = [drive.send(second_lap) for _ in range(4)]
    assert [frame.made for frame in frames] == ['full'] + ['warped'] * 3
    assert all(np.array_equal(frame.ids, wanted) for frame in frames)
    drive.until(lambda node, camera: int(node.get('cache_resets_time_went_back', 0)) >= 1,
                'the reset to be counted')


def test_the_same_picture_again_after_a_jump_back_is_computed_anew(drive, picture):
    begin = drive.stamp_ns
    assert [drive.send(picture).made for _ in range(3)] == ['full', 'warped', 'warped']
    drive.stamp_ns = begin
    assert drive.send(picture).made == 'full'


@pytest.mark.parametrize('change', [{'frame_id': 'another'}, {'encoding': 'rgb8'}])
def test_another_frame_id_or_encoding_begins_anew(drive, picture, change):
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']
    assert drive.send(picture, **change).made == 'full'
    assert drive.send(picture, **change).made == 'warped'


def test_another_size_begins_anew(drive, picture):
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']
    frame = drive.send(np.ascontiguousarray(picture[:40]))
    assert frame.made == 'full' and frame.ids.shape == (40, 64)


def test_reset_cache_begins_anew(drive, peer, picture):
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']
    response = peer.call(Trigger, '/roadseg/reset_cache')
    assert (response.success, response.message) == (True, 'every mask begins anew')
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']
    drive.until(lambda node, camera: int(node.get('cache_resets_asked', 0)) >= 1, 'the reset')


def test_new_weights_begin_anew(drive, peer, picture):
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']
    assert peer.call(Trigger, '/roadseg/reload_checkpoint').success
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']


def test_nothing_is_carried_further_than_asked(drive, peer, picture):
    assert peer.set_parameter('cache.max_age_ms', 100) == (True, '')
    assert [drive.send(picture).made for _ in range(4)] == ['full', 'warped', 'full', 'warped']


def test_carried_pixels_are_gated_too(drive, peer, segmenter, picture):
    lowest = float(np.median(segmenter.segment([picture])[0].confidence)) / 255
    assert peer.set_parameter('min_confidence', lowest) == (True, '')
    assert peer.set_parameter('cache.max_age_ms', 500) == (True, '')  # so that confidence falls
    key, carried = drive.send(picture), drive.send(picture)
    assert carried.made == 'warped'
    for frame in (key, carried):
        assert np.array_equal(frame.ids == 255, frame.confidence < math.ceil(255 * lowest))
    assert (key.ids == 255).sum() < (carried.ids == 255).sum() < carried.ids.size


def test_in_the_background_a_frame_has_nothing_until_the_first_key_is_done(
        drive, peer, segmenter, picture):
    assert peer.set_parameter('cache.background', True) == (True, '')
    first = drive.send(picture)
    assert (first.made, first.age_ms, set(first.ids.flat)) == ('none', 'inf', {255})
    frame = peer.wait(lambda: next(
        (frame for frame in [drive.send(picture)] if frame.made != 'none'), None), 'a key')
    assert frame.made == 'warped' and float(frame.age_ms) > 0
    assert np.array_equal(frame.ids, segmenter.segment([picture])[0].class_ids)


@pytest.mark.parametrize('name, value, words', [
    ('cache.policy', 'wrap', "cache.policy is 'wrap'; supported: off, warp"),
    ('cache.interval', 0, 'cache.interval'),
    ('cache.max_age_ms', 0, 'cache.max_age_ms'),
    ('cache.policy', 'clockwork', 'clockwork needs a network in stages'),
    ('cache.policy', 'recurrent', 'recurrent needs a recurrent network'),
])
def test_what_cannot_be_is_refused_and_all_goes_on(drive, peer, picture, name, value, words):
    accepted, reason = peer.set_parameter(name, value)
    assert not accepted and words in reason and '\n' not in reason
    assert [drive.send(picture).made for _ in range(2)] == ['full', 'warped']


def test_policies_that_do_not_go_together_with_the_background_are_refused(drive, peer, picture):
    assert peer.set_parameter('cache.background', True) == (True, '')
    accepted, reason = peer.set_parameter('cache.policy', 'corrected')
    assert not accepted and reason.startswith('cache policy corrected') and '\n' not in reason
    assert drive.send(picture).made in ('none', 'warped')


def test_it_ends_cleanly(node):
    """Last of all, as the node is shared."""
    node.interrupt()
    assert node.wait(5) == 0
    for word in ('Traceback', 'ERROR', 'worker:'):
        assert word not in node.log
