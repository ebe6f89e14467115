"""A GPU that fails, played by a stand-in: the CPU goes on, and says so."""
import logging

import numpy as np
import pytest

from roadseg_ros.inference import engines
from roadseg_ros.inference import segmenter as module
from roadseg_ros.inference.engines import EngineError, make_engine
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter

MEMORY = 'CUDA out of memory. Tried to allocate\n2.00 GiB'


class Gpu:
    """An engine that works on the CPU until it is told to fail, and then not even closes."""

    name, device, fallback = 'torch', 'cuda:0', None

    def __init__(self, checkpoint):
        self._engine = make_engine(checkpoint, 'cpu', 'torch')
        self.input_stride, self.fails = self._engine.input_stride, False

    def run(self, frames):
        self.check()
        return self._engine.run(frames)

    def stages(self):
        return self._engine.stages()

    def close(self):
        self.check()

    def check(self):
        if self.fails:
            raise RuntimeError(MEMORY)


@pytest.fixture
def gpu(monkeypatch, checkpoint):
    """Return the engine that a segmenter starts with."""
    gpu = Gpu(checkpoint)
    monkeypatch.setattr(module, 'make_engine', lambda *arguments, **named: gpu)
    return gpu


@pytest.mark.parametrize('cache', ['off', 'warp', CacheSettings('warp', background=True)],
                         ids=['every frame', 'warp', 'background'])
def test_the_cpu_goes_on_and_says_so(gpu, checkpoint, picture, caplog, cache):
    segmenter = Segmenter(checkpoint, device='cuda', cache=cache)
    segmenter.warm_up()
    kept = segmenter.cache
    assert (segmenter.device, segmenter.fallback) == ('cuda:0', None)
    gpu.fails = True
    with caplog.at_level(logging.WARNING, 'roadseg_ros'):
        results = [segmenter.segment([picture], ['front'], [number])[0] for number in range(9)]
        while not segmenter.fallback:  # keys in the background fail in their own time
            results += segmenter.segment([picture], ['front'], [len(results)])
    assert (segmenter.device, segmenter.engine) == ('cpu', 'openvino')
    assert segmenter.cache == kept
    assert all(result.class_ids.shape == picture.shape[:2] for result in results)
    if cache == 'off':  # the frame it failed on is the CPU's like those that follow
        np.testing.assert_array_equal(results[0].class_ids, results[1].class_ids)
        assert len(np.unique(results[0].class_ids)) > 1
    said, = caplog.messages
    assert said == ('cuda:0 failed (RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB):'
                    ' goes on on the CPU with openvino, until the checkpoint is loaded again')
    assert segmenter.fallback in said
    segmenter.close()


def test_clockwork_stays_on_torch_which_alone_can(gpu, checkpoint, monkeypatch):
    asked = []
    monkeypatch.setattr(module, 'on_the_cpu_instead',
                        lambda lost, error, checkpoint, engine, threads: asked.append(engine)
                        or lost)
    segmenter = Segmenter(checkpoint)
    monkeypatch.setattr(Segmenter, 'cache', CacheSettings('clockwork'))
    monkeypatch.setattr(Segmenter, 'set_cache', lambda self, settings: None)
    segmenter._move_to_cpu(RuntimeError(MEMORY))
    assert asked == ['torch']


def test_at_the_start_only_auto_goes_on(gpu, checkpoint):
    gpu.fails = True
    automatic = Segmenter(checkpoint)
    automatic.warm_up()
    assert automatic.device == 'cpu'
    with pytest.raises(RuntimeError, match='CUDA out of memory'):
        Segmenter(checkpoint, device='cuda').warm_up()


def test_auto_starts_on_the_cpu_where_the_gpu_has_no_memory(monkeypatch, checkpoint):
    start = engines._start

    def full(engine, checkpoint, device, threads):
        if device == 'cpu':
            return start(engine, checkpoint, device, threads)
        raise RuntimeError(MEMORY)

    monkeypatch.setattr(engines, '_start', full)
    monkeypatch.setattr(engines, 'gpu_device', lambda: '/dev/nvidiactl')
    engine = make_engine(checkpoint, 'auto', 'auto')
    assert (engine.device, engine.fallback) == (
        'cpu', 'the CUDA device failed (CUDA out of memory. Tried to allocate 2.00 GiB)')
    with pytest.raises(RuntimeError, match='CUDA out of memory'):
        make_engine(checkpoint, 'cuda', 'auto')


def test_auto_gives_every_reason_for_what_it_took(monkeypatch, checkpoint):
    start = engines._start

    def refuse(engine, checkpoint, device, threads):
        if (engine, device) == ('torch', 'cpu'):
            return start(engine, checkpoint, device, threads)
        raise RuntimeError(f'{engine} is full')

    monkeypatch.setattr(engines, '_start', refuse)
    monkeypatch.setattr(engines, 'gpu_device', lambda: '/dev/nvidiactl')
    engine = make_engine(checkpoint, 'auto', 'auto')
    assert (engine.name, engine.fallback) == (
        'torch', 'the CUDA device failed (torch is full); engine openvino failed '
        '(openvino is full)')


def test_a_cpu_that_fails_is_the_frames_error(monkeypatch, checkpoint, picture):
    segmenter = Segmenter(checkpoint, device='cpu')

    def fail(frames):
        raise RuntimeError('no memory')

    with monkeypatch.context() as patch:
        patch.setattr(segmenter._engine, 'run', fail)
        with pytest.raises(RuntimeError, match='no memory'):
            segmenter.segment([picture])
    assert segmenter.fallback is None
    assert segmenter.segment([picture])[0].class_ids.shape == picture.shape[:2]


def test_a_cpu_that_cannot_start_leaves_the_device_to_be_tried_again(
        gpu, checkpoint, picture, monkeypatch):
    segmenter = Segmenter(checkpoint)

    def refuse(*arguments, **named):
        raise EngineError('engine torch needs the package torch')

    gpu.fails = True
    with monkeypatch.context() as patch:
        patch.setattr('roadseg_ros.inference.engines.lost.make_engine', refuse)
        with pytest.raises(EngineError, match='needs the package'):
            segmenter.segment([picture])
    gpu.fails = False
    assert segmenter.segment([picture])[0].class_ids.shape == picture.shape[:2]
    assert segmenter.device == 'cuda:0'
