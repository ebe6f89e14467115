"""What a street is painted on: the ground from above, sky and skyline, and the daylight."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np

from roadseg_ros.scenes.brush import BUILDING, SKY, TREE

ROAD_HALF_M = 5.2
TILE_WIDTH_M, TILE_LENGTH_M = 20.0, 48.0
TILE_SHAPE = (768, 600)  # along the road, across it
NOISE_MEAN = 16

_ZENITHS = ((235, 180, 130), (220, 190, 165), (215, 210, 205))
_SKYLINE = (((120, 145, 125), TREE), ((160, 160, 165), BUILDING))


def road_tile(generator: np.random.Generator, mood: Random) -> np.ndarray:
    """Paint the street from above: (rows, columns, 3) uint8, rows along the road."""
    rows, columns = TILE_SHAPE
    right = (np.arange(columns) + 0.5) * TILE_WIDTH_M / columns - TILE_WIDTH_M / 2
    aside = np.abs(right)
    along = (np.arange(rows) * TILE_LENGTH_M / rows)[:, None]
    asphalt = np.array((98, 95, 93), np.float32) * np.float32(mood.uniform(0.8, 1.15))
    slabs = np.array((150, 160, 168), np.float32) * np.float32(mood.uniform(0.85, 1.1))
    pavement = aside > ROAD_HALF_M
    profile = np.where(pavement[:, None], slabs, asphalt)
    profile[pavement & (aside < ROAD_HALF_M + 0.3)] *= 1.2  # the kerb, and the gutter before it
    profile[~pavement & (aside > ROAD_HALF_M - 0.3)] *= 0.75
    shade = mood.uniform(3, 9) * mood.choice((-1, 1))  # where the houses' shadow ends
    shaded = right < shade if shade < 0 else right > shade
    joints = pavement & ((along % 1.2 < 0.08) | (aside % 0.9 < 0.05))
    light = np.where(shaded, mood.uniform(0.55, 0.8), 1.0) * np.where(joints, 0.8, 1.0)
    light = light.astype(np.float32)
    grain = np.sum([_grain(generator, strength, (rows // scale, columns // scale), TILE_SHAPE)
                    for scale, strength in ((2, 5), (8, 5), (40, 7))], axis=0)
    dash = (along % 6 < 3) & (aside < 0.09)
    lines = (np.abs(aside - 3.1) < 0.06) & (mood.random() < 0.5)
    crossing = (along < 3) & (aside < 4.8) & (right % 1.2 < 0.6) & (mood.random() < 0.5)
    painted = dash | lines | crossing
    bands = [np.where(painted, paint, profile[:, band] + grain) * light
             for band, paint in enumerate((205, 212, 212))]
    tile: np.ndarray = np.dstack(bands)
    return tile.clip(0, 255).astype(np.uint8)


def panorama(generator: np.random.Generator, mood: Random, rows: int, width: int) -> np.ndarray:
    """Paint sky and skyline wider than a frame: (rows, columns, 4) uint8, class id last."""
    columns = width + 2 * round(0.3 * rows)
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    zenith = np.array(mood.choice(_ZENITHS), np.float32)
    sky = zenith * (1 - down) + np.array((238, 235, 230), np.float32) * down
    clouds = np.sum([_grain(generator, 2.8 / cells, (cells, 2 * cells), (rows, columns))
                     for cells in (4, 8, 16)], axis=0)
    cover = np.clip(clouds + mood.uniform(-0.3, 0.4), 0, 1)[..., None]
    sky = np.clip(sky * (1 - cover) + 247 * cover, 0, 255).astype(np.uint8)
    view = np.dstack([sky, np.full((rows, columns), SKY, np.uint8)])
    left = 0
    while left < columns:
        right = left + max(1, round(mood.uniform(0.08, 0.2) * rows))
        top = round(mood.uniform(0.8, 0.92) * rows)
        color, class_id = mood.choice(_SKYLINE)
        tone = mood.uniform(0.85, 1.1)
        view[top:, left:right] = (*(round(c * tone) for c in color), class_id)
        left = right
    return view


def exposure(mood: Random) -> np.ndarray:
    """Return the look-up table of a daylight: (1, 256, 3) uint8, from scene to picture."""
    levels = np.arange(256) / 255
    gain, gamma = mood.uniform(0.75, 1.08), mood.uniform(0.85, 1.15)
    warmth = mood.uniform(-0.07, 0.07)
    channels = [255 * gain * tint * levels ** gamma for tint in (1 - warmth, 1.0, 1 + warmth)]
    return np.clip(np.stack(channels, 1), 0, 255).astype(np.uint8)[None]


def sensor_noise(generator: np.random.Generator, mood: Random, rows: int, columns: int
                 ) -> np.ndarray:
    """Make noise around `NOISE_MEAN`: (rows, columns, 3) uint8."""
    bell = generator.integers(0, 256, (3, rows, columns, 3), np.uint8).astype(np.uint16).sum(0)
    scale = mood.uniform(1.5, 4) / 128  # three dice of 256 sides spread by 128
    table = np.rint((np.arange(766) - 382.5) * scale + NOISE_MEAN).astype(np.uint8)
    noise: np.ndarray = table[bell]
    return noise


def _grain(generator: np.random.Generator, strength: float, cells: tuple[int, int],
           shape: tuple[int, int]) -> np.ndarray:
    noise = generator.standard_normal(cells, np.float32) * np.float32(strength)
    return cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
