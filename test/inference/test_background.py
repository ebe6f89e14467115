"""Work beside the frames: one at a time, cameras in turn, the newest alone waits."""

from concurrent.futures import CancelledError
import threading

import cv2
import pytest

from roadseg_ros.inference.background import Background, spare_one_core

LONG = 30  # seconds; no test gets near


@pytest.fixture
def background():
    """Return a background that is closed afterwards."""
    background = Background()
    yield background
    background.close()


class Held:
    """Work that a test begins to wait for and lets go."""

    def __init__(self):
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self):
        """Wait to be freed."""
        self.begun.set()
        assert self.free.wait(LONG)
        return 'held'


def test_work_is_done_in_another_thread(background):
    """The result comes back through the future; the caller's thread did not compute it."""
    assert background.offer('a', threading.get_ident).result(LONG) != threading.get_ident()


def test_an_error_is_that_works_alone(background):
    """What raises hands over its error, and the next piece is done."""
    failed = background.offer('a', lambda: 1 // 0)
    assert background.offer('b', lambda: 'done').result(LONG) == 'done'
    with pytest.raises(ZeroDivisionError):
        failed.result(LONG)


def test_cameras_take_turns_and_only_the_newest_waits(background):
    """A camera keeps its place in line while its waiting work is replaced by newer."""
    held, order = Held(), []
    first = background.offer('a', held)
    assert held.begun.wait(LONG)
    old = background.offer('b', lambda: order.append('old b'))
    last = background.offer('c', lambda: order.append('c'))
    assert old.cancel()
    new = background.offer('b', lambda: order.append('new b'))
    held.free.set()
    for future in (first, new, last):
        future.result(LONG)
    assert order == ['new b', 'c']
    with pytest.raises(CancelledError):
        old.result(LONG)


def test_what_was_called_off_holds_nothing(background):
    """A thousand pieces offered and called off while the worker is busy leave one waiting."""
    held = Held()
    background.offer('a', held)
    assert held.begun.wait(LONG)
    for number in range(1000):
        background.offer(f'camera {number}', bytes).cancel()
    kept = background.offer('kept', lambda: 'kept')
    assert list(background._waiting) == ['kept']
    held.free.set()
    assert kept.result(LONG) == 'kept'


def test_close_waits_for_the_work_and_calls_off_the_rest():
    """Nothing runs after `close`, and nothing can be offered."""
    background, held = Background(), Held()
    doing = background.offer('a', held)
    assert held.begun.wait(LONG)
    waiting = background.offer('b', lambda: 'never')
    closing = threading.Thread(target=background.close)
    closing.start()
    held.free.set()
    closing.join(LONG)
    assert not closing.is_alive()
    assert doing.result(0) == 'held' and waiting.cancelled()
    with pytest.raises(RuntimeError, match='closed'):
        background.offer('a', bytes)


def test_opencv_has_one_thread_meanwhile():
    """OpenCV's own threads come back when the worker ends, and nothing changes without one."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        unused = Background()
        unused.close()
        assert cv2.getNumThreads() == 2
        background = Background()
        background.offer('a', bytes).result(LONG)
        assert cv2.getNumThreads() == 1
        background.close()
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_opencv_stays_held_until_the_last_has_closed():
    """One that begins before another ends does not take what that one left for what was."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        one, other = Background(), Background()
        one.offer('a', bytes).result(LONG)
        other.offer('a', bytes).result(LONG)
        one.close()
        assert cv2.getNumThreads() == 1
        other.close()
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize('cores, wanted', [({0}, 1), ({0, 1}, 1), ({0, 1, 2, 5}, 3)])
def test_a_core_is_left_over(monkeypatch, cores, wanted):
    """One core fewer than there are, at least one."""
    monkeypatch.setattr('os.sched_getaffinity', lambda process: cores)
    monkeypatch.setattr('roadseg_ros.inference.background._siblings', str)
    assert spare_one_core() == wanted


def test_siblings_are_one_core(monkeypatch):
    """Two processors of one core count once."""
    monkeypatch.setattr('os.sched_getaffinity', lambda process: {0, 1, 2, 3})
    monkeypatch.setattr('roadseg_ros.inference.background._siblings', lambda number: number % 2)
    assert spare_one_core() == 1
