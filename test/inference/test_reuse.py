"""Which frames the network sees, and what the others are shown instead."""

from concurrent.futures import Future, wait
import threading
import tracemalloc

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.feature_cache import MAX_STREAMS
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.reuse import Reuse
from roadseg_ros.labels import UNLABELLED

SIZE = (96, 128)
STEP_NS = 66_000_000
START = 10 ** 18
LONG = 30  # seconds; no test gets near
STEP = 4   # pixels a frame


class Network:
    """Labels a pixel by its brightness; keeps what it was shown; a test may hold or break it."""

    def __init__(self):
        self.seen = []
        self.begun, self.free = threading.Semaphore(0), threading.Event()
        self.free.set()
        self.broken = False

    def __call__(self, frames):
        """Predict frames."""
        self.begun.release(len(frames))
        assert self.free.wait(LONG)
        self.seen += [frame.copy() for frame in frames]
        if self.broken:
            raise RuntimeError('the network is broken')
        return [Prediction(ids_of(frame), np.full(frame.shape[:2], 200, np.uint8),
                           frame.shape[:2]) for frame in frames]

    def wait_until_busy(self):
        """Wait until it has begun with one more frame."""
        assert self.begun.acquire(timeout=LONG)


def ids_of(frame):
    """Return what the network makes of a frame."""
    return (frame[..., 0] // 64).astype(np.uint8)


def drive(seed=0, count=12, step=STEP, size=SIZE):
    """Return frames of a camera that pans to the right over noise."""
    rng = np.random.default_rng(seed)
    height, width = size[0], size[1] + step * count
    world = sum(cv2.resize(rng.uniform(0, 1, (height // cell, width // cell)), (width, height),
                           interpolation=cv2.INTER_CUBIC) for cell in (4, 8, 24))
    world = cv2.normalize(world, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return [np.dstack([world[:, step * i:step * i + size[1]]] * 3) for i in range(count)]


@pytest.fixture
def network():
    """Return a network that is free."""
    return Network()


@pytest.fixture
def make(network):
    """Return a function that makes what is tested; all are closed afterwards."""
    made = []

    def make(*args, **options):
        made.append(Reuse(network, lambda size: size, CacheSettings(*args, **options)))
        return made[-1]
    yield make
    network.free.set()
    for reuse in made:
        reuse.close()


def play(reuse, frames, first=0, stream='front'):
    """Return the predictions of frames that come one by one at 15 Hz."""
    return [reuse.predict([frame], [stream], [START + (first + i) * STEP_NS])[0]
            for i, frame in enumerate(frames)]


def settle(reuse):
    """Wait until the network has done what it was given in the background."""
    wait([state.coming.kept for state in reuse.cache._states.values() if state.coming], LONG)


def same(one, other):
    """Assert that a prediction is what the network says of a frame."""
    np.testing.assert_array_equal(one.class_ids, ids_of(other))


def inner_share(prediction, frame, steps):
    """Return the share of pixels that are right where the old picture reached."""
    width = SIZE[1] - steps * STEP - 4
    return (prediction.class_ids[4:-4, 4:width] == ids_of(frame)[4:-4, 4:width]).mean()


@pytest.mark.parametrize('interval', [1, 2, 3, 5])
def test_every_nth_frame_is_the_networks(make, network, interval):
    """Keys are exactly the network's, the rest says how old it is."""
    frames = drive()
    results = play(make('warp', interval), frames)
    for index, (frame, result) in enumerate(zip(frames, results)):
        since = index % interval
        assert result.made == ('warped' if since else 'full')
        assert result.age_ms == pytest.approx(since * STEP_NS / 1e6)
        assert result.frame_size == SIZE
        if not since:
            same(result, frame)
    assert len(network.seen) == -(-len(frames) // interval)


def test_carried_labels_stay_with_the_world(make):
    """Four frames on they are where the things are; what came in is unlabelled."""
    frames = drive()
    results = play(make('warp', 5), frames[:5])
    for steps in range(1, 5):
        result = results[steps]
        assert inner_share(result, frames[steps], steps) > 0.85
        new = result.class_ids[:, SIZE[1] - steps * STEP + 1:]
        assert (new == UNLABELLED).mean() > 0.9
        assert not result.confidence[result.class_ids == UNLABELLED].any()
        # far better than not to move at all
        assert inner_share(results[0], frames[steps], steps) < 0.6


def test_confidence_falls_with_age(make):
    """Each frame away from the key is a little less sure, never more than the key."""
    results = play(make('warp', 5), drive()[:5])
    highest = [int(result.confidence.max()) for result in results]
    assert highest[0] == 200
    assert all(later < earlier for earlier, later in zip(highest, highest[1:]))


def test_two_frames_of_a_camera_in_one_call(make, network):
    """They are taken one after the other, in order, as if they had come alone."""
    frames = drive()[:6]
    alone = play(make('warp', 3), frames)
    stamps = [START + i * STEP_NS for i in range(6)]
    together = make('warp', 3).predict(frames, ['front'] * 6, stamps)
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        assert (one.made, one.age_ms) == (other.made, other.age_ms)


def test_cameras_are_apart_and_their_keys_go_together(make, network):
    """Each has its own state; frames that need the network share one call of it."""
    left, right = drive(1), drive(2)
    calls, reuse = [], make('warp', 2)
    reuse._predict = lambda frames: calls.append(len(frames)) or network(frames)
    for index in range(4):
        results = reuse.predict([left[index], right[index]], ['left', 'right'],
                                [START + index * STEP_NS] * 2)
        for result, frame in zip(results, (left[index], right[index])):
            assert inner_share(result, frame, index % 2) > 0.9
    assert [count for count in calls if count] == [2, 2]


@pytest.mark.parametrize('policy', ['warp', 'adaptive'])
def test_a_cut_is_seen_in_its_own_frame(make, policy):
    """From the first frame of another scene on nothing of the old one is shown."""
    before, after = drive(1), drive(2)
    reuse = make(policy, 5)
    play(reuse, before[:3])
    results = play(reuse, after[:3], first=3)
    assert [result.made for result in results[:2]] == ['full', 'warped']
    same(results[0], after[0])
    assert inner_share(results[1], after[1], 1) > 0.9
    assert dict(reuse.cache.resets) == {'scene cut': 1}


@pytest.mark.parametrize('stamp_ns, reason', [
    (START - 1, 'time went back'), (START + 10 ** 9, 'gap')])
@pytest.mark.parametrize('background', [False, True])
def test_a_jump_in_time_begins_anew(make, stamp_ns, reason, background):
    """No mask is carried across it; in the background nothing is shown until the next key."""
    reuse, frames = make('warp', 5, background=background), drive()
    reuse.predict([frames[0]], ['front'], [START])
    settle(reuse)
    result = reuse.predict([frames[1]], ['front'], [stamp_ns])[0]
    assert dict(reuse.cache.resets) == {reason: 1}
    if background:
        assert result.made == 'none' and (result.class_ids == UNLABELLED).all()
    else:
        assert result.made == 'full'
        same(result, frames[1])


def test_another_size_begins_anew(make):
    """A camera that changes its mode is a new camera."""
    reuse = make('warp', 5)
    play(reuse, drive()[:2])
    frame = drive(size=(64, 80))[0]
    result = play(reuse, [frame], first=2)[0]
    assert result.made == 'full' and result.class_ids.shape == (64, 80)
    assert dict(reuse.cache.resets) == {'size': 1}


@pytest.mark.parametrize('background', [False, True])
def test_no_pixel_is_older_than_allowed(make, background):
    """Whatever the interval, and however long the network takes."""
    reuse = make('warp', 100, max_age_ms=150, background=background)
    ages = []
    for index, frame in enumerate(drive(step=1, count=12)):
        result = reuse.predict([frame], ['front'], [START + index * STEP_NS])[0]
        settle(reuse)
        ages.append(result.age_ms if result.made != 'none' else 0)
    assert 100 < max(ages) <= 150


@pytest.mark.parametrize('hz, made, keys', [
    (15, 11 * ['warped'], [0, 3, 6, 9]), (6, 11 * ['warped'], [0, 3, 6, 9]),
    (5, 11 * ['warped'], [0, 2, 4, 6, 8, 10]), (2, 11 * ['warped'], list(range(12))),
    (1.9, 11 * ['none'], list(range(12)))])
def test_a_background_key_comes_in_time(make, network, hz, made, keys):
    """With the defaults each frame but the first has a mask, of a camera of 2 Hz still."""
    frames, reuse, found = drive(step=1), make('warp', background=True), []
    for index, frame in enumerate(frames):
        found.append(reuse.predict([frame], ['front'], [START + round(index * 1e9 / hz)])[0].made)
        settle(reuse)
    assert found == ['none', *made]
    assert len(network.seen) == len(keys)
    for seen, index in zip(network.seen, keys):
        np.testing.assert_array_equal(seen, frames[index])


class Server:
    """In the place of the background: finishes one camera's key after the other, at its pace."""

    def __init__(self):
        self.waiting = {}

    def offer(self, stream, work):
        """Put work in line as `Background` does."""
        future = Future()
        self.waiting[stream] = (work, future)
        for name in [name for name, (_, given) in self.waiting.items() if given.cancelled()]:
            del self.waiting[name]
        return future

    def begin(self):
        """Return the work that is next in line, which can no longer be called off."""
        if not self.waiting:
            return None
        work, future = self.waiting.pop(next(iter(self.waiting)))
        future.set_running_or_notify_cancel()
        return lambda: future.set_result(work())

    def close(self):
        """Nothing to wait for."""


def test_cameras_that_wait_for_each_others_keys_have_masks(make):
    """Three that begin together, a network of 1.5 frames: after five seconds few are blank."""
    reuse, made = make('warp', 100, background=True), []
    frame = drive(size=(24, 32))[0]
    reuse._background.close()
    reuse._background, finish, busy = Server(), None, 0
    for half in range(2 * 15 * 40):  # half periods of 15 Hz
        if half % 2 == 0:
            stamp = START + half // 2 * STEP_NS
            made += [result.made for result in reuse.predict([frame] * 3, 'abc', [stamp] * 3)]
        busy -= 1
        if finish and busy <= 0:
            finish = finish()
        if not finish:
            finish, busy = reuse._background.begin(), 3
    late = made[3 * 15 * 5:]
    assert late.count('none') / len(late) < 0.02


def test_a_slow_camera_reuses_masks_as_old_as_it_allows(make):
    """At one frame a second a gap is what is longer than the age, not half a second."""
    reuse, frames = make('warp', 3, max_age_ms=1500), drive(step=1)
    stamps = [START, START + 10 ** 9, START + 2 * 10 ** 9]
    made = [reuse.predict([frame], ['front'], [stamp])[0].made
            for frame, stamp in zip(frames, stamps)]
    assert made == ['full', 'warped', 'full']
    assert not reuse.cache.resets


def test_a_key_that_comes_too_late_is_not_shown(make, network):
    """In the background a network slower than the age shows nothing rather than old masks."""
    reuse, frames = make('warp', 1, max_age_ms=100, background=True), drive(step=1)
    network.free.clear()
    play(reuse, frames[:1])
    network.wait_until_busy()
    play(reuse, frames[1:3], first=1)
    network.free.set()
    settle(reuse)
    result = play(reuse, frames[3:4], first=3)[0]
    assert result.made == 'none' and (result.class_ids == UNLABELLED).all()
    assert not result.confidence.any()


def test_numbers_change_under_what_is_kept(make):
    """A new interval holds from the next frame on; nothing is forgotten."""
    reuse, frames = make('warp', 5), drive()
    play(reuse, frames[:2])
    reuse.settings = CacheSettings('warp', 2)
    results = play(reuse, frames[2:5], first=2)
    assert [result.made for result in results] == ['full', 'warped', 'full']
    assert not reuse.cache.resets


def test_adaptive_spends_keys_where_things_move(make, network):
    """A standing camera waits as long as it may, one that turns fast does not."""
    standing, turning = drive(step=0), drive(step=12)
    play(make('adaptive', 6), standing)
    still = len(network.seen)
    play(make('adaptive', 6), turning)
    assert still == 2
    assert len(network.seen) - still > 2 * still


def test_a_broken_network_fails_its_frame_alone(make, network):
    """The error comes out; when the network is well again so is the stream."""
    reuse, frames = make('warp', 2), drive()
    play(reuse, frames[:2])
    network.broken = True
    with pytest.raises(RuntimeError, match='broken'):
        play(reuse, frames[2:3], first=2)
    network.broken = False
    results = play(reuse, frames[3:5], first=3)
    assert [result.made for result in results] == ['full', 'warped']
    same(results[0], frames[3])


def test_background_frames_do_not_wait(make, network):
    """While the network works, frames are shown the last key it finished, carried along."""
    reuse, frames = make('warp', 1, background=True), drive()
    network.free.clear()
    first = play(reuse, frames[:1])
    network.wait_until_busy()
    first += play(reuse, frames[1:2], first=1)
    assert [result.made for result in first] == ['none', 'none']
    assert all((result.class_ids == UNLABELLED).all() for result in first)
    network.free.set()
    settle(reuse)
    network.free.clear()
    shown = play(reuse, frames[2:3], first=2)
    network.wait_until_busy()
    shown += play(reuse, frames[3:4], first=3)
    for index, result in enumerate(shown, 2):
        assert result.made == 'warped'
        assert result.age_ms == pytest.approx(index * STEP_NS / 1e6)
        assert inner_share(result, frames[index], index) > 0.85
    network.free.set()
    settle(reuse)
    # frame 1 came while the network was busy: the next key was the newest frame when it ended
    assert [int(np.argmax([(seen == frame).all() for frame in frames]))
            for seen in network.seen] == [0, 2]


def test_background_keeps_the_interval(make, network):
    """A network faster than the camera still sees only every third frame."""
    reuse = make('warp', 3, background=True)
    for index, frame in enumerate(drive(step=1, count=9)):
        reuse.predict([frame], ['front'], [START + index * STEP_NS])
        settle(reuse)
    assert len(network.seen) == 3


def test_background_frames_are_copied(make, network):
    """The caller may write into a frame as soon as the call is over."""
    reuse, frame = make('warp', 1, background=True), drive()[0]
    given = frame.copy()
    network.free.clear()
    play(reuse, [given])
    given[:] = 0
    network.free.set()
    settle(reuse)
    np.testing.assert_array_equal(network.seen[0], frame)


def test_a_broken_background_fails_one_frame(make, network):
    """The frame that asks for the key gets the error, the next one starts another key."""
    reuse, frames = make('warp', 1, background=True), drive()
    network.broken = True
    play(reuse, frames[:1])
    settle(reuse)
    network.broken = False
    with pytest.raises(RuntimeError, match='broken'):
        play(reuse, frames[1:2], first=1)
    assert play(reuse, frames[2:3], first=2)[0].made == 'none'
    settle(reuse)
    assert play(reuse, frames[3:4], first=3)[0].made == 'warped'


def test_after_a_cut_in_the_background_the_old_scene_is_never_shown(make, network):
    """Neither its mask nor the key that was being worked on when it ended."""
    before, after = drive(1), drive(2)
    reuse = make('warp', 1, background=True)
    play(reuse, before[:1])
    settle(reuse)
    network.free.clear()
    play(reuse, before[1:2], first=1)
    network.begun.acquire()
    network.wait_until_busy()
    cut = play(reuse, after[:2], first=2)
    assert [result.made for result in cut] == ['none', 'none']
    assert all((result.class_ids == UNLABELLED).all() for result in cut)
    network.free.set()
    settle(reuse)
    result = play(reuse, after[2:3], first=4)[0]
    assert inner_share(result, after[2], 2) > 0.8


def test_cuts_on_every_frame_leave_no_queue(make, network):
    """However many scenes go by while the network works, one frame waits."""
    reuse = make('warp', 1, background=True)
    network.free.clear()
    play(reuse, [drive(0)[0]])
    network.wait_until_busy()
    for index in range(1, 20):
        play(reuse, [drive(index)[0]], first=index)
        assert len(reuse._background._waiting) == 1
    network.free.set()
    settle(reuse)
    assert len(network.seen) == 2
    np.testing.assert_array_equal(network.seen[1], drive(19)[0])


def test_cameras_take_turns_in_the_background(make, network):
    """Both get keys, of their newest frames."""
    left, right = drive(1), drive(2)
    reuse = make('warp', 1, background=True)
    network.free.clear()
    for index in range(3):
        reuse.predict([left[index], right[index]], ['left', 'right'],
                      [START + index * STEP_NS] * 2)
        if index == 0:
            network.wait_until_busy()
    network.free.set()
    settle(reuse)
    np.testing.assert_array_equal(network.seen[0], left[0])
    np.testing.assert_array_equal(network.seen[1], right[2])


def test_the_callers_masks_are_its_own(make):
    """Writing into a result does not change what is carried."""
    reuse, frames = make('warp', 3), drive(step=0)
    play(reuse, frames[:1])[0].class_ids[:] = 9
    assert (play(reuse, frames[1:2], first=1)[0].class_ids < 4).all()


@pytest.mark.parametrize('background', [False, True])
def test_memory_of_a_stream_is_bounded(make, network, background):
    """A thousand cameras take no more than a few, at 9 bytes a pixel and a waiting frame."""
    reuse, pixels = make('warp', 3, background=background), SIZE[0] * SIZE[1]
    frames = drive(count=4)
    play(reuse, frames, stream='before')  # what is made once for a size is made now
    settle(reuse)
    reuse.cache.reset()
    network.seen.clear()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(100):
        play(reuse, frames, stream=f'camera {number}')
        settle(reuse)
        network.seen.clear()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(reuse.cache) == MAX_STREAMS
    assert used < MAX_STREAMS * (9 + 3 * background) * pixels * 1.1
