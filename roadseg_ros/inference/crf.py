"""A fully connected CRF over a frame's pixels: borders of classes drawn to those of the frame."""

from __future__ import annotations

from dataclasses import dataclass, fields
import math

import cv2
import numpy as np

from roadseg_ros.inference.permutohedral import PermutohedralLattice
from roadseg_ros.labels import UNLABELLED

LEAST_PROBABILITY = 1e-6  # so that what a network rules out can still be mended
MAX_ITERATIONS = 100


@dataclass(frozen=True)
class CrfSettings:
    """
    What the CRF believes of pixels; lengths in pixels of the size that the network works at.

    The defaults were chosen on generated drives, see training/LOG.md.

    :param iterations: of the mean field.
    :param bilateral_weight: of pixels near to each other and of like colour agreeing.
    :param bilateral_pixels: how near, standard deviation.
    :param bilateral_levels: how like, grey levels of each channel, standard deviation.
    :param spatial_weight: of pixels near to each other agreeing, whatever their colour.
    :param spatial_pixels: how near, standard deviation.
    :raises ValueError: iterations that are no number from 1 to 100, a weight below 0, or a
        standard deviation below 1.
    """

    iterations: int = 5
    bilateral_weight: float = 4.0
    bilateral_pixels: float = 67.0
    bilateral_levels: float = 3.0
    spatial_weight: float = 3.0
    spatial_pixels: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no frame could be filtered with."""
        if type(self.iterations) is not int or not 1 <= self.iterations <= MAX_ITERATIONS:
            raise ValueError(f'crf: iterations is a whole number from 1 to {MAX_ITERATIONS}, '
                             f'not {self.iterations!r}')
        for field in fields(self)[1:]:
            value, least = getattr(self, field.name), 0 if 'weight' in field.name else 1
            if type(value) not in (int, float) or not least <= value < math.inf:
                raise ValueError(f'crf: {field.name} is a number from {least} on, not {value!r}')


def refine(frame: np.ndarray, probabilities: np.ndarray, settings: CrfSettings) -> np.ndarray:
    """
    Let a frame's pixels agree: the mean field of a fully connected CRF.

    Kraehenbuehl and Koltun (2011), as DeepLab (Chen et al., 2015) put it after a network: Potts
    compatibility, a bilateral and a spatial Gaussian kernel, each divided on both sides by the
    root of its sum over all pixels. As in the authors' program, a pixel is among its own
    neighbours.

    :param frame: (H, W, 3) uint8.
    :param probabilities: (C, H, W) float32, of the network.
    :param settings: of the kernels.
    :return: (C, H, W) float32 probabilities, which add up to 1.
    """
    classes, height, width = probabilities.shape
    kernels: list[tuple[float, _Kernel]] = []
    if settings.bilateral_weight:
        kernels.append((settings.bilateral_weight, _Bilateral(frame, settings)))
    if settings.spatial_weight:
        kernels.append((settings.spatial_weight, _Spatial((height, width), settings)))
    unary = np.log(np.maximum(probabilities, LEAST_PROBABILITY)).reshape(classes, -1).T
    belief = _softmax(unary)
    for _ in range(settings.iterations):
        scores = unary.copy()
        for weight, kernel in kernels:
            scores += weight * kernel.normalized(belief)
        belief = _softmax(scores)
    return np.ascontiguousarray(belief.T).reshape(classes, height, width)


def refined_labels(frames: np.ndarray, probabilities: np.ndarray, settings: CrfSettings,
                   classes: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Return what an engine returns, of what the pixels of each frame agree on.

    :param frames: (N, H, W, 3) uint8.
    :param probabilities: (N, C, H, W) float32, of the network.
    :param settings: of the CRF.
    :param classes: so many have an id; a channel beyond them is that of no class.
    :return: class ids (255 = unlabelled) and confidence, both (N, H, W) uint8.
    """
    beliefs = [refine(*pair, settings) for pair in zip(frames, probabilities)]
    ids = np.stack([belief.argmax(0) for belief in beliefs]).astype(np.uint8)
    confidence = np.stack([(255 * belief.max(0)).round() for belief in beliefs]).astype(np.uint8)
    nothing = ids == classes
    ids[nothing], confidence[nothing] = UNLABELLED, 0
    return ids, confidence


class _Kernel:
    """A Gaussian between all pixels of a frame."""

    def __init__(self, pixels: int) -> None:
        ones = np.ones((pixels, 1), np.float32)
        self._norm = 1 / np.sqrt(self.filter(ones))

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Return the (N, C) float32 sums over all pixels, up to a factor."""
        raise NotImplementedError

    def normalized(self, values: np.ndarray) -> np.ndarray:
        """Return the (N, C) float32 sums with the kernel divided by its size on both sides."""
        return self._norm * self.filter(self._norm * values)


class _Bilateral(_Kernel):
    """Near to each other and of like colour."""

    def __init__(self, frame: np.ndarray, settings: CrfSettings) -> None:
        height, width = frame.shape[:2]
        features = np.empty((height, width, 5), np.float32)
        features[..., 0] = np.arange(width) / settings.bilateral_pixels
        features[..., 1] = np.arange(height)[:, None] / settings.bilateral_pixels
        features[..., 2:] = frame / settings.bilateral_levels
        self._lattice = PermutohedralLattice(features.reshape(-1, 5))
        super().__init__(height * width)

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Return the sums."""
        return self._lattice.filter(values)


class _Spatial(_Kernel):
    """Near to each other."""

    def __init__(self, size: tuple[int, int], settings: CrfSettings) -> None:
        self._size, self._deviation = size, settings.spatial_pixels
        super().__init__(size[0] * size[1])

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Return the sums; outside of the frame is nothing."""
        result = np.empty_like(values)
        for channel in range(values.shape[1]):
            plane = np.ascontiguousarray(values[:, channel]).reshape(self._size)
            result[:, channel] = cv2.GaussianBlur(
                plane, (0, 0), self._deviation, borderType=cv2.BORDER_CONSTANT).ravel()
        return result


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Return (N, C) probabilities of scores."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
