"""Labelled video on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from roadseg_ros.scenes import Drive
from training.synthesize import main

SIZE = ['--height', '48', '--width', '64']


def test_pictures_and_truth_are_the_drives(tmp_path):
    out = tmp_path / 'drives'
    drives = ['--seeds', '3', '4', '--frames', '2', '--split', 'val']
    assert main(['--out', str(out), *drives, *SIZE]) == 0
    names = [f'seed{seed:04d}_{index:06d}.png' for seed in (3, 4) for index in (0, 1)]
    assert sorted(path.name for path in (out / 'val').iterdir()) == names
    assert sorted(path.name for path in (out / 'valannot').iterdir()) == names
    image, class_ids = Drive(4, 48, 64).frame(1)
    np.testing.assert_array_equal(cv2.imread(str(out / 'val' / names[3])), image)
    written = cv2.imread(str(out / 'valannot' / names[3]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, class_ids)


def test_a_split_that_is_there_is_left_alone(tmp_path, capsys):
    (tmp_path / 'valannot').mkdir()
    (tmp_path / 'valannot' / 'mine.png').write_text('keep')
    assert main(['--out', str(tmp_path), '--split', 'val', *SIZE]) == 2
    assert 'valannot exists already: choose another --out or --split' in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob('*')] == ['valannot', 'mine.png']


def test_splits_stand_side_by_side(tmp_path):
    for split in ('train', 'val'):
        assert main(['--out', str(tmp_path), '--split', split, '--frames', '1', *SIZE]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {'train', 'trainannot', 'val', 'valannot'}


@pytest.mark.parametrize('arguments, reason', [
    (['--seeds', '-1'], 'no drive of seed -1'),
    (['--frames', '0'], 'frames must be 1 or more, not 0'),
    (['--frames', '-3'], 'frames must be 1 or more, not -3'),
    (['--rate', 'nan'], 'the rate must be a number above 0, not nan'),
    (['--rate', 'inf'], 'the rate must be a number above 0, not inf'),
    (['--rate', '0'], 'the rate above 0'),
])
def test_an_impossible_drive_writes_nothing(tmp_path, capsys, arguments, reason):
    assert main(['--out', str(tmp_path / 'out'), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('training.synthesize: ') and reason in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no /dev/full here')
def test_a_full_disk_is_noticed(tmp_path, capsys, monkeypatch):
    """The first mask lands on a device without room."""
    mkdir = Path.mkdir

    def make_and_fill(path, *arguments, **options):
        mkdir(path, *arguments, **options)
        if path.name == 'trainannot':
            (path / 'seed0000_000000.png').symlink_to('/dev/full')

    monkeypatch.setattr(Path, 'mkdir', make_and_fill)
    assert main(['--out', str(tmp_path / 'out'), '--frames', '1', *SIZE]) == 2
    assert 'No space left on device' in capsys.readouterr().err
