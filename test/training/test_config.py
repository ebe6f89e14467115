"""Recipes: every shipped one parses, and mistakes are named."""
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from roadseg_ros.labels import load_label_space
from roadseg_ros.models.registry import build_network, NETWORKS
from training.config import (
    Augmentation,
    AUGMENTATION_CHECKS,
    ConfigError,
    load_recipe,
    NORMALIZATIONS,
    Recipe,
    RECIPE_CHECKS,
)
from training.datasets import DATASETS
from training.losses import LOSSES
from training.run_folder import RunError
from training.task import OPTIMIZERS, SCHEDULES
from training.train import check_normalization

CONFIGS = sorted((Path(__file__).resolve().parents[2] / 'training' / 'configs').glob('*.yaml'))
REQUIRED = ('architecture: u_lite\narguments: {}\nlabels: camvid\ntrain: [{dataset: a}]\n'
            'val: [{dataset: b}]\n')


def test_there_are_recipes():
    """The glob below finds something."""
    assert CONFIGS


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_shipped_recipes_parse_and_name_what_exists(path):
    """Each shipped recipe fits `Recipe`, and every name in it is known."""
    recipe = load_recipe(path)
    assert recipe.architecture in NETWORKS
    assert len(load_label_space(recipe.labels)) > 1
    assert recipe.pretrained in (None, 'imagenet') or recipe.pretrained.endswith('.safetensors')
    assert {entry['loss'] for entry in recipe.loss} <= set(LOSSES)
    assert recipe.train and recipe.val
    assert {entry['dataset'] for entry in (*recipe.train, *recipe.val)} <= set(DATASETS)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_shipped_recipes_open_with_their_command(path):
    """The first line of a recipe is the command that runs it."""
    command = f'# python -m training.train --config training/configs/{path.name}'
    assert path.read_text().splitlines()[0] == command


def test_lists_become_tuples_and_the_rest_has_defaults(tmp_path):
    """YAML lists arrive as tuples, fields left out have the defaults of the dataclass."""
    path = tmp_path / 'own.yaml'
    path.write_text(REQUIRED + 'frame_size: [48, 64]\naugmentation: {crop: [32, 40]}\n')
    assert load_recipe(str(path)) == Recipe(
        architecture='u_lite', arguments={}, labels='camvid', train=({'dataset': 'a'},),
        val=({'dataset': 'b'},), frame_size=(48, 64), augmentation=Augmentation(crop=(32, 40)))


@pytest.mark.parametrize('content, reason', [
    (None, 'cannot read recipe'),
    (b'a: [', 'cannot read recipe'),
    (b'\xff\xfe\xfd', 'cannot read recipe'),
    (b'', 'a recipe must be a mapping of fields, not None'),
    (b'- a\n- b\n', 'a recipe must be a mapping of fields'),
    (b'architecture: u_lite\n', 'missing field arguments, labels, train, val'),
    (REQUIRED.encode() + b'epoch: 3\n', 'unknown field epoch; known: .*epochs'),
    (REQUIRED.encode() + b'augmentation: {zoom: 2}\n', 'unknown field zoom; known: .*scale'),
    (REQUIRED.encode() + b'augmentation: 3\n', 'augmentation must be a mapping'),
    (REQUIRED.encode() + b'3: 4\n', 'unknown field 3'),
])
def test_recipes_that_cannot_be_read_are_named(tmp_path, content, reason):
    """The error names the file and what is wrong in it, in one line."""
    path = tmp_path / 'own.yaml'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('line, reason', [
    ('val: []', 'val must be a list of data sets, each {dataset: name, ...}, not []'),
    ('train: {dataset: a}', 'train must be a list of data sets'),
    ('val: [{root: a}]', 'val must be a list of data sets'),
    ('arguments: [3]', 'arguments must be a mapping, not [3]'),
    ('labels: 3', 'labels must be text, not 3'),
    ('frame_size: 48', 'frame_size must be a list of two, each a whole number from 1, not 48'),
    ('frame_size: [48, 64, 3]', 'frame_size must be a list of two'),
    ('frame_size: [48, 0]', 'frame_size must be a list of two'),
    ('epochs: ten', "epochs must be a whole number from 1, not 'ten'"),
    ('epochs: 0', 'epochs must be a whole number from 1, not 0'),
    ('batch_size: 2.5', 'batch_size must be a whole number from 1, not 2.5'),
    ('workers: true', 'workers must be a whole number from 0, not True'),
    ('learning_rate: 1e-3', "(YAML wants 1.0e-3 for 1e-3), not '1e-3'"),
    ('learning_rate: .nan', 'learning_rate must be a number from 0'),
    ('ema_decay: 1.5', 'ema_decay must be a number in 0..1'),
    ('pretrained: 3', 'pretrained must be text, or nothing, not 3'),
    ('precision: half', 'precision must be one of 32-true, 16-mixed, bf16-mixed'),
    ('augmentation: {crop: 32}', 'augmentation.crop must be a list of two'),
    ('augmentation: {scale: [2, 1]}', 'the lower first, not [2, 1]'),
    ('augmentation: {hue: 0.7}', 'augmentation.hue must be a number in 0..0.5'),
    ('start_share: 0.5', 'pretrained must be a .safetensors file of it, not None'),
    ('start_share: 0.5\npretrained: imagenet', "a .safetensors file of it, not 'imagenet'"),
    ('clip: 4\naugmentation: {class_mix: 0.5}', 'class_mix is for single pictures, not for clip'),
])
def test_values_that_do_not_fit_are_named(tmp_path, line, reason):
    """The error names the field, what it wants and what it got."""
    path = tmp_path / 'own.yaml'
    field = line.partition(':')[0]
    kept = [given for given in REQUIRED.splitlines() if not given.startswith(f'{field}:')]
    path.write_text('\n'.join([*kept, line]))
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert reason in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_shipped_recipes_prepare_frames_as_their_first_weights_want_them(path):
    """Those from ImageNet are not refused, and with the other normalization would be."""
    recipe = load_recipe(path)
    if recipe.pretrained != 'imagenet':
        return
    labels = load_label_space(recipe.labels)
    with torch.device('meta'):
        network = build_network(recipe.architecture,
                                {**recipe.arguments, 'num_classes': len(labels)})
    check_normalization(recipe, network)
    if hasattr(network.encoder, 'pretrained_cfg'):
        other, = NORMALIZATIONS.keys() - {recipe.normalization}
        with pytest.raises(RunError, match=f'normalization: {recipe.normalization}, not {other}'):
            check_normalization(replace(recipe, normalization=other), network)
    else:  # VGG16, which is torchvision's
        assert recipe.normalization == 'imagenet'


@pytest.mark.parametrize('field, table', [('optimizer', OPTIMIZERS), ('schedule', SCHEDULES)])
def test_what_a_recipe_may_name_is_what_there_is(field, table):
    """Its check, which does not import torch, knows the names of the table that is used."""
    _, _, names = RECIPE_CHECKS[field].wanted.partition('one of ')
    assert set(names.split(', ')) == set(table)


def test_every_field_is_checked():
    """A field that is added gets a check too."""
    assert set(AUGMENTATION_CHECKS) == {item.name for item in fields(Augmentation)}
    assert set(RECIPE_CHECKS) == {item.name for item in fields(Recipe)} - {'augmentation'}
