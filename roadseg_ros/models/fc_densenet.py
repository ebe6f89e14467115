"""FC-DenseNet, the hundred layers Tiramisu (Jegou et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

from roadseg_ros.models.network import he_normal, Network

# growth, and layers of each dense block on the way down and at the bottom
DEPTHS: dict[int, tuple[int, Sequence[int]]] = {
    56: (12, (4, 4, 4, 4, 4, 4)), 67: (16, (5, 5, 5, 5, 5, 5)), 103: (16, (4, 5, 7, 10, 12, 15))}


class FcDenseNet(Network):
    """
    Dense blocks down and up; only what a block finds anew is enlarged. Scores at full size.

    :param num_classes: number of outputs.
    :param depth: 56, 67 or 103 layers; gives `growth` and `blocks` where they are left out.
    :param growth: channels that each layer adds.
    :param blocks: layers of each dense block on the way down, then at the bottom.
    :param first_channels: of the first convolution; 48 in the paper.
    :param dropout: share of values dropped after each convolution; 0.2 in the paper.
    :raises ValueError: another depth.
    """

    output_stride = 1

    def __init__(self, num_classes: int, depth: int = 56, growth: int | None = None,
                 blocks: Sequence[int] | None = None, first_channels: int = 48,
                 dropout: float = 0.2) -> None:
        super().__init__(num_classes)
        if depth not in DEPTHS:
            raise ValueError(f'fc_densenet has depth {", ".join(map(str, DEPTHS))}, not {depth!r}')
        growth = growth or DEPTHS[depth][0]
        *down, bottom = blocks or DEPTHS[depth][1]
        self.first = nn.Conv2d(3, first_channels, 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        width, skips = first_channels, []
        for layers in down:
            self.down.append(DenseBlock(width, growth, layers, dropout))
            width += growth * layers
            skips.append(width)
            self.shrink.append(_transition_down(width, dropout))
        self.bottom = DenseBlock(width, growth, bottom, dropout)
        self.up, self.enlarge = nn.ModuleList(), nn.ModuleList()
        found = growth * bottom
        for layers, skip in zip(reversed(down), reversed(skips)):
            self.enlarge.append(nn.ConvTranspose2d(found, found, 3, 2, padding=1,
                                                   output_padding=1))
            width = found + skip
            self.up.append(DenseBlock(width, growth, layers, dropout))
            found = growth * layers
        self.classifier = nn.Conv2d(width + found, num_classes, 1)
        self.input_stride = 2 ** len(down)
        he_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) scores."""
        self.check_input(image)
        features = self.first(image)
        skips = []
        for block, shrink in zip(self.down, self.shrink):
            skips.append(torch.cat((features, block(features)), 1))
            features = shrink(skips[-1])
        found = self.bottom(features)
        for enlarge, block, skip in zip(self.enlarge, self.up, reversed(skips)):
            features = torch.cat((enlarge(found), skip), 1)
            found = block(features)
        scores: Tensor = self.classifier(torch.cat((features, found), 1))
        return scores


class DenseBlock(nn.ModuleList):
    """
    Layers that each read all that came before; returns what they found, without the input.

    :param inputs: channels in.
    :param growth: channels that each layer finds.
    :param layers: how many.
    :param dropout: share of values dropped after each convolution.
    """

    def __init__(self, inputs: int, growth: int, layers: int, dropout: float) -> None:
        super().__init__(nn.Sequential(
            nn.BatchNorm2d(inputs + index * growth), nn.ReLU(inplace=True),
            nn.Conv2d(inputs + index * growth, growth, 3, padding=1), nn.Dropout2d(dropout))
            for index in range(layers))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, growth * layers, H, W) from (N, inputs, H, W)."""
        found: list[Tensor] = []
        for layer in self:
            found.append(layer(torch.cat((features, *found), 1)))
        return torch.cat(found, 1)


def _transition_down(width: int, dropout: float) -> nn.Sequential:
    """Return what halves the size between two blocks."""
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                         nn.Conv2d(width, width, 1), nn.Dropout2d(dropout), nn.MaxPool2d(2))
