"""One thread that works whenever there is something to do, and never dies of an exception."""

from __future__ import annotations

from collections.abc import Callable
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
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name='segmentation', daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Let the work at hand finish and end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        """Wait, work, repeat."""
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._work()
            except Exception as error:
                self._on_error(error)
