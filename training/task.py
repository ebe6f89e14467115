"""The Lightning module: one network, its loss, its averaged weights, its validation."""

from __future__ import annotations

from collections.abc import Callable
import copy
from functools import partial
import math
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
import torch
from torch import nn, Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from roadseg_ros.checkpoint import Checkpoint, Preprocessing
from roadseg_ros.inference.preprocessing import network_size, restore
from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix, rounded
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.network import Bordered, Network, Recurrent
from roadseg_ros.models.registry import state_arrays
from training.clips import clip_loss
from training.config import Recipe
from training.losses.borders import border_loss
from training.precision import DepthwiseInFloat

OPTIMIZERS: dict[str, Any] = {
    'adamw': torch.optim.AdamW, 'adam': torch.optim.Adam, 'rmsprop': torch.optim.RMSprop,
    'sgd': partial(torch.optim.SGD, momentum=0.9)}
# factor on the rate after a share of the steps in [0, 1]
SCHEDULES: dict[str, Callable[[float], float]] = {
    'constant': lambda progress: 1.0,
    'cosine': lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    'poly': lambda progress: (1 - progress) ** 0.9}  # as in DeepLab (Chen et al., 2016)


class SegmentationTask(pl.LightningModule):
    """
    Train a network as a recipe says and validate the moving average of its weights.

    :param network: the network, its encoder already filled where the recipe wants that.
    :param recipe: the numbers.
    :param labels: the label space.
    :param preprocessing: how uint8 frames become input; written into the checkpoint.
    :param loss: of scores (N, C, h, w) and masks (N, H, W) int64, 255 = unlabelled.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, recipe: Recipe, labels: LabelSpace,
                 preprocessing: Preprocessing, loss: nn.Module) -> None:
        super().__init__()
        # torch's stubs do not know memory_format
        self.network: Network = network.to(  # type: ignore[call-overload]
            memory_format=torch.channels_last)
        self.average = AveragedModel(self.network, use_buffers=True)
        self._start = {name: tensor.clone() for name, tensor in self.network.state_dict().items()
                       if recipe.start_share and tensor.is_floating_point()}
        # DistributedDataParallel waits for the gradient of whatever asks for one
        self.average.requires_grad_(False)
        if recipe.clip == 1:
            for part in network.past_alone:
                self.network.get_submodule(part).requires_grad_(False)
        self.recipe, self.labels, self.preprocessing = recipe, labels, preprocessing
        self.loss = loss
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(preprocessing, name)).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.confusion = ConfusionMatrix(len(labels))
        self.metrics: dict[str, Any] = {}
        self._judged: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    @property
    def averaged(self) -> Network:
        """Return the network with the moving average of the weights."""
        return cast(Network, self.average.module)

    def exported(self) -> Network:
        """Return a new network: that average and the start's share (`start_share`) of it."""
        network = copy.deepcopy(self.averaged)
        tensors = network.state_dict()
        for name, start in self._start.items():
            tensors[name].lerp_(start.to(tensors[name].device), self.recipe.start_share)
        return network

    def prepare(self, image: Tensor) -> Tensor:
        """Return network input from (N, 3, H, W) uint8 RGB."""
        image = (image.float() * self.preprocessing.scale - self.mean) / self.std
        return image.contiguous(memory_format=torch.channels_last)

    def on_train_epoch_start(self) -> None:
        """Keep batch norm's statistics where a batch is a few clips, whose frames are alike."""
        if self.recipe.clip > 1:
            for layer in self.network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Let what is dropped follow from the step, so that a resumed run drops the same."""
        torch.manual_seed(hash((self.recipe.seed, self.global_step, self.global_rank)))

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        """Return the loss of a batch of pictures or of clips."""
        with DepthwiseInFloat():
            loss = self._loss(*batch)
        if self.recipe.l1:
            loss = loss + self.recipe.l1 * _sum_of_convolutions(self.network)
        self.log('train/loss', loss, prog_bar=True)
        return loss

    def _loss(self, image: Tensor, mask: Tensor, flow: Tensor | None = None) -> Tensor:
        """Return the recipe's loss, and that of borders where the network finds them."""
        if flow is not None:
            return clip_loss(cast(Recurrent, self.network), self.loss, self.prepare,
                             (image, mask, flow))
        image = self.prepare(image)
        if not isinstance(self.network, Bordered):
            loss: Tensor = self.loss(self.network(image), mask)
            return loss
        scores, borders = self.network.scores_and_borders(image)
        return self.loss(scores, mask) + border_loss(borders, mask)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average after each step."""
        # the plain decay would keep the start's random decoder alive for several epochs
        decay = min(self.recipe.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Start a fresh count of what is exported."""
        self.confusion = ConfusionMatrix(len(self.labels))
        module = FrameModule(self.exported(), self.preprocessing).to(self.device)
        self._judged = module.forward  # the module itself would be one of this one's own

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int
                        ) -> dict[str, list[np.ndarray]]:
        """
        Count the masks of what is exported as `training.evaluate` does.

        Frames go the segmenter's way, through its own functions. What can still differ is
        precision: the node's weights are rounded to half, and its engine picks its own.

        :return: 'found': the ids, (H, W) uint8 each, of the mask's size.
        """
        frames, masks = batch
        assert self._judged is not None
        ids, _ = self._judged(frames)
        results = []
        for truth, found in zip(masks.cpu().numpy(), ids.cpu().numpy()):
            height, width = network_size(truth.shape, self.preprocessing.height)
            results.append(restore(found[:height, :width], truth.shape))
            self.confusion.update(truth, results[-1])
        return {'found': results}

    def on_validation_epoch_end(self) -> None:
        """Sum the counts of all processes and log what they say."""
        self._judged = None
        counts = torch.from_numpy(self.confusion.matrix).to(self.device)
        counts = self.trainer.strategy.reduce(counts, reduce_op='sum')
        self.confusion.matrix = counts.cpu().numpy()
        self.metrics = {'validated_epoch': self.current_epoch + 1,
                        **self.confusion.summary(self.labels.names),
                        # what a network that says one class everywhere would reach
                        'baseline_iou': {name: rounded(share) for name, share in zip(
                            self.labels.names, self.confusion.share())}}
        if self.recipe.clip > 1:
            self.metrics['validated_on'] = 'single frames'
        for name in ('mean_iou', 'pixel_accuracy'):
            value = self.metrics[name]
            # equal in every process already; said so that Lightning does not warn
            self.log(f'val/{name}', math.nan if value is None else value,
                     prog_bar=name == 'mean_iou', sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the last validation's metrics, and the start, whose file may change."""
        checkpoint['metrics'] = self.metrics
        checkpoint['start'] = self._start

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self.metrics = checkpoint.get('metrics', {})
        self._start = checkpoint.get('start', self._start)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer, a pretrained encoder slower than the rest, and the schedule."""
        recipe = self.recipe
        encoder: Any = getattr(self.network, 'encoder', None)
        fine_tuned = recipe.pretrained is not None and encoder is not None
        slow = set(map(id, encoder.parameters())) if fine_tuned else set()
        groups = [
            {'params': [p for p in self.network.parameters() if id(p) in slow],
             'lr': recipe.encoder_learning_rate},
            {'params': [p for p in self.network.parameters() if id(p) not in slow],
             'lr': recipe.learning_rate}]
        optimizer = OPTIMIZERS[recipe.optimizer]([group for group in groups if group['params']],
                                                 weight_decay=recipe.weight_decay)
        total = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(total * recipe.warmup_epochs / recipe.epochs))
        factor = SCHEDULES[recipe.schedule]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(
            (step + 1) / warmup, factor(min(1.0, step / total))))
        return {'optimizer': optimizer,
                'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}

    def checkpoint(self, provenance: dict[str, Any]) -> Checkpoint:
        """
        Return what the node loads: the averaged weights and how to use them.

        :param provenance: what to say of the run beside the last validation's metrics.
        """
        network = self.exported().cpu()
        return Checkpoint(
            architecture=self.recipe.architecture,
            arguments={**self.recipe.arguments, 'num_classes': len(self.labels)},
            labels=self.labels, preprocessing=self.preprocessing,
            tensors=state_arrays(network), provenance={**provenance, 'metrics': self.metrics})


def _sum_of_convolutions(network: nn.Module) -> Tensor:
    """Return the sum of the absolute weights of all convolutions, a scalar."""
    return torch.stack([layer.weight.abs().sum() for layer in network.modules()
                        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]).sum()
