"""What the operating system shows of this machine and of its processes."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path

# The device of discrete cards, Jetson and WSL, and what else must be there: WSL's is any vendor's
GPU_FILES = (('/dev/nvidiactl',), ('/dev/nvhost-ctrl',),
             ('/dev/dxg', '/usr/lib/wsl/lib/libcuda.so.1'))


@dataclass(frozen=True)
class Held:
    """
    What a process holds.

    :param memory_mb: in use (resident), MiB.
    :param peak_memory_mb: the most that it ever was.
    :param threads: how many.
    :param files: open ones, sockets among them.
    """

    memory_mb: float
    peak_memory_mb: float
    threads: int
    files: int


def held(pid: int) -> Held:
    """
    Return what a process holds.

    :param pid: of the process.
    :raises OSError: there is none, it has ended, it is another user's, or the system does not say.
    """
    memory, peak, threads = _status(pid, 'VmRSS', 'VmHWM', 'Threads')
    files = len(list(Path('/proc', str(pid), 'fd').iterdir()))
    return Held(memory / 1024, peak / 1024, threads, files)


def peak_memory_mb(pid: int) -> float:
    """
    Return the most memory that a process, of any user, ever held, MiB.

    :param pid: of the process.
    :raises OSError: there is none, it has ended, or the system does not say.
    """
    return _status(pid, 'VmHWM')[0] / 1024


def _status(pid: int, *names: str) -> list[int]:
    """Return numbers of a process's status, sizes in KiB."""
    file = Path('/proc', str(pid), 'status')
    fields = dict(line.split(':', 1) for line in file.read_text(encoding='utf-8').splitlines())
    missing = [name for name in names if name not in fields]
    if missing:  # such as the memory of a process that has ended and is not waited for
        raise OSError(f'{file} does not say {", ".join(missing)}')
    return [int(fields[name].split()[0]) for name in names]


def gpu_device() -> str | None:
    """
    Return the file of an NVIDIA GPU, None where there is none.

    Whether torch can use it is another question, which takes seconds to ask.
    """
    return next((files[0] for files in GPU_FILES if all(map(os.path.exists, files))), None)
