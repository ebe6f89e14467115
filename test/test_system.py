"""What is read of the operating system's files."""

from __future__ import annotations

import os
from pathlib import Path
import threading

import numpy as np
import pytest

from roadseg_ros import system
from roadseg_ros.system import gpu_device, held


def test_what_a_process_holds_is_seen(tmp_path: Path) -> None:
    before = held(os.getpid())
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / 'file').open('w'):
        block = np.ones(64 << 20, np.uint8)
        now = held(os.getpid())
    done.set()
    thread.join()
    assert (now.threads, now.files) == (before.threads + 1, before.files + 1)
    assert 60 < now.memory_mb - before.memory_mb < 70
    del block
    after = held(os.getpid())
    assert after.memory_mb < now.memory_mb - 60
    assert after.peak_memory_mb >= now.memory_mb - 1


def test_no_such_process() -> None:
    with pytest.raises(OSError):
        held(2 ** 22 + 1)


@pytest.mark.parametrize('there', [*system.GPU_DEVICES, None])
def test_the_file_of_a_gpu_is_found(monkeypatch: pytest.MonkeyPatch, there: str | None) -> None:
    monkeypatch.setattr(system.os.path, 'exists', lambda path: path == there)
    assert gpu_device() == there
