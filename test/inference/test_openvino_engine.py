"""The OpenVINO engine: torch's ids, kept on disk, and a second start without torch."""
from dataclasses import replace
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from roadseg_ros.checkpoint import CheckpointError
from roadseg_ros.inference import engines
from roadseg_ros.inference.engines import EngineError, make_engine, openvino_engine
from roadseg_ros.inference.engines.openvino_engine import (
    cache_folder,
    fingerprint,
    MAX_SIZES,
    OpenVinoEngine,
)
from roadseg_ros.labels import LabelSpace


@pytest.fixture
def fresh_cache(monkeypatch, tmp_path):
    """Return an empty cache folder."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def batch():
    """Return three (48, 64) frames of coarse noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def same(one, other):
    for left, right in zip(one, other):
        np.testing.assert_array_equal(left, right)


def test_a_batch_is_its_frames(checkpoint, batch):
    engine = OpenVinoEngine(checkpoint, 'cpu')
    together = engine.run(batch)
    assert together[0].shape == together[1].shape == batch.shape[:3]
    same(together, [np.concatenate(parts) for parts in zip(
        *(engine.run(frame[None]) for frame in batch))])


def test_sizes_come_and_go(checkpoint):
    engine = OpenVinoEngine(checkpoint, 'cpu')
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (1, 8 * n, 64, 3), np.uint8) for n in range(1, MAX_SIZES + 3)]
    first = [engine.run(frame) for frame in frames]
    for frame, wanted in zip(frames, first):
        same(engine.run(frame), wanted)
    assert len(engine._compiled) == MAX_SIZES


def test_the_second_start_needs_no_torch(fresh_cache, checkpoint, checkpoint_path, batch,
                                         tmp_path):
    wanted = OpenVinoEngine(checkpoint, 'cpu').run(batch)
    np.save(tmp_path / 'batch.npy', batch)
    code = """
import sys
import numpy as np
from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.inference.engines import make_engine
engine = make_engine(load_checkpoint(sys.argv[1]), 'cpu', 'auto')
ids, confidence = engine.run(np.load(sys.argv[2]))
np.savez(sys.argv[3], ids=ids, confidence=confidence)
print(engine.name, *({'torch', 'timm', 'torchvision', 'openvino_telemetry.main'}
                     & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, '-c', code, str(checkpoint_path), str(tmp_path / 'batch.npy'),
         str(tmp_path / 'out.npz')], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['openvino']
    out = np.load(tmp_path / 'out.npz')
    same((out['ids'], out['confidence']), wanted)


def test_the_conversion_is_said_and_done_once(fresh_cache, checkpoint, caplog):
    caplog.set_level(logging.INFO, logger='roadseg_ros')
    for _ in range(2):
        OpenVinoEngine(checkpoint, 'cpu')
    said = [record.getMessage() for record in caplog.records if 'roadseg' in record.name]
    assert [line.split(',')[0] for line in said] == ['converting the network for OpenVINO']


def test_a_damaged_cache_is_made_anew(fresh_cache, checkpoint, batch):
    wanted = OpenVinoEngine(checkpoint, 'cpu').run(batch)
    path = cache_folder() / fingerprint(checkpoint) / 'model.xml'
    path.write_text('<net')
    same(OpenVinoEngine(checkpoint, 'cpu').run(batch), wanted)
    assert path.read_text().startswith('<?xml')
    assert sorted(file.name for file in path.parent.iterdir()) == [
        'compiled', 'model.bin', 'model.xml']


def test_the_disk_keeps_the_checkpoints_used_last(monkeypatch, fresh_cache, checkpoint, batch):
    monkeypatch.setattr(openvino_engine, 'MAX_KEPT', 2)
    others = [replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, scale=scale))
              for scale in (1 / 255, 1 / 128, 1 / 64)]
    for number, other in enumerate(others):
        OpenVinoEngine(other, 'cpu').run(batch[:1])
        folder = cache_folder() / fingerprint(other)
        os.utime(folder, (number, number))
    kept = {folder.name for folder in cache_folder().iterdir()}
    assert kept == {fingerprint(other) for other in others[1:]}


def test_a_home_that_cannot_be_written_to_costs_time_alone(monkeypatch, checkpoint, batch,
                                                           tmp_path):
    wanted = OpenVinoEngine(checkpoint, 'cpu').run(batch)
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    same(OpenVinoEngine(checkpoint, 'cpu').run(batch), wanted)


def test_what_changes_the_network_changes_its_name(checkpoint):
    other = dict(checkpoint.tensors)
    name = sorted(other)[0]
    other[name] = other[name] + 1
    prepared = replace(checkpoint.preprocessing, std=(1.0, 1.0, 2.0))
    labels = LabelSpace(checkpoint.labels.names[:-1], checkpoint.labels.colors[:-1])
    turned = {**checkpoint.tensors, name: checkpoint.tensors[name].reshape(-1, 1)}
    changed = [replace(checkpoint, tensors=other), replace(checkpoint, tensors=turned),
               replace(checkpoint, preprocessing=prepared), replace(checkpoint, labels=labels),
               replace(checkpoint, architecture='unet')]
    assert len({fingerprint(one) for one in (checkpoint, *changed)}) == 6
    renamed = replace(checkpoint, provenance={'note': 'retold'})
    assert fingerprint(renamed) == fingerprint(checkpoint)


def test_it_runs_on_the_cpu_alone(checkpoint):
    with pytest.raises(EngineError, match="runs on the CPU only, not on 'cuda'"):
        make_engine(checkpoint, 'cuda', 'openvino')


def test_a_checkpoint_that_does_not_fit_is_refused(checkpoint):
    labels = LabelSpace(checkpoint.labels.names[:-1], checkpoint.labels.colors[:-1])
    with pytest.raises(CheckpointError, match='the network has 11 outputs, the label space 10'):
        make_engine(replace(checkpoint, labels=labels), 'cpu', 'auto')


def test_auto_goes_on_with_torch_where_openvino_fails(monkeypatch, fresh_cache, checkpoint):
    def refuse(checkpoint):
        raise RuntimeError('no such operation')

    monkeypatch.setattr(openvino_engine, '_convert', refuse)
    engine = make_engine(checkpoint, 'cpu', 'auto')
    assert (engine.name, engine.fallback) == ('torch',
                                              'engine openvino failed (no such operation)')


def test_auto_takes_torch_where_openvino_is_not(monkeypatch, checkpoint):
    monkeypatch.setattr(engines, 'find_spec', lambda name: None)
    assert make_engine(checkpoint, 'cpu', 'auto').name == 'torch'


def test_signals_are_survived_after_an_engine_ended_in_another_thread(checkpoint_path):
    """The plugin's stack for signals must not be unmapped under the main thread."""
    code = """
import gc, signal, sys, threading
import numpy as np
from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.inference.engines import make_engine
engines = [make_engine(load_checkpoint(sys.argv[1]), 'cpu', 'openvino')]
engines[0].run(np.zeros((1, 48, 64, 3), np.uint8))

def end():
    engines.clear()
    gc.collect()

thread = threading.Thread(target=end)
thread.start()
thread.join()
signal.signal(signal.SIGTERM, lambda *_: print('survived'))
signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, '-X', 'faulthandler', '-c', code,
                           str(checkpoint_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, 'survived\n'), done.stderr
