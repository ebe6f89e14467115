"""`roadseg segment --frames`: which frames, and files that training reads."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest

from training.datasets.cvat import Cvat
from training.datasets.labelme import LabelMe


@pytest.fixture
def log(tmp_path, picture, bags):
    """Return a bag in which little happens: two kinds of pictures, and a message that is none."""
    dark = np.ascontiguousarray(picture // 4)
    messages = [('/cam/image_raw', index, bags.raw(dark if index == 7 else picture, 10 + index))
                for index in range(10)]
    messages[4][2].encoding = 'sepia'
    return bags.write(tmp_path / 'log', messages)


def test_frames_of_a_bag(tmp_path, log, picture, segment, mask_of, capsys):
    out = tmp_path / 'new' / 'to_label'
    assert segment(log, '--frames', 2, '--out', out, '--json') == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary['frames'], summary['seen'], summary['failed']) == (2, 9, 1)
    rows = list(csv.DictReader((out / 'frames.csv').open()))
    assert [row['name'] for row in rows][1] == 'cam_image_raw_17'
    assert all(0 < float(row['doubt']) < 1 for row in rows)
    assert {(row['file'], row['topic']) for row in rows} == {('', '/cam/image_raw')}
    assert rows[1]['stamp_ns'] == '17'
    data = Cvat(out)
    assert [path.stem for path in data.images] == [row['name'] for row in rows]
    for (image, mask), wanted in zip(data, (picture, picture // 4)):
        np.testing.assert_array_equal(image, wanted)
        np.testing.assert_array_equal(mask, mask_of(wanted))
    drawn = LabelMe(out / 'JPEGImages', out / 'labels.yaml')
    assert [path.stem for path in drawn.images] == [path.stem for path in data.images]
    for index in range(2):
        classes, counts = np.unique(data.mask(index), return_counts=True)
        assert classes[counts.argmax()] in drawn.mask(index)


def test_more_than_there_are(tmp_path, picture, segment, capsys):
    (tmp_path / 'in').mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / 'in' / f'{index}.bmp'), picture)
    assert segment(tmp_path / 'in', '--frames', 9, '--out', tmp_path / 'out') == 0
    rows = list(csv.DictReader((tmp_path / 'out' / 'frames.csv').open()))
    assert [(row['name'], row['file'], row['stamp_ns'], row['topic']) for row in rows] == [
        (str(index), f'{index}.bmp', '', '') for index in range(3)]
    assert [path.stem for path in Cvat(tmp_path / 'out').images] == ['0', '1', '2']
    assert '3 of 3 frames written to' in capsys.readouterr().out


def test_frames_of_a_video_have_a_time_and_no_topic(tmp_path, picture, segment):
    writer = cv2.VideoWriter(str(tmp_path / 'drive.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10,
                             (64, 48))
    for _ in range(2):
        writer.write(picture)
    writer.release()
    assert segment(tmp_path / 'drive.avi', '--frames', 9, '--out', tmp_path / 'out') == 0
    rows = list(csv.DictReader((tmp_path / 'out' / 'frames.csv').open()))
    assert [(row['file'], row['stamp_ns'], row['topic']) for row in rows] == [
        ('', '0', ''), ('', '100000000', '')]


def test_nothing_to_read(tmp_path, segment, capfd):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'a.png').write_bytes(b'broken')
    assert segment(tmp_path / 'in', '--frames', 2, '--out', tmp_path / 'out') == 2
    assert 'no frame could be read' in capfd.readouterr().err
    assert not (tmp_path / 'out').exists()
