"""A thread that computes beside the frames, of each camera the newest that waits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
import os
from pathlib import Path
import threading
from typing import Any

import cv2

Work = Callable[[], Any]


class _OneOpenCvThread:
    """OpenCV held to one thread while anyone wants it; the number is the process's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = self._before = 0

    def enter(self) -> None:
        """Hold OpenCV to one thread."""
        with self._lock:
            if not self._wanted:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._wanted += 1

    def leave(self) -> None:
        """Give it back what it had, if nobody else wants it held."""
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                cv2.setNumThreads(self._before)


_ONE_THREAD = _OneOpenCvThread()


class Background:
    """
    One worker; cameras take turns, and each has at most one piece of work waiting.

    OpenCV, which moves masks meanwhile, is held to one thread from the first piece of work until
    `close`: its threads and the network's would wait for each other.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[Work, Future[Any]]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def offer(self, stream: str, work: Work) -> Future[Any]:
        """
        Put work in line, in the place of what still waits for the same camera.

        :param stream: the camera.
        :param work: to be called in the thread; it must own what it reads.
        :return: its result, or what it raises; cancel it when it is no longer wanted.
        """
        future: Future[Any] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError('the background is closed')
            self._waiting[stream] = (work, future)
            for name in [name for name, (_, given) in self._waiting.items() if given.cancelled()]:
                del self._waiting[name]
            if self._thread is None:
                self._start()
            self._changed.notify()
        return future

    def close(self) -> None:
        """Wait for what is being worked on; the rest is called off."""
        with self._changed:
            self._closed = True
            for _, future in self._waiting.values():
                future.cancel()
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            _ONE_THREAD.leave()
            self._thread = None

    def _start(self) -> None:
        """Start the thread."""
        _ONE_THREAD.enter()
        self._thread = threading.Thread(target=self._run, name='key frames', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Work until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                _, (work, future) = self._waiting.popitem(last=False)
            _finish(work, future)
            del work, future  # they hold a frame and a result, and the next may be long in coming


def _finish(work: Work, future: Future[Any]) -> None:
    """Do a piece of work unless it has been called off."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # goes to who asks for the result
        future.set_exception(error)


def spare_one_core() -> int:
    """Return how many threads a network may have that leaves a core to the frames."""
    allowed = os.sched_getaffinity(0)
    siblings = {_siblings(number) for number in allowed}
    return max(1, len(siblings) - 1)


def _siblings(number: int) -> str:
    """Return which logical processors share a core with one, itself among them."""
    try:
        return Path(f'/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list'
                    ).read_text().strip()
    except OSError:
        return str(number)
