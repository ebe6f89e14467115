"""Every network of the registry in the segmenter: flat frames, one class, as many as ids hold."""

import numpy as np
import pytest
import torch

from roadseg_ros.inference.engines import torch_engine
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import LabelSpace
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.registry import network_from_checkpoint, NETWORKS
from small_networks import small_checkpoint

FLAT = [(1, 64), (3, 200), (64, 1), (1, 1)]
ON_OPENVINO = ('gated_scnn', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'fcn32s', 'segnet', 'swiftnet', 'unet_classic')))  # seconds each, to convert


def space(classes):
    """Return a label space of so many classes."""
    return LabelSpace(tuple(f'class {index}' for index in range(classes)),
                      tuple((index, 0, 255 - index) for index in range(classes)))


def noise(size):
    """Return an (H, W, 3) uint8 frame without structure."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@torch.no_grad()
def plainly(checkpoint, frame):
    """Return ids and confidence of a frame at its own size, its edge repeated up to the stride."""
    network = network_from_checkpoint(checkpoint)
    height, width = frame.shape[:2]
    stride = network.input_stride
    padded = np.pad(frame, ((0, -height % stride), (0, -width % stride), (0, 0)), 'edge')
    found = FrameModule(network, checkpoint.preprocessing).eval()(torch.from_numpy(padded[None]))
    return [part[0, :height, :width].numpy() for part in found]


@pytest.mark.parametrize('architecture', NETWORKS)
def test_flat_frames(monkeypatch, architecture, labels):
    """One pixel high, one wide, or hardly more: the network's own answer, at the frame's size."""
    monkeypatch.setattr(torch_engine, '_fast_precision', lambda device: torch.float32)
    checkpoint = small_checkpoint(architecture, labels)
    segmenter = Segmenter(checkpoint, device='cpu', engine='torch', inference_height=-1)
    for size in FLAT:
        result = segmenter.segment([noise(size)])[0]
        ids, confidence = plainly(checkpoint, noise(size))
        np.testing.assert_array_equal(result.class_ids, ids)
        np.testing.assert_array_equal(result.confidence, confidence)


@pytest.mark.parametrize('architecture', NETWORKS)
def test_flat_frames_brought_to_the_height_trained_at(architecture, labels):
    """The same frames, enlarged as far as their width allows, keep their size in the mask."""
    segmenter = Segmenter(small_checkpoint(architecture, labels), device='cpu', engine='torch')
    for size in FLAT[:2]:
        ids = segmenter.segment([noise(size)])[0].class_ids
        assert ids.shape == size and ids.max() < len(labels)


@pytest.mark.parametrize('architecture', ON_OPENVINO)
def test_flat_frames_on_openvino(architecture, labels):
    """Shapes that the conversion never saw go through, and come back at the frame's size."""
    pytest.importorskip('openvino')
    segmenter = Segmenter(small_checkpoint(architecture, labels), device='cpu',
                          engine='openvino', inference_height=-1)
    for size in FLAT[:2]:
        ids = segmenter.segment([noise(size)])[0].class_ids
        assert ids.shape == size and ids.max() < len(labels)


@pytest.mark.slow
@pytest.mark.parametrize('classes', [1, 254])
@pytest.mark.parametrize('architecture', NETWORKS)
def test_one_class_and_254(monkeypatch, tmp_path, architecture, classes):
    """Through a file; one class is certain everywhere, and the last of 254 can win."""
    monkeypatch.setattr(torch_engine, '_fast_precision', lambda device: torch.float32)
    checkpoint = small_checkpoint(architecture, space(classes))
    path = tmp_path / 'a.safetensors'
    checkpoint.save(path)
    result = Segmenter(path, device='cpu', engine='torch', inference_height=-1).segment(
        [noise((40, 56))])[0]
    ids, confidence = plainly(checkpoint, noise((40, 56)))
    np.testing.assert_array_equal(result.class_ids, ids)
    np.testing.assert_array_equal(result.confidence, confidence)
    if classes == 1:
        assert not ids.any() and (confidence == 255).all()
