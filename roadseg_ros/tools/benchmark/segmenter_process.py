"""The parent's side of the segmenter that is timed in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from roadseg_ros.inference.engines import EngineError

CHILD = (sys.executable, '-m', 'roadseg_ros.tools.benchmark.segmenter_child')
END_TIMEOUT_SEC = 5.0


class EngineCrash(EngineError):
    """An engine that is there, and failed in a way that nobody foresaw."""


class SegmenterProcess:
    """
    A segmenter that no other engine's libraries disturb; a context manager.

    :param checkpoint: weights it loads.
    :param device: it runs on.
    :param engine: it runs with.
    :param output: file for what its libraries print; replaced.
    """

    def __init__(self, checkpoint: Path, device: str, engine: str, output: Path) -> None:
        self._arguments = {'checkpoint': str(checkpoint), 'device': device, 'engine': engine}
        self.engine, self._output = engine, output

    def __enter__(self) -> SegmenterProcess:
        """
        Start it; `facts` has its engine, device and gpu (None unless on CUDA).

        :raises EngineError: the engine is not there; EngineCrash where it broke.
        """
        with self._output.open('wb') as output:
            self._process = subprocess.Popen(
                [*CHILD, json.dumps(self._arguments)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=output, text=True)
        try:
            self.facts = self._reply()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        for stop in (self._process.stdin.close, self._process.terminate, self._process.kill):
            try:
                stop()
                self._process.wait(END_TIMEOUT_SEC)
                break
            except (OSError, subprocess.TimeoutExpired):
                continue
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def time(self, size: tuple[int, int], cache: str, count: int) -> list[float]:
        """
        Segment frames one by one.

        :param size: (height, width) of the frames.
        :param cache: policy.
        :param count: how many frames, those that follow the last call's.
        :return: milliseconds of each.
        :raises EngineError: the engine cannot.
        """
        try:
            print(json.dumps({'size': size, 'cache': cache, 'count': count}),
                  file=self._process.stdin, flush=True)
        except OSError:
            pass  # it ended; its last reply says why
        return list(self._reply()['ms'])

    def _reply(self) -> dict[str, Any]:
        """Return its next reply."""
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise EngineCrash(f'the segmenter ended with status {status} (see {self._output})')
        reply: dict[str, Any] = json.loads(line)
        if 'error' in reply:
            raise (EngineError if reply['foreseen'] else EngineCrash)(reply['error'])
        return reply
