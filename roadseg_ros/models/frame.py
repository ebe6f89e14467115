"""The whole frame as one module: what an engine compiles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import conv2d, interpolate

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.labels import UNLABELLED
from roadseg_ros.models.network import Network


class FrameModule(nn.Module):
    """
    uint8 BGR frames in, uint8 ids and confidence out.

    Normalisation is folded into one multiply and add, the softmax is only taken of the winner.

    :param network: in eval mode.
    :param preprocessing: the checkpoint's.
    """

    ones: Tensor
    factor: Tensor
    offset: Tensor

    def __init__(self, network: Network, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.swap = preprocessing.channel_order == 'rgb'
        std = torch.tensor(preprocessing.std)
        self.register_buffer('ones', torch.ones(1, network.num_classes + network.abstains, 1, 1))
        self.register_buffer('factor', (preprocessing.scale / std).view(3, 1, 1))
        self.register_buffer('offset', (-torch.tensor(preprocessing.mean) / std).view(3, 1, 1))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """
        Segment frames whose sides are multiples of the network's input stride.

        :param frames: (N, H, W, 3) uint8 BGR.
        :return: class ids (N, H, W) uint8, 255 = unlabelled, and confidence (N, H, W) uint8, the
            rounded 255 * probability of the winning class, 0 where unlabelled.
        """
        return self.label(self.network(self.prepare(frames)), frames.shape[1:3])

    def probabilities(self, frames: Tensor) -> Tensor:
        """
        Return the (N, C, H, W) float32 probabilities of all classes.

        Where the network abstains, one more channel is that of no class.

        :param frames: (N, H, W, 3) uint8 BGR.
        """
        scores = self.network(self.prepare(frames)).float()
        scores = interpolate(scores, size=frames.shape[1:3], mode='bilinear', align_corners=False)
        return scores.softmax(1)

    def prepare(self, frames: Tensor) -> Tensor:
        """Return (N, 3, H, W) network input, channels last."""
        image = frames.permute(0, 3, 1, 2)  # channels_last already: no copy
        if self.swap:
            image = image.flip(1)
        image = image.to(self.factor.dtype) * self.factor + self.offset
        return image.contiguous(memory_format=torch.channels_last)

    def label(self, scores: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """
        Return ids and confidence as `forward` does.

        :param scores: (N, C, h, w) of the network.
        :param size: (H, W) of the frames.
        """
        scores = interpolate(scores, size=size, mode='bilinear', align_corners=False)
        best, ids = scores.max(1)
        # probability of the winner: 1 / sum(exp(score - best)); no division per class
        # summed by a convolution: engines are slow at reducing channels, quick at this
        total = conv2d((scores - best.unsqueeze(1)).exp(), self.ones).squeeze(1)
        confidence = (255.0 / total.float()).round()
        if self.network.abstains:
            nothing = ids == self.network.num_classes
            ids = ids.masked_fill(nothing, UNLABELLED)
            confidence = confidence.masked_fill(nothing, 0)
        return ids.to(torch.uint8), confidence.to(torch.uint8)
