"""Maps of how near the borders are, from masks of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from roadseg_ros.labels import UNLABELLED

REACH = 4.0  # sigmas: from there on a border weighs less than exp(-8)


def maps_of(masks: Tensor, draw: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """
    Draw a map for each mask of a batch, on the CPU.

    :param masks: (N, H, W) int64 ids, 255 = unlabelled.
    :param draw: makes an (H, W) float32 map from an (H, W) uint8 mask.
    :return: (N, H, W) float32, on the device of the masks.
    """
    arrays = masks.to('cpu', torch.uint8).numpy()
    return torch.from_numpy(np.stack([draw(mask) for mask in arrays])).to(masks.device)


def border_map(mask: np.ndarray, classes: Sequence[int], sigma: float) -> np.ndarray:
    """
    Draw where two things come near each other, 1 where they touch.

    That is exp(-(d1 + d2)^2 / (2 sigma^2)) with the distances to the nearest and second nearest
    thing (Ronneberger et al., 2015, eq. 2); within a thing d1 is 0.

    :param mask: (H, W) uint8 ids.
    :param classes: whose connected regions are things.
    :param sigma: pixels.
    :return: (H, W) float32, 0 where a distance is above four sigmas.
    """
    reach = int(np.ceil(REACH * sigma))
    first, second = (np.full(mask.shape, np.inf, np.float32) for _ in range(2))
    for thing, window in _things(mask, classes, reach):
        near, next_near = first[window], second[window]
        distance = cv2.distanceTransform(1 - thing, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.minimum(next_near, np.maximum(near, distance), out=next_near)
        np.minimum(near, distance, out=near)
    return np.where(second <= reach, np.exp(-(first + second) ** 2 / (2 * sigma ** 2)),
                    0).astype(np.float32)


def penalty_map(mask: np.ndarray) -> np.ndarray:
    """
    Draw how near the borders are by class: 1 next to one, falling to 0 in the innermost pixel.

    That is the reverted distance map of Caliva et al. (2019).

    :param mask: (H, W) uint8 ids, 255 = unlabelled; that is no border.
    :return: (H, W) float32; 0 where the picture holds one class only.
    """
    result = np.zeros(mask.shape, np.float32)
    for index in np.unique(mask[mask != UNLABELLED]):
        inside = mask == index
        others = ~inside & (mask != UNLABELLED)
        if others.any():
            # to the last pixel of its own class, so that there is 0 at the border
            distance = cv2.distanceTransform((~others).view(np.uint8), cv2.DIST_L2,
                                             cv2.DIST_MASK_PRECISE)[inside] - 1
            result[inside] = 1 - distance / max(distance.max(), 1.0)
    return result


def _things(mask: np.ndarray, classes: Sequence[int], margin: int
            ) -> Iterator[tuple[np.ndarray, tuple[slice, slice]]]:
    """Return each connected region as (h, w) uint8 0/1 in a window with a margin around it."""
    for index in classes:
        regions = (mask == index).view(np.uint8)
        count, numbers, boxes, _ = cv2.connectedComponentsWithStats(regions)
        for number in range(1, count):
            left, top, width, height = boxes[number, :4]
            window = (slice(max(top - margin, 0), top + height + margin),
                      slice(max(left - margin, 0), left + width + margin))
            yield (numbers[window] == number).view(np.uint8), window
