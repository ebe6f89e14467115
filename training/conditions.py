"""Frames as they look under conditions that the training data hardly has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import LabelSpace, UNLABELLED
from roadseg_ros.metrics import ConfusionMatrix
from training.datasets.frames import Frame

Condition = Callable[[np.ndarray, np.ndarray, np.random.Generator], Frame]
PLAIN = 'as it is'


def dusk(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Frame:
    """Darken, shadows most, and turn blue."""
    light = (image / 255.0) ** 1.6 * (0.6, 0.5, 0.42)
    return np.rint(light * 255).astype(np.uint8), truth


def rain(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Frame:
    """Add streaks, one to 500 pixels, and a sensor's noise of 8 grey levels."""
    height, width = truth.shape
    streaks = np.zeros_like(truth)
    for x, y in rng.integers(0, (width, height), (height * width // 500, 2)):
        streaks[y:y + height // 24, x] = 90
    noisy = image + cv2.GaussianBlur(streaks, (3, 1), 0)[..., None] + rng.normal(0, 8, image.shape)
    return np.rint(noisy).clip(0, 255).astype(np.uint8), truth


def half_size(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Frame:
    """Take half the rows and columns, as a smaller camera does."""
    return _scaled(image, truth, 0.5, cv2.INTER_AREA)


def double_size(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Frame:
    """Enlarge to twice the rows and columns."""
    return _scaled(image, truth, 2, cv2.INTER_CUBIC)


def flipped(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Frame:
    """Mirror left to right, as where people drive on the other side."""
    return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(truth[:, ::-1])


def bonnet(image: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Frame:
    """Cover the lowest sixth with a dark, shiny bonnet, which nothing is labelled under."""
    height, width = truth.shape
    rows = max(1, height // 6)
    cover = cv2.ellipse(np.zeros_like(truth), (width // 2, height), (round(0.55 * width), rows),
                        0, 180, 360, 1, cv2.FILLED) > 0
    shine = np.linspace(150, 20, rows).astype(np.uint8)[:, None, None]
    covered, hidden = image.copy(), truth.copy()
    covered[-rows:] = np.where(cover[-rows:, :, None], shine, covered[-rows:])
    hidden[cover] = UNLABELLED
    return covered, hidden


CONDITIONS: dict[str, Condition] = {
    'dusk': dusk, 'rain': rain, 'half_size': half_size, 'double_size': double_size,
    'flipped': flipped, 'bonnet': bonnet}


def compare_conditions(segmenter: Segmenter, frames: Iterable[Frame], seed: int = 0
                       ) -> dict[str, Any]:
    """
    Segment every frame as it is and under each condition.

    :param segmenter: what to judge.
    :param frames: pictures (H, W, 3) uint8 BGR with their masks (H, W) uint8, 255 = unlabelled.
    :param seed: of what is drawn.
    :return: by condition, a confusion matrix's summary.
    """
    counts = {name: ConfusionMatrix(len(segmenter.labels)) for name in (PLAIN, *CONDITIONS)}
    rng = np.random.default_rng(seed)
    for image, truth in frames:
        counts[PLAIN].update(truth, segmenter.segment([image])[0].class_ids)
        for name, change in CONDITIONS.items():
            changed, hidden = change(image, truth, rng)
            counts[name].update(hidden, segmenter.segment([changed])[0].class_ids)
    return {name: count.summary(segmenter.labels.names) for name, count in counts.items()}


def conditions_table(result: dict[str, Any], labels: LabelSpace) -> str:
    """Return mean IoU as it is, and what each condition takes from it, in points."""
    width = max(map(len, (*labels.names, 'mean IoU')))
    lines = [f'{"":{width}}' + ''.join(f'{name:>12}' for name in result)]
    for name in (*labels.names, 'mean IoU'):
        values = [summary['mean_iou'] if name == 'mean IoU' else summary['iou'][name]
                  for summary in result.values()]
        lines.append(f'{name:{width}}' + ''.join(_cells(values)))
    return '\n'.join(lines)


def _cells(values: list[float | None]) -> list[str]:
    """Return the first as it is and the others as points that it loses."""
    first, *others = values
    if first is None:
        return [f'{"absent":>12}'] * len(values)
    return [f'{first:12.4f}', *(f'{"absent":>12}' if value is None
                                else f'{100 * (value - first):+12.1f}' for value in others)]


def _scaled(image: np.ndarray, truth: np.ndarray, factor: float, interpolation: int) -> Frame:
    """Return picture and mask of another size."""
    height, width = (max(1, round(side * factor)) for side in truth.shape)
    return (cv2.resize(image, (width, height), interpolation=interpolation),
            cv2.resize(truth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
