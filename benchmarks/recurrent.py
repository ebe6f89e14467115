"""
What a memory brings: accuracy and steadiness of checkpoints on generated drives they never saw.

    python -m benchmarks.recurrent runs/stfcn_synthetic/last.safetensors

A recurrent network is also judged with each frame alone. Every drive is played as it is and with
noise, drawn anew in each frame; the flow that consistency is measured along is that of the drive
without it. The row `truth` is the consistency of the true masks, as far as the flow can tell.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import time

import numpy as np
from tqdm import tqdm

from roadseg_ros.inference.recurrence import RECURRENT_NETWORKS
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import add_consistency, ConfusionMatrix, origins_between
from roadseg_ros.scenes import Drive

SEEDS = (6000, 6001, 6002, 6003)  # recipes train from seed 1000 on, and validate from 5000 on
RATE_HZ = 15.0
CLASSES = 11


@dataclass(frozen=True)
class Clip:
    """Pictures, true masks and origins of `metrics.origins_between` of a drive."""

    pictures: list[np.ndarray]
    truth: list[np.ndarray]
    origins: list[np.ndarray]


class Score:
    """Accuracy, steadiness and time over drives."""

    def __init__(self) -> None:
        self.right, self.steady = ConfusionMatrix(CLASSES), ConfusionMatrix(CLASSES)
        self.ms: list[float] = []

    def add(self, clip: Clip, masks: Sequence[np.ndarray]) -> None:
        """Count the masks of a drive."""
        for truth, mask in zip(clip.truth, masks):
            self.right.update(truth, mask)
        add_consistency(self.steady, masks, clip.origins)

    def line(self, *names: object) -> str:
        """Return the row of a table."""
        ms = f'{np.median(self.ms):.0f}' if self.ms else ''
        return '| ' + ' | '.join(map(str, (
            *names, f'{self.right.mean_iou():.4f}', f'{self.steady.mean_iou():.4f}', ms))) + ' |'


def drive(seed: int, frames: int, size: tuple[int, int]) -> Clip:
    """Return a generated drive."""
    street = Drive(seed, *size, rate_hz=RATE_HZ)
    pictures, truth = map(list, zip(*(street.frame(index) for index in range(frames))))
    return Clip(pictures, truth, [origins_between(*pair) for pair in zip(pictures, pictures[1:])])


def noisy(pictures: Sequence[np.ndarray], deviation: float) -> list[np.ndarray]:
    """Return pictures with noise of a standard deviation in grey levels, always the same."""
    rng = np.random.default_rng(0)
    return [(picture + rng.normal(0, deviation, picture.shape)).round().clip(0, 255)
            .astype(np.uint8) for picture in pictures]


def play(segmenter: Segmenter, pictures: Sequence[np.ndarray], score: Score) -> list[np.ndarray]:
    """Return the masks of a drive, begun anew."""
    segmenter.reset_cache()
    masks = []
    for index, picture in enumerate(pictures):
        began = time.perf_counter()
        masks.append(segmenter.segment([picture], [''], [round(index * 1e9 / RATE_HZ)])[0])
        score.ms.append((time.perf_counter() - began) * 1e3)
    return [mask.class_ids for mask in masks]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.recurrent', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoints', nargs='+', type=Path, help='of labels camvid')
    parser.add_argument('--frames', type=int, default=60, help='of each drive (default: 60)')
    parser.add_argument('--seeds', type=int, nargs='+', default=SEEDS, help='of the drives')
    parser.add_argument('--size', type=int, nargs=2, default=(240, 320), metavar=('H', 'W'))
    parser.add_argument('--noise', type=float, nargs='+', default=(0.0, 10.0),
                        help='standard deviations, grey levels (default: 0 10)')
    options = parser.parse_args()
    ways = []
    for path in options.checkpoints:
        ways.append((path, Segmenter(path, device='cpu', engine='torch')))
        if ways[-1][1].checkpoint.architecture in RECURRENT_NETWORKS:
            ways.append((path, Segmenter(path, device='cpu', cache='recurrent')))
    truth = Score()
    scores = {(noise, number): Score() for noise in options.noise for number in range(len(ways))}
    for seed in tqdm(options.seeds, unit='drive', disable=None):
        clip = drive(seed, options.frames, tuple(options.size))
        truth.add(clip, clip.truth)
        for (noise, number), score in scores.items():
            score.add(clip, play(ways[number][1], noisy(clip.pictures, noise), score))
    print('| noise | checkpoint | cache | mean IoU | temporal consistency | ms |\n'
          '|---|---|---|---|---|---|')
    print(truth.line('', 'truth', ''))
    for (noise, number), score in scores.items():
        path, segmenter = ways[number]
        print(score.line(f'{noise:g}', f'{path.parent.name}/{path.stem}', segmenter.cache.policy))


if __name__ == '__main__':
    main()
