"""Joint augmentation of pictures and masks on torchvision.transforms.v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from roadseg_ros.inference.preprocessing import network_size, padded_size, prepare_frame
from roadseg_ros.labels import UNLABELLED
from training.config import Augmentation
from training.datasets.frames import Frame, Joined

Item = tuple[Tensor, ...]  # picture and mask, and of clips the flow


class Levels(v2.Transform):  # type: ignore[misc]
    """
    Stretch contrast about the middle grey, then shift brightness, the same for all channels.

    :param contrast: range of the factor.
    :param offset: range of what is added, grey levels.
    """

    def __init__(self, contrast: tuple[float, float], offset: tuple[float, float]) -> None:
        super().__init__()
        self.contrast, self.offset = contrast, offset

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw factor and offset."""
        contrast, offset = (float(torch.empty(()).uniform_(*limits))
                            for limits in (self.contrast, self.offset))
        return {'contrast': contrast, 'offset': offset}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change pictures, leave masks."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        levels = (inpt.float() - 127) * params['contrast'] + 127 + params['offset']
        return tv_tensors.wrap(levels.round().clamp(0, 255).to(torch.uint8), like=inpt)


class Noise(v2.Transform):  # type: ignore[misc]
    """
    Add Gaussian noise to pictures, as strong as is drawn for each.

    :param noise: range of the standard deviation, grey levels.
    """

    def __init__(self, noise: tuple[float, float]) -> None:
        super().__init__()
        self.noise = noise

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the standard deviation, as torchvision counts it."""
        return {'sigma': float(torch.empty(()).uniform_(*self.noise)) / 255}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change pictures, leave masks."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        return v2.functional.gaussian_noise(inpt, **params)


def training_transform(augmentation: Augmentation, frame_size: tuple[int, int]) -> v2.Transform:
    """
    Build the augmentation of a recipe.

    :param augmentation: its numbers; what they leave out is not drawn.
    :param frame_size: (height, width) pictures are scaled to before the jitter.
    :return: a transform of (tv Image, tv Mask) to crops of `augmentation.crop`.
    """
    fill: Any = {tv_tensors.Image: 0, tv_tensors.Mask: UNLABELLED}
    height, width = augmentation.crop
    steps: list[v2.Transform] = [
        # torchvision documents (height, width) here and reads (width, height)
        v2.ScaleJitter(frame_size[::-1], augmentation.scale, antialias=True),
        v2.RandomCrop(augmentation.crop, pad_if_needed=True, fill=fill),
        v2.RandomHorizontalFlip(augmentation.flip),
        v2.ColorJitter(augmentation.brightness, augmentation.contrast,
                       augmentation.saturation, augmentation.hue)]
    if augmentation.shift or augmentation.rotation:
        share = min(1.0, augmentation.shift / width), min(1.0, augmentation.shift / height)
        steps.append(v2.RandomAffine(augmentation.rotation, share, fill=fill,
                                     interpolation=v2.InterpolationMode.BILINEAR))
    if augmentation.elastic:
        steps.append(v2.ElasticTransform(augmentation.elastic, fill=fill))
    if (augmentation.linear_contrast, augmentation.offset) != ((1, 1), (0, 0)):
        steps.append(Levels(augmentation.linear_contrast, augmentation.offset))
    if augmentation.noise != (0, 0):
        steps.append(Noise(augmentation.noise))
    return v2.Compose(steps)


class Augmented(Dataset[Item]):
    """
    A data set with its transform, as tensors (image, mask).

    `image` is (3, H, W) uint8 RGB, `mask` (H, W) int64. The draw of each item follows from
    seed, epoch and index alone, so an interrupted run sees what an uninterrupted one would.

    :param dataset: items (H, W, 3) uint8 BGR and (H, W) uint8.
    :param transform: joint transform of tv tensors.
    :param seed: of the run; `epoch` is set from outside before each epoch.
    :param class_mix: probability that half of the classes of an item drawn at random are laid
        over one (ClassMix, Olsson et al., 2021, here with true masks).
    """

    def __init__(self, dataset: Joined, transform: v2.Transform, seed: int,
                 class_mix: float = 0.0) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed
        self.class_mix = class_mix
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        """Return an augmented item."""
        [image], [mask] = self._augment([self.dataset[index]], index)
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch, index, 1)))
        if torch.rand((), generator=generator) >= self.class_mix:
            return image, mask
        other = int(torch.randint(len(self), (), generator=generator))
        [above], [ids] = self._augment([self.dataset[other]], index + len(self))
        return lay_over(image, mask, above, ids, generator)

    def _augment(self, frames: Sequence[Frame], index: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return pictures and masks after the one draw of an item."""
        images = [tv_tensors.Image(_channels_first(picture)) for picture, _ in frames]
        masks = [tv_tensors.Mask(torch.from_numpy(ids)) for _, ids in frames]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self.seed, self.epoch, index)))
            images, masks = self.transform(images, masks)
        return ([image.as_subclass(Tensor) for image in images],
                [mask.as_subclass(Tensor).long() for mask in masks])


def lay_over(image: Tensor, mask: Tensor, above: Tensor, ids: Tensor,
             generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """
    Lay half of the classes of one picture over another, rounded up.

    :param image: (3, H, W), beneath.
    :param mask: (H, W) int64, of what is beneath.
    :param above: (3, H, W), what is laid over it.
    :param ids: (H, W) int64, of what is above; its unlabelled pixels are not taken.
    :param generator: draws the classes.
    :return: the picture and its mask, new tensors.
    """
    present = torch.unique(ids[ids != UNLABELLED])
    chosen = present[torch.randperm(len(present), generator=generator)[:-(-len(present) // 2)]]
    taken = torch.isin(ids, chosen)
    return torch.where(taken, above, image), torch.where(taken, ids, mask)


class Prepared(Dataset[Item]):
    """
    Frames as the segmenter hands them to the network, without augmentation, and their masks.

    A frame is (padded H, padded W, 3) uint8 BGR at the height the node works at, its mask
    (H, W) uint8 at the picture's own size.

    :param dataset: items (H, W, 3) uint8 BGR and (H, W) uint8.
    :param height: pixels the node works at.
    :param stride: of the network's input.
    """

    def __init__(self, dataset: Joined, height: int, stride: int) -> None:
        self.dataset, self.height, self.stride = dataset, height, stride

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        """Return an item."""
        picture, ids = self.dataset[index]
        size = network_size(ids.shape, self.height)
        frame = np.empty((*padded_size(size, self.stride), 3), np.uint8)
        prepare_frame(picture, size, frame)
        return torch.from_numpy(frame), torch.from_numpy(ids)


def _channels_first(picture: np.ndarray) -> Tensor:
    """Return (3, H, W) RGB from (H, W, 3) BGR."""
    return torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)))
