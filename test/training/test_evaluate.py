"""Evaluation: the segmenter's own masks, counted, as a table or as JSON."""
from dataclasses import replace
import json

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.crf import CrfSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.scenes import Drive
from training.datasets.synthetic import SyntheticScenes
from training.evaluate import evaluate, main, table
from training.metrics import Metrics

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


def test_metrics_are_those_of_the_frames(capsys, checkpoint_path, segmenter, labels):
    """The document holds each measure asked for, by class and as a mean."""
    result = run_json(capsys, '--checkpoint', checkpoint_path, '--dataset', 'synthetic',
                      '--samples', 2, '--metrics', 'pixels', 'baseline', *CPU)
    metrics, confusion = Metrics(['pixels', 'baseline'], len(labels)), ConfusionMatrix(11)
    shares = []
    for index in range(2):
        image, truth = SyntheticScenes(2, 0)[index]
        found = segmenter.segment([image])[0]
        metrics.update(truth, found.class_ids, found.confidence)
        confusion.update(truth, found.class_ids)
        shares.append((truth == 3).mean())
    wanted = metrics.summary(labels.names)
    assert {name: result[name] for name in wanted} == wanted
    assert wanted['baseline']['road'] == pytest.approx(np.mean(shares), abs=1e-4)
    assert result['frequency_weighted_iou'] == pytest.approx(
        confusion.frequency_weighted_iou(), abs=1e-4)
    assert 'boundary_f1' not in result


def test_all_metrics_in_the_table(capsys, checkpoint_path, labels):
    """A column for each measure below its name, a row for each class, then the means."""
    arguments = ['--checkpoint', str(checkpoint_path), '--dataset', 'synthetic',
                 '--samples', '1', '--metrics', 'all', *CPU]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [' '.join(filter(None, words)) for words in zip(*(
        [line[-11 * 15:][start:start + 11].strip() for start in range(0, 11 * 15, 11)]
        for line in (line.ljust(len(lines[3])) for line in lines[:3])))]
    assert heads[:6] == ['iou', 'precision', 'recall', 'f1', 'baseline', 'boundary f1']
    assert heads[-1] == 'instance recall 75'
    assert [line[:22].strip() for line in lines[3:]] == [
        *labels.names, 'mean', 'pixel accuracy', 'frequency-weighted IoU']
    assert {len(line.split()) for line in lines[3:3 + len(labels)]} == {16}


def test_confidence_ranks_the_instances(segmenter, picture):
    """Evaluation hands each measure the segmenter's own confidence."""
    found = segmenter.segment([picture])[0]
    metrics = Metrics(['instances'], len(segmenter.labels))
    evaluate(segmenter, [(picture, found.class_ids)], metrics)
    for index in np.unique(found.class_ids):
        sure = metrics.metrics[0].instances[index].confidence
        inside = found.confidence[found.class_ids == index]
        assert inside.min() <= min(sure) <= max(sure) <= inside.max()


def test_data_as_a_recipe_writes_it(capsys, checkpoint_path):
    """--data takes any data set, and several; they are judged together."""
    result = run_json(capsys, '--checkpoint', checkpoint_path, *CPU,
                      '--data', '{dataset: synthetic, samples: 1, seed: 5}',
                      '--data', '{dataset: synthetic, samples: 1, seed: 6}')
    both = run_json(capsys, '--checkpoint', checkpoint_path, '--dataset', 'synthetic',
                    '--samples', 2, '--seed', 5, *CPU)
    assert result['frames'] == 2
    assert result['iou'] == both['iou']


def test_drives_are_chosen_by_prefix(capsys, tmp_path, checkpoint_path, picture):
    """--drives keeps, --leave-out drops."""
    for folder, content in (('own', picture), ('ownannot', np.zeros((48, 64), np.uint8))):
        (tmp_path / folder).mkdir()
        for name in ('a0', 'a1', 'b0', 'c0'):
            assert cv2.imwrite(str(tmp_path / folder / f'{name}.png'), content)
    for arguments, frames in ((['--drives', 'a', 'b'], 3), (['--leave-out', 'a', 'c'], 1),
                              (['--drives', 'a', '--leave-out', 'a1'], 1)):
        assert run_json(capsys, '--checkpoint', checkpoint_path, '--root', tmp_path, '--split',
                        'own', *arguments, *CPU)['frames'] == frames


def test_report_folder(capsys, tmp_path, checkpoint_path, labels):
    """--report leaves the table, the pictures and the best and worst frames."""
    result = run_json(capsys, '--checkpoint', checkpoint_path, '--dataset', 'synthetic',
                      '--samples', 3, '--report', tmp_path / 'report', *CPU)
    assert {path.name for path in (tmp_path / 'report').iterdir()} == {
        'classes.json', 'classes.png', 'confusion.png', 'sheet.jpg'}
    classes = json.loads((tmp_path / 'report' / 'classes.json').read_text())
    assert classes['mean_iou'] == result['mean_iou']
    assert {name: row['iou'] for name, row in classes['classes'].items()} == result['iou']
    # three frames are fewer than four best and four worst
    sheet = cv2.imread(str(tmp_path / 'report' / 'sheet.jpg'))
    assert sheet.shape == (3 * (22 + 240) + 24 * len(labels) + 16, 1280, 3)


def test_with_the_crf_its_masks_are_judged(capsys, checkpoint_path):
    """The figures are those of a segmenter with the same CRF, its defaults or others."""
    arguments = ['--checkpoint', checkpoint_path, '--dataset', 'synthetic', '--samples', 1, *CPU]
    found = []
    for given, settings in (([], CrfSettings()), (['{iterations: 1, spatial_weight: 0}'],
                                                  CrfSettings(1, spatial_weight=0))):
        result = run_json(capsys, *arguments, '--crf', *given)
        segmenter = Segmenter(checkpoint_path, device='cpu', crf=settings)
        _, accuracy = count(segmenter, [SyntheticScenes(1, 0)[0]])
        assert result['pixel_accuracy'] == pytest.approx(accuracy, abs=1e-4)
        assert result['engine'] == 'torch'
        found.append(result['iou'])
    assert found[0] != found[1]


def test_nothing_labelled_is_absent(labels):
    """Without a labelled pixel there are no numbers."""
    result = ConfusionMatrix(len(labels)).summary(labels.names)
    assert table(result).count('absent') == len(labels) + 2


@pytest.mark.parametrize('arguments, reason', [
    (['--checkpoint', 'none.safetensors'], 'cannot read checkpoint none.safetensors'),
    (['--dataset', 'mars'], "unknown dataset 'mars'; known: camvid, folders, synthetic"),
    (['--root', 'nowhere'], 'no pictures nowhere'),
    (['--device', 'tpu'], "unknown device 'tpu'"),
    (['--engine', 'tensorflow'], "unknown engine 'tensorflow'"),
    (['--inference-height', '-3'], 'inference_height is -1, 0 or pixels, not -3'),
    (['--dataset', 'synthetic', '--unlabelled-id', '3'], "argument 'unlabelled_id'"),
    (['--dataset', 'camvid', '--drive'], '--drive goes with --dataset synthetic'),
    (['--data', '{dataset: synthetic, samples: 1}', '--drive'], '--drive goes with --dataset'),
    (['--data', 'camvid'], '--data is a mapping such as'),
    (['--data', '{dataset: camvid'], "--data '{dataset: camvid': "),
    (['--data', '{dataset: mars}'], "unknown dataset 'mars'"),
    (['--dataset', 'synthetic', '--drives', 'a'], "argument 'drives'"),
    (['--dataset', 'synthetic', '--metrics', 'iou'], "unknown metric 'iou'; known: all, pixels"),
    (['--dataset', 'synthetic', '--cache', 'warp', '--metrics', 'all'], 'not go with --cache'),
    (['--crf', '{sigma: 3}'], "--crf has no 'sigma'; known: iterations, bilateral_weight"),
    (['--crf', '{iterations: 0}'], 'crf: iterations is a whole number from 1 to 100, not 0'),
    (['--crf', '5'], "--crf is a mapping such as '{iterations: 10}', not '5'"),
    (['--crf', '--engine', 'openvino'], 'engine openvino does not give; use engine torch'),
    (['--dataset', 'synthetic', '--samples', '8', '--drive', '--crf', '--cache', 'warp'],
     'with it the cache policy is off, not warp'),
    (['--dataset', 'synthetic', '--report', '/dev/null/x'], '/dev/null/x'),
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
