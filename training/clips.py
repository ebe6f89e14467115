"""Clips of drives, augmented as one, and the loss of a recurrent network over their frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn, Tensor
from torchvision.transforms import v2

from roadseg_ros.inference.optical_flow import (
    flow_picture,
    FlowEstimator,
    network_flow,
)
from roadseg_ros.models.network import Recurrent, State
from training.datasets.frames import DatasetError, Joined
from training.transforms import Augmented, Item


class Clips(Augmented):
    """
    Consecutive frames with their masks and the flow between them, as tensors.

    Images are (T, 3, H, W) uint8 RGB, masks (T, H, W) int64, flows (T, 2, H, W) float32: from
    each frame back to the one before, x and y in pixels, as the node's own estimator finds it in
    the augmented frames; zeros for the first. A clip is augmented by one draw; noise, where the
    recipe has any, is another one in each frame, as a camera's is.

    :param dataset: as of `Augmented`.
    :param transform: likewise.
    :param seed: likewise.
    :param frames: the length T.
    :raises DatasetError: a part of the data has no clips.
    """

    def __init__(self, dataset: Joined, transform: v2.Transform, seed: int, frames: int) -> None:
        super().__init__(dataset, transform, seed)
        self.frames = frames
        for part in dataset.parts:
            if not part.has_drives:
                raise DatasetError(f'{type(part).__name__} holds single pictures; clips '
                                   f'(clip: {frames}) come from dataset synthetic alone')

    def __getitem__(self, index: int) -> Item:
        """Return an augmented clip."""
        images, masks = self._augment(self.dataset.clip(index, self.frames), index)
        return torch.stack(images), torch.stack(masks), torch.from_numpy(flows(images))


def flows(images: Sequence[Tensor]) -> np.ndarray:
    """
    Return the flow from each frame back to the one before.

    :param images: (3, H, W) uint8 RGB each, in order.
    :return: (T, 2, H, W) float32, x and y in pixels; zeros for the first.
    """
    height, width = size = images[0].shape[1], images[0].shape[2]
    estimator, motion = FlowEstimator(), None
    pictures = [flow_picture(image.numpy()[::-1].transpose(1, 2, 0).copy(), size)
                for image in images]
    found = [np.zeros((2, height, width), np.float32)]
    for before, now in zip(pictures, pictures[1:]):
        motion = estimator.estimate(before, now, motion)
        found.append(network_flow(motion, size, size))
    return np.stack(found)


def clip_loss(network: Recurrent, loss: nn.Module, prepare: Callable[[Tensor], Tensor],
              batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """
    Return the mean loss over the frames of clips; gradients go back through all of them.

    :param network: begins each clip without a past.
    :param loss: of scores (N, C, h, w) and masks (N, H, W).
    :param prepare: network input from (N, 3, H, W) uint8 RGB.
    :param batch: images, masks and flows of N clips, as `Clips` has them.
    """
    state: State = ()
    losses = []
    for image, mask, flow in zip(*(part.unbind(1) for part in batch)):
        scores, state = network.step(prepare(image), state, flow)
        losses.append(loss(scores, mask))
    return torch.stack(losses).mean()
