"""
Train from a recipe file.

    python -m training.train --config training/configs/swiftnet_lite0_camvid.yaml

A run folder holds the recipe as resolved, TensorBoard curves, Lightning checkpoints to resume
from (`last.ckpt`, `best.ckpt`) and, beside each, the `.safetensors` file the node loads. At the
end come pictures: curves, accuracy by class, confusions, the best and the worst frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import logging
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    Callback,
    LearningRateMonitor,
    ModelCheckpoint,
)
from pytorch_lightning.loggers import TensorBoardLogger

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.inference.recurrence import RECURRENT_NETWORKS
from roadseg_ros.labels import load_label_space
from roadseg_ros.models.network import Network, Recurrent
from roadseg_ros.models.registry import build_network
from training.callbacks import (
    ExportCheckpoint,
    Patience,
    ProgressBar,
    Report,
    SetEpoch,
    ValidateLastEpoch,
)
from training.checkpoint_io import AtomicCheckpointIO
from training.clips import Clips
from training.config import load_recipe, NORMALIZATIONS, Recipe
from training.data import RunData
from training.datasets import make_dataset
from training.datasets.frames import Joined
from training.losses import make_loss
from training.pretrained import initialize, load_weights
from training.run_folder import check_folder, open_folder, RunError
from training.task import SegmentationTask
from training.transforms import Augmented, Prepared, training_transform


def make_task(recipe: Recipe, train: Joined) -> SegmentationTask:
    """
    Build network, weights and loss of a recipe.

    :param recipe: the recipe.
    :param train: the training data, read once where class weights come from it.
    :raises ValueError: a name in the recipe is unknown (the message lists the known ones), or
        the crop does not fit the network, or the normalization its ImageNet weights.
    """
    labels = load_label_space(recipe.labels)
    network = build_network(recipe.architecture,
                            {**recipe.arguments, 'num_classes': len(labels)})
    height, width = recipe.augmentation.crop
    if height % network.input_stride or width % network.input_stride:
        raise RunError(f'augmentation.crop must be multiples of {network.input_stride} for '
                       f'{recipe.architecture}, not {height}x{width}')
    if recipe.clip > 1 and not isinstance(network, Recurrent):
        raise RunError(f'clip: {recipe.clip} needs a recurrent network '
                       f'({", ".join(RECURRENT_NETWORKS)}), which {recipe.architecture} is not')
    if recipe.pretrained == 'imagenet':
        check_normalization(recipe, network)
    if recipe.initial_std is not None:
        initialize(network, recipe.initial_std)
    if recipe.pretrained is not None:
        load_weights(network, recipe.pretrained, whole=recipe.start_share > 0)
    preprocessing = Preprocessing('rgb', 1 / 255, *NORMALIZATIONS[recipe.normalization],
                                  *recipe.frame_size)
    loss = make_loss(recipe.loss, len(labels), train.masks)
    return SegmentationTask(network, recipe, labels, preprocessing, loss)


def check_normalization(recipe: Recipe, network: Network) -> None:
    """
    Ask whether frames are prepared as ImageNet's weights for an encoder of timm want them.

    :param recipe: its normalization is asked about.
    :param network: of the recipe; one without such an encoder is fine.
    :raises RunError: they are not; the message names the normalization that is wanted.
    """
    known = getattr(getattr(network, 'encoder', None), 'pretrained_cfg', {})  # timm's alone
    wanted = [name for name, values in NORMALIZATIONS.items()
              if values == (known.get('mean'), known.get('std'))]
    if wanted and recipe.normalization not in wanted:
        raise RunError(f'pretrained: imagenet gives {known["architecture"]} weights that want '
                       f'normalization: {wanted[0]}, not {recipe.normalization}')


def train(recipe: Recipe, folder: Path, *, config_name: str = '', resume: bool = False,
          devices: str = 'auto', accelerator: str = 'auto') -> SegmentationTask:
    """
    Run a recipe.

    :param recipe: what to do.
    :param folder: where the run is kept; made if need be.
    :param config_name: name of the recipe, for the checkpoint's provenance.
    :param resume: go on from `folder/last.ckpt`, with the recipe it was begun with or more
        epochs; from the start where no epoch had been finished.
    :param devices: as Lightning takes it, such as 'auto' or '2'.
    :param accelerator: as Lightning takes it, such as 'auto', 'cpu' or 'gpu'.
    :return: the task as trained.
    :raises ValueError: the recipe, its data, the folder or the devices do not allow it.
    :raises OSError: a file of the run cannot be written.
    """
    check_folder(recipe, folder, resume)
    pl.seed_everything(recipe.seed, verbose=False)
    labels = load_label_space(recipe.labels)
    joined, val = make_dataset(recipe.train), make_dataset(recipe.val)
    for data in (joined, val):
        data.require(labels, f'labels: {recipe.labels}')
    task = make_task(recipe, joined)
    transform = training_transform(recipe.augmentation, recipe.frame_size)
    augmented = (Augmented(joined, transform, recipe.seed, recipe.augmentation.class_mix)
                 if recipe.clip == 1 else Clips(joined, transform, recipe.seed, recipe.clip))
    provenance = {'recipe': config_name, 'commit': _commit(),
                  'train': list(recipe.train), 'val': list(recipe.val)}
    open_folder(recipe, folder, resume)
    trainer = _make_trainer(recipe, folder, _callbacks(recipe, folder, provenance, augmented),
                            accelerator, devices)
    if len(augmented) < trainer.world_size:
        raise RunError(f'{len(augmented)} training pictures are too few for '
                       f'{trainer.world_size} devices: ask for less with --devices')
    frames = Prepared(val, recipe.frame_size[0], task.network.input_stride)
    trainer.fit(task, datamodule=RunData(augmented, frames, recipe.batch_size, recipe.workers),
                ckpt_path=folder / 'last.ckpt' if (folder / 'last.ckpt').exists() else None,
                weights_only=False)
    return task


def _make_trainer(recipe: Recipe, folder: Path, callbacks: list[Callback], accelerator: str,
                  devices: str) -> pl.Trainer:
    """Return Lightning's loop on the devices asked for."""
    try:
        return pl.Trainer(
            accelerator=accelerator, **_places(devices),
            precision=recipe.precision,  # type: ignore[arg-type]
            max_epochs=recipe.epochs, check_val_every_n_epoch=recipe.validate_every,
            plugins=[AtomicCheckpointIO()],
            logger=TensorBoardLogger(folder, name='', version='tensorboard'),
            log_every_n_steps=10, callbacks=callbacks, num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False)  # the data deals itself out
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise RunError(f'--accelerator {accelerator} --devices {devices}: {error}') from error


def _places(devices: str) -> dict[str, Any]:
    """Return which processes there are: torchrun's, or those that Lightning starts."""
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return {'devices': devices}
    everywhere, here = (int(os.environ[name]) for name in ('WORLD_SIZE', 'LOCAL_WORLD_SIZE'))
    return {'devices': here, 'num_nodes': everywhere // here, 'strategy': 'ddp'}


def _callbacks(recipe: Recipe, folder: Path, provenance: dict[str, Any],
               augmented: Augmented) -> list[Callback]:
    """Return what runs beside the loop."""
    callbacks: list[Callback] = [
        SetEpoch(augmented), ValidateLastEpoch(), ProgressBar(refresh_rate=5),
        LearningRateMonitor('epoch'), ExportCheckpoint(folder, provenance), Report(folder),
        ModelCheckpoint(folder, filename='best', monitor='val/mean_iou', mode='max',
                        enable_version_counter=False),
        # at the end of every epoch, not of every validation: what resume goes on from
        ModelCheckpoint(folder, filename='last', enable_version_counter=False,
                        save_on_train_epoch_end=True)]
    if recipe.early_stopping_patience is not None:
        callbacks.append(Patience('val/mean_iou', mode='max',
                                  patience=recipe.early_stopping_patience))
    return callbacks


def _commit() -> str:
    """Return the commit trained from, or 'unknown' outside a checkout or without git."""
    try:
        result = subprocess.run(['git', 'describe', '--always', '--dirty'], text=True,
                                capture_output=True, cwd=Path(__file__).parent, check=False)
    except OSError:
        return 'unknown'
    return result.stdout.strip() or 'unknown'


def _one_line(error: Exception) -> str:
    """Return an error's message; of a loading process's error, the end below its traceback."""
    text = str(error).strip()
    if 'in DataLoader worker process' in text.partition('\n')[0]:
        text = text.rpartition('\n')[2].partition(': ')[2]
    return ' '.join(text.split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m training.train', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path, required=True, help='recipe (YAML)')
    parser.add_argument('--out', type=Path, help='run folder (default: runs/<recipe name>)')
    parser.add_argument('--resume', action='store_true', help="go on from the run's last.ckpt")
    parser.add_argument('--devices', default='auto', help='how many devices (default: auto)')
    parser.add_argument('--accelerator', default='auto', help='auto, cpu or gpu')
    options = parser.parse_args(arguments)
    folder = options.out or Path('runs') / options.config.stem
    # Lightning tells of its own workings there, and advertises a service
    logging.getLogger('pytorch_lightning').setLevel(logging.WARNING)
    try:
        task = train(load_recipe(options.config), folder, config_name=options.config.stem,
                     resume=options.resume, devices=options.devices,
                     accelerator=options.accelerator)
    except (ValueError, OSError) as error:
        print(f'training.train: {_one_line(error)}', file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning makes the first into the second
        if KeyboardInterrupt not in (type(error), type(error.__context__)):
            raise
        way = ('--resume goes on after the last whole epoch' if (folder / 'last.ckpt').exists()
               else 'no epoch was finished, so --resume begins anew')
        print(f'training.train: interrupted; {way}', file=sys.stderr)
        return 130
    if task.trainer.is_global_zero:
        print(f'the node loads {folder / "last.safetensors"} (parameter checkpoint)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
