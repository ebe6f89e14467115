"""Evaluation: the segmenter's own masks, counted, as a table or as JSON."""
from dataclasses import replace
import json

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.scenes import Drive
from training.datasets.synthetic import SyntheticScenes
from training.evaluate import evaluate, main, table

CPU = ['--device', 'cpu']


@pytest.fixture(scope='module')
def segmenter(checkpoint_path):
    """Return the small checkpoint on the CPU."""
    return Segmenter(checkpoint_path, device='cpu')


def run_json(capsys, *arguments):
    """Run the command line and return the document that it printed."""
    assert main([*map(str, arguments), '--json']) == 0
    return json.loads(capsys.readouterr().out)


def count(segmenter, frames):
    """Return mean IoU and pixel accuracy counted frame by frame."""
    confusion = ConfusionMatrix(11)
    for image, truth in frames:
        confusion.update(truth, segmenter.segment([image])[0].class_ids)
    return confusion.mean_iou(), confusion.pixel_accuracy()


def test_its_own_masks_are_perfect(segmenter, picture):
    """Truth made by the segmenter itself gives an IoU of one wherever a class occurs."""
    mask = segmenter.segment([picture])[0].class_ids
    result = evaluate(segmenter, [(picture, mask)]).summary(segmenter.labels.names)
    assert (result['mean_iou'], result['pixel_accuracy']) == (1.0, 1.0)
    present = {segmenter.labels.names[index] for index in np.unique(mask)}
    assert {name for name, value in result['iou'].items() if value == 1.0} == present
    assert all(result['iou'][name] is None for name in set(result['iou']) - present)


def test_synthetic_samples(capsys, checkpoint_path, segmenter, labels):
    """The numbers are those of the data set's frames, under the labels' names."""
    result = run_json(capsys, '--checkpoint', checkpoint_path, '--dataset', 'synthetic',
                      '--samples', 2, '--seed', 5, *CPU)
    mean_iou, accuracy = count(segmenter, [SyntheticScenes(2, 5)[i] for i in range(2)])
    assert result['mean_iou'] == pytest.approx(mean_iou, abs=1e-4)
    assert result['pixel_accuracy'] == pytest.approx(accuracy, abs=1e-4)
    assert tuple(result['iou']) == labels.names
    assert (result['frames'], result['device'], result['engine']) == (2, 'cpu', 'openvino')
    assert (result['checkpoint'], result['dataset']) == (str(checkpoint_path), 'synthetic')


def test_drive_is_consecutive_frames(capsys, checkpoint_path, segmenter):
    """With --drive the frames are the first of one drive, in order."""
    result = run_json(capsys, '--checkpoint', checkpoint_path, '--dataset', 'synthetic',
                      '--samples', 3, '--seed', 5, '--drive', *CPU)
    drive = Drive(5)
    mean_iou, accuracy = count(segmenter, map(drive.frame, range(3)))
    assert result['frames'] == 3
    assert result['mean_iou'] == pytest.approx(mean_iou, abs=1e-4)
    assert result['pixel_accuracy'] == pytest.approx(accuracy, abs=1e-4)


def test_camvid_layout_and_inference_height(capsys, tmp_path, checkpoint_path, picture):
    """A data set on disk is read from --root and --split, at the height asked for."""
    segmenter = Segmenter(checkpoint_path, device='cpu', inference_height=24)
    mask = segmenter.segment([picture])[0].class_ids
    for folder, content in (('own', picture), ('ownannot', mask)):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / 'a.png'), content)
    result = run_json(capsys, '--checkpoint', checkpoint_path, '--root', tmp_path, '--split',
                      'own', '--inference-height', 24, *CPU)
    assert (result['frames'], result['mean_iou']) == (1, 1.0)


def test_table_is_aligned(capsys, checkpoint_path, labels):
    """One line for each class, then the totals, the numbers under each other."""
    assert main(['--checkpoint', str(checkpoint_path), '--dataset', 'synthetic',
                 '--samples', '1', *CPU]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit(maxsplit=1)[0] for line in lines] == [
        *labels.names, 'mean IoU', 'pixel accuracy']
    assert len({len(line) for line in lines}) == 1
    for line in lines:
        value = line.split()[-1]
        assert value == 'absent' or 0 <= float(value) <= 1


def test_nothing_labelled_is_absent(labels):
    """Without a labelled pixel there are no numbers."""
    result = ConfusionMatrix(len(labels)).summary(labels.names)
    assert table(result).count('absent') == len(labels) + 2


@pytest.mark.parametrize('arguments, reason', [
    (['--checkpoint', 'none.safetensors'], 'cannot read checkpoint none.safetensors'),
    (['--dataset', 'mars'], "unknown dataset 'mars'; known: camvid, folders, synthetic"),
    (['--root', 'nowhere'], 'no pictures nowhere/val/*.png'),
    (['--device', 'tpu'], "unknown device 'tpu'"),
    (['--engine', 'tensorflow'], "unknown engine 'tensorflow'"),
    (['--inference-height', '-3'], 'inference_height is -1, 0 or pixels, not -3'),
    (['--dataset', 'synthetic', '--unlabelled-id', '3'], "argument 'unlabelled_id'"),
    (['--dataset', 'camvid', '--drive'], '--drive goes with --dataset synthetic'),
    (['--dataset', 'synthetic', '--samples', '0'], 'samples must be a whole number from 1, not 0'),
])
def test_errors_are_one_line_and_status_2(capsys, checkpoint_path, arguments, reason):
    """What cannot be done is said in one line."""
    assert main(['--checkpoint', str(checkpoint_path), *CPU, *arguments]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.count('\n') == 1
    assert captured.out == ''


def test_a_checkpoint_of_other_classes_is_not_scored(capsys, tmp_path, checkpoint):
    """Classes in another order would be scored by position: the names must agree."""
    names = checkpoint.labels.names
    other = replace(checkpoint, labels=replace(checkpoint.labels, names=names[::-1]))
    other.save(tmp_path / 'other.safetensors')
    arguments = ['--checkpoint', str(tmp_path / 'other.safetensors'), '--dataset', 'synthetic',
                 '--samples', '1', *CPU]
    for drive in ([], ['--drive']):
        assert main([*arguments, *drive]) == 2
        error = capsys.readouterr().err
        assert 'SyntheticScenes has the classes sky, building' in error
        assert 'other.safetensors has bicyclist, pedestrian' in error
        assert error.count('\n') == 1
