"""What is read of the operating system's files."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
import subprocess
import sys
import threading

import pytest

from roadseg_ros import system
from roadseg_ros.system import gpu_device, held, peak_memory_mb
from roadseg_ros.tools.benchmark import measure


def test_what_a_process_holds_is_seen(tmp_path: Path) -> None:
    before = held(os.getpid())
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / 'file').open('w'):
        block = mmap.mmap(-1, 64 << 20)  # not malloc's, which may keep what is freed
        block.write(b'x' * len(block))
        now = held(os.getpid())
    done.set()
    thread.join()
    assert (now.threads, now.files) == (before.threads + 1, before.files + 1)
    assert 60 < now.memory_mb - before.memory_mb < 70
    block.close()
    after = held(os.getpid())
    assert after.memory_mb < now.memory_mb - 60
    assert after.peak_memory_mb >= now.memory_mb - 1


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
