"""Mask R-CNN (He et al., 2017), torchvision's, to run: instances painted as classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn.functional import interpolate
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from roadseg_ros.checkpoint import CheckpointError, Preprocessing
from roadseg_ros.models.network import Network
from roadseg_ros.models.registry import build_network, NETWORKS

COCO_CLASSES = 91  # with the background as 0, and ids that no class has
LEAST_PROBABILITY = 1e-6  # of what is ruled out; its logarithm is a score


def _first(**options: Any) -> MaskRCNN:
    """Return the network of the paper on ResNet-50 with a feature pyramid."""
    # torchvision's weights were made without an epsilon
    frozen = partial(FrozenBatchNorm2d, eps=0.0)
    backbone = resnet_fpn_backbone(backbone_name='resnet50', weights=None, norm_layer=frozen)
    return MaskRCNN(backbone, COCO_CLASSES, **options)


def _second(**options: Any) -> MaskRCNN:
    """Return torchvision's second version: batch norm, deeper heads."""
    return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None,
                                    num_classes=COCO_CLASSES, **options)


VARIANTS = {'resnet50_fpn': _first, 'resnet50_fpn_v2': _second}


class MaskRcnn(Network):
    """
    Instances of COCO's classes as a mask of classes, on top of another network's or of nothing.

    Instances are painted in the order of their scores, so that the surest is on top. What no
    instance covers is unlabelled, or what the network in the background says. Scores are the
    logarithms of probabilities: that of an instance is its detection score.

    The image is RGB in [0, 1]: mean 0, std 1. Made from torchvision's files by
    `python -m training.mask_rcnn`.

    :param num_classes: number of classes C; scores have C + 1 channels, the last of none of them.
    :param classes: for each class id of COCO that counts, as text (JSON has no other keys), the id
        that it becomes.
    :param variant: 'resnet50_fpn' or 'resnet50_fpn_v2', torchvision's names.
    :param min_score: instances below it are left out, 0.5 to 1.
    :param min_size: pixels that the shorter side is enlarged to, 1 to 1333, as long as the longer
        stays below 1333.
    :param background: `architecture`, `arguments`, `channel_order`, `scale`, `mean` and `std` of
        a network of as many classes; None = none.
    :raises ValueError: any of these is something else.
    """

    input_stride = output_stride = 1
    traceable = False
    abstains = True

    def __init__(self, num_classes: int, classes: Mapping[str, int],
                 variant: str = 'resnet50_fpn_v2', min_score: float = 0.5, min_size: int = 800,
                 background: Mapping[str, Any] | None = None) -> None:
        super().__init__(num_classes)
        if variant not in VARIANTS:
            raise ValueError(f'unknown variant {variant!r}; known: {", ".join(VARIANTS)}')
        if not 0.5 <= min_score <= 1:
            raise ValueError(f'min_score must be 0.5 to 1, not {min_score}')
        if not 1 <= min_size <= 1333:
            raise ValueError(f'min_size must be 1 to 1333, not {min_size}')
        if not (isinstance(classes, Mapping) and all(
                0 < int(coco) < COCO_CLASSES and type(target) is int and 0 <= target < num_classes
                for coco, target in classes.items())):
            raise ValueError(f'classes must lead from 1..{COCO_CLASSES - 1} to '
                             f'0..{num_classes - 1}, not {classes!r}')
        self.classes = {int(coco): target for coco, target in classes.items()}
        self.detector = VARIANTS[variant](min_size=min_size, box_score_thresh=min_score)
        self.background = None if background is None else _Background(num_classes, background)
        if self.background is not None:
            self.input_stride = self.background.network.input_stride
        self.eval()

    def train(self, mode: bool = True) -> MaskRcnn:
        """
        Stay in eval mode.

        :raises ValueError: training is asked for.
        """
        if mode:
            raise ValueError('Mask R-CNN runs here and is not trained: use torchvision')
        super().train(False)
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C + 1, H, W) scores."""
        self.check_input(image)
        if self.background is None:
            rest = image.new_zeros(image.shape[0], self.num_classes, *image.shape[2:])
        else:
            rest = self.background(image)
        nothing = 1 - rest.sum(1, keepdim=True)
        probabilities = torch.cat((rest, nothing), 1)
        for pixels, instances in zip(probabilities, self.detector(list(image))):
            self._paint(pixels, instances)
        return probabilities.clamp(min=LEAST_PROBABILITY).log()

    def _paint(self, pixels: Tensor, instances: Mapping[str, Tensor]) -> None:
        """
        Write instances over the probabilities of what is behind them.

        :param pixels: (C + 1, H, W), written.
        :param instances: `labels` (K,), `scores` (K,) and `masks` (K, 1, H, W) in [0, 1].
        """
        for index in instances['scores'].argsort(stable=True).tolist():
            target = self.classes.get(int(instances['labels'][index]))
            if target is not None:
                column = pixels.new_zeros(len(pixels))
                column[target] = instances['scores'][index]
                column[-1] = 1 - column[target]
                inside = instances['masks'][index, 0] > 0.5
                pixels[:, inside] = column[:, None]


class _Background(nn.Module):
    """
    The probabilities of a network whose input is prepared in another way.

    :param num_classes: that it must have.
    :param description: as of `MaskRcnn`.
    :raises ValueError: it lacks something, or its network does not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_classes: int, description: Mapping[str, Any]) -> None:
        super().__init__()
        try:
            architecture, arguments = description['architecture'], description['arguments']
            order, scale, mean, std = (description[name] for name in (
                'channel_order', 'scale', 'mean', 'std'))
        except (KeyError, TypeError) as error:
            raise ValueError(f'the background lacks {error}') from error
        try:
            Preprocessing(order, scale, tuple(mean), tuple(std), 1, 1)  # for its checks
        except (CheckpointError, TypeError) as error:
            raise ValueError(f"the background's {error}") from error
        self.swap, self.scale = order == 'bgr', scale
        if architecture not in NETWORKS:
            raise ValueError(f'a background is one of {", ".join(NETWORKS)}, '
                             f'not {architecture!r}')
        self.network = build_network(architecture, arguments)
        if self.network.num_classes != num_classes:
            raise ValueError(f'the background has {self.network.num_classes} classes, '
                             f'not {num_classes}')
        for name, values in (('mean', mean), ('std', std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) probabilities of the RGB image in [0, 1]."""
        if self.swap:
            image = image.flip(1)
        scores = self.network((image * (255 * self.scale) - self.mean) / self.std)
        return interpolate(scores, size=image.shape[2:], mode='bilinear',
                           align_corners=False).softmax(1)
