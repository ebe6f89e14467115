"""
The segmenter alone, timed in a process of its own.

Started by `SegmenterProcess` with the segmenter's arguments as JSON. Says in a line of JSON
what it runs on, then answers each line of JSON on standard input, `{"size": [height, width],
"cache": policy, "count": frames}`, with `{"ms": [...]}`; where it cannot, with
`{"error": why, "foreseen": whether it is written for users}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
import json
import os
import signal
import sys
import time
from typing import Any, TextIO, TypeVar

import numpy as np

from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.node.allocator import keep_freed_memory
from roadseg_ros.tools.benchmark.drive import render, stamped

Result = TypeVar('Result')


class Contestant:
    """
    A segmenter with one cache policy at a time.

    :param arguments: of `Segmenter`, without the policy.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments, self._policy = arguments, 'off'
        self._segmenter = Segmenter(**arguments)

    def facts(self) -> dict[str, str | None]:
        """Return what it runs on."""
        device = self._segmenter.device
        gpu = (sys.modules['torch'].cuda.get_device_name(device) if device.startswith('cuda')
               else None)
        return {'engine': self._segmenter.engine, 'device': device, 'gpu': gpu}

    def time(self, size: list[int], cache: str, count: int) -> list[float]:
        """
        Segment frames one by one.

        :param size: [height, width] of the frames.
        :param cache: policy.
        :param count: how many, those that follow the last call's.
        :return: milliseconds of each.
        """
        if cache != self._policy:
            former = self._segmenter
            self._segmenter = Segmenter(**self._arguments, cache=cache)
            self._policy = cache
            former.close()
        turns = _turns(*size)
        milliseconds = []
        for _ in range(count):
            stamp_ns, frame = next(turns)
            start = time.perf_counter()
            self._segmenter.segment([frame], ['camera'], [stamp_ns])
            milliseconds.append((time.perf_counter() - start) * 1e3)
        return milliseconds


@lru_cache(maxsize=1)
def _turns(height: int, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """Return the frames of a size, one drive for all calls."""
    return stamped(render((height, width)))


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C goes to all of the terminal's processes; the parent ends this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # as the node does, or what that gains would be taken off the node's overhead
    keep_freed_memory()
    with os.fdopen(os.dup(1), 'w', buffering=1) as replies:
        os.dup2(2, 1)  # what libraries print is no reply
        arguments = json.loads(sys.argv[1])
        contestant = _attempt(replies, lambda: Contestant(arguments))
        if contestant is None:
            return
        _reply(replies, contestant.facts())
        for line in sys.stdin:
            milliseconds = _attempt(replies, partial(contestant.time, **json.loads(line)))
            if milliseconds is not None:
                _reply(replies, {'ms': milliseconds})


def _attempt(replies: TextIO, work: Callable[[], Result]) -> Result | None:
    """Return what work gives; where it fails, None, and the reply is why."""
    try:
        return work()
    except Exception as error:  # whatever an engine raises
        text = ' '.join(str(error).split())
        written_for_users = isinstance(error, (EngineError, ValueError))
        _reply(replies, {'foreseen': written_for_users, 'error': text if written_for_users
                         else f'{type(error).__name__}: {text}'})
        return None


def _reply(replies: TextIO, content: dict[str, Any]) -> None:
    """Send a line."""
    print(json.dumps(content), file=replies)


if __name__ == '__main__':
    main()
