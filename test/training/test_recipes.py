"""Every recipe runs from end to end on a miniature of its data; the result segments."""

from pathlib import Path

import pytest
import yaml

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import load_label_space, UNLABELLED
from training.train import main

CONFIGS = sorted((Path(__file__).resolve().parents[2] / 'training' / 'configs').glob('*.yaml'))
SLIM = {'fcn8s': {'channels': [4, 8, 8, 8, 8], 'head_channels': 8},
        'segnet': {'channels': [4, 8, 8, 8, 8]}, 'segnet_basic': {'width': 4},
        'u_lite': {'channels': [4, 8, 8, 8]}, 'unet': {'decoder_channels': [8, 8, 8, 8]},
        'unet_classic': {'channels': [4, 8, 8, 8, 8]}}

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')


def slim(path, miniatures):
    """Return a recipe as it is, but for its size, its length and where its data lies."""
    recipe = yaml.safe_load(path.read_text())
    recipe['arguments'].update(SLIM[recipe['architecture']])
    recipe.update(pretrained=None, frame_size=[64, 96], epochs=1, batch_size=2,
                  precision='32-true', workers=0)
    recipe['augmentation']['crop'] = [64, 96]
    for entry in (*recipe['train'], *recipe['val']):
        if 'root' in entry:
            entry['root'] = str(miniatures / entry['dataset'])
        if 'samples' in entry:
            entry['samples'] = 2
    return recipe


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_trains_and_its_checkpoint_segments(path, miniatures, picture, tmp_path):
    """One command makes a file of the recipe's own classes that labels a picture."""
    config = tmp_path / path.name
    config.write_text(yaml.safe_dump(slim(path, miniatures)))
    folder = tmp_path / 'run'
    assert main(['--config', str(config), '--out', str(folder), '--accelerator', 'cpu']) == 0
    checkpoint = load_checkpoint(folder / 'last.safetensors')
    assert checkpoint.provenance['recipe'] == path.stem
    assert checkpoint.labels == load_label_space(yaml.safe_load(path.read_text())['labels'])
    mean_iou = checkpoint.provenance['metrics']['mean_iou']
    assert 0 <= mean_iou <= 1
    result = Segmenter(checkpoint, device='cpu', engine='torch').segment([picture])[0]
    assert result.class_ids.shape == picture.shape[:2]
    assert result.class_ids.max() < len(checkpoint.labels)
    assert not (result.class_ids == UNLABELLED).any()
