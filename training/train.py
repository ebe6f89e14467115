"""
Train from a recipe file.

    python -m training.train --config training/configs/unet_lite0_camvid.yaml

A run folder holds the recipe as resolved, TensorBoard curves, Lightning checkpoints to resume
from (`last.ckpt`, `best.ckpt`) and, beside each, the `.safetensors` file the node loads.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from pytorch_lightning.loggers import TensorBoardLogger
import torch
from torch.utils.data import ConcatDataset, DataLoader, Sampler
import yaml

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.labels import load_label_space
from roadseg_ros.models.registry import build_network
from training.config import load_recipe, Recipe
from training.datasets import make_dataset
from training.losses import CLASS_WEIGHTS
from training.pretrained import load_weights
from training.task import SegmentationTask
from training.transforms import Augmented, Plain, training_transform


class ExportCheckpoint(Callback):
    """Write `last.safetensors` (and `best.safetensors`) as the Lightning checkpoints move."""

    def __init__(self, folder: Path, provenance: dict[str, object]) -> None:
        self.folder, self.provenance = folder, provenance
        self.best = -1.0

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Export after each epoch."""
        if not trainer.is_global_zero:
            return
        checkpoint = task.checkpoint({**self.provenance, 'epochs': trainer.current_epoch + 1})
        checkpoint.save(self.folder / 'last.safetensors')
        mean_iou = task.metrics.get('mean_iou', -1.0)
        if mean_iou > self.best:
            self.best = mean_iou
            checkpoint.save(self.folder / 'best.safetensors')

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run must remember."""
        return {'best': self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take it back."""
        self.best = state['best']


class SetEpoch(Callback):
    """Tell the data which epoch it draws for."""

    def __init__(self, dataset: Augmented) -> None:
        self.dataset = dataset

    def on_load_checkpoint(self, trainer: pl.Trainer, task: pl.LightningModule,
                           checkpoint: dict[str, Any]) -> None:
        """Set before a resumed run's workers start, which is before its first epoch does."""
        progress = checkpoint['loops']['fit_loop']['epoch_progress']['current']
        self.dataset.epoch = progress['processed']

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Set before the epoch's workers start."""
        self.dataset.epoch = trainer.current_epoch


class Shuffled(Sampler[int]):
    """
    All items in an order that follows from seed and epoch alone, so that it can be resumed.

    :param dataset: knows both.
    """

    def __init__(self, dataset: Augmented) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        """Return the order of the data's present epoch."""
        generator = torch.Generator().manual_seed(hash((self.dataset.seed, self.dataset.epoch)))
        return iter(torch.randperm(len(self), generator=generator).tolist())


def make_task(recipe: Recipe, train: ConcatDataset) -> SegmentationTask:
    """
    Build network, weights and loss of a recipe.

    :param recipe: the recipe.
    :param train: the training data, read once where the class weights come from it.
    :raises ValueError: a name in the recipe is unknown; the message lists the known ones.
    """
    labels = load_label_space(recipe.labels)
    network = build_network(recipe.architecture,
                            {**recipe.arguments, 'num_classes': len(labels)})
    if recipe.pretrained is not None:
        load_weights(network, recipe.pretrained)
    weights = None
    if recipe.class_weights is not None:
        masks = (part.mask(i) for part in train.datasets for i in range(len(part)))
        weights = _lookup(CLASS_WEIGHTS, recipe.class_weights, 'class_weights')(
            masks, len(labels))
    height, width = recipe.frame_size
    preprocessing = Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, height, width)
    return SegmentationTask(network, recipe, labels, preprocessing, weights)


def train(recipe: Recipe, folder: Path, *, config_name: str = '', resume: bool = False,
          devices: str = 'auto', accelerator: str = 'auto') -> SegmentationTask:
    """
    Run a recipe.

    :param recipe: what to do.
    :param folder: where the run is kept; made if need be.
    :param config_name: name of the recipe, for the checkpoint's provenance.
    :param resume: go on from `folder/last.ckpt`.
    :param devices: as Lightning takes it, such as 'auto' or '2'.
    :param accelerator: as Lightning takes it, such as 'auto', 'cpu' or 'gpu'.
    :return: the task as trained.
    """
    pl.seed_everything(recipe.seed, verbose=False)
    data = make_dataset(recipe.train)
    validation = Plain(make_dataset(recipe.val))
    task = make_task(recipe, data)
    augmented = Augmented(data, training_transform(recipe.augmentation, recipe.frame_size),
                          recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'recipe.yaml').write_text(yaml.safe_dump(asdict(recipe), sort_keys=False))
    provenance = {'recipe': config_name, 'commit': _commit(),
                  'train': list(recipe.train), 'val': list(recipe.val)}
    trainer = pl.Trainer(
        accelerator=accelerator, devices=devices, precision=recipe.precision,
        max_epochs=recipe.epochs, check_val_every_n_epoch=recipe.validate_every,
        logger=TensorBoardLogger(folder, name='', version='tensorboard'), log_every_n_steps=10,
        callbacks=_callbacks(recipe, folder, provenance, augmented), num_sanity_val_steps=0)
    trainer.fit(
        task, _training_loader(augmented, recipe),
        DataLoader(validation, num_workers=recipe.workers),
        ckpt_path=folder / 'last.ckpt' if resume else None, weights_only=False)
    return task


def _callbacks(recipe: Recipe, folder: Path, provenance: dict[str, object],
               augmented: Augmented) -> list[Callback]:
    """Return what runs beside the loop."""
    callbacks = [
        SetEpoch(augmented), TQDMProgressBar(refresh_rate=5),
        LearningRateMonitor('epoch'), ExportCheckpoint(folder, provenance),
        ModelCheckpoint(folder, filename='best', monitor='val/mean_iou', mode='max',
                        enable_version_counter=False),
        # at the end of every epoch, not of every validation: what resume goes on from
        ModelCheckpoint(folder, filename='last', enable_version_counter=False,
                        save_on_train_epoch_end=True)]
    if recipe.early_stopping_patience is not None:
        callbacks.append(EarlyStopping('val/mean_iou', mode='max',
                                       patience=recipe.early_stopping_patience))
    return callbacks


def _training_loader(dataset: Augmented, recipe: Recipe) -> DataLoader:
    """Return whole batches in random order."""
    return DataLoader(dataset, batch_size=recipe.batch_size, sampler=Shuffled(dataset),
                      drop_last=len(dataset) >= recipe.batch_size, num_workers=recipe.workers)


def _lookup(table: dict[str, object], name: str, field: str) -> object:
    """Return an entry of a table or list the known ones."""
    if name not in table:
        raise ValueError(f'unknown {field} {name!r}; known: {", ".join(table)}')
    return table[name]


def _commit() -> str:
    """Return the commit trained from, or 'unknown' outside a checkout."""
    result = subprocess.run(['git', 'describe', '--always', '--dirty'], text=True,
                            capture_output=True, cwd=Path(__file__).parent, check=False)
    return result.stdout.strip() or 'unknown'


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
    if options.resume and not (folder / 'last.ckpt').is_file():
        parser.error(f'nothing to resume: {folder / "last.ckpt"} does not exist')
    try:
        train(load_recipe(options.config), folder, config_name=options.config.stem,
              resume=options.resume, devices=options.devices, accelerator=options.accelerator)
    except ValueError as error:
        print(f'training.train: {error}', file=sys.stderr)
        return 2
    print(f'the node loads {folder / "last.safetensors"} (parameter checkpoint)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
