"""
Every engine gives the ids that torch gives in float32 on the CPU.

With trained weights the ids themselves are compared. Random weights leave many pixels all but
tied, where 16-bit floats may choose either class. How far rounding goes is measured: torch runs
the same network once more in bfloat16. An engine that moves the scores no further can change an
id only where the reference's margin is below twice the largest such move, and changes about as
many ids as torch's own rounding does: it may change twice as many.
"""
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from roadseg_ros.checkpoint import (
    Checkpoint,
    default_checkpoint_path,
    load_checkpoint,
    Preprocessing,
)
from roadseg_ros.inference.engines.openvino_engine import OpenVinoEngine
from roadseg_ros.inference.engines.torch_engine import TorchEngine
from roadseg_ros.labels import LabelSpace
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.registry import (
    build_network,
    network_from_checkpoint,
    NETWORKS,
    state_arrays,
)
from roadseg_ros.scenes import Drive
from small_networks import SMALL

ENGINES = {
    'openvino-f32': lambda checkpoint: OpenVinoEngine(checkpoint, 'cpu', 'f32'),
    'openvino-bf16': lambda checkpoint: OpenVinoEngine(checkpoint, 'cpu', 'bf16'),
    'torch-cpu': lambda checkpoint: TorchEngine(checkpoint, 'cpu'),
    'torch-cuda': lambda checkpoint: TorchEngine(checkpoint, 'cuda'),
}
IDS_EQUAL, IDS_EQUAL_NARROW = 0.9999, 0.995
WIDER = {  # than for other tests: ids must not hang on the last bit of a few scores
    'fcn8s': [{'head_channels': 8}, {'head_channels': 8, 'learned_upsampling': True}],
    'segnet': [{'channels': (8, 16, 16, 32, 32)}],
    'segnet_basic': [{'width': 16}],
    'unet_classic': [{'channels': (8, 16, 32)}, {'channels': (8, 16, 32), 'padding': 'valid'}],
}
# a second and more with each engine
SLOW = ('deeplab_large_fov', 'deeplab_v2', 'deeplab_v3', 'deeplab_v3_plus', 'fast_fcn',
        'fc_densenet', 'gated_scnn', 'gcn', 'ksac', 'net_warp', 'stfcn')
CASES = [pytest.param((name, arguments), id=name, marks=[pytest.mark.slow] * (name in SLOW))
         for name in NETWORKS for arguments in (SMALL | WIDER)[name]]
CLASSES = 6


@dataclass
class Run:
    """What torch made of frames: ids and confidence (N, H, W), scores (N, C, H, W)."""

    ids: np.ndarray
    confidence: np.ndarray
    scores: np.ndarray


def run_torch(checkpoint, frames, precision=torch.float32):
    """Return what torch on the CPU makes of (N, H, W, 3) frames."""
    network, scores = network_from_checkpoint(checkpoint), []
    network.register_forward_hook(lambda module, inputs, output: scores.append(output.float()))
    module = FrameModule(network, checkpoint.preprocessing).eval().to(precision)
    with torch.inference_mode():
        outputs = [module(torch.from_numpy(frame[None])) for frame in frames]
        upscaled = interpolate(torch.cat(scores), size=frames.shape[1:3], mode='bilinear',
                               align_corners=False)
    ids, confidence = (torch.cat(parts).numpy() for parts in zip(*outputs))
    return Run(ids, confidence, upscaled.numpy())


def is_narrow(engine):
    """Return whether an engine rounds to 16 bits."""
    return engine.precision not in ('f32', torch.float32)


@pytest.fixture(params=ENGINES)
def make_engine(request):
    """Return each engine's constructor."""
    if request.param == 'torch-cuda' and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    return ENGINES[request.param]


@pytest.fixture(scope='module', params=['generated', 'camvid'])
def packaged(request):
    """Return the packaged weights, generated or real frames, and the reference of them."""
    if request.param == 'generated':
        frames = [Drive(seed, 384, 480).frame(30)[0] for seed in range(3, 9)]
    else:
        paths = sorted((request.getfixturevalue('camvid_root') / 'val').glob('*.png'))
        # the top rows: a multiple of the network's stride
        frames = [cv2.imread(str(path))[:352] for path in paths[::5]]
    checkpoint, frames = load_checkpoint(default_checkpoint_path()), np.stack(frames)
    return checkpoint, frames, run_torch(checkpoint, frames)


@pytest.fixture(scope='module', params=CASES)
def random_weights(request):
    """Return each network with random weights, frames, the reference and it in bfloat16."""
    name, arguments = request.param
    arguments = {'num_classes': CLASSES, **arguments}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(name, arguments)
        spread_classes(network)
    labels = LabelSpace(tuple('abcdef'), ((0, 0, 0),) * CLASSES)
    preprocessing = Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, 96, 128)
    checkpoint = Checkpoint(name, arguments, labels, preprocessing,
                            state_arrays(network))
    coarse = np.random.default_rng(0).integers(0, 256, (4, 12, 16, 3), np.uint8)
    frames = coarse.repeat(8, 1).repeat(8, 2)
    # poolings that hand on where the maximum was must not find two of them
    frames ^= np.random.default_rng(1).integers(0, 16, frames.shape, np.uint8)
    return (checkpoint, frames, run_torch(checkpoint, frames),
            run_torch(checkpoint, frames, torch.bfloat16))


@torch.no_grad()
def spread_classes(network):
    """Let every class win somewhere: fresh batch norms and biases would leave one alone."""
    side = 2 * network.input_stride
    for _ in range(20):
        network(2 * torch.rand(2, 3, side, side) - 1)
    scores = network.eval()(2 * torch.rand(4, 3, side, side) - 1)
    last = [module for module in network.modules()
            if getattr(module, 'out_channels', 0) == CLASSES and module.bias is not None][-1]
    last.bias -= scores.mean((0, 2, 3))


def test_trained_weights_give_the_same_ids_on_every_engine(packaged, make_engine):
    checkpoint, frames, reference = packaged
    engine = make_engine(checkpoint)
    ids, confidence = engine.run(frames)
    narrow = is_narrow(engine)
    assert (ids == reference.ids).mean() >= (IDS_EQUAL_NARROW if narrow else IDS_EQUAL)
    off = np.abs(confidence.astype(int) - reference.confidence)
    assert off.mean() <= (2 if narrow else 0.01)


def test_every_network_gives_the_same_ids_but_for_ties(random_weights, make_engine):
    checkpoint, frames, reference, rounded = random_weights
    shares = np.bincount(reference.ids.ravel(), minlength=CLASSES) / reference.ids.size
    assert np.sort(shares)[-3] > 0.05, 'too few classes are seen to tell engines apart'
    engine = make_engine(checkpoint)
    ids, _ = engine.run(frames)
    differ = ids != reference.ids
    if not is_narrow(engine):
        assert differ.mean() <= 1 - IDS_EQUAL
        return
    chosen = np.take_along_axis(reference.scores, ids[:, None].astype(int), 1)[:, 0]
    margins = (reference.scores.max(1) - chosen)[differ]
    assert margins.max(initial=0) <= 2 * np.abs(rounded.scores - reference.scores).max()
    assert differ.mean() <= 2 * (rounded.ids != reference.ids).mean()
