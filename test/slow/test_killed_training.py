"""A training run that is killed, again and again, ends where one that nobody touched ends."""

from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

pytestmark = pytest.mark.slow

EPOCHS = 4
LONG = 100  # seconds
RECIPE = {
    'architecture': 'u_lite', 'arguments': {'channels': [4, 8, 8, 8]}, 'labels': 'camvid',
    'train': [{'dataset': 'synthetic', 'samples': 6, 'seed': 50, 'height': 48, 'width': 64}],
    'val': [{'dataset': 'synthetic', 'samples': 2, 'seed': 70, 'height': 48, 'width': 64}],
    'frame_size': [48, 64], 'augmentation': {'crop': [32, 48]}, 'epochs': EPOCHS,
    'batch_size': 2, 'precision': '32-true', 'workers': 0, 'early_stopping_patience': 50,
}


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a run of the recipe."""
    config = folder.parent / 'tiny.yaml'
    config.write_text(yaml.safe_dump(RECIPE))
    return subprocess.Popen(
        [sys.executable, '-m', 'training.train', '--config', config, '--out', folder,
         '--accelerator', 'cpu', *arguments], cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interrupt(process: subprocess.Popen[bytes], watched: Path, how: signal.Signals) -> bool:
    """Signal a process once a file is written anew; return whether it had not ended before."""
    before = watched.stat().st_mtime_ns if watched.exists() else 0
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        try:
            process.wait(0.002)
            return False
        except subprocess.TimeoutExpired:
            if watched.exists() and watched.stat().st_mtime_ns != before:
                process.send_signal(how)
                process.wait(LONG)
                return True
    raise AssertionError(f'{watched} was not written within {LONG} s')


def last(folder: Path) -> dict:
    """Return the newest checkpoint."""
    return torch.load(folder / 'last.ckpt', weights_only=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed_equals_untouched(tmp_path, how):
    """Signals come as soon as a new checkpoint is there, which is while others are written."""
    assert start(tmp_path / 'untouched').wait(LONG) == 0
    folder, arguments, kills = tmp_path / 'killed', (), 0
    while True:
        process = start(folder, *arguments)
        kills += interrupt(process, folder / 'last.ckpt', how)
        if process.returncode == 0:
            break
        arguments = ('--resume',)
    assert kills >= EPOCHS // 2
    wanted, found = (last(tmp_path / name) for name in ('untouched', 'killed'))
    assert wanted['epoch'] == found['epoch'] and wanted['global_step'] == found['global_step']
    for name, value in wanted['state_dict'].items():
        torch.testing.assert_close(found['state_dict'][name], value, rtol=1e-5, atol=1e-5)
    assert not list(folder.glob('*.partial'))
