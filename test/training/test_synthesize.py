"""Labelled video on disk."""

from __future__ import annotations

import cv2
import numpy as np

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


def test_a_folder_with_content_is_left_alone(tmp_path, capsys):
    (tmp_path / 'mine.txt').write_text('keep')
    assert main(['--out', str(tmp_path), *SIZE]) == 1
    assert 'new or empty' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['mine.txt']


def test_an_impossible_drive_writes_nothing(tmp_path, capsys):
    assert main(['--out', str(tmp_path / 'out'), '--seeds', '-1']) == 1
    assert 'no drive of seed -1' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
