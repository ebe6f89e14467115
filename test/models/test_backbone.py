"""Encoders of timm by name, under the networks that take one."""
import inspect

import pytest
import torch

from roadseg_ros.models.registry import build_network, network_class, NETWORKS

CLASSES = 3
WIDTHS = {'vgg16': (8,) * 5, 'vgg16_bn': (8,) * 5}  # which have one stride more
ANY = ['resnet50', 'mobilenetv3_large_100', 'tf_efficientnet_lite2', 'vgg16', 'vgg16_bn']
DILATED = ['resnet50', 'mobilenetv3_large_100', 'tf_efficientnet_lite0', 'xception41']
TAKE_ANY = {'unet': {'decoder_channels': (8,) * 4}, 'swiftnet': {'decoder_channels': (8,) * 4},
            'gcn': {'kernel': 3}, 'fast_fcn': {'width': 8, 'head_width': 8},
            'stfcn': {'width': 8}, 'net_warp': {'decoder_channels': (8,) * 4}}
TAKE_DILATED = {'deeplab_v2': {'rates': (6,)}, 'deeplab_v3': {'width': 8},
                'deeplab_v3_plus': {'width': 8}, 'ksac': {'width': 8}, 'gated_scnn': {'width': 8}}


def test_these_are_the_networks_that_take_an_encoder():
    """None is forgotten below."""
    assert {*TAKE_ANY, *TAKE_DILATED} == {
        name for name in NETWORKS
        if 'encoder' in inspect.signature(network_class(name)).parameters}


def case(name, arguments, encoder):
    """Return a pair to test; one encoder on all and all encoders on two are the quick tests."""
    quick = encoder == 'mobilenetv3_large_100' or name in ('unet', 'deeplab_v3')
    return pytest.param(name, arguments, encoder, id=f'{name}-{encoder}',
                        marks=() if quick else pytest.mark.slow)


@torch.no_grad()
@pytest.mark.parametrize('name, arguments, encoder', [
    case(name, arguments, encoder)
    for family, encoders in ((TAKE_ANY, ANY), (TAKE_DILATED, DILATED))
    for name, arguments in family.items() for encoder in encoders])
def test_it_gives_scores_on_any_of_them(name, arguments, encoder):
    """At the network's stride, of a picture of one stride by two."""
    if encoder in WIDTHS and 'decoder_channels' in arguments:
        arguments = {'decoder_channels': WIDTHS[encoder]}
    network = build_network(name, {'num_classes': CLASSES, 'encoder': encoder, **arguments}).eval()
    height, width = network.input_stride, 2 * network.input_stride
    stride = network.output_stride
    scores = network(torch.randn(1, 3, height, width))
    assert scores.shape == (1, CLASSES, height // stride, width // stride)
    assert scores.isfinite().all()
