"""
Networks at full size have as many parameters as their papers say.

SegNet's convolutions lack the biases that its batch norms would take away again.
"""
from pathlib import Path

import pytest
import torch

from roadseg_ros.models.network import Staged
from roadseg_ros.models.registry import build_network, NETWORKS


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


def millions(name, arguments):
    """Return the parameters of a network with 11 classes, in millions to one digit."""
    with torch.device('meta'):
        network = build_network(name, {'num_classes': 11, **arguments})
    return f'{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f}', network


def test_the_table_of_networks_says_what_they_are():
    """Every network stands there, with its parameters, its stride and whether it has stages."""
    text = (Path(__file__).parents[2] / 'training' / 'README.md').read_text()
    table = text.split('\n## Networks\n')[1].split('\n## ')[0]
    rows = [[cell.strip(' `') for cell in line.strip('|').split('|')]
            for line in table.splitlines() if line.startswith('| `')]
    assert {name for name, *_ in rows} == set(NETWORKS)
    for name, _, shown, stride, stages in rows:
        depths = ({'depth': depth} for depth in (56, 67, 103)) if ', ' in shown else ({},)
        counts, networks = zip(*(millions(name, arguments) for arguments in depths))
        assert (', '.join(counts), str(networks[0].output_stride)) == (shown, stride), name
        assert isinstance(networks[0], Staged) == (stages == 'yes'), name
