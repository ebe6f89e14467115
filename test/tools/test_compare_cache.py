"""`roadseg segment --cache` and `--compare-cache`: what is counted, written and refused."""
import csv
from dataclasses import replace
import json

import cv2
import numpy as np
import pytest
import torch

from roadseg_ros.inference.comparison import contestants
from roadseg_ros.inference.refresh import POLICIES
from roadseg_ros.models.registry import build_network, state_arrays
from roadseg_ros.tools.main import main
from small_networks import SMALL


@pytest.fixture
def folder(tmp_path, picture):
    """Return a folder of six pictures that move to the right."""
    path = tmp_path / 'drive'
    path.mkdir()
    for index in range(6):
        cv2.imwrite(str(path / f'{index}.png'), np.roll(picture, 2 * index, 1))
    return path


def test_segment_with_a_policy(tmp_path, folder, segment, read_mask, capsys):
    """Keys are every-frame masks, the others are not, and the summary counts both."""
    assert segment(folder, '--out', tmp_path / 'whole', '--json') == 0
    assert json.loads(capsys.readouterr().out)['made'] == {'full': 6}
    assert segment(folder, '--out', tmp_path / 'cached', '--cache', 'warp', '--cache-interval',
                   2, '--json') == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary['cache'], summary['made']) == ('warp', {'full': 3, 'warped': 3})
    for index in range(6):
        whole, cached = (read_mask(tmp_path / name / f'{index}.png')
                         for name in ('whole', 'cached'))
        assert (whole == cached).all() == (index % 2 == 0)


def test_summary_in_words(tmp_path, folder, segment, capsys):
    """People read how many frames the network saw; without a policy there is no such line."""
    assert segment(folder, '--out', tmp_path / 'a', '--cache', 'warp') == 0
    assert ', 2 full, 4 warped, 0 failed' in capsys.readouterr().out
    assert segment(folder, '--out', tmp_path / 'b') == 0
    assert 'full' not in capsys.readouterr().out


def test_segment_with_a_memory(tmp_path, folder, checkpoint, read_mask, capsys):
    """A recurrent network runs on every frame, and what it makes of the first shows later."""
    arguments = {'num_classes': len(checkpoint.labels), **SMALL['stfcn'][0]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network('stfcn', arguments)
        torch.nn.init.normal_(network.classifier.weight, std=3)
    path = tmp_path / 'stfcn.safetensors'
    replace(checkpoint, architecture='stfcn', arguments=arguments,
            tensors=state_arrays(network)).save(path)
    command = ['segment', str(folder), '--checkpoint', str(path), '--device', 'cpu', '--out']
    assert main([*command, str(tmp_path / 'told'), '--cache', 'recurrent', '--json']) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary['cache'], summary['engine'], summary['made']) == (
        'recurrent', 'torch', {'full': 6})
    assert main([*command, str(tmp_path / 'alone'), '--engine', 'torch']) == 0
    equal = [(read_mask(tmp_path / 'told' / f'{index}.png')
              == read_mask(tmp_path / 'alone' / f'{index}.png')).all() for index in range(6)]
    assert equal == [True] + [False] * 5


def test_compare(tmp_path, folder, segment, capsys):
    """Every policy is in the table, in the CSV and, as one document, in JSON."""
    out = tmp_path / 'comparison'
    assert segment(folder, '--compare-cache', '--out', out, '--json') == 0
    document = json.loads(capsys.readouterr().out)
    assert (document['frames'], document['out'], document['failed']) == (6, str(out), 0)
    rows = document['policies']
    done = [(row['policy'], row['interval']) for row in rows if not row['not_possible']]
    assert done == [(entered.settings.policy, entered.interval) for entered in contestants()
                    if entered.settings.policy in {policy for policy, _ in done}]
    refused = [row['policy'] for row in rows if row['not_possible']]
    assert {policy for policy, _ in done} | set(refused) == set(POLICIES)
    assert len(refused) == len(set(refused)) and not {'warp', 'adaptive'} & set(refused)
    assert (rows[0]['mean_iou'], rows[0]['pixels'], rows[0]['speed_up']) == (1.0, 1.0, 1.0)
    for row in rows:
        if not row['not_possible']:
            assert 0 < row['mean_iou'] <= row['pixels'] + 0.5 and row['frames_per_second'] > 0
    warp = [row for row in rows if row['policy'] == 'warp']
    assert warp[0]['full_share'] == 0.5 and warp[0]['pixels'] > warp[-1]['pixels']
    with (out / 'comparison.csv').open(newline='') as file:
        table = list(csv.DictReader(file))
    assert [row['pixels'] for row in table] == [
        '' if row['pixels'] is None else str(row['pixels']) for row in rows]
    drawn = cv2.imread(str(out / 'comparison.png'))
    assert drawn.shape[1] > 1000 and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20


def test_compare_prints_a_table(tmp_path, folder, segment, capsys, monkeypatch):
    """Without --json lines for people; the folder has a name of its own; --first limits."""
    monkeypatch.chdir(tmp_path)
    (folder / '1.png').write_bytes(b'broken')
    assert segment(folder, '--compare-cache', '--first', 4) == 1
    captured = capsys.readouterr()
    assert '1.png: broken' in captured.err
    lines = captured.out.splitlines()
    assert lines[0].split() == ['policy', 'frames/s', 'faster', 'mIoU', 'pixels', 'by', 'the',
                                'network']
    assert lines[1].startswith('off') and '1.00x   1.0000  100.00%' in lines[1]
    assert '4 frames, cpu' in lines[-1] and 'written to cache_comparison' in lines[-1]
    assert (tmp_path / 'cache_comparison' / 'comparison.png').is_file()


@pytest.mark.parametrize('options, said', [
    ([], '--out is needed'),
    (['--out', 'x', '--first', '3'], '--first goes with --compare-cache'),
    (['--out', 'x', '--cache-interval', '3'], '--cache-interval goes with --cache'),
    (['--out', 'x', '--cache', 'sometimes'], "unknown cache policy 'sometimes'; supported: off"),
    (['--out', 'x', '--cache', 'warp', '--cache-interval', '0'], 'at least 1 frame, not 0'),
    (['--compare-cache', '--cache', 'warp'], '--compare-cache runs every policy'),
    (['--compare-cache', '--overlay'], '--compare-cache runs every policy'),
    (['--compare-cache', '--first', '1'], '--first 1 leaves nothing to reuse'),
    (['--compare-cache', '--resume'], 'leave --resume out'),
    (['--compare-cache', '--frames', '3'], 'leave --frames out'),
    (['--out', 'x', '--frames', '3', '--cache', 'warp'], '--frames writes frames to label'),
    (['--out', 'x', '--frames', '3', '--overlay', '--resume'], 'leave --overlay, --resume out'),
    (['--out', 'x', '--frames', '0'], '--frames 0 chooses nothing; 1 or more'),
    (['--out', 'x.mcap', '--frames', '3'], '--frames writes a folder of pictures, not a bag'),
    (['--out', '.', '--frames', '3'], '. exists and is not an empty folder'),
    (['--compare-cache', '--out', '.'], '. exists and is not an empty folder'),
])
def test_refused_in_one_line(tmp_path, folder, checkpoint_path, options, said, monkeypatch, capfd):
    """What does not go together writes nothing."""
    monkeypatch.chdir(tmp_path)
    assert main(['segment', str(folder), '--checkpoint', str(checkpoint_path), *options]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ['drive']


def test_nothing_to_compare(tmp_path, segment, capfd):
    """A folder of broken pictures ends in a line, not in a division by zero."""
    (tmp_path / 'drive').mkdir()
    (tmp_path / 'drive' / 'a.png').write_bytes(b'broken')
    assert segment(tmp_path / 'drive', '--compare-cache', '--out', tmp_path / 'out') == 2
    assert 'no frame could be read' in capfd.readouterr().err
    assert not (tmp_path / 'out').exists()
