"""One thread that works whenever there is something to do, and never dies of an exception."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
import threading


class Worker:
    """
    Call a function in a thread of its own, once after each `wake` (or several of them).

    :param work: what to do; must take all that waits.
    :param on_error: called with what `work` raised; the thread goes on.
    """

    def __init__(self, work: Callable[[], None], on_error: Callable[[Exception], None]) -> None:
        self._work, self._on_error = work, on_error
        self._wake = threading.Event()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name='segmentation', daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the thread, once, before it works again."""
        self._calls.put(function)
        self._wake.set()

    def stop(self) -> None:
        """Let the work at hand and what is to be called finish, and end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        """Wait, work, repeat."""
        while True:
            self._wake.wait()
            self._wake.clear()
            stopping = self._stopping  # first, so that no call slips in unseen
            while not self._calls.empty():
                self._try(self._calls.get())
            if stopping:
                return
            self._try(self._work)

    def _try(self, function: Callable[[], None]) -> None:
        """Call a function and report what it raises."""
        try:
            function()
        except Exception as error:
            self._on_error(error)
