"""Weights to start from: taken where they fit, one error where they cannot be had."""

import numpy as np
import pytest
from safetensors.numpy import save_file
import torch

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.models.registry import build_network
from training.pretrained import initialize, load_weights
from training.weight_files import PretrainedError

NONE_FOR_U_LITE = (
    'ULite takes no weights of others; those that do: on VGG16 deeplab_large_fov, fcn16s, fcn32s, '
    'fcn8s, segnet; on an encoder of timm deeplab_v2, deeplab_v3, deeplab_v3_plus, fast_fcn, '
    'gated_scnn, gcn, ksac, net_warp, stfcn, swiftnet, unet$')


def test_a_checkpoint_fills_all_that_fits(checkpoint_path):
    checkpoint = load_checkpoint(checkpoint_path)
    network = build_network(checkpoint.architecture, {**checkpoint.arguments, 'num_classes': 4})
    classifier = network.classifier.weight.clone()
    load_weights(network, str(checkpoint_path))
    np.testing.assert_array_equal(
        network.state_dict()['bottom.0.0.weight'].numpy(),
        checkpoint.tensors['bottom.0.0.weight'].astype(np.float32))
    assert torch.equal(network.classifier.weight, classifier)


@pytest.mark.parametrize('network, source, message', [
    ('u_lite', 'coco', "unknown pretrained 'coco'; known: imagenet, or the path"),
    ('u_lite', 'vgg16.pth', NONE_FOR_U_LITE),
    ('u_lite', 'imagenet', NONE_FOR_U_LITE),
    ('unet', 'nowhere.safetensors', 'cannot read checkpoint nowhere.safetensors: No such file'),
])
def test_what_cannot_be_had_is_named(network, source, message):
    with pytest.raises(ValueError, match=message):
        load_weights(build_network(network, {'num_classes': 3}), source)


def test_a_checkpoint_of_another_network_is_refused(checkpoint_path):
    network = build_network('unet', {'num_classes': 3})
    with pytest.raises(PretrainedError, match='holds a u_lite, whose tensors are not those of UN'):
        load_weights(network, str(checkpoint_path))


def test_what_does_not_fill_a_network_is_refused_where_all_is_wanted(checkpoint_path, tmp_path):
    checkpoint = load_checkpoint(checkpoint_path)
    same, other = (build_network(checkpoint.architecture, {**checkpoint.arguments, **changes})
                   for changes in ({}, {'num_classes': 4}))
    load_weights(same, str(checkpoint_path), whole=True)
    with pytest.raises(PretrainedError, match='does not fit classifier.*; start_share goes'):
        load_weights(other, str(checkpoint_path), whole=True)
    for encoder in (tmp_path / 'encoder.pth', tmp_path / 'encoder.safetensors'):
        save_file({'conv_stem.weight': np.zeros(1)}, encoder)
        with pytest.raises(PretrainedError, match='holds an encoder alone; start_share goes on'):
            load_weights(same, str(encoder), whole=True)


def test_random_weights_have_the_spread_asked_for_and_bilinear_ones_stay():
    network = build_network('fcn8s', {'num_classes': 3, 'head_channels': 8,
                                      'channels': (8,) * 5, 'learned_upsampling': True})
    bilinear = network.enlarge.weight.clone()
    initialize(network, 0.01)
    weight = network.fully_connected[0].weight
    assert weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert abs(weight.mean().item()) < 0.001
    assert not network.score3.bias.any()
    assert torch.equal(network.enlarge.weight, bilinear)


def test_transposed_convolutions_that_are_not_bilinear_are_drawn():
    network = build_network('unet_classic', {'num_classes': 3, 'channels': (16, 16)})
    initialize(network, 0.3)
    assert network.enlarge[0].weight.std().item() == pytest.approx(0.3, rel=0.1)
