"""`training.evaluate --cache`: the loss of a policy on labelled frames."""
import json

import numpy as np
import pytest

from roadseg_ros.inference.comparison import play, Shot
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.scenes import Drive
from training.evaluate import main

ARGUMENTS = ['--dataset', 'synthetic', '--drive', '--seed', '5', '--samples', '5', '--rate', '30',
             '--device', 'cpu']


@pytest.fixture(scope='module')
def segmenter(checkpoint_path):
    """Return the small checkpoint on the CPU."""
    return Segmenter(checkpoint_path, device='cpu')


def run(capsys, checkpoint_path, *arguments):
    """Return what the command line prints."""
    assert main(['--checkpoint', str(checkpoint_path), *ARGUMENTS, *map(str, arguments)]) == 0
    return capsys.readouterr().out


def mean_iou(segmenter, settings, phases):
    """Return the mean over phases, counted by hand."""
    drive = Drive(5, rate_hz=30)
    shots = [Shot(drive.frame(index)[0], round(index * 1e9 / 30)) for index in range(5)]
    segmenter.set_cache(settings)
    values = []
    for phase in range(phases):
        confusion = ConfusionMatrix(11)
        for index, mask in enumerate(play(segmenter, shots, phase).masks):
            confusion.update(drive.frame(index)[1], mask)
        values.append(confusion.mean_iou())
    return float(np.mean(values))


def test_loss_is_that_of_all_phases(capsys, checkpoint_path, segmenter, labels):
    """Means, losses and shares are those of the drive played by hand."""
    result = json.loads(run(capsys, checkpoint_path, '--cache', 'warp', '--cache-interval', 2,
                            '--json'))
    every, cached = result['every_frame'], result['cached']
    assert (result['policy'], result['interval'], result['frames']) == ('warp', 2, 5)
    assert every['mean_iou'] == pytest.approx(mean_iou(segmenter, CacheSettings(), 1), abs=1e-4)
    assert cached['mean_iou'] == pytest.approx(
        mean_iou(segmenter, CacheSettings('warp', 2), 2), abs=1e-4)
    assert result['loss']['mean_iou'] == pytest.approx(
        100 * (every['mean_iou'] - cached['mean_iou']), abs=0.02)
    assert tuple(result['loss']['iou']) == labels.names
    assert result['full_share'] == 0.5  # 3 and 2 keys of 5 frames, in turns
    assert every['temporal_consistency'] < cached['temporal_consistency'] < 1
    assert result['speed_up'] > 0 and every['frames_per_second'] > 0


def test_table(capsys, checkpoint_path, labels):
    """A line for each class, then the totals, beside each other."""
    lines = run(capsys, checkpoint_path, '--cache', 'warp').splitlines()
    assert lines[0].split() == ['every', 'frame', 'warp', '3', 'loss,', 'points']
    assert [line[:20].strip() for line in lines[1:]] == [
        *labels.names, 'mean IoU', 'pixel accuracy', 'temporal consistency', 'frames per second',
        'by the network']
    assert lines[-2].endswith(' times') and '100 %' in lines[-1]


@pytest.mark.parametrize('options, said', [
    (['--cache', 'sometimes'], "unknown cache policy 'sometimes'"),
    (['--cache', 'warp', '--cache-interval', '0'], 'at least 1 frame, not 0'),
    (['--cache', 'warp', '--rate', 'inf'], '--rate is above 0, not inf'),
])
def test_errors_are_one_line(capsys, checkpoint_path, options, said):
    """What cannot be done is said in one line."""
    assert main(['--checkpoint', str(checkpoint_path), *ARGUMENTS, *options]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count('\n') == 1 and captured.out == ''
