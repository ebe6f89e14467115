"""U-Net as first published (Ronneberger, Fischer and Brox, 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import max_pool2d

from roadseg_ros.models.network import he_normal, Network

PADDINGS = ('same', 'valid')
BORDER = 2  # pixels a double convolution without padding takes from each side


class ClassicUNet(Network):
    """
    Double convolutions, poolings and transposed convolutions; scores at full size.

    Without padding, as in the paper, the image is mirrored at its borders by as much as the
    convolutions take away, so that the scores cover it exactly.

    :param num_classes: number of outputs.
    :param channels: width of each encoder step, then of the bottom.
    :param padding: 'same', zeros around each convolution's input, or 'valid', none.
    :param batch_norm: put one after each 3x3 convolution.
    :param dropout: share of values dropped after each step.
    :raises ValueError: fewer than two widths, or unknown padding.
    """

    output_stride = 1

    def __init__(self, num_classes: int, channels: Sequence[int] = (64, 128, 256, 512, 1024),
                 padding: str = 'same', batch_norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__(num_classes)
        if len(channels) < 2:
            raise ValueError(f'unet_classic has two widths or more, not {len(channels)}')
        if padding not in PADDINGS:
            raise ValueError(f'unknown padding {padding!r}; known: {", ".join(PADDINGS)}')

        def step(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(*_convolution(inputs, outputs, padding, batch_norm),
                                 *_convolution(outputs, outputs, padding, batch_norm),
                                 nn.Dropout(dropout))

        self.encoder = nn.ModuleList(map(step, (3, *channels), channels[:-1]))
        self.bottom = step(channels[-2], channels[-1])
        upwards = list(zip(channels[:0:-1], channels[-2::-1]))
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(deep, skip, 2, stride=2) for deep, skip in upwards)
        self.decoder = nn.ModuleList(step(2 * skip, skip) for _, skip in upwards)
        self.classifier = nn.Conv2d(channels[0], num_classes, 1)
        self.input_stride = 2 ** len(self.encoder)
        self.mirrored = padding == 'valid'
        he_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) scores."""
        self.check_input(image)
        if self.mirrored:
            # 92 pixels for four poolings, and 2 more so that all of them halve evenly
            image = _mirror_borders(image, 6 * self.input_stride - BORDER)
        features, skips = image, []
        for block in self.encoder:
            skips.append(block(features))
            features = max_pool2d(skips[-1], 2)
        features = self.bottom(features)
        lost = 0  # pixels by which features are smaller than their skip at each side
        for enlarge, block, skip in zip(self.enlarge, self.decoder, reversed(skips)):
            if self.mirrored:
                lost = 2 * (lost + BORDER)
                skip = _crop(skip, lost)
                lost += BORDER  # the block below; the next one adds the encoder's
            features = block(torch.cat((enlarge(features), skip), 1))
        scores: Tensor = self.classifier(features)
        return _crop(scores, BORDER) if self.mirrored else scores


def _convolution(inputs: int, outputs: int, padding: str, batch_norm: bool) -> list[nn.Module]:
    """Return a 3x3 convolution, batch norm where asked for, and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=padding, bias=not batch_norm)
    norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
    return [convolution, *norm, nn.ReLU(inplace=True)]


def _crop(features: Tensor, border: int) -> Tensor:
    """Return features without that many pixels at each side."""
    return features[..., border:-border, border:-border]


def _mirror_borders(image: Tensor, border: int) -> Tensor:
    """Return an image that goes on mirrored at each side, more than once where it is small."""
    rows, columns = (_mirrored(side, border, image.device) for side in image.shape[-2:])
    return image[..., rows, :][..., columns]


def _mirrored(side: int, border: int, device: torch.device) -> Tensor:
    """Return which of 0 to side - 1 to read, from `border` before them to `border` after."""
    period = 2 * (side - 1)
    places = torch.arange(-border, side + border, device=device).remainder(period)
    # not by `abs`, which OpenVINO leaves out of integers that it folds (2026.4)
    return torch.minimum(places, period - places)
