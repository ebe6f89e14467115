"""Encoders from timm, by name."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn


def timm_encoder(name: str, output_stride: int = 32) -> tuple[nn.Module, list[int], list[int]]:
    """
    Build an encoder that returns its features at every stride, without weights.

    :param name: of a timm model with `features_only` support.
    :param output_stride: of its last features; below 32 its last stages are dilated instead of
        strided, which ResNet, MobileNetV3, EfficientNet-Lite and Xception can be.
    :return: the encoder, and for each of its features the channels and the stride.
    :raises ValueError: timm has no such encoder, or it cannot be dilated so.
    """
    # timm also takes hub addresses here and would download: only its own names pass
    if name not in timm.list_models():
        raise ValueError(f'timm has no encoder {name!r}; try tf_efficientnet_lite0, '
                         'tf_efficientnet_lite2, mobilenetv3_large_100, resnet50 or vgg16')
    dilation: dict[str, Any] = {} if output_stride == 32 else {'output_stride': output_stride}
    try:
        encoder = timm.create_model(name, features_only=True, pretrained=False, **dilation)
    except (AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(f'encoder {name} cannot have output stride {output_stride}') from error
    stages: Any = encoder.feature_info
    return encoder, stages.channels(), stages.reduction()


def check_steps(name: str, strides: list[int], steps: int) -> None:
    """
    Refuse a decoder that does not lead from an encoder's last stride back to its first.

    :raises ValueError: it has more or fewer steps.
    """
    if steps != len(strides) - 1:
        raise ValueError(f'{name} has {len(strides)} strides, so the decoder needs '
                         f'{len(strides) - 1} widths, not {steps}')
