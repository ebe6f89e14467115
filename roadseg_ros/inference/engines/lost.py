"""A device that fails while frames are segmented: out of memory, unplugged, a driver that died."""

from __future__ import annotations

from contextlib import suppress
import logging

from roadseg_ros.checkpoint import Checkpoint
from roadseg_ros.inference.engines import Engine, make_engine

_log = logging.getLogger(__name__)


def on_the_cpu_instead(lost: Engine, error: Exception, checkpoint: Checkpoint, engine: str,
                       threads: int | None) -> Engine:
    """
    Start an engine on the CPU in the place of one whose device failed, and warn.

    Slower masks are better than none to whoever is driving. The device is not tried again by
    itself: one that fails now and then would cost a start each time.

    :param lost: closed as far as it still can be.
    :param error: that it failed with.
    :param checkpoint: what to run.
    :param engine: one of `ENGINES`.
    :param threads: at most so many; None = one for each core.
    :return: the engine; its `fallback` says what happened.
    :raises EngineError: the engine is not there.
    """
    started = make_engine(checkpoint, 'cpu', engine, threads)
    with suppress(RuntimeError):  # there may be nothing left to give memory back to
        lost.close()
    reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
    started.fallback = f'{lost.device} failed ({reason})'
    _log.warning('%s: goes on on the CPU with %s, until the checkpoint is loaded again',
                 started.fallback, started.name)
    return started
