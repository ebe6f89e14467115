"""Networks by the name a config or checkpoint gives them, built and filled from checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch

from roadseg_ros.checkpoint import Checkpoint, CheckpointError
from roadseg_ros.models.network import Network

# module and class; a module is imported only when its network is asked for
NETWORKS = {
    'deeplab_large_fov': 'deeplab.DeepLabLargeFov',
    'deeplab_v2': 'deeplab.DeepLabV2',
    'deeplab_v3': 'deeplab.DeepLabV3',
    'deeplab_v3_plus': 'deeplab.DeepLabV3Plus',
    'fast_fcn': 'fast_fcn.FastFcn',
    'fc_densenet': 'fc_densenet.FcDenseNet',
    'fcn16s': 'fcn.Fcn16s',
    'fcn32s': 'fcn.Fcn32s',
    'fcn8s': 'fcn.Fcn8s',
    'gated_scnn': 'gated_scnn.GatedScnn',
    'gcn': 'gcn.GlobalConvolutionNetwork',
    'ksac': 'deeplab.Ksac',
    'net_warp': 'net_warp.NetWarp',
    'residual_unet': 'residual_unet.ResidualUNet',
    'segnet': 'segnet.SegNet',
    'segnet_basic': 'segnet.SegNetBasic',
    'stfcn': 'stfcn.Stfcn',
    'swiftnet': 'swiftnet.SwiftNet',
    'u_lite': 'u_lite.ULite',
    'unet': 'unet.UNet',
    'unet_classic': 'unet_classic.ClassicUNet',
}
# trained elsewhere, to run alone: outside of the contract that training needs
ADAPTED = {'mask_rcnn': 'mask_rcnn.MaskRcnn'}


def network_class(architecture: str) -> type[Network]:
    """
    Return the class of a network.

    :param architecture: a name in `NETWORKS` or `ADAPTED`.
    :raises ValueError: unknown name (the known ones are listed).
    """
    known = {**NETWORKS, **ADAPTED}
    if not isinstance(architecture, str) or architecture not in known:
        raise ValueError(f'unknown network {architecture!r}; known: {", ".join(known)}')
    module, _, name = known[architecture].partition('.')
    kind: type[Network] = getattr(import_module(f'roadseg_ros.models.{module}'), name)
    return kind


def build_network(architecture: str, arguments: Mapping[str, Any]) -> Network:
    """
    Make a network with fresh weights.

    :param architecture: a name in `NETWORKS` or `ADAPTED`.
    :param arguments: keyword arguments of its constructor.
    :raises ValueError: unknown name (the known ones are listed) or arguments that do not fit.
    """
    kind = network_class(architecture)
    try:
        return kind(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'network {architecture}: {error}') from error


def network_from_checkpoint(checkpoint: Checkpoint) -> Network:
    """
    Build the network of a checkpoint and load its weights, float32, in eval mode.

    :raises CheckpointError: unknown network, or tensors or label space that do not fit it.
    """
    try:
        with torch.device('meta'):  # whose tensors have no memory: arguments may ask for any size
            planned = build_network(checkpoint.architecture, checkpoint.arguments)
        own = planned.state_dict()
        if planned.num_classes != len(checkpoint.labels):
            raise CheckpointError(f'the network has {planned.num_classes} outputs, '
                                  f'the label space {len(checkpoint.labels)}')
        _check_tensors({name: tuple(value.shape) for name, value in own.items()},
                       {name: value.shape for name, value in checkpoint.tensors.items()})
        network = build_network(checkpoint.architecture, checkpoint.arguments)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f'the checkpoint does not fit: {error}') from error
    network.load_state_dict({name: torch.from_numpy(np.array(checkpoint.tensors[name]))
                             for name in own})
    return network.eval()


def _check_tensors(wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    """Name the first tensor that is missing, too many or of another shape."""
    missing, extra = sorted(wanted.keys() - found), sorted(found.keys() - wanted)
    if missing or extra:
        raise CheckpointError(
            f'the tensors do not fit the network: {len(missing)} missing {missing[:2]}, '
            f'{len(extra)} unknown {extra[:2]}')
    for name, shape in wanted.items():
        if tuple(found[name]) != shape:
            raise CheckpointError(
                f'tensor {name} has shape {tuple(found[name])}, the network wants {shape}')


def state_arrays(network: Network) -> dict[str, np.ndarray]:
    """
    Return a network's state as numpy arrays for a checkpoint.

    Floats are in half precision, save tensors with values beyond its range.
    """
    return {name: _shortened(value).cpu().numpy() for name, value in network.state_dict().items()}


def _shortened(value: torch.Tensor) -> torch.Tensor:
    """Return floats in half precision where that holds them."""
    if not value.is_floating_point() or value.abs().max() > torch.finfo(torch.float16).max:
        return value
    return value.half()
