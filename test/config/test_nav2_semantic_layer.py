"""The costmap file for Nav2 says what the node says: topics, classes and groups."""
from pathlib import Path

import pytest
import yaml

from roadseg_ros.groups import GROUPS, load_class_groups
from roadseg_ros.labels import load_label_space
from roadseg_ros.node.topics import OUTPUT_NAMES, output_prefixes

ROOT = Path(__file__).resolve().parents[2]
# what the layer's onInitialize declares for a source and for each of its class types
SOURCE_KEYS = {
    'segmentation_topic', 'confidence_topic', 'labels_topic', 'pointcloud_topic',
    'observation_persistence', 'expected_update_rate', 'class_types', 'max_obstacle_distance',
    'min_obstacle_distance', 'tile_map_decay_time', 'visualize_tile_map', 'use_cost_selection'}
TYPE_KEYS = {'classes', 'base_cost', 'max_cost', 'mark_confidence', 'samples_to_max_cost',
             'dominant_priority'}


@pytest.fixture(scope='module')
def costmap():
    document = yaml.safe_load((ROOT / 'config' / 'nav2_semantic_layer.yaml').read_text())
    return document['local_costmap']['local_costmap']['ros__parameters']


@pytest.fixture(scope='module')
def source(costmap):
    layer = costmap['semantic_segmentation_layer']
    assert layer['plugin'] == 'semantic_segmentation_layer::SemanticSegmentationLayer'
    assert 'semantic_segmentation_layer' in costmap['plugins']
    return layer[layer['observation_sources']]


def test_the_topics_are_those_of_the_default_camera(source):
    defaults = yaml.safe_load((ROOT / 'config' / 'segmentation.yaml').read_text())
    (topic,) = defaults['/**']['ros__parameters']['image_topics']
    prefix = output_prefixes([topic])[topic]
    assert {key: source[f'{key}_topic'] for key in ('segmentation', 'confidence', 'labels')} == {
        'segmentation': f'{prefix}/mask', 'confidence': f'{prefix}/confidence',
        'labels': f'{prefix}/label_info'}
    assert {'mask', 'confidence', 'label_info'} <= set(OUTPUT_NAMES)


def test_every_class_stands_in_its_group_once(source):
    groups = load_class_groups()
    assert tuple(source['class_types']) == GROUPS
    listed = [(name, group) for group in GROUPS for name in source[group]['classes']]
    names = load_label_space('camvid').names
    assert sorted(listed) == sorted((name, groups.group_of[name]) for name in names)


def test_only_what_the_layer_declares(source):
    assert set(source) - SOURCE_KEYS == set(GROUPS)
    for group in GROUPS:
        assert set(source[group]) <= TYPE_KEYS and source[group]['classes']


def test_costs_rise_from_road_to_obstacle(source):
    cost = {group: source[group]['max_cost'] for group in GROUPS}
    assert cost['drivable'] == 0 < cost['sidewalk'] < cost['obstacle'] == cost['dynamic'] == 254
    assert all(source[group]['base_cost'] == cost[group] for group in GROUPS)
