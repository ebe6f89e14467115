"""Training on one's own labels, exactly as the README shows it, on pictures made here."""
from pathlib import Path
import re
import shlex

import cv2
import numpy as np
import pytest
import yaml

from roadseg_ros.checkpoint import default_checkpoint_path, load_checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from training import evaluate, train
from training.config import load_recipe

README = Path(__file__).resolve().parents[2] / 'README.md'
SMALL = {'architecture': 'u_lite', 'arguments': {'channels': [8, 8, 8, 8]}, 'pretrained': None,
         'frame_size': [48, 64], 'augmentation': {'crop': [48, 64], 'scale': [0.8, 1.5]},
         'epochs': 12, 'batch_size': 4, 'learning_rate': 0.02, 'precision': '32-true'}

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')


def section():
    """Return the README's section on one's own labels."""
    text = README.read_text()
    return text[text.index('## Your own labels'):text.index('## Licence')]


def files():
    """Return the YAML files that the section shows, by their names."""
    blocks = re.findall(r'```yaml\n# (\S+)\n(.*?)```', section(), re.DOTALL)
    return dict(blocks)


def command(module):
    """Return the arguments of a command that the section shows."""
    shell = section().replace('\\\n', ' ')
    line = re.search(rf'python -m {re.escape(module)} (.*)', shell)
    return shlex.split(line.group(1))


def write_drive(root, split, count):
    """Write bright obstacles on dark ground: ids 1 and 0, the first rows unlabelled."""
    rng = np.random.default_rng(len(split))
    for folder in (split, f'{split}annot'):
        (root / folder).mkdir(parents=True)
    for index in range(count):
        mask = np.zeros((48, 64), np.uint8)
        top, left = rng.integers(8, 24), rng.integers(0, 40)
        mask[top:top + 20, left:left + 24] = 1
        picture = np.where(mask[..., None] == 1, 210, 40) + rng.integers(0, 30, (48, 64, 3))
        mask[:4] = 255
        assert cv2.imwrite(str(root / split / f'{index:04}.png'), picture.astype(np.uint8))
        assert cv2.imwrite(str(root / f'{split}annot' / f'{index:04}.png'), mask)
    return picture.astype(np.uint8), mask


def test_the_recipe_shown_is_complete(tmp_path):
    """It parses as it stands."""
    (tmp_path / 'my_road.yaml').write_text(files()['my_road.yaml'])
    recipe = load_recipe(tmp_path / 'my_road.yaml')
    assert recipe.labels == 'my_data/labels.yaml'
    assert recipe.architecture == load_checkpoint(default_checkpoint_path()).architecture


def test_from_pictures_to_a_file_for_the_node(tmp_path, monkeypatch, capsys):
    """Layout, label space, recipe and commands lead to weights that know the new classes."""
    monkeypatch.chdir(tmp_path)
    write_drive(tmp_path / 'my_data', 'train', 8)
    picture, mask = write_drive(tmp_path / 'my_data', 'val', 2)
    shown = files()
    (tmp_path / 'my_data' / 'labels.yaml').write_text(shown['my_data/labels.yaml'])
    recipe = {**yaml.safe_load(shown['my_road.yaml']), **SMALL, 'workers': 0}
    (tmp_path / 'my_road.yaml').write_text(yaml.safe_dump(recipe))
    assert train.main([*command('training.train'), '--accelerator', 'cpu']) == 0
    capsys.readouterr()
    assert evaluate.main([*command('training.evaluate'), '--device', 'cpu']) == 0
    scores = {line.rsplit(maxsplit=1)[0]: float(line.split()[-1])
              for line in capsys.readouterr().out.splitlines()}
    assert scores.keys() == {'ground', 'obstacle', 'mean IoU', 'pixel accuracy'}
    assert scores['mean IoU'] > 0.8
    path = Path('runs/my_road/last.safetensors')
    assert str(path) in section()
    segmenter = Segmenter(path, device='cpu')
    assert segmenter.labels.names == ('ground', 'obstacle')
    assert segmenter.labels.colors == ((128, 64, 128), (220, 20, 60))
    found = segmenter.segment([picture])[0].class_ids
    assert (found == mask)[mask != 255].mean() > 0.9
    metrics = load_checkpoint(path).provenance['metrics']
    assert metrics['mean_iou'] == pytest.approx(scores['mean IoU'], abs=0.02)


def test_other_classes_than_the_recipes_are_refused(tmp_path, monkeypatch, capsys):
    """CamVid's classes in a recipe do not fit these folders."""
    monkeypatch.chdir(tmp_path)
    write_drive(tmp_path / 'my_data', 'train', 1)
    write_drive(tmp_path / 'my_data', 'val', 1)
    shown = files()
    (tmp_path / 'my_data' / 'labels.yaml').write_text(shown['my_data/labels.yaml'])
    recipe = {**yaml.safe_load(shown['my_road.yaml']), **SMALL, 'labels': 'camvid'}
    (tmp_path / 'my_road.yaml').write_text(yaml.safe_dump(recipe))
    assert train.main(command('training.train')) == 2
    error = capsys.readouterr().err
    assert 'Folders has the classes ground, obstacle; labels: camvid has sky' in error
    assert error.count('\n') == 1
