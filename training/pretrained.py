"""Weights to start from: chance, ImageNet for encoders, or a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.models.fcn import BilinearDeconvolution
from roadseg_ros.models.network import Network
from training.imagenet import load_encoder, load_imagenet
from training.weight_files import holds_checkpoint, PretrainedError

WANTS_ALL = 'start_share goes on from a checkpoint of the same network and classes'


def initialize(network: Network, std: float) -> None:
    """
    Draw the weights of all convolutions from a normal distribution about 0; biases are 0.

    Transposed convolutions that start as bilinear interpolation stay so.

    :param network: the network; its tensors are written.
    :param std: standard deviation.
    """
    for layer in network.modules():
        if isinstance(layer, BilinearDeconvolution):
            continue
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def load_weights(network: Network, source: str, whole: bool = False) -> None:
    """
    Fill a network with the weights a recipe starts from.

    :param network: the network; its tensors are written.
    :param source: 'imagenet' (the encoder only), the path of a `.pth` or `.safetensors` file of
        timm or torchvision with the encoder's weights, or of a `.safetensors` checkpoint, whose
        tensors are taken where the shape agrees: the classifier of another label space stays as
        it was initialised.
    :param whole: refuse what leaves tensors as they were initialised.
    :raises PretrainedError: none of these, it cannot be had, or it is of another network.
    :raises CheckpointError: the checkpoint cannot be read.
    """
    if source == 'imagenet':
        return load_imagenet(network)
    file = Path(source).expanduser()
    if file.suffix not in ('.pth', '.safetensors'):
        raise PretrainedError(f'unknown pretrained {source!r}; known: imagenet, or the path of a '
                              '.safetensors checkpoint, or of a .pth or .safetensors file of '
                              'weights of the encoder')
    if file.suffix == '.pth' or not holds_checkpoint(file):
        if whole:
            raise PretrainedError(f'{source} holds an encoder alone; {WANTS_ALL}')
        return load_encoder(network, file)
    checkpoint = load_checkpoint(source)
    target = network.state_dict()
    if target.keys() != checkpoint.tensors.keys():
        raise PretrainedError(f'{source} holds a {checkpoint.architecture}, whose tensors are '
                              f'not those of {type(network).__name__}')
    other = [name for name, value in checkpoint.tensors.items()
             if target[name].shape != value.shape]
    if whole and other:
        raise PretrainedError(f'{source} does not fit {other[0]}; {WANTS_ALL}')
    network.load_state_dict(target | {
        name: torch.from_numpy(np.array(value)) for name, value in checkpoint.tensors.items()
        if target[name].shape == value.shape})
