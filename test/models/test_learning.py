"""Every network can learn: it reproduces two street scenes it is shown again and again."""
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, interpolate

from roadseg_ros.models.registry import build_network, NETWORKS
from roadseg_ros.scenes import Drive

CLASSES = 11
STEPS, LOOK_EVERY = 400, 20
SCENE = (64, 96)
LARGER = (192, 288)  # where a stride of 8 is too coarse for people a pixel wide
SCENES = {name: LARGER for name in (
    'deeplab_large_fov', 'deeplab_v2', 'deeplab_v3', 'fast_fcn', 'stfcn')}
RATES = {'deeplab_large_fov': 1e-3}
IN_MAKE_TEST = {'fcn8s', 'swiftnet'}  # a plain one, and the packaged one; all take minutes
FCN = {'channels': (16, 32, 32, 64, 64), 'head_channels': 64, 'learned_upsampling': True}
SLIM = {
    'deeplab_large_fov': [{'channels': (16, 32, 64, 64, 64), 'head_channels': 128, 'rate': 4}],
    'deeplab_v2': [{'encoder': 'mobilenetv3_small_050', 'rates': (1, 2, 4)}],
    'deeplab_v3': [{'encoder': 'mobilenetv3_small_050', 'width': 32, 'output_stride': 8}],
    'deeplab_v3_plus': [{'encoder': 'mobilenetv3_small_050', 'width': 32}],
    'fast_fcn': [{'encoder': 'mobilenetv3_small_050', 'width': 32, 'head_width': 32}],
    'fc_densenet': [{'growth': 12, 'blocks': (3, 3, 3), 'first_channels': 16, 'dropout': 0.0}],
    # scores at stride 32, 16 or 8 would be too coarse for people a pixel wide
    'fcn16s': [FCN],
    'fcn32s': [FCN],
    'fcn8s': [FCN],
    'gated_scnn': [{'encoder': 'mobilenetv3_small_050', 'width': 32}],
    'gcn': [{'encoder': 'resnet18', 'kernel': 7}],
    'ksac': [{'encoder': 'mobilenetv3_small_050', 'width': 32}],
    'net_warp': [{'decoder_channels': (32, 32, 32, 32)}],
    'residual_unet': [{'channels': (16, 32, 64)}],
    'segnet': [{'channels': (16, 32, 32, 32, 32)}],
    'segnet_basic': [{'width': 16}],
    'stfcn': [{'encoder': 'mobilenetv3_small_050', 'width': 32}],
    'swiftnet': [{'decoder_channels': (32, 32, 32, 32)}],
    'unet': [{'decoder_channels': (32, 32, 32, 32)}],
    'unet_classic': [{'channels': (16, 32, 64)},
                     {'channels': (16, 32), 'padding': 'valid', 'batch_norm': True}],
}
CASES = [pytest.param(name, arguments, id=name,
                      marks=[pytest.mark.slow] * (name not in IN_MAKE_TEST))
         for name in NETWORKS for arguments in SLIM.get(name, [{}])]
assert IN_MAKE_TEST <= {*NETWORKS}


def scenes(height, width):
    """Return two images (2, 3, H, W) float32 and their masks (2, H, W) int64."""
    frames, masks = zip(*(Drive(seed, height, width).frame(0) for seed in (0, 1)))
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    return images / 127.5 - 1, torch.from_numpy(np.stack(masks)).long()


def scores_at_full_size(network, images):
    """Return (N, C, H, W) scores."""
    return interpolate(network(images), size=images.shape[-2:], mode='bilinear',
                       align_corners=False)


@torch.no_grad()
def accuracy(network, images, masks):
    """Return the share of pixels that a network in eval mode gets right."""
    ids = scores_at_full_size(network.eval(), images).argmax(1)
    network.train()
    return (ids == masks).float().mean().item()


@pytest.mark.parametrize('name, arguments', CASES)
def test_two_images_are_learned(name, arguments):
    """Slim, in a bounded number of steps, it gets 95 % of the pixels right."""
    torch.manual_seed(0)
    network = build_network(name, {'num_classes': CLASSES, **arguments})
    optimizer = torch.optim.Adam(network.parameters(), lr=RATES.get(name, 3e-3))
    images, masks = scenes(*SCENES.get(name, SCENE))
    reached = 0.0
    for step in range(1, STEPS + 1):
        loss = cross_entropy(scores_at_full_size(network, images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % LOOK_EVERY == 0:
            reached = max(reached, accuracy(network, images, masks))
            if reached >= 0.95:
                return
    pytest.fail(f'{reached:.3f} of the pixels after {STEPS} steps')
