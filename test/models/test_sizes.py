"""
Networks at full size have as many parameters as their papers say.

SegNet's convolutions lack the biases that its batch norms would take away again.
"""
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from roadseg_ros.inference.preprocessing import padded_size
from roadseg_ros.models.network import Staged
from roadseg_ros.models.registry import build_network, NETWORKS
from training.config import load_recipe

ROOT = Path(__file__).resolve().parents[2]


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


def planned(name, arguments):
    """Return a network with 11 classes, without memory."""
    with torch.device('meta'):
        return build_network(name, {'num_classes': 11, **arguments}).eval()


def millions(network):
    """Return a network's parameters, in millions to one digit."""
    return f'{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f}'


@torch.no_grad()
def giga_multiply_adds(network):
    """Return those of a 480x360 frame padded to the stride, in 10^9 to one digit."""
    height, width = padded_size((360, 480), network.input_stride)
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, height, width, device='meta'))
    return f'{counter.get_total_flops() / 2e9:.1f}'  # which counts both


def recipes():
    """Return the names of the recipes by the network that they train."""
    found = {}
    for path in sorted((ROOT / 'training' / 'configs').glob('*.yaml')):
        found.setdefault(load_recipe(path).architecture, set()).add(path.stem)
    return found


def test_the_table_of_networks_says_what_they_are():
    """Every network stands there, with what can be counted of it and a recipe that trains it."""
    text = (ROOT / 'training' / 'README.md').read_text()
    table = text.split('\n## Networks\n')[1].split('\n## ')[0]
    rows = [[cell.strip(' `') for cell in line.strip('|').split('|')]
            for line in table.splitlines() if line.startswith('| `')]
    assert {name for name, *_ in rows} == set(NETWORKS)
    trained_by = recipes()
    for name, _, parameters, multiply_adds, _, _, stride, stages, recipe in rows:
        depths = [{'depth': 56}, {'depth': 67}, {'depth': 103}] if ', ' in parameters else [{}]
        networks = [planned(name, arguments) for arguments in depths]
        assert ', '.join(map(millions, networks)) == parameters, name
        assert ', '.join(map(giga_multiply_adds, networks)) == multiply_adds, name
        assert str(networks[0].output_stride) == stride, name
        assert isinstance(networks[0], Staged) == (stages == 'yes'), name
        assert (recipe in trained_by[name]) if name in trained_by else not recipe, name
