"""Recipes: every shipped one parses, and mistakes are named."""
from pathlib import Path

import pytest

from roadseg_ros.labels import load_label_space
from roadseg_ros.models.registry import NETWORKS
from training.config import Augmentation, ConfigError, load_recipe, Recipe
from training.datasets import DATASETS
from training.losses import CLASS_WEIGHTS

CONFIGS = sorted((Path(__file__).resolve().parents[2] / 'training' / 'configs').glob('*.yaml'))
REQUIRED = 'architecture: u_lite\narguments: {}\nlabels: camvid\ntrain: [{dataset: a}]\nval: []\n'


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
    assert recipe.class_weights is None or recipe.class_weights in CLASS_WEIGHTS
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
        architecture='u_lite', arguments={}, labels='camvid', train=({'dataset': 'a'},), val=(),
        frame_size=(48, 64), augmentation=Augmentation(crop=(32, 40)))


@pytest.mark.parametrize('content, reason', [
    (None, 'cannot read recipe'),
    (b'a: [', 'cannot read recipe'),
    (b'\xff\xfe\xfd', 'cannot read recipe'),
    (b'', 'own.yaml'),
    (b'- a\n- b\n', 'own.yaml'),
    (b'architecture: u_lite\n', "own.yaml: .*missing .* 'arguments'"),
    (REQUIRED.encode() + b'epoch: 3\n', 'unknown field epoch; known: .*epochs'),
    (REQUIRED.encode() + b'augmentation: {zoom: 2}\n', 'unknown field zoom; known: .*scale'),
    (REQUIRED.encode() + b'augmentation: 3\n', 'own.yaml'),
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
