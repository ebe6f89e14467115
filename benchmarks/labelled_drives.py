"""The labelled drives that caching is measured on: CamVid val and generated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.inference.comparison import Shot
from roadseg_ros.labels import UNLABELLED
from roadseg_ros.scenes import Drive

CAMVID = Path(__file__).resolve().parents[1] / 'data' / 'camvid'
CAMVID_UNLABELLED = 11
CAMVID_HZ, GENERATED_HZ = 15.0, 30.0
WIDTH = 480  # pixels
GENERATED_FRAMES = 90
SEED, START = 5, 60  # a street the packaged weights have not seen
NOISE = 3.0  # grey levels, standard deviation, of a standing camera's sensor
TURN_PIXELS = 4.6  # a frame: 20 degrees a second

Labelled = tuple[np.ndarray, np.ndarray]


def camvid() -> list[Shot]:
    """Return CamVid val: (360, 480), one drive."""
    return _stamped([_labelled(path) for path in sorted((CAMVID / 'val').glob('*.png'))],
                    CAMVID_HZ)


def standing() -> list[Shot]:
    """Return one frame of a generated drive, each time with new noise."""
    picture, truth = Drive(SEED, rate_hz=GENERATED_HZ).frame(START)
    generator = np.random.default_rng(0)
    noisy = (picture + generator.normal(0, NOISE, picture.shape) for _ in range(GENERATED_FRAMES))
    return _stamped([(frame.clip(0, 255).astype(np.uint8), truth) for frame in noisy],
                    GENERATED_HZ)


def driving(seed: int = SEED) -> list[Shot]:
    """Return a generated drive at 10 m/s."""
    drive = Drive(seed, rate_hz=GENERATED_HZ)
    return _stamped([drive.frame(START + index) for index in range(GENERATED_FRAMES)],
                    GENERATED_HZ)


def turning() -> list[Shot]:
    """Return a generated drive at 4 m/s whose camera turns at 20 degrees a second."""
    drive = Drive(SEED, width=2 * WIDTH, rate_hz=GENERATED_HZ, speed_mps=4.0)
    frames = []
    for index in range(GENERATED_FRAMES):
        seen = slice(round(TURN_PIXELS * index), round(TURN_PIXELS * index) + WIDTH)
        picture, truth = drive.frame(START + index)
        frames.append((np.ascontiguousarray(picture[:, seen]),
                       np.ascontiguousarray(truth[:, seen])))
    return _stamped(frames, GENERATED_HZ)


DRIVES: dict[str, Callable[[], list[Shot]]] = {
    'camvid': camvid, 'standing': standing, 'driving': driving, 'turning': turning}


def _labelled(path: Path) -> Labelled:
    """Return a picture of CamVid in SegNet's form, and its truth."""
    picture = cv2.imread(str(path))
    truth = cv2.imread(str(path.parent.with_name(f'{path.parent.name}annot') / path.name),
                       cv2.IMREAD_UNCHANGED)
    truth[truth == CAMVID_UNLABELLED] = UNLABELLED
    return picture, truth


def _stamped(frames: Sequence[Labelled], rate_hz: float) -> list[Shot]:
    """Return frames as of one camera at an even rate."""
    return [Shot(picture, round(index * 1e9 / rate_hz), truth=truth)
            for index, (picture, truth) in enumerate(frames)]
