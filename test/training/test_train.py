"""A small training run from end to end: what it writes, and that resuming changes nothing."""
from dataclasses import asdict, replace
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from pytorch_lightning.callbacks import Callback
import torch
import yaml

from roadseg_ros.checkpoint import Checkpoint, load_checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from training import train as train_module
from training.config import load_recipe
from training.train import main

RECIPE = {
    'architecture': 'u_lite', 'arguments': {'channels': [4, 8, 8, 8]}, 'labels': 'camvid',
    'train': [{'dataset': 'synthetic', 'samples': 4, 'seed': 50, 'height': 48, 'width': 64}],
    'val': [{'dataset': 'synthetic', 'samples': 1, 'seed': 70, 'height': 45, 'width': 61}],
    'frame_size': [48, 64],
    'loss': [{'loss': 'cross_entropy', 'class_weights': 'sqrt_median_frequency'}],
    'augmentation': {'crop': [32, 48]}, 'epochs': 3, 'batch_size': 2, 'precision': '32-true',
    'workers': 0, 'seed': 3,
}

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')


class Interruption(Exception):
    """What stops a run half way."""


class StopAfterEpochs(Callback):
    """Stop as a killed process would, once the first epochs are behind."""

    def __init__(self, epochs=1, kind=Interruption):
        self.epochs, self.kind = epochs, kind

    def on_train_batch_start(self, trainer, task, batch, index):
        """Raise in the middle of the next epoch."""
        if trainer.current_epoch == self.epochs and index == 1:
            raise self.kind


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
                     'recipe.yaml', 'tensorboard', 'classes.json', 'classes.png',
                     'confusion.png', 'sheet.jpg', 'curves.png'}
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
    assert provenance['metrics']['validated_epoch'] == 3
    assert provenance['train'] == RECIPE['train']
    assert 0 <= provenance['metrics']['mean_iou'] <= 1
    assert set(provenance['metrics']['iou']) == set(labels.names)
    assert sum(provenance['metrics']['baseline_iou'].values()) == pytest.approx(1, abs=1e-3)


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
                      lambda *arguments: [*callbacks(*arguments), StopAfterEpochs()])
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


def test_a_share_of_the_start_goes_into_what_is_exported(finished, tmp_path, monkeypatch):
    """Also where the run is resumed after the file of the start has changed."""
    start = tmp_path / 'start.safetensors'
    shutil.copy(finished / 'last.safetensors', start)
    before = load_checkpoint(start).tensors
    changes = {'pretrained': str(start), 'start_share': 0.5, 'learning_rate': 0.05}
    callbacks = train_module._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(train_module, '_callbacks',
                      lambda *arguments: [*callbacks(*arguments), StopAfterEpochs()])
        with pytest.raises(Interruption):
            run(tmp_path / 'run', **changes)
    other = replace(load_checkpoint(start),
                    tensors={name: 2 * value for name, value in before.items()})
    other.save(start)
    assert run(tmp_path / 'run', '--resume', **changes) == 0
    average = {name.removeprefix('average.module.'): tensor.numpy()
               for name, tensor in state(tmp_path / 'run').items() if name.startswith('average.m')}
    exported = load_checkpoint(tmp_path / 'run' / 'last.safetensors')
    moved = 0.0
    for name, value in exported.tensors.items():
        if value.dtype.kind == 'f':
            np.testing.assert_allclose(value, (before[name] + average[name]) / 2, atol=2e-3)
            moved = max(moved, abs(average[name] - before[name]).max())
    assert moved > 0.05
    assert exported.provenance['metrics']['validated_epoch'] == 3


def test_rare_validation_keeps_a_checkpoint_of_every_epoch(tmp_path, monkeypatch):
    """An interrupted run loses at most the epoch that it was in."""
    callbacks = train_module._callbacks
    monkeypatch.setattr(train_module, '_callbacks',
                        lambda *arguments: [*callbacks(*arguments), StopAfterEpochs()])
    with pytest.raises(Interruption):
        run(tmp_path / 'run', validate_every=3)
    assert (tmp_path / 'run' / 'last.ckpt').is_file()


@pytest.mark.parametrize('epochs, way', [
    (0, 'no epoch was finished, so --resume begins anew'),
    (1, '--resume goes on after the last whole epoch')])
def test_an_interrupt_says_how_to_go_on(tmp_path, monkeypatch, capsys, epochs, way):
    """Ctrl-C in an epoch is exit status 130 and a line, and the line is true."""
    callbacks = train_module._callbacks
    handler = signal.getsignal(signal.SIGINT)  # which Lightning takes away
    with monkeypatch.context() as patch:
        patch.setattr(train_module, '_callbacks', lambda *arguments: [
            *callbacks(*arguments), StopAfterEpochs(epochs, KeyboardInterrupt)])
        assert run(tmp_path / 'run') == 130
    signal.signal(signal.SIGINT, handler)
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == f'training.train: interrupted; {way}'
    assert 'Epoch 0' in said.out and 'v_num' not in said.out
    assert run(tmp_path / 'run', '--resume') == 0


def test_early_stopping_ends_a_run_that_does_not_get_better(tmp_path):
    """A learning rate of zero never improves, so patience runs out."""
    assert run(tmp_path / 'run', epochs=20, learning_rate=0.0, weight_decay=0.0,
               early_stopping_patience=1) == 0
    epochs = load_checkpoint(tmp_path / 'run' / 'last.safetensors').provenance['epochs']
    assert epochs < 6
    report = (tmp_path / 'run' / 'classes.json').read_bytes()
    assert run(tmp_path / 'run', '--resume', epochs=20, learning_rate=0.0, weight_decay=0.0,
               early_stopping_patience=1) == 0  # one that had stopped stays so
    assert load_checkpoint(tmp_path / 'run' / 'last.safetensors').provenance['epochs'] == epochs
    assert (tmp_path / 'run' / 'classes.json').read_bytes() == report


@pytest.mark.parametrize('changes, reason', [
    ({'architecture': 'segnext'}, "unknown network 'segnext'; known: "),
    ({'arguments': {'depth': 3}}, 'depth'),
    ({'labels': 'mars'}, "no label space 'mars'"),
    ({'pretrained': 'coco'}, "unknown pretrained 'coco'; known: imagenet"),
    ({'pretrained': 'imagenet'}, 'ULite takes no weights of others; those'),
    ({'loss': [{'loss': 'luck'}]}, "unknown loss 'luck'; known: "),
    ({'loss': [{'loss': 'cross_entropy', 'class_weights': 'even'}]}, "'even'; known: "),
    ({'train': [{'dataset': 'mars'}]}, "unknown dataset 'mars'; known: camvid, folders, "),
    ({'train': [{'dataset': 'camvid', 'root': 'nowhere', 'split': 'train'}]}, 'no pictures'),
    ({'train': [{'dataset': 'synthetic', 'samples': 0}]}, 'samples must be a whole number'),
    ({'epoch': 3}, 'unknown field epoch; known: '),
    ({'architecture': 'unet', 'arguments': {'encoder': 'resnet18'}, 'pretrained': 'imagenet',
      'augmentation': {'crop': [32, 64]}},
     'gives resnet18 weights that want normalization: imagenet, not symmetric'),
    ({'architecture': 'unet', 'arguments': {'encoder': 'tf_efficientnet_lite0'},
      'pretrained': 'imagenet', 'normalization': 'imagenet', 'augmentation': {'crop': [32, 64]}},
     'tf_efficientnet_lite0 weights that want normalization: symmetric, not imagenet'),
    ({'augmentation': {'crop': [30, 48]}}, 'augmentation.crop must be multiples of 8 for u_lite'),
])
def test_recipes_that_cannot_run_say_why(tmp_path, capsys, changes, reason):
    """A name that is not there ends the command with status 2 and one line."""
    assert run(tmp_path / 'run', **changes) == 2
    error = capsys.readouterr().err
    assert error.startswith('training.train: ') and reason in error
    assert error.count('\n') == 1


def test_nothing_to_resume_is_an_error(tmp_path, capsys):
    """`--resume` without a run names the file that is missing."""
    assert run(tmp_path / 'run', '--resume') == 2
    assert f'nothing to resume: {tmp_path / "run" / "recipe.yaml"}' in capsys.readouterr().err


@pytest.mark.parametrize('left', [(), ('last.safetensors',), ('last.ckpt.partial',)])
def test_a_run_killed_in_its_first_epoch_begins_again(tmp_path, finished, left):
    """Without a whole checkpoint `--resume` starts from the beginning."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for name in ('recipe.yaml', *left):
        source = finished / name
        shutil.copy(source if source.exists() else finished / 'recipe.yaml', folder / name)
    assert run(folder, '--resume') == 0
    wanted, found = state(finished), state(folder)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_dropout_resumes_as_it_would_have_gone_on(tmp_path, monkeypatch):
    """What is dropped follows from the step, not from when the process was started."""
    changes = {'architecture': 'unet_classic', 'epochs': 2, 'ema_decay': 0,
               'arguments': {'channels': [4, 8, 8], 'dropout': 0.5}}
    assert run(tmp_path / 'whole', **changes) == 0
    callbacks = train_module._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(train_module, '_callbacks',
                      lambda *arguments: [*callbacks(*arguments), StopAfterEpochs()])
        with pytest.raises(Interruption):
            run(tmp_path / 'run', **changes)
    assert run(tmp_path / 'run', '--resume', **changes) == 0
    wanted, found = state(tmp_path / 'whole'), state(tmp_path / 'run')
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_an_earlier_run_is_not_written_over(finished, capsys):
    """A second start in the same folder is refused and names the two ways out."""
    before = (finished / 'last.ckpt').read_bytes()
    assert run(finished) == 2
    error = capsys.readouterr().err
    assert f'{finished} holds a run already' in error
    assert '--resume' in error and '--out' in error and error.count('\n') == 1
    assert (finished / 'last.ckpt').read_bytes() == before


def test_another_recipe_is_not_resumed(finished, capsys):
    """A resumed run that differs from the one begun says in which fields; fewer epochs too."""
    assert run(finished, '--resume', learning_rate=1e-3, epochs=2) == 2
    error = capsys.readouterr().err
    assert 'these differ: epochs, learning_rate' in error and error.count('\n') == 1


def test_epochs_may_grow_and_the_recipe_stays(finished, tmp_path):
    """A finished run goes on for more epochs; its recipe file is not touched."""
    folder = shutil.copytree(finished, tmp_path / 'run')
    before = (folder / 'recipe.yaml').read_bytes()
    assert run(folder, '--resume', epochs=4) == 0
    assert load_checkpoint(folder / 'last.safetensors').provenance['epochs'] == 4
    assert (folder / 'recipe.yaml').read_bytes() == before


def test_metrics_say_of_which_epoch_they_are(tmp_path, monkeypatch):
    """Between validations the last one's numbers stay, also after a resume, with their epoch."""
    said = []
    save = Checkpoint.save

    def note(checkpoint, path):
        if path.name == 'last.safetensors':
            said.append((checkpoint.provenance['epochs'],
                         checkpoint.provenance['metrics'].get('validated_epoch')))
        save(checkpoint, path)

    monkeypatch.setattr(Checkpoint, 'save', note)
    changes = {'validate_every': 3, 'epochs': 6}
    callbacks = train_module._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(train_module, '_callbacks', lambda *arguments: [
            *callbacks(*arguments), StopAfterEpochs(4)])
        with pytest.raises(Interruption):
            run(tmp_path / 'run', **changes)
    assert run(tmp_path / 'run', '--resume', **{**changes, 'epochs': 8}) == 0
    assert said == [(1, None), (2, None), (3, 3), (4, 3), (5, 3), (6, 6), (7, 6), (8, 8)]


@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_mask_is_one_line_whoever_reads_it(tmp_path, capsys, workers):
    """An id without a class ends the run with file and id, also from a loading process."""
    for folder, value in (('train', 90), ('trainannot', 12)):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / 'a.png'), np.full((48, 64), value, np.uint8))
    data = [{'dataset': 'camvid', 'root': str(tmp_path), 'split': 'train'}]
    assert run(tmp_path / 'run', train=data, workers=workers,
               loss=[{'loss': 'cross_entropy'}]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f'training.train: {tmp_path / "trainannot" / "a.png"}: id 12 is none')


@pytest.mark.parametrize('optimizer', ['adamw', 'adam', 'rmsprop', 'sgd'])
def test_a_recipe_can_be_all_of_the_founding_ones(tmp_path, optimizer):
    """Every optimizer, a constant rate, no average, L1, normal weights and all augmentation."""
    assert run(tmp_path / 'run', optimizer=optimizer, schedule='constant', warmup_epochs=0,
               ema_decay=0, l1=1e-4, initial_std=0.05, normalization='imagenet', epochs=1,
               augmentation={'crop': [48, 64], 'scale': [1, 1], 'shift': 5, 'rotation': 5,
                             'elastic': 10, 'linear_contrast': [0.85, 1.15],
                             'offset': [-45, 30], 'noise': [0, 5]}) == 0
    checkpoint = load_checkpoint(tmp_path / 'run' / 'last.safetensors')
    assert checkpoint.preprocessing.mean == (0.485, 0.456, 0.406)
    written = state(tmp_path / 'run')
    for name, value in checkpoint.tensors.items():  # without an average it is the network itself
        np.testing.assert_allclose(value, written[f'network.{name}'], rtol=1e-3, atol=1e-6)


def test_l1_makes_weights_small(tmp_path):
    """With nothing else to learn for, convolutions shrink, and batch norm does not."""
    changes = {'loss': [{'loss': 'cross_entropy', 'weight': 0.0}], 'optimizer': 'adam',
               'weight_decay': 0.0, 'ema_decay': 0, 'warmup_epochs': 0, 'epochs': 1}
    sums = {}
    for l1 in (0.0, 1.0):
        assert run(tmp_path / f'{l1}', l1=l1, **changes) == 0
        tensors = load_checkpoint(tmp_path / f'{l1}' / 'last.safetensors').tensors
        sums[l1] = [float(sum(np.abs(tensors[name]).sum() for name in tensors
                              if name.endswith('weight') and tensors[name].ndim == dimensions))
                    for dimensions in (4, 1)]
    assert sums[1.0][0] < sums[0.0][0] and sums[1.0][1] == pytest.approx(sums[0.0][1])


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    """The run ends with one line; what was saved before can be resumed from."""
    folder = tmp_path / 'run'
    assert run(folder) == 0
    size = (folder / 'last.ckpt').stat().st_size
    config = tmp_path / 'tiny.yaml'
    config.write_text(yaml.safe_dump({**RECIPE, 'epochs': 5}))
    code = ('import resource, signal, sys\n'
            'from training.train import main\n'
            'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
            f'resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2},) * 2)\n'
            'sys.exit(main(sys.argv[1:]))')
    before = (folder / 'last.ckpt').read_bytes()
    result = subprocess.run(
        [sys.executable, '-c', code, '--config', config, '--out', folder, '--accelerator', 'cpu',
         '--resume'], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert 'training.train: ' in result.stderr.splitlines()[-1]
    assert 'File too large' in result.stderr.splitlines()[-1]
    assert (folder / 'last.ckpt').read_bytes() == before
    assert not list(folder.glob('*.partial'))
    assert run(folder, '--resume', epochs=5) == 0


@pytest.mark.parametrize('arguments, reason', [
    (['--accelerator', 'gpu'], '--accelerator gpu --devices auto: '),
    (['--devices', 'many'], '--accelerator cpu --devices many: '),
    (['--devices', '9'], '4 training pictures are too few for 9 devices'),
])
def test_devices_that_are_not_there_are_one_line(tmp_path, capsys, monkeypatch, arguments, reason):
    """A machine that lacks what is asked for says so without a traceback."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert run(tmp_path / 'run', *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('training.train: ') and reason in last


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    """A file stands where the run folder should go."""
    (tmp_path / 'file').touch()
    assert run(tmp_path / 'file') == 2
    error = capsys.readouterr().err
    assert f'cannot write the run folder {tmp_path / "file"}: ' in error
    assert error.count('\n') == 1


def test_no_git_is_an_unknown_commit(monkeypatch, tmp_path):
    """Training does not need git."""
    monkeypatch.setenv('PATH', str(tmp_path))
    assert train_module._commit() == 'unknown'
