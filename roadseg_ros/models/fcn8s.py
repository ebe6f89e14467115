"""FCN-8s (Long, Shelhamer and Darrell, 2015) on VGG16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torchvision.models.vgg import make_layers

from roadseg_ros.models.network import he_normal, Network, VGG16_CHANNELS, VGG16_CONVOLUTIONS

POOL3, POOL4 = 17, 24  # layers of torchvision's VGG16 up to and with each pooling


class Fcn8s(Network):
    """
    VGG16 made convolutional, with skips from pool3 and pool4 summed in.

    Scores leave at stride 8, and the paper's last, fixed bilinear step is the caller's; or at
    full size, through a last step that is learned.

    :param num_classes: number of outputs.
    :param head_channels: width of fc6 and fc7; 4096 in the paper.
    :param dropout: share of values dropped after fc6 and after fc7, 1 - keep probability.
    :param learned_upsampling: end in a learned transposed convolution that enlarges 8 times.
    :param channels: width of each of VGG16's five steps; ImageNet's weights need the default.
    :raises ValueError: not five widths.
    """

    input_stride = 32

    def __init__(self, num_classes: int, head_channels: int = 4096, dropout: float = 0.5,
                 learned_upsampling: bool = False,
                 channels: Sequence[int] = VGG16_CHANNELS) -> None:
        super().__init__(num_classes)
        layers = _vgg16(channels)
        self.to_pool3 = layers[:POOL3]
        self.to_pool4 = layers[POOL3:POOL4]
        self.to_pool5 = layers[POOL4:]
        self.fully_connected = nn.Sequential(
            nn.Conv2d(channels[4], head_channels, 7, padding=3), nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(head_channels, head_channels, 1), nn.ReLU(inplace=True),
            nn.Dropout(dropout))
        self.score7 = nn.Conv2d(head_channels, num_classes, 1)
        self.score4 = nn.Conv2d(channels[3], num_classes, 1)
        self.score3 = nn.Conv2d(channels[2], num_classes, 1)
        self.up7 = BilinearDeconvolution(num_classes, 2)
        self.up4 = BilinearDeconvolution(num_classes, 2)
        self.up3 = BilinearDeconvolution(num_classes, 8) if learned_upsampling else nn.Identity()
        self.output_stride = 1 if learned_upsampling else 8

    @property
    def encoder(self) -> nn.ModuleList:
        """Return the layers of VGG16: what ImageNet's weights fill."""
        return nn.ModuleList([self.to_pool3, self.to_pool4, self.to_pool5])

    def shallow(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return pool3, (N, 256, H/8, W/8)."""
        self.check_input(image)
        return (self.to_pool3(image),)

    def deep(self, shallow: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the fused scores of pool4 and fc7 at stride 8, (N, C, H/8, W/8)."""
        pool4 = self.to_pool4(shallow[0])
        score7 = self.score7(self.fully_connected(self.to_pool5(pool4)))
        return (self.up4(self.up7(score7) + self.score4(pool4)),)

    def head(self, shallow: tuple[Tensor, ...], deep: tuple[Tensor, ...]) -> Tensor:
        """Return (N, C, H/8, W/8) scores; (N, C, H, W) with `learned_upsampling`."""
        scores: Tensor = self.up3(deep[0] + self.score3(shallow[0]))
        return scores

    def forward(self, image: Tensor) -> Tensor:
        """Return scores as `head` does."""
        shallow = self.shallow(image)
        return self.head(shallow, self.deep(shallow))


class BilinearDeconvolution(nn.ConvTranspose2d):
    """
    A learned enlargement that starts as bilinear interpolation, as in the paper.

    :param channels: width, in and out.
    :param factor: how many times to enlarge; even.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=factor // 2,
                         bias=False)
        ramp = 1 - ((torch.arange(2 * factor) + 0.5) / factor - 1).abs()
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = ramp[:, None] * ramp


def _vgg16(channels: Sequence[int]) -> nn.Sequential:
    """Return the convolutions and poolings of VGG16, named as torchvision does."""
    if len(channels) != len(VGG16_CONVOLUTIONS):
        raise ValueError(f'VGG16 has five widths, not {len(channels)}')
    plan: list[str | int] = []
    for width, convolutions in zip(channels, VGG16_CONVOLUTIONS):
        plan += [*[width] * convolutions, 'M']
    layers = make_layers(plan)
    he_normal(layers)
    return layers
