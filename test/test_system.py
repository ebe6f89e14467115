"""What is read of the operating system's files."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

from roadseg_ros import system
from roadseg_ros.system import gpu_device, held, peak_memory_mb
from roadseg_ros.tools.benchmark import measure

# A process of its own, since in this one a thread may end and malloc give back at any time
TAKES = """
import mmap, sys, threading
def say_and_wait():  # a line out: look now; a line in: go on
    print(flush=True)
    sys.stdin.readline()
say_and_wait()
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
file, block = open(sys.argv[1], 'w'), mmap.mmap(-1, 64 << 20)
for page in range(0, len(block), mmap.PAGESIZE):
    block[page] = 1
say_and_wait()
done.set()
thread.join()
file.close()
block.close()
say_and_wait()
"""


def test_what_a_process_holds_is_seen(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, '-c', TAKES, str(tmp_path / 'file')],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        seen = []
        for _ in range(3):
            process.stdout.readline()
            seen.append(held(process.pid))
            process.stdin.write(b'\n')
            process.stdin.flush()
    before, now, after = seen
    assert (now.threads, now.files) == (before.threads + 1, before.files + 1)
    assert 63 < now.memory_mb - before.memory_mb < 66
    assert (after.threads, after.files) == (before.threads, before.files)
    assert after.memory_mb < before.memory_mb + 2
    assert after.peak_memory_mb == pytest.approx(now.memory_mb, abs=2)


def test_no_such_process() -> None:
    with pytest.raises(OSError):
        held(2 ** 22 + 1)


def test_a_process_that_ended_holds_nothing_and_says_so() -> None:
    process = subprocess.Popen([sys.executable, '-c', ''])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays listed
    try:
        with pytest.raises(OSError, match='status does not say VmRSS, VmHWM'):
            held(process.pid)
        assert measure.peak_memory_mb(process.pid) is None
    finally:
        process.wait()
    assert measure.peak_memory_mb(process.pid) is None


def test_the_peak_is_there_for_whom_the_files_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(f'cannot list {folder}')

    peak = held(os.getpid()).peak_memory_mb
    monkeypatch.setattr(Path, 'iterdir', refuse)
    with pytest.raises(PermissionError):
        held(os.getpid())
    assert peak <= peak_memory_mb(os.getpid()) < peak + 10
    assert measure.peak_memory_mb(os.getpid()) == pytest.approx(peak * 1.048576, abs=10)


@pytest.mark.parametrize('there', [*system.GPU_FILES, ()])
def test_the_file_of_a_gpu_is_found(monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
                                    ) -> None:
    monkeypatch.setattr(system.os.path, 'exists', lambda path: path in there)
    assert gpu_device() == (there[0] if there else None)


def test_another_vendors_gpu_in_wsl_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os.path, 'exists', lambda path: path == '/dev/dxg')
    assert gpu_device() is None
