"""What the operating system shows of this machine and of its processes."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path

GPU_DEVICES = ('/dev/nvidiactl', '/dev/nvhost-ctrl', '/dev/dxg')  # discrete cards, Jetson, WSL


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
    :raises OSError: there is none, it is another user's, or the system has no /proc.
    """
    process = Path('/proc', str(pid))
    lines = (process / 'status').read_text(encoding='utf-8').splitlines()
    fields = dict(line.split(':', 1) for line in lines)
    memory, peak = (int(fields[name].split()[0]) / 1024 for name in ('VmRSS', 'VmHWM'))
    return Held(memory, peak, int(fields['Threads']), len(list((process / 'fd').iterdir())))


def gpu_device() -> str | None:
    """
    Return the file of an NVIDIA GPU, None where there is none.

    Whether torch can use it is another question, which takes seconds to ask.
    """
    return next((path for path in GPU_DEVICES if os.path.exists(path)), None)
