"""Checks of the install, which need no node and no package that works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import threading

from roadseg_ros.share import PACKAGE, share_directory
from roadseg_ros.tools.doctor.check import Check, FAIL, OK, WARN
from roadseg_ros.tools.doctor.probes import broken, PROBES

PATIENCE_SEC = 120.0  # for the imports of one process; what is left then gets another
SUPPORTED = ((3, 10), (3, 13))


def examine_install(names: Sequence[str] = tuple(PROBES)) -> Iterator[Check]:
    """
    Check the interpreter and, in a process of its own, what it can import.

    :param names: of the probes to make.
    :return: the checks, each as soon as it is made.
    """
    yield interpreter()
    yield from executables()
    left = list(names)
    while left:  # a process for what comes after a package that ends its interpreter
        yield from _probe(left)


def interpreter() -> Check:
    """Check this interpreter: its version, and that it is the one of the environment."""
    version = '.'.join(map(str, sys.version_info[:3]))
    is_venv = sys.prefix != sys.base_prefix
    message = (f'Python {version}, {sys.executable}, '
               + (f'of the venv {sys.prefix}' if is_venv else 'of no venv'))
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        return Check('interpreter', FAIL, message, 'use a Python from 3.10 to 3.13')
    meant = _meant_venv()
    if meant is not None and meant.resolve() != Path(sys.prefix).resolve():
        return Check('interpreter', WARN, f'{message}; the venv meant is {meant}',
                     f'use {meant}/bin/python')
    return Check('interpreter', OK, message)


def executables() -> Iterator[Check]:
    """Check which interpreter `ros2 run` starts the node with, where colcon has built it."""
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        script = Path(prefix, 'lib', PACKAGE, 'segmentation_node')
        try:
            first = script.read_bytes().partition(b'\n')[0].decode(errors='replace')
        except OSError:
            continue
        starts = first.removeprefix('#!').strip()
        # not resolved: a venv's python is a link to the one it was made with
        if 'python' not in starts or Path(starts).parent == Path(sys.executable).parent:
            yield Check('executable', OK, f'{script} is started with {starts}')
        else:
            yield Check('executable', WARN, f'{script} is started with {starts}, not with '
                        f'{sys.executable}', 'activate the venv and build with `python -m colcon '
                        'build`, not `colcon build`')


def _meant_venv() -> Path | None:
    """Return the venv that is active, else the one `make` has set up here."""
    active = os.environ.get('VIRTUAL_ENV')
    if active:
        return Path(active)
    made = share_directory() / '.venv'
    return made if (made / 'bin' / 'python').exists() else None


def _probe(left: list[str]) -> Iterator[Check]:
    """Start a process that looks at what is left; take off what it came to."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, '-m', 'roadseg_ros.tools.doctor.probes', *left],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        clock = threading.Timer(PATIENCE_SEC, process.kill)
        clock.start()
        try:
            for line in process.stdout or ():
                if line.startswith('{"looked_at"'):
                    found = json.loads(line)
                    left.remove(found['looked_at'])
                    if found['check']:
                        yield Check(**found['check'])
            status = process.wait()
        finally:
            clock.cancel()
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read().decode(errors='replace').strip().splitlines()
    if left:
        dead = left[0]  # and with it what else is said of that package
        left[:] = [name for name in left if PROBES[name].module != PROBES[dead].module]
        yield broken(dead, _ending(status) + (f': {said[-1]}' if said else ''))


def _ending(status: int) -> str:
    """Return how a process ended."""
    if status == -signal.SIGKILL:
        return f'it takes longer than {PATIENCE_SEC:.0f} s, or memory ran out'
    if status < 0:
        return f'it ends the interpreter ({signal.Signals(-status).name})'
    return f'it ends the interpreter (status {status})'
