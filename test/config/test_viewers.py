"""The layouts for RViz and Foxglove: topics that the node has, QoS that fits them."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest
import yaml

from roadseg_ros.checkpoint import Checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.node.topics import OUTPUT_NAMES, output_prefixes

CONFIG = Path(__file__).resolve().parents[2] / 'config'
CAMERA = yaml.safe_load((CONFIG / 'segmentation.yaml').read_text(encoding='utf-8'))['/**'][
    'ros__parameters']['image_topics'][0]
PREFIX = output_prefixes([CAMERA])[CAMERA]
SHOWN = {'Camera': CAMERA, 'Overlay': f'{PREFIX}/overlay', 'Classes': f'{PREFIX}/color_mask',
         'Legend': f'{PREFIX}/legend'}
LATCHED = {'Legend'}
PATH = re.compile(r'(?P<topic>[/\w]+)\.status\[:\]\.(message|values\[:\]\{key=="(?P<key>\w+)"\}'
                  r'\.value)')


@pytest.fixture(scope='module')
def rviz() -> dict[str, Any]:
    """Return RViz's configuration."""
    return yaml.safe_load((CONFIG / 'segmentation.rviz').read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def foxglove() -> dict[str, Any]:
    """Return Foxglove's layout."""
    return json.loads((CONFIG / 'roadseg.foxglove.json').read_text(encoding='utf-8'))


def plotted(foxglove: dict[str, Any]) -> Iterator[re.Match[str]]:
    """Yield topic and key of each line that is plotted."""
    for panel in foxglove['configById'].values():
        for path in panel.get('paths', ()):
            match = PATH.fullmatch(path['value'])
            assert match, path['value']
            yield match


def panels(layout: dict[str, Any] | str) -> Iterator[str]:
    """Yield the panels of a layout, which halves again and again."""
    if isinstance(layout, str):
        yield layout
        return
    assert layout['direction'] in ('row', 'column') and 0 < layout['splitPercentage'] < 100
    for half in ('first', 'second'):
        yield from panels(layout[half])


def test_what_is_shown_is_an_output() -> None:
    assert set(SHOWN.values()) - {CAMERA} < {f'{PREFIX}/{name}' for name in OUTPUT_NAMES}


def test_rviz_shows_the_topics(rviz: dict[str, Any]) -> None:
    displays = rviz['Visualization Manager']['Displays']
    assert {display['Name']: display['Topic']['Value'] for display in displays} == SHOWN
    assert {display['Class'] for display in displays} == {'rviz_default_plugins/Image'}
    assert all(display['Enabled'] and display['Value'] for display in displays)


def test_rviz_asks_for_what_the_publishers_offer(rviz: dict[str, Any]) -> None:
    for display in rviz['Visualization Manager']['Displays']:
        topic = display['Topic']
        # a reliable reader hears no best-effort camera, a volatile one no legend from before
        assert topic['Reliability Policy'] == (
            'Best Effort' if display['Name'] == 'Camera' else 'Reliable')
        assert topic['Durability Policy'] == (
            'Transient Local' if display['Name'] in LATCHED else 'Volatile')


def test_rviz_puts_every_panel_in_its_place(rviz: dict[str, Any]) -> None:
    geometry = rviz['Window Geometry']
    state = bytes.fromhex(geometry['QMainWindow State'])
    named = {panel['Name'] for panel in rviz['Panels']} | set(SHOWN)
    assert named <= set(geometry)
    # Qt writes the length of a name, then the name
    assert all(len(name.encode('utf-16-be')).to_bytes(4, 'big') + name.encode('utf-16-be')
               in state for name in named)


def test_foxglove_shows_the_topics(foxglove: dict[str, Any]) -> None:
    configured = foxglove['configById']
    images = {panel['foxglovePanelTitle']: panel['imageMode']['imageTopic']
              for name, panel in configured.items() if name.startswith('Image!')}
    assert images == SHOWN
    diagnostics = [panel['topicToRender'] for name, panel in configured.items()
                   if name.startswith('Diagnostic')]
    assert diagnostics == ['/diagnostics'] * 2
    assert 'provenance' in OUTPUT_NAMES
    assert {match['topic'] for match in plotted(foxglove)} == {f'{PREFIX}/provenance'}


def test_foxglove_lays_out_every_panel_once(foxglove: dict[str, Any]) -> None:
    assert sorted(panels(foxglove['layout'])) == sorted(foxglove['configById'])


def test_foxglove_plots_what_provenance_says(foxglove: dict[str, Any], checkpoint: Checkpoint,
                                             picture: np.ndarray) -> None:
    segmenter = Segmenter(checkpoint, device='cpu', cache='warp')
    results = [segmenter.segment([picture], ['cam'], [index * 10**8])[0] for index in range(3)]
    said = {f'{stage}_ms' for result in results for stage in result.timing_ms}
    keys = {match['key'] for match in plotted(foxglove)} - {None}
    assert keys == {*said, 'age_ms'}
