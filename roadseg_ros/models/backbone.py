"""Encoders from timm, by name."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn


def timm_encoder(name: str, decoder_steps: int) -> tuple[nn.Module, list[int], list[int]]:
    """
    Build an encoder that returns its features at every stride, without weights.

    :param name: of a timm model with `features_only` support.
    :param decoder_steps: how many steps lead from its last stride back to its first.
    :return: the encoder, and for each of its features the channels and the stride.
    :raises ValueError: timm has no such encoder, or the number of decoder steps does not fit.
    """
    # timm also takes hub addresses here and would download: only its own names pass
    if name not in timm.list_models():
        raise ValueError(f'timm has no encoder {name!r}; try tf_efficientnet_lite0, '
                         'tf_efficientnet_lite2 or resnet18')
    encoder = timm.create_model(name, features_only=True, pretrained=False)
    stages: Any = encoder.feature_info
    channels, strides = stages.channels(), stages.reduction()
    if decoder_steps != len(channels) - 1:
        raise ValueError(f'{name} has {len(channels)} strides, so the decoder needs '
                         f'{len(channels) - 1} widths, not {decoder_steps}')
    return encoder, channels, strides
