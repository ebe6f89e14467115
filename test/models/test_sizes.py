"""
Networks at full size have as many parameters as their papers say.

SegNet's convolutions lack the biases that its batch norms would take away again.
"""
import pytest
import torch

from roadseg_ros.models.registry import build_network


@pytest.mark.parametrize('name, arguments, millions', [
    ('fcn8s', {'num_classes': 21}, 134),
    ('deeplab_large_fov', {'num_classes': 21}, 20.5),
    ('deeplab_v2', {'num_classes': 21}, 44.0),
    ('deeplab_v3', {'num_classes': 21}, 39.6),  # as torchvision's
    ('fc_densenet', {'num_classes': 11, 'depth': 67}, 3.46),
    ('fc_densenet', {'num_classes': 11, 'depth': 103}, 9.4),
    ('fcn16s', {'num_classes': 21}, 134),
    ('fcn32s', {'num_classes': 21}, 134),
    ('segnet', {'num_classes': 11}, 29.45),
    ('segnet_basic', {'num_classes': 11}, 1.425),
    ('unet_classic', {'num_classes': 2}, 31.0),
])
def test_parameters(name, arguments, millions):
    """They are counted without memory for them, and agree to 1 %."""
    with torch.device('meta'):
        network = build_network(name, arguments)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)
