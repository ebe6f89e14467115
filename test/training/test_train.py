"""A small training run from end to end: what it writes, and that resuming changes nothing."""
from dataclasses import asdict

import numpy as np
import pytest
from pytorch_lightning.callbacks import Callback
import torch
import yaml

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from training import train as train_module
from training.config import load_recipe
from training.train import main

RECIPE = {
    'architecture': 'u_lite', 'arguments': {'channels': [4, 8, 8, 8]}, 'labels': 'camvid',
    'train': [{'dataset': 'synthetic', 'samples': 4, 'seed': 50, 'height': 48, 'width': 64}],
    'val': [{'dataset': 'synthetic', 'samples': 1, 'seed': 70, 'height': 45, 'width': 61}],
    'frame_size': [48, 64], 'class_weights': 'sqrt_median_frequency',
    'augmentation': {'crop': [32, 48]}, 'epochs': 3, 'batch_size': 2, 'precision': '32-true',
    'workers': 0, 'seed': 3,
}

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')


class Interruption(Exception):
    """What stops a run half way."""


class StopAfterFirstEpoch(Callback):
    """Stop as a killed process would, once the first epoch is behind."""

    def on_train_batch_start(self, trainer, task, batch, index):
        """Raise in the middle of the second epoch."""
        if trainer.current_epoch == 1 and index == 1:
            raise Interruption


def run(folder, *arguments, **changes):
    """Run the command line on the CPU with a recipe; return its exit status."""
    config = folder.parent / 'tiny.yaml'
    config.write_text(yaml.safe_dump({**RECIPE, **changes}))
    return main(['--config', str(config), '--out', str(folder), '--accelerator', 'cpu',
                 *arguments])


def state(folder):
    """Return the network and its average as `last.ckpt` has them."""
    return torch.load(folder / 'last.ckpt', weights_only=False)['state_dict']


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Return the folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp('training') / 'run'
    assert run(folder) == 0
    return folder


def test_run_folder_holds_what_it_should(finished):
    """Checkpoints to resume from, files for the node, the recipe as resolved, and curves."""
    names = {path.name for path in finished.iterdir()}
    assert names == {'last.ckpt', 'best.ckpt', 'last.safetensors', 'best.safetensors',
                     'recipe.yaml', 'tensorboard'}
    assert list((finished / 'tensorboard').glob('events.out.tfevents.*'))
    written = yaml.safe_load((finished / 'recipe.yaml').read_text())
    assert written['learning_rate'] == 2e-3
    assert written['augmentation']['crop'] == [32, 48]


def test_written_recipe_is_the_recipe(finished):
    """The recipe in the run folder can be trained from again."""
    given = load_recipe(finished.parent / 'tiny.yaml')
    assert asdict(load_recipe(finished / 'recipe.yaml')) == asdict(given)


def test_exported_file_says_where_it_comes_from(finished, labels):
    """Label space, preprocessing and provenance travel with the weights."""
    checkpoint = load_checkpoint(finished / 'last.safetensors')
    assert checkpoint.architecture == 'u_lite'
    assert checkpoint.labels == labels
    assert (checkpoint.preprocessing.height, checkpoint.preprocessing.width) == (48, 64)
    provenance = checkpoint.provenance
    assert (provenance['recipe'], provenance['epochs']) == ('tiny', 3)
    assert provenance['train'] == RECIPE['train']
    assert 0 <= provenance['metrics']['mean_iou'] <= 1
    assert set(provenance['metrics']['iou']) == set(labels.names)


def test_exported_weights_are_the_average(finished):
    """The node gets the moving average, rounded to half precision."""
    tensors = load_checkpoint(finished / 'last.safetensors').tensors
    average = {name.removeprefix('average.module.'): value
               for name, value in state(finished).items() if name.startswith('average.module.')}
    assert tensors.keys() == average.keys()
    for name, value in average.items():
        np.testing.assert_allclose(tensors[name], value.numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('name', ['last', 'best'])
def test_segmenter_loads_the_exported_file(finished, picture, name):
    """What training wrote runs in the segmenter as it is."""
    result = Segmenter(finished / f'{name}.safetensors', device='cpu').segment([picture])[0]
    assert result.class_ids.shape == (48, 64)
    assert result.class_ids.max() < 11


@pytest.mark.parametrize('workers', [0, 1])
def test_resumed_equals_uninterrupted(finished, tmp_path, monkeypatch, workers):
    """A run killed half way and resumed ends with the weights of one that was not."""
    callbacks = train_module._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(train_module, '_callbacks',
                      lambda *arguments: [*callbacks(*arguments), StopAfterFirstEpoch()])
        with pytest.raises(Interruption):
            run(tmp_path / 'run', workers=workers)
    assert load_checkpoint(tmp_path / 'run' / 'last.safetensors').provenance['epochs'] == 1
    assert run(tmp_path / 'run', '--resume', workers=workers) == 0
    wanted, found = state(finished), state(tmp_path / 'run')
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)
    one, other = (load_checkpoint(folder / 'last.safetensors').provenance['metrics']
                  for folder in (finished, tmp_path / 'run'))
    assert one['mean_iou'] == pytest.approx(other['mean_iou'], abs=1e-4)


def test_rare_validation_keeps_a_checkpoint_of_every_epoch(tmp_path, monkeypatch):
    """An interrupted run loses at most the epoch that it was in."""
    callbacks = train_module._callbacks
    monkeypatch.setattr(train_module, '_callbacks',
                        lambda *arguments: [*callbacks(*arguments), StopAfterFirstEpoch()])
    with pytest.raises(Interruption):
        run(tmp_path / 'run', validate_every=3)
    assert (tmp_path / 'run' / 'last.ckpt').is_file()


def test_early_stopping_ends_a_run_that_does_not_get_better(tmp_path):
    """A learning rate of zero never improves, so patience runs out."""
    assert run(tmp_path / 'run', epochs=20, learning_rate=0.0, weight_decay=0.0,
               early_stopping_patience=1) == 0
    assert load_checkpoint(tmp_path / 'run' / 'last.safetensors').provenance['epochs'] < 6


@pytest.mark.parametrize('changes, reason', [
    ({'architecture': 'segnext'}, "unknown network 'segnext'; known: "),
    ({'arguments': {'depth': 3}}, 'depth'),
    ({'labels': 'mars'}, "no label space 'mars'"),
    ({'pretrained': 'coco'}, "unknown pretrained 'coco'; known: imagenet"),
    ({'pretrained': 'imagenet'}, 'no package carries ImageNet weights for'),
    ({'class_weights': 'even'}, "unknown class_weights 'even'; known: sqrt_median_frequency"),
    ({'train': [{'dataset': 'mars'}]}, "unknown dataset 'mars'; known: camvid, synthetic"),
    ({'train': [{'dataset': 'camvid', 'root': 'nowhere', 'split': 'train'}]}, 'no pictures'),
    ({'epoch': 3}, 'unknown field epoch; known: '),
])
def test_recipes_that_cannot_run_say_why(tmp_path, capsys, changes, reason):
    """A name that is not there ends the command with status 2 and one line."""
    assert run(tmp_path / 'run', **changes) == 2
    error = capsys.readouterr().err
    assert error.startswith('training.train: ') and reason in error
    assert error.count('\n') == 1


def test_nothing_to_resume_is_an_error(tmp_path, capsys):
    """`--resume` without a checkpoint names the file that is missing."""
    with pytest.raises(SystemExit):
        run(tmp_path / 'run', '--resume')
    assert f'nothing to resume: {tmp_path / "run" / "last.ckpt"}' in capsys.readouterr().err
