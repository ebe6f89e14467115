"""`roadseg check`: what it says of a good checkpoint and of bad ones."""

from __future__ import annotations

from dataclasses import replace
import json

import cv2
import pytest

from roadseg_ros.tools.main import main


@pytest.fixture
def measured_path(checkpoint, tmp_path):
    """Return a checkpoint with results per class."""
    iou = {name: 0.5 for name in checkpoint.labels.names} | {'road': 0.912, 'fence': None}
    path = tmp_path / 'measured.safetensors'
    replace(checkpoint, provenance={
        'recipe': 'tiny', 'metrics': {'mean_iou': 0.6, 'iou': iou}}).save(path)
    return path


def test_json(measured_path, picture, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'one.png'), picture[:, :50])
    assert main(['check', str(measured_path), '--image', str(tmp_path / 'one.png'),
                 '--device', 'cpu', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['architecture'] == 'u_lite' and found['device'] == 'cpu'
    assert found['preprocessing']['height'] == 48 and found['frame'] == '50x48'
    assert found['provenance']['recipe'] == 'tiny' and found['ms'] > 0
    road, fence = found['classes'][3], found['classes'][7]
    assert (road['id'], road['name'], road['iou'], fence['iou']) == (3, 'road', 0.912, None)
    assert sum(entry['share'] for entry in found['classes']) == pytest.approx(1, abs=1e-3)


def test_text(measured_path, capsys):
    assert main(['check', str(measured_path), '--device', 'cpu']) == 0
    text = capsys.readouterr().out
    for said in ('u_lite', 'channel_order=rgb', 'recipe=tiny', 'mean_iou=0.6', '0.912', '480x360',
                 'bicyclist', 'on cpu'):
        assert said in text


@pytest.mark.parametrize('val, said', [
    ([{'dataset': 'camvid', 'split': 'val'}, {'dataset': 'kitti'}],
     'dataset=camvid split=val and dataset=kitti'),
    (None, 'data that the checkpoint does not name'), ('mine', 'data that the checkpoint does'),
    ([{}, 3], 'data that the checkpoint does')])
def test_iou_names_its_data(checkpoint, tmp_path, capsys, val, said):
    path = tmp_path / 'measured.safetensors'
    replace(checkpoint, provenance={'val': val, 'metrics': {'iou': {'road': 0.9}}}).save(path)
    assert main(['check', str(path), '--device', 'cpu']) == 0
    assert f'\nIoU            measured in training, on {said}' in capsys.readouterr().out


def test_iou_of_single_frames_says_so(checkpoint, tmp_path, capsys):
    """Where a network was trained on clips."""
    path = tmp_path / 'measured.safetensors'
    replace(checkpoint, provenance={'val': [{'dataset': 'synthetic'}], 'metrics': {
        'validated_on': 'single frames', 'iou': {'road': 0.9}}}).save(path)
    assert main(['check', str(path), '--device', 'cpu']) == 0
    assert ('\nIoU            measured in training, on single frames of dataset=synthetic\n'
            in capsys.readouterr().out)


@pytest.mark.parametrize('height, width', [(24, 24), (4096, 4096)])
def test_picture_is_drawn_whatever_size_was_trained_at(checkpoint, tmp_path, monkeypatch, capsys,
                                                       height, width):
    from roadseg_ros.tools import check

    sizes = []
    monkeypatch.setattr(check, 'report', lambda segmenter, picture: sizes.append(
        picture.shape) or {})
    path = tmp_path / 'other.safetensors'
    trained = replace(checkpoint.preprocessing, height=height, width=width)
    replace(checkpoint, preprocessing=trained).save(path)
    assert main(['check', str(path), '--device', 'cpu', '--json']) == 0
    assert sizes == [(360, 480, 3)]


def test_unmeasured(checkpoint_path, capsys):
    assert main(['check', str(checkpoint_path), '--device', 'cpu', '--json']) == 0
    assert {entry['iou'] for entry in json.loads(capsys.readouterr().out)['classes']} == {None}
    assert main(['check', str(checkpoint_path), '--device', 'cpu']) == 0
    assert 'measured in training' not in capsys.readouterr().out


@pytest.mark.parametrize('content, said', [
    (None, 'cannot read checkpoint'), (b'PK\x03\x04', 'pickled'), (b'GIF89a' * 9, 'not a whole')])
def test_bad_files(tmp_path, content, said, capsys):
    path = tmp_path / 'bad.safetensors'
    if content:
        path.write_bytes(content)
    assert main(['check', str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith('roadseg check: ') and said in error and len(error.splitlines()) == 1


def test_bad_picture(checkpoint_path, tmp_path, capsys):
    assert main(['check', str(checkpoint_path), '--image', str(tmp_path / 'gone.png')]) == 2
    assert 'gone.png: cannot be read' in capsys.readouterr().err
