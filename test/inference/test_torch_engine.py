"""The torch engine: safe from several threads, narrow floats that keep the ids."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from roadseg_ros.inference.engines import torch_engine
from roadseg_ros.inference.engines.torch_engine import TorchEngine

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device'))]


@pytest.mark.parametrize('device', DEVICES)
def test_threads_get_their_own_results(checkpoint, device):
    """Four threads at once get what one after the other gets."""
    engine = TorchEngine(checkpoint, device)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (1, 48, 64, 3), np.uint8) for _ in range(16)]
    wanted = [engine.run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(engine.run, batches))
    for one, other in zip(wanted, found):
        for left, right in zip(one, other):
            np.testing.assert_array_equal(left, right)


def test_attributes_and_types(checkpoint):
    """The engine says what it is; ids and confidence are uint8 of the batch's size."""
    engine = TorchEngine(checkpoint, 'cpu')
    assert (engine.name, engine.device, engine.input_stride) == ('torch', 'cpu', 8)
    ids, confidence = engine.run(np.zeros((2, 16, 24, 3), np.uint8))
    assert ids.shape == confidence.shape == (2, 16, 24)
    assert ids.dtype == confidence.dtype == np.uint8


def test_any_number_of_cameras_needs_few_graphs(checkpoint, monkeypatch):
    """Graphs (stood in for by the module on the CPU) are captured for powers of two alone."""
    captured = []

    class Graph:
        def __init__(self, module, shape, device):
            captured.append(shape)
            self.module, self.batch = module, np.zeros(shape, np.uint8)

        def run(self, frames):
            self.batch[:len(frames)] = frames
            return tuple(out.numpy()[:len(frames)]
                         for out in self.module(torch.from_numpy(self.batch)))

    engine = TorchEngine(checkpoint, 'cpu')
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (count, 16, 24, 3), np.uint8)
               for count in rng.integers(1, 9, 30)]
    wanted = [engine.run(batch) for batch in batches]
    monkeypatch.setattr(torch_engine, '_CudaGraph', Graph)
    monkeypatch.setattr(engine, '_device', torch.device('cuda'))
    for batch, (ids, confidence) in zip(batches, wanted):
        found = engine.run(batch)
        np.testing.assert_array_equal(found[0], ids)
        assert np.abs(found[1].astype(int) - confidence).max() <= 2
    assert sorted(shape[0] for shape in captured) == [1, 2, 4, 8]
