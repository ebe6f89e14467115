"""`roadseg benchmark` with a small network: the real node over DDS; its errors."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shutil

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.engines import EngineError
from roadseg_ros.tools.benchmark import command
from roadseg_ros.tools.benchmark.segmenter_process import EngineCrash
from roadseg_ros.tools.main import main

ENGINE = 'openvino'


def processes_started_in(folder: Path) -> list[str]:
    """Return the command lines that name a folder, this process aside."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            text = path.read_text().replace('\0', ' ')
        except OSError:
            continue
        if str(folder) in text and int(path.parent.name) != os.getpid():
            found.append(text)
    return found


def check_summary(figures: dict[str, float], least: int = 6) -> None:
    """Median and p95 of several positive values."""
    assert 0 < figures['median'] <= figures['p95'] and figures['count'] >= least


@pytest.fixture
def few_frames(monkeypatch):
    """Measure less than `--quick` does."""
    monkeypatch.setattr(command, 'QUICK', command.Effort(rounds=2, frames=4, seconds=1.0))


@pytest.mark.slow
def test_quick_benchmark(domain_id, checkpoint_path, tmp_path, capsys, monkeypatch, few_frames):
    pytest.importorskip('openvino')
    pytest.importorskip('matplotlib')
    monkeypatch.setattr(command, 'AVAILABLE', (ENGINE, 'absent'))
    before, out = dict(os.environ), tmp_path / 'out'
    checkpoint = shutil.copy(checkpoint_path, tmp_path / 'small.safetensors')
    status = main(['benchmark', '--quick', '--sizes', '64x48', '64X48', '--cameras', '2', '2',
                   '--json', '--checkpoint', str(checkpoint), '--device', 'cpu',
                   '--out', str(out)])
    said = capsys.readouterr()
    results = json.loads(said.out)
    assert status == 0, results
    assert dict(os.environ) == before and not processes_started_in(tmp_path)
    assert 'about a minute' in said.err
    assert json.loads((out / 'benchmark.json').read_text()) == results
    assert results['finished'] and results['machine']['cores'] >= 1
    assert re.match(r'unknown engine .absent.; supported: ', results['absent']['absent'])
    assert results['failed'] == {}
    (engine,) = results['engines'].values()
    assert list(results['engines']) == [ENGINE] and engine['device'] == 'cpu'
    assert [(case['size'], case['cache']) for case in engine['frames']] == [
        ('64x48', 'off'), ('64x48', 'warp')]
    for case in engine['frames']:
        _check_frames(case)
    _check_cameras(engine['cameras'])
    picture = cv2.imread(str(out / 'benchmark.png'))
    assert picture.shape[1] > 1000 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def _check_frames(case: dict) -> None:
    """Times that can be, of segmenter and node."""
    latency = case['latency_ms']
    for figures in (latency['mask'], latency['overlay']):
        check_summary(figures)
    for figures in (case['segmenter_ms'], case['node_ms']):
        # with masks reused, means over the frames of a key frame
        check_summary(figures, 6 if case['cache'] == 'off' else 2)
    assert latency['mask']['median'] <= latency['overlay']['median']
    assert 0 < case['inside_ms'] and {'decode', 'network', 'publish'} <= set(case['stages_ms'])
    assert set(case['overhead_ms']) == {'node', 'inside', 'mask', 'overlay'}
    assert case['overhead_ms']['mask'] < latency['mask']['p95']
    assert 0.1 < case['start_up_s'] < 60 and 20 < case['peak_memory_mb'] < 5000


def _check_cameras(cases: list) -> None:
    """Two cameras that a small network serves."""
    (case,) = cases
    assert (case['cameras'], case['rate_hz'], len(case['each'])) == (2, 10.0, 2)
    for camera in case['each']:
        assert 0 < camera['masks_hz'] <= camera['sent_hz'] <= 10.5
        assert 0 <= camera['dropped_percent'] < 100
        check_summary(camera['latency_ms'])


def test_interrupt_leaves_nothing_running(domain_id, checkpoint_path, tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    from roadseg_ros.tools.benchmark.client import Client

    seen = []

    def interrupt(client: Client, count: int) -> None:
        seen.extend(processes_started_in(tmp_path))
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, 'latencies', interrupt)
    checkpoint = shutil.copy(checkpoint_path, tmp_path / 'small.safetensors')
    assert main(['benchmark', '--engines', ENGINE, '--sizes', '64x48', '--checkpoint',
                 str(checkpoint), '--device', 'cpu', '--out', str(tmp_path / 'out')]) == 130
    assert len(seen) == 2 and not processes_started_in(tmp_path)


def test_bad_arguments_are_one_line(tmp_path, capsys, checkpoint_path):
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')
    broken, taken = tmp_path / 'broken.safetensors', tmp_path / 'taken'
    broken.write_bytes(b'no weights')
    taken.mkdir()
    (taken / 'benchmark.json').write_text('{"made_by": "somebody"}')
    for arguments, reason in (
            (['--checkpoint', str(broken), '--out', str(tmp_path / 'out')], 'broken.safetensors'),
            (['--out', str(taken)], 'nothing is overwritten')):
        assert main(['benchmark', *arguments]) == 2
        assert re.fullmatch(f'roadseg benchmark: .*{reason}.*\n', capsys.readouterr().err)
    assert not (tmp_path / 'out').exists() and len(list(taken.iterdir())) == 1


@pytest.mark.parametrize('arguments, reason', [
    (['--sizes', '16x480'], 'sides of 32 or more'), (['--sizes', '480'], 'must look like'),
    (['--sizes', '99999x99999'], 'pixels'), (['--cameras', '0'], '1 or more'),
    (['--engines', 'auto'], 'torch, openvino'), (['--camera-rate', '0'], 'positive')])
def test_usage_errors(arguments, reason, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(['benchmark', *arguments])
    assert stopped.value.code == 2 and reason in capsys.readouterr().err.replace("'", '')


@pytest.fixture
def measured(monkeypatch):
    """Measure nothing: return what to raise, by engine; the others have no figures."""
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')
    errors: dict[str, BaseException] = {}

    def measure(setup, engine, step):
        if engine in errors:
            raise errors[engine]
        return {'engine': engine, 'device': 'cpu', 'gpu': None, 'frames': [], 'cameras': []}

    monkeypatch.setattr(command, 'measure_engine', measure)
    monkeypatch.setattr(command, 'draw_plot', lambda results, path: path.write_bytes(b'new'))
    return errors


def test_what_is_measured_outlives_an_interrupt(tmp_path, checkpoint_path, measured):
    arguments = ['benchmark', '--checkpoint', str(checkpoint_path), '--out', str(tmp_path),
                 '--engines', 'torch', 'openvino']
    summary, picture = tmp_path / 'benchmark.json', tmp_path / 'benchmark.png'
    assert main(arguments) == 0
    before = summary.read_text()
    measured['torch'] = measured['openvino'] = EngineError('it is not here')
    assert main(arguments) == 2
    assert summary.read_text() == before and picture.read_bytes() == b'new'
    del measured['torch']
    measured['openvino'] = KeyboardInterrupt()
    assert main(arguments) == 130
    results = json.loads(summary.read_text())
    assert not results['finished'] and list(results['engines']) == ['torch']
    assert not picture.exists()


def test_engine_that_crashes_is_an_error(tmp_path, capsys, checkpoint_path, measured):
    measured['openvino'] = EngineCrash('it ended with status -9')
    measured['openvino_int8'] = EngineError('it is not here')
    assert main(['benchmark', '--checkpoint', str(checkpoint_path),
                 '--out', str(tmp_path)]) == 1
    assert 'not measured: openvino: it ended with status -9' in capsys.readouterr().out
    results = json.loads((tmp_path / 'benchmark.json').read_text())
    assert results['finished'] and results['failed'] == {'openvino': 'it ended with status -9'}
    assert results['absent'] == {'openvino_int8': 'it is not here'}


def test_no_engine_is_an_error(tmp_path, capsys, checkpoint_path, monkeypatch):
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

    def fail(setup, engine, step):
        raise EngineError(f'{engine} is broken')

    monkeypatch.setattr(command, 'measure_engine', fail)
    assert main(['benchmark', '--engines', 'torch', 'openvino', '--checkpoint',
                 str(checkpoint_path), '--out', str(tmp_path / 'out')]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        'roadseg benchmark: no engine could be measured: torch: torch is broken; '
        'openvino: openvino is broken')
