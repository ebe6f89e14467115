"""STFCN (Fayyaz et al., 2016) on any timm encoder."""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn.functional import relu

from roadseg_ros.models.backbone import timm_encoder
from roadseg_ros.models.network import Network, State, upsample


class Stfcn(Network):
    """
    FCN-8s with a memory: a convolutional LSTM over its deep features, frame by frame.

    Beside the paper, whose LSTM stands on the last features alone, those of the last three
    strides are added up before it, as FCN-8s does with their scores: all that is classified has
    been through the memory.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model with `features_only` support.
    :param width: channels of the features and of the memory.
    :raises ValueError: timm has no such encoder, or it has fewer than three strides.
    """

    def __init__(self, num_classes: int, encoder: str = 'tf_efficientnet_lite0',
                 width: int = 64) -> None:
        super().__init__(num_classes)
        self.encoder, channels, strides = timm_encoder(encoder)
        if len(strides) < 3:
            raise ValueError(f'{encoder} has {len(strides)} strides, three are needed')
        self.input_stride = strides[-1]
        self.output_stride = strides[-3]
        self.reduce = nn.ModuleList(
            nn.Conv2d(inputs, width, 1, bias=False) for inputs in channels[-3:])
        self.norm = nn.BatchNorm2d(width)
        self.memory = ConvLstm(width, width)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def step(self, image: Tensor, state: State = (), flow: Tensor | None = None
             ) -> tuple[Tensor, State]:
        """
        Return (N, C, H/8, W/8) scores and the memory (for encoders that end at stride 32).

        :param image: (N, 3, H, W).
        :param state: hidden and cell state, (N, width, H/8, W/8) each; () for a first frame.
        :param flow: not used: the memory finds by itself what has moved.
        """
        self.check_input(image)
        third, second, last = (reduce(found) for reduce, found in zip(
            self.reduce, self.encoder(image)[-3:]))
        features = relu(self.norm(third + upsample(second + upsample(last))))
        hidden, cell = self.memory(features, state)
        return self.classifier(hidden), (hidden, cell)

    def forward(self, image: Tensor) -> Tensor:
        """Return scores as `step` does for a first frame."""
        return self.step(image)[0]


class ConvLstm(nn.Module):
    """
    A convolutional LSTM (Shi et al., 2015), without peepholes.

    :param inputs: channels of what comes in.
    :param width: channels of its state.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inputs + width, 4 * width, 3, padding=1)
        with torch.no_grad():  # to remember is where it starts (Jozefowicz et al., 2015)
            self.gates.bias[width:2 * width] = 1  # type: ignore[index]

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """
        Return the next hidden and cell state, (N, width, h, w) each.

        :param features: (N, inputs, h, w).
        :param state: the last ones; () = zeros.
        """
        width = self.gates.out_channels // 4
        empty = features.new_zeros(len(features), width, *features.shape[-2:])
        hidden, cell = state or (empty, empty)
        gates = self.gates(torch.cat((features, hidden), 1))
        write, keep, show, new = gates.chunk(4, 1)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        return show.sigmoid() * cell.tanh(), cell
