"""Every network can learn: it reproduces two street scenes it is shown again and again."""
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, interpolate

from roadseg_ros.models.registry import build_network, NETWORKS
from roadseg_ros.scenes import Drive

CLASSES = 11
STEPS, LOOK_EVERY = 240, 20
SLIM = {
    # a stride of 8 would be too coarse for people a pixel wide
    'fcn8s': [{'channels': (16, 32, 32, 64, 64), 'head_channels': 64,
               'learned_upsampling': True}],
    'segnet': [{'channels': (16, 32, 32, 32, 32)}],
    'segnet_basic': [{'width': 16}],
    'swiftnet': [{'decoder_channels': (32, 32, 32, 32)}],
    'unet': [{'decoder_channels': (32, 32, 32, 32)}],
    'unet_classic': [{'channels': (16, 32, 64)},
                     {'channels': (16, 32), 'padding': 'valid', 'batch_norm': True}],
}
CASES = [(name, arguments) for name in NETWORKS for arguments in SLIM.get(name, [{}])]


@pytest.fixture(scope='module')
def scenes():
    """Return two images (2, 3, 64, 96) float32 and their masks (2, 64, 96) int64."""
    frames, masks = zip(*(Drive(seed, 64, 96).frame(0) for seed in (0, 1)))
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


@pytest.mark.parametrize('name, arguments', CASES, ids=[name for name, _ in CASES])
def test_two_images_are_learned(scenes, name, arguments):
    """Slim, in a bounded number of steps, it gets 95 % of the pixels right."""
    torch.manual_seed(0)
    network = build_network(name, {'num_classes': CLASSES, **arguments})
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    images, masks = scenes
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
