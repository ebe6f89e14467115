"""
Write labelled video of procedural drives to disk, in CamVid's layout.

    python -m training.synthesize --out data/synthetic --seeds 0 1 2 --frames 150
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import math
from pathlib import Path
import sys

import cv2
import numpy as np
from tqdm import tqdm

from roadseg_ros.scenes import Drive


def synthesize(out: Path, seeds: Sequence[int], frames: int, *, split: str = 'train',
               height: int = 360, width: int = 480, rate_hz: float = 15.0) -> None:
    """
    Write `<out>/<split>/<name>.png` (BGR picture) and `<out>/<split>annot/<name>.png` (class ids).

    :param out: a folder; may hold other splits.
    :param seeds: one drive each.
    :param frames: how many frames of each drive.
    :param split: name of the folder of pictures.
    :param height: rows of a frame.
    :param width: columns of a frame.
    :param rate_hz: frames per second of the drive.
    :raises FileExistsError: the split is there already.
    :raises ValueError: no frames, or a drive that cannot be made.
    :raises OSError: a file cannot be written.
    """
    if frames < 1:
        raise ValueError(f'frames must be 1 or more, not {frames}')
    if not math.isfinite(rate_hz):
        raise ValueError(f'the rate must be a number above 0, not {rate_hz}')
    images, labels = out / split, out / f'{split}annot'
    for folder in (images, labels):
        if folder.exists():
            raise FileExistsError(f'{folder} exists already: choose another --out or --split')
    drives = {seed: Drive(seed, height, width, rate_hz) for seed in seeds}
    images.mkdir(parents=True)
    labels.mkdir()
    with tqdm(total=len(drives) * frames, unit='frame', desc=str(out)) as progress:
        for seed, drive in drives.items():
            for index in range(frames):
                image, class_ids = drive.frame(index)
                name = f'seed{seed:04d}_{index:06d}.png'
                _write(images / name, image)
                _write(labels / name, class_ids)
                progress.update()


def _write(path: Path, image: np.ndarray) -> None:
    """Write a PNG; unlike cv2.imwrite, notice a disk that is full."""
    path.write_bytes(cv2.imencode('.png', image)[1].tobytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog='python -m training.synthesize', description=(
        'Write labelled video of procedural drives to disk, in the layout of CamVid.'))
    parser.add_argument('--out', type=Path, required=True, help='a folder; may hold other splits')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='one drive each')
    parser.add_argument('--frames', type=int, default=150, help='frames of each drive')
    parser.add_argument('--split', default='train', help='name of the folder of pictures')
    parser.add_argument('--height', type=int, default=360, help='rows of a frame')
    parser.add_argument('--width', type=int, default=480, help='columns of a frame')
    parser.add_argument('--rate', type=float, default=15.0, help='frames per second')
    chosen = parser.parse_args(arguments)
    try:
        synthesize(chosen.out, chosen.seeds, chosen.frames, split=chosen.split,
                   height=chosen.height, width=chosen.width, rate_hz=chosen.rate)
    except (OSError, ValueError) as error:
        print(f'training.synthesize: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
