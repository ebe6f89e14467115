"""The int8 engine: little is lost, nothing is said or written beside, and it is kept."""
from dataclasses import replace
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from roadseg_ros.checkpoint import default_checkpoint_path, load_checkpoint
from roadseg_ros.inference.engines import EngineError, make_engine, quantization
from roadseg_ros.inference.engines.openvino_engine import cache_folder
from roadseg_ros.inference.engines.quantization import calibration_frame, OpenVinoInt8Engine
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.scenes import Drive
from training.datasets import make_dataset
from training.evaluate import evaluate

MOST_LOST = 0.01  # mean IoU


@pytest.fixture(autouse=True)
def fresh_cache(monkeypatch, tmp_path):
    """Keep nothing from other tests."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def nncf():
    """Return NNCF; skip where it is not."""
    return pytest.importorskip('nncf', reason="NNCF is not here: pip install -e '.[int8]'")


@pytest.fixture
def stub(monkeypatch):
    """Stand in for NNCF where it is not called."""
    monkeypatch.setitem(sys.modules, 'nncf', SimpleNamespace())


def start(checkpoint_path, frames_path, out_path, home, *before):
    """Run the engine on frames in a process of its own; return what it printed."""
    code = '\n'.join(before) + """
import sys
import numpy as np
from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.inference.engines import make_engine
engine = make_engine(load_checkpoint(sys.argv[1]), 'cpu', 'openvino_int8')
ids, confidence = engine.run(np.load(sys.argv[2]))
np.savez(sys.argv[3], ids=ids, confidence=confidence)
"""
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, (checkpoint_path, frames_path, out_path))],
        capture_output=True, text=True, check=False, env={**os.environ, 'HOME': str(home)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def judged(request):
    """Return labelled frames of two kinds, the real ones where they are."""
    if request.param == 'generated':
        source = {'dataset': 'synthetic', 'samples': 20, 'seed': 5000}
    else:
        source = {'dataset': 'camvid', 'split': 'val',
                  'root': str(request.getfixturevalue('camvid_root'))}
    data = make_dataset([source])
    return [data[index] for index in range(0, len(data), 1 + len(data) // 34)]


@pytest.mark.slow
@pytest.mark.parametrize('judged', ['generated', 'camvid'], indirect=True)
def test_little_is_lost(nncf, judged):
    """With the packaged weights; in mean IoU, and the confidence stays one."""
    checkpoint = load_checkpoint(default_checkpoint_path())
    floats, integers = (Segmenter(checkpoint, device='cpu', engine=engine)
                        for engine in ('openvino', 'openvino_int8'))
    lost = evaluate(floats, judged).mean_iou() - evaluate(integers, judged).mean_iou()
    assert lost <= MOST_LOST
    wanted, got = (segmenter.segment([judged[0][0]])[0] for segmenter in (floats, integers))
    assert (got.class_ids == wanted.class_ids).mean() >= 0.97
    off = np.abs(got.confidence.astype(int) - wanted.confidence)
    assert off.mean() <= 5


def test_all_convolutions_but_two_are_integers(nncf, checkpoint):
    model = OpenVinoInt8Engine(checkpoint, 'cpu')._model
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name() == 'Convolution']
    weights = [op.input_value(1).get_node().get_type_name() for op in convolutions]
    # the first one, and the sum of the softmax; the others' are integers times a scale
    assert weights == ['Constant', *['Multiply'] * (len(weights) - 2), 'Constant']


@pytest.mark.slow
def test_the_first_start_is_quiet_and_the_second_needs_neither_nncf_nor_torch(
        nncf, checkpoint_path, tmp_path):
    frames = calibration_frame(0, load_checkpoint(checkpoint_path).preprocessing, 8)
    np.save(tmp_path / 'frames.npy', frames)
    (tmp_path / 'home').mkdir()
    given = (checkpoint_path, tmp_path / 'frames.npy')
    assert start(*given, tmp_path / 'first.npz', tmp_path / 'home') == ''
    assert list((tmp_path / 'home').iterdir()) == []
    start(*given, tmp_path / 'second.npz', tmp_path / 'home',
          'import sys', 'sys.modules.update(nncf=None, torch=None)')
    first, second = (np.load(tmp_path / f'{name}.npz') for name in ('first', 'second'))
    for name in ('ids', 'confidence'):
        np.testing.assert_array_equal(first[name], second[name])


def test_what_takes_long_is_said_once(nncf, checkpoint, caplog):
    caplog.set_level(logging.INFO, logger='roadseg_ros')
    for _ in range(2):
        OpenVinoInt8Engine(checkpoint, 'cpu')
    said = [record.getMessage() for record in caplog.records if 'roadseg' in record.name]
    assert [line.split()[0] for line in said] == ['converting', 'quantising']


def test_other_sizes_than_that_of_training_work(nncf, checkpoint):
    engine = OpenVinoInt8Engine(checkpoint, 'cpu')
    frames = np.zeros((2, 72, 40, 3), np.uint8)
    assert [out.shape for out in engine.run(frames)] == [frames.shape[:3]] * 2


def test_without_nncf_it_says_what_to_install(monkeypatch, checkpoint):
    monkeypatch.setitem(sys.modules, 'nncf', None)
    with pytest.raises(EngineError) as caught:
        make_engine(checkpoint, 'cpu', 'openvino_int8')
    for word in ('nncf', sys.executable, 'pip install nncf'):
        assert word in str(caught.value)
    assert not list(cache_folder().rglob('*.xml'))  # found out before the network is converted


def test_a_network_that_nncf_cannot_do_is_refused(monkeypatch, stub, checkpoint):
    def refuse(nncf, model, checkpoint):
        raise ValueError('no such\noperation')

    monkeypatch.setattr(quantization, 'quantize', refuse)
    with pytest.raises(EngineError, match=r'cannot quantise this network \(no such operation\); '
                                          'use engine openvino'):
        make_engine(checkpoint, 'cpu', 'openvino_int8')


def test_it_runs_on_the_cpu_alone(checkpoint):
    with pytest.raises(EngineError, match="engine openvino_int8 runs on the CPU only, not on 'cu"):
        make_engine(checkpoint, 'cuda', 'openvino_int8')


def test_a_calibration_frame_is_padded_like_any_other(checkpoint):
    preprocessing = replace(checkpoint.preprocessing, height=44, width=60)
    batch = calibration_frame(5, preprocessing, 32)
    assert (batch.shape, batch.dtype) == ((1, 64, 64, 3), np.uint8)
    np.testing.assert_array_equal(batch[0, :44, :60], Drive(5, 44, 60).frame(5)[0])
    assert (batch[0, 44:] == batch[0, 43]).all() and (batch[0, :, 60:] == batch[0, :, 59:60]).all()


def test_the_smallest_checkpoints_have_calibration_frames(checkpoint):
    preprocessing = replace(checkpoint.preprocessing, height=1, width=8)
    assert calibration_frame(0, preprocessing, 8).shape == (1, 32, 32, 3)
