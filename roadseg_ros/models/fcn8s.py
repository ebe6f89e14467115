"""FCN-8s (Long, Shelhamer and Darrell, 2015) on VGG16."""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torchvision.models import vgg16

from roadseg_ros.models.network import Network

POOL3, POOL4 = 17, 24  # layers of torchvision's VGG16 up to and with each pooling


class Fcn8s(Network):
    """
    VGG16 made convolutional, with skips from pool3 and pool4 summed in.

    Scores leave at stride 8; the paper's last, fixed bilinear step is the caller's.

    :param num_classes: number of outputs.
    :param head_channels: width of fc6 and fc7; 4096 in the paper.
    """

    input_stride = 32
    output_stride = 8

    def __init__(self, num_classes: int, head_channels: int = 4096) -> None:
        super().__init__(num_classes)
        layers = vgg16(weights=None).features
        self.to_pool3 = layers[:POOL3]
        self.to_pool4 = layers[POOL3:POOL4]
        self.to_pool5 = layers[POOL4:]
        self.fully_connected = nn.Sequential(
            nn.Conv2d(512, head_channels, 7, padding=3), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Conv2d(head_channels, head_channels, 1), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.score7 = nn.Conv2d(head_channels, num_classes, 1)
        self.score4 = nn.Conv2d(512, num_classes, 1)
        self.score3 = nn.Conv2d(256, num_classes, 1)
        self.up7 = _bilinear_deconvolution(num_classes)
        self.up4 = _bilinear_deconvolution(num_classes)

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
        """Return (N, C, H/8, W/8) scores."""
        scores: Tensor = deep[0] + self.score3(shallow[0])
        return scores

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/8, W/8) scores."""
        shallow = self.shallow(image)
        return self.head(shallow, self.deep(shallow))


def _bilinear_deconvolution(channels: int) -> nn.ConvTranspose2d:
    """Return a learnable doubling that starts as bilinear interpolation, as in the paper."""
    layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = ramp[:, None] * ramp
    return layer
