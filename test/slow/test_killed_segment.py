"""`roadseg segment` killed again and again, wherever it is, ends where an undisturbed run ends."""

from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from roadseg_ros.tools.progress import complete_path, progress_path
from roadseg_ros.tools.unfinished_bag import read_messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COUNT, LONG = 400, 120  # frames; seconds
STEPS = (0, 90, 160, 320)  # frames after which a run is killed


@pytest.fixture
def drive(tmp_path, picture) -> Path:
    """Return a folder of pictures."""
    folder = tmp_path / 'drive'
    folder.mkdir()
    for index in range(COUNT):
        moved = np.roll(cv2.resize(picture, (320, 240)), index, 1)
        cv2.imwrite(str(folder / f'{index:04}.bmp'), moved)
    return folder


def start(drive: Path, out: Path, checkpoint: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a run."""
    return subprocess.Popen(
        [sys.executable, '-m', 'roadseg_ros.tools.main', 'segment', drive, '--out', out,
         '--checkpoint', checkpoint, '--device', 'cpu', '--resume', *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes], out: Path, frames: int, how: signal.Signals) -> bool:
    """Signal a run once it has noted so many frames; return whether it had not ended before."""
    path, end = progress_path(out), time.monotonic() + LONG
    while time.monotonic() < end:
        try:
            process.wait(0.001)
            return False
        except subprocess.TimeoutExpired:
            if path.is_file() and path.read_bytes().count(b'\n') > frames:
                process.send_signal(how)
                process.wait(LONG)
                return True
    raise AssertionError(f'{frames} frames were not done within {LONG} s')


def content(out: Path) -> list:
    """Return all that an output holds."""
    if out.is_file():
        return list(read_messages(out))
    return [(path.name, path.read_bytes()) for path in sorted(out.iterdir())]


@pytest.mark.parametrize('how, out, more', [
    (signal.SIGKILL, 'masks', ()), (signal.SIGKILL, 'masks.mcap', ()),
    (signal.SIGKILL, 'masks.db3', ()), (signal.SIGKILL, 'masks.mcap', ('--cache', 'warp')),
    (signal.SIGTERM, 'masks.mcap', ()), (signal.SIGINT, 'masks', ())])
def test_killed_and_resumed_equals_untouched(tmp_path, drive, checkpoint_path, how, out, more):
    whole, killed = tmp_path / 'whole' / out, tmp_path / 'killed' / out
    assert start(drive, whole, checkpoint_path, *more).wait(LONG) == 0
    kills = 0
    for frames in STEPS:
        process = start(drive, killed, checkpoint_path, *more)
        kills += stop(process, killed, frames, how)
        assert process.returncode in (-signal.SIGKILL, 143, 130, 0)
    if process.returncode != 0:
        assert start(drive, killed, checkpoint_path, *more).wait(LONG) == 0
    assert kills >= 2
    assert content(killed) == content(whole)
    assert {*(tmp_path / 'killed').iterdir()} == {
        killed, *([complete_path(killed)] if killed.is_file() else [])}
