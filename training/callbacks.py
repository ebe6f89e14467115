"""What runs beside the training loop: exports, the data's epoch, validation and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, TQDMProgressBar

from roadseg_ros.inference.preprocessing import network_size
from roadseg_ros.metrics import ConfusionMatrix
from training.report import BestAndWorst, Sample, write_curves, write_report
from training.task import SegmentationTask
from training.transforms import Augmented


class ExportCheckpoint(Callback):
    """
    Write `last.safetensors` (and `best.safetensors`) as the Lightning checkpoints move.

    :param folder: gets the files.
    :param provenance: what they say of the run beside epochs and metrics.
    """

    def __init__(self, folder: Path, provenance: dict[str, Any]) -> None:
        self.folder, self.provenance = folder, provenance
        self.best = -1.0

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Export after each epoch."""
        assert isinstance(task, SegmentationTask)
        if not trainer.is_global_zero:
            return
        checkpoint = task.checkpoint({**self.provenance, 'epochs': trainer.current_epoch + 1})
        checkpoint.save(self.folder / 'last.safetensors')
        mean_iou = task.metrics.get('mean_iou')
        if mean_iou is not None and mean_iou > self.best:
            self.best = mean_iou
            checkpoint.save(self.folder / 'best.safetensors')

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run must remember."""
        return {'best': self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take it back."""
        self.best = state['best']


class SetEpoch(Callback):
    """
    Tell the data which epoch it draws for.

    :param dataset: the training data.
    """

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


class ValidateLastEpoch(Callback):
    """Validate after the last epoch whatever `validate_every` says: its weights ship."""

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Make every epoch count once the last one starts."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class Report(Callback):
    """
    Write what the last validation found, as `training.report` does, and the curves.

    Of several processes the first one's pictures are shown; the counts are of all.

    :param folder: gets the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = BestAndWorst()

    def on_validation_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Start afresh."""
        self.pictures = BestAndWorst()

    def on_validation_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule,
                                outputs: Any, batch: Any, batch_idx: int,
                                dataloader_idx: int = 0) -> None:
        """Remember the frame if it is among the best or the worst."""
        assert isinstance(task, SegmentationTask)
        for number, (frame, truth, found) in enumerate(zip(*batch, outputs['found'])):
            confusion = ConfusionMatrix(len(task.labels))
            confusion.update(truth.cpu().numpy(), found)
            height, width = network_size(found.shape, task.preprocessing.height)
            image = cv2.resize(frame.cpu().numpy()[:height, :width], found.shape[::-1])
            self.pictures.add(Sample(f'frame {batch_idx + number}', image, truth.cpu().numpy(),
                                     found, confusion.mean_iou()))

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Write the files; before the epoch's checkpoint, so that no kill leaves a run without."""
        assert isinstance(task, SegmentationTask)
        if trainer.is_global_zero:
            write_report(self.folder, task.labels, task.confusion, self.pictures.samples())
            for logger in trainer.loggers:
                logger.experiment.flush()  # type: ignore[attr-defined]
            write_curves(self.folder)


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar without `v_num`, which is the same for every run here."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule
                    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands behind the bar."""
        shown = super().get_metrics(trainer, pl_module)
        shown.pop('v_num', None)
        return shown


class Patience(EarlyStopping):
    """Early stopping that a resumed run remembers: one that had stopped stays so."""

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Stop before the first step."""
        trainer.should_stop = self.wait_count >= self.patience
