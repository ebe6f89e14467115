"""The Lightning module: one network, its loss, its averaged weights, its validation."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn, Tensor
from torch.nn.functional import interpolate, pad
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from roadseg_ros.checkpoint import Checkpoint, Preprocessing
from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.models.network import Network
from roadseg_ros.models.registry import state_arrays
from training.config import Recipe
from training.losses import segmentation_cross_entropy


class SegmentationTask(pl.LightningModule):
    """
    Train a network as a recipe says and validate the moving average of its weights.

    :param network: the network, its encoder already filled where the recipe wants that.
    :param recipe: the numbers.
    :param labels: the label space.
    :param preprocessing: how uint8 frames become input; written into the checkpoint.
    :param class_weights: (C,) float32 or None.
    """

    def __init__(self, network: Network, recipe: Recipe, labels: LabelSpace,
                 preprocessing: Preprocessing, class_weights: Tensor | None) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)
        # DistributedDataParallel waits for the gradient of whatever asks for one
        self.average.requires_grad_(False)
        self.recipe, self.labels, self.preprocessing = recipe, labels, preprocessing
        self.register_buffer('class_weights', class_weights, persistent=False)
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(preprocessing, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.confusion = ConfusionMatrix(len(labels))
        self.metrics: dict[str, Any] = {}

    def prepare(self, image: Tensor) -> Tensor:
        """Return network input from (N, 3, H, W) uint8 RGB."""
        image = (image.float() * self.preprocessing.scale - self.mean) / self.std
        return image.contiguous(memory_format=torch.channels_last)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        image, mask = batch
        loss = segmentation_cross_entropy(
            self.network(self.prepare(image)), mask, self.class_weights)
        self.log('train/loss', loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average after each step."""
        # the plain decay would keep the start's random decoder alive for several epochs
        decay = min(self.recipe.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Start a fresh count."""
        self.confusion = ConfusionMatrix(len(self.labels))

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Count the averaged network's masks at the frame's own size."""
        image, mask = batch
        height, width = image.shape[-2:]
        stride = self.network.input_stride
        padded = pad(image.float(), (0, -width % stride, 0, -height % stride), mode='replicate')
        scores = interpolate(self.average(self.prepare(padded)), size=padded.shape[-2:],
                             mode='bilinear', align_corners=False)
        ids = scores[..., :height, :width].argmax(1)
        self.confusion.update(mask.cpu().numpy().astype(np.uint8),
                              ids.cpu().numpy().astype(np.uint8))

    def on_validation_epoch_end(self) -> None:
        """Sum the counts of all processes and log what they say."""
        counts = torch.from_numpy(self.confusion.matrix).to(self.device)
        self.confusion.matrix = self.trainer.strategy.reduce(
            counts, reduce_op='sum').cpu().numpy()
        self.metrics = {
            'mean_iou': self.confusion.mean_iou(),
            'pixel_accuracy': self.confusion.pixel_accuracy(),
            'iou': {name: None if math.isnan(value) else round(float(value), 4)
                    for name, value in zip(self.labels.names, self.confusion.iou())},
        }
        self.log('val/mean_iou', self.metrics['mean_iou'], prog_bar=True)
        self.log('val/pixel_accuracy', self.metrics['pixel_accuracy'])

    def configure_optimizers(self) -> dict[str, Any]:
        """Return AdamW, the encoder slower than the rest, with warm-up and a cosine."""
        encoder = getattr(self.network, 'encoder', None)
        slow = set(map(id, encoder.parameters())) if self.recipe.pretrained else set()
        groups = [
            {'params': [p for p in self.network.parameters() if id(p) in slow],
             'lr': self.recipe.encoder_learning_rate},
            {'params': [p for p in self.network.parameters() if id(p) not in slow],
             'lr': self.recipe.learning_rate}]
        optimizer = torch.optim.AdamW([group for group in groups if group['params']],
                                      weight_decay=self.recipe.weight_decay)
        total = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(total * self.recipe.warmup_epochs / self.recipe.epochs))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warmup, _cosine(step / total)))
        return {'optimizer': optimizer,
                'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}

    def checkpoint(self, provenance: dict[str, Any]) -> Checkpoint:
        """
        Return what the node loads: the averaged weights and how to use them.

        :param provenance: what to say of the run beside the last validation's metrics.
        """
        network: nn.Module = copy.deepcopy(self.average.module).to('cpu')
        return Checkpoint(
            architecture=self.recipe.architecture,
            arguments={**self.recipe.arguments, 'num_classes': len(self.labels)},
            labels=self.labels, preprocessing=self.preprocessing,
            tensors=state_arrays(network), provenance={**provenance, 'metrics': self.metrics})


def _cosine(progress: float) -> float:
    """Return the cosine from 1 to 0 over a progress in [0, 1]."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
