"""GCN: large kernels matter (Peng et al., 2017)."""

from __future__ import annotations

from typing import Any

from torch import nn, Tensor
from torch.nn.functional import relu

from roadseg_ros.models.backbone import timm_encoder
from roadseg_ros.models.network import Network


class GlobalConvolutionNetwork(Network):
    """
    Scores from large kernels at every stride from 4 on, refined at their borders; at full size.

    The encoder's first features are not read, as in the paper.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model with strides 2 to 32.
    :param kernel: side of the large kernels, odd; 15 in the paper.
    :raises ValueError: timm has no such encoder, or the kernel is even.
    """

    output_stride = 1

    def __init__(self, num_classes: int, encoder: str = 'resnet50', kernel: int = 15) -> None:
        super().__init__(num_classes)
        if kernel % 2 == 0:
            raise ValueError(f'kernel must be odd, not {kernel}')
        self.encoder, channels, strides = timm_encoder(encoder)
        self.input_stride = strides[-1]
        self.first = strides.index(4)
        deepest_first = channels[:self.first - 1:-1] if self.first else channels[::-1]
        self.convolve = nn.ModuleList(
            GlobalConvolution(width, num_classes, kernel) for width in deepest_first)
        self.refine = nn.ModuleList(BoundaryRefinement(num_classes) for _ in deepest_first)
        self.enlarge = nn.ModuleList(_doubling(num_classes) for _ in range(len(deepest_first) + 1))
        self.refine_sum = nn.ModuleList(
            BoundaryRefinement(num_classes) for _ in range(len(deepest_first) + 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) scores."""
        self.check_input(image)
        features = self.encoder(image)[self.first:]
        found: Any = zip(self.convolve, self.refine, reversed(features))
        deepest, *others = (refine(convolve(stage)) for convolve, refine, stage in found)
        scores: Tensor = deepest
        for enlarge, refine, skip in zip(self.enlarge, self.refine_sum, [*others, 0, 0]):
            scores = refine(enlarge(scores) + skip)
        return scores


class GlobalConvolution(nn.Module):
    """
    A large kernel as the sum of a column after a row and a row after a column, no ReLU.

    :param inputs: channels in.
    :param outputs: channels out.
    :param kernel: side in pixels, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        def stroke(channels: int, rows: int, columns: int) -> nn.Conv2d:
            return nn.Conv2d(channels, outputs, (rows, columns),
                             padding=(rows // 2, columns // 2))

        self.column_first = nn.Sequential(stroke(inputs, kernel, 1), stroke(outputs, 1, kernel))
        self.row_first = nn.Sequential(stroke(inputs, 1, kernel), stroke(outputs, kernel, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, outputs, H, W) from (N, inputs, H, W)."""
        return self.column_first(features) + self.row_first(features)


class BoundaryRefinement(nn.Module):
    """
    A small residual that moves the borders of scores.

    :param channels: of the scores.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, scores: Tensor) -> Tensor:
        """Return scores of the same shape."""
        return scores + self.second(relu(self.first(scores)))


def _doubling(channels: int) -> nn.ConvTranspose2d:
    """Return a learned enlargement to twice the size."""
    return nn.ConvTranspose2d(channels, channels, 4, 2, padding=1, bias=False)
