"""The thread that works when woken."""
import threading

from roadseg_ros.node.worker import Worker


def test_works_once_for_wakes_that_pile_up():
    entered, leave, runs = threading.Semaphore(0), threading.Semaphore(0), []

    def work():
        runs.append(threading.current_thread().name)
        entered.release()
        assert leave.acquire(timeout=10)

    worker = Worker(work, lambda error: runs.append(error))
    worker.wake()
    assert entered.acquire(timeout=10)
    for _ in range(5):
        worker.wake()
    leave.release()
    assert entered.acquire(timeout=10)
    leave.release()
    worker.stop()
    assert runs == ['segmentation'] * 2


def test_an_exception_is_reported_and_the_thread_goes_on():
    outcomes = [ValueError('broken'), None]
    errors, done = [], threading.Event()

    def work():
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        done.set()

    def on_error(error):
        errors.append(error)
        worker.wake()

    worker = Worker(work, on_error)
    worker.wake()
    assert done.wait(10)
    worker.stop()
    assert [str(error) for error in errors] == ['broken']


def test_a_call_comes_before_the_work_in_the_same_thread():
    done, finished = [], threading.Event()

    def work():
        done.append(('work', threading.current_thread().name))
        finished.set()

    worker = Worker(work, done.append)
    worker.call(lambda: done.append(('call', threading.current_thread().name)))
    assert finished.wait(10)
    worker.stop()
    assert done == [('call', 'segmentation'), ('work', 'segmentation')]


def test_what_was_to_be_called_is_called_before_the_end():
    entered, leave, called = threading.Event(), threading.Event(), []

    def work():
        entered.set()
        assert leave.wait(10)

    worker = Worker(work, called.append)
    worker.wake()
    assert entered.wait(10)
    worker.call(lambda: called.append('called'))
    leave.set()
    worker.stop()
    assert called == ['called']


def test_stop_ends_the_thread_that_never_worked():
    before = threading.active_count()
    worker = Worker(lambda: None, lambda error: None)
    worker.stop()
    assert threading.active_count() == before
