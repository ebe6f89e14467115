"""The drive: where the camera and all else is in every frame, painted far to near."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import math
from random import Random
from typing import Any

import cv2
import numpy as np

from roadseg_ros.scenes import things, walls
from roadseg_ros.scenes.brush import Brush, Camera, NEAR_M, PAVEMENT, ROAD
from roadseg_ros.scenes.surfaces import (
    exposure,
    NOISE_MEAN,
    panorama,
    ROAD_HALF_M,
    road_tile,
    sensor_noise,
    TILE_LENGTH_M,
    TILE_SHAPE,
    TILE_WIDTH_M,
)

_WALL_M = 9.5
_WALL_REACH_M = 100.0
_WALL_LENGTH_M = 10.0
_HALF_WIDTH_M = 2.6  # of the widest thing, the crown of a tree
_HORIZON = 0.46  # of the height
_FOCAL = 1.1     # of the height, so that things keep their size at every aspect
_NOISE_SPARE = 64

Painter = tuple[float, Callable[..., None], tuple[Any, ...]]  # distance, function, arguments


@dataclass(frozen=True)
class _Row:
    """One kind of thing: a chance of it every `spacing` metres, moving at `speed` m/s."""

    draw: Callable[[Brush, Random, float, float], None]
    lateral: tuple[float, float]
    spacing: float
    chance: float
    speed: float = 0.0
    reach: float = 40.0
    length: float = 0.0


# Lanes wide enough apart that nothing drives through anything else.
_ROWS = (
    _Row(things.draw_car, (4.05, 4.2), 8.0, 0.35, length=things.CAR_LENGTH_M),
    _Row(things.draw_car, (-4.2, -4.05), 8.0, 0.35, length=things.CAR_LENGTH_M),
    _Row(things.draw_car, (1.25, 1.35), 28.0, 0.7, speed=-8.0, reach=60.0,
         length=things.CAR_LENGTH_M),
    _Row(things.draw_bicyclist, (-0.45, -0.15), 14.0, 0.8, speed=5.0, reach=32.0),
    _Row(things.draw_bicyclist, (2.75, 2.8), 14.0, 0.8, speed=-3.0, reach=32.0),
    _Row(things.draw_pedestrian, (5.7, 8.3), 5.0, 0.8, speed=1.2, reach=36.0),
    _Row(things.draw_pedestrian, (-8.3, -5.7), 5.0, 0.8, speed=-1.2, reach=36.0),
    _Row(things.draw_tree, (6.7, 7.1), 17.0, 0.6, reach=60.0),
    _Row(things.draw_tree, (-7.1, -6.7), 17.0, 0.6, reach=60.0),
    _Row(things.draw_lamp_post, (5.6, 5.8), 13.0, 0.9),
    _Row(things.draw_lamp_post, (-5.8, -5.6), 13.0, 0.9),
    _Row(things.draw_sign, (6.0, 6.4), 13.0, 0.8),
    _Row(things.draw_sign, (-6.4, -6.0), 13.0, 0.8),
)
_WALL_KINDS = (
    walls.draw_building, walls.draw_building, walls.draw_shop, walls.draw_garden,
    walls.draw_fenced_yard, walls.draw_fenced_yard, walls.draw_fenced_yard)


class Drive:
    """
    A camera driving along a street that its seed alone decides.

    Every frame can be made on its own, in any order; the same seed, size and index give the same
    bytes. Class ids are those of the label space `camvid`.

    :param seed: which street, daylight and traffic.
    :param height: rows of a frame.
    :param width: columns of a frame.
    :param rate_hz: frames per second; frame `index` shows the world at `index / rate_hz` seconds.
    :param speed_mps: how fast the camera drives.
    """

    def __init__(self, seed: int = 0, height: int = 360, width: int = 480, rate_hz: float = 15.0,
                 speed_mps: float = 10.0):
        if seed < 0 or height < 32 or width < 32 or rate_hz <= 0:
            raise ValueError(f'no drive of seed {seed}, {width}x{height}, {rate_hz} Hz: the seed '
                             'must be 0 or more, sides 32 pixels or more, the rate above 0')
        self._seed, self._height, self._width = seed, height, width
        self._rate_hz, self._speed_mps = rate_hz, speed_mps
        mood = Random(seed)
        self._mirror = mood.choice((-1, 1))  # which side of the road one drives on
        self._phase = mood.uniform(0, math.tau)
        sunny = mood.uniform(0.75, 1.1)
        self._light = (sunny, 1.85 - sunny, mood.uniform(0.85, 1.0))
        self._horizon = round(_HORIZON * height)
        generator = np.random.default_rng(seed)
        self._road = road_tile(generator, mood)
        self._panorama = panorama(generator, mood, self._horizon, width)
        self._noise = sensor_noise(generator, mood, height + _NOISE_SPARE, width + _NOISE_SPARE)
        self._exposure = exposure(mood)

    def frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """
        Make one frame and its truth.

        :param index: number of the frame, from 0.
        :return: image (H, W, 3) uint8 BGR and class ids (H, W) uint8.
        """
        seconds = index / self._rate_hz
        camera = self._camera(seconds)
        canvas = self._backdrop(camera)
        brush = Brush(canvas, camera, self._light)
        painters = [*self._walls(camera), *self._things(camera, seconds)]
        for _, draw, arguments in sorted(painters, key=lambda painter: -painter[0]):
            draw(brush, *arguments)
        return self._develop(canvas, index), cv2.extractChannel(canvas, 3)

    def _camera(self, seconds: float) -> Camera:
        return Camera(
            x=self._mirror * (-1.75 + 0.25 * math.sin(0.5 * seconds + self._phase)),
            z=self._speed_mps * seconds,
            slope=0.03 * math.sin(0.37 * seconds + 2 * self._phase),
            curve=0.0022 * math.sin(0.21 * seconds + 3 * self._phase),
            focal=_FOCAL * self._height, center=self._width / 2, horizon=self._horizon)

    def _backdrop(self, camera: Camera) -> np.ndarray:
        canvas = np.empty((self._height, self._width, 4), np.uint8)
        margin = (self._panorama.shape[1] - self._width) // 2
        turn = round(camera.focal * (camera.slope + 30 * camera.curve))
        left = min(max(margin + turn, 0), 2 * margin)
        canvas[:self._horizon] = self._panorama[:, left:left + self._width]
        canvas[self._horizon:] = self._ground(camera)
        return canvas

    def _ground(self, camera: Camera) -> np.ndarray:
        rows = np.arange(self._height - self._horizon, dtype=np.float32)[:, None] + 0.5
        depth = camera.focal * camera.height / rows
        columns = np.arange(self._width, dtype=np.float32) - camera.center
        right = (camera.x + columns * depth / camera.focal
                 + camera.slope * depth + 0.5 * camera.curve * depth * depth).astype(np.float32)
        tile_rows, tile_columns = TILE_SHAPE
        along = (camera.z + depth) % TILE_LENGTH_M * (tile_rows / TILE_LENGTH_M)
        across = (right + TILE_WIDTH_M / 2) * (tile_columns / TILE_WIDTH_M)
        color = cv2.remap(self._road, np.clip(across, 0, tile_columns - 1),
                          np.broadcast_to(along, right.shape).astype(np.float32),
                          cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        on_road = np.abs(right) < ROAD_HALF_M
        class_ids = np.where(on_road, np.uint8(ROAD), np.uint8(PAVEMENT))
        return cv2.merge([*cv2.split(color), class_ids])

    def _walls(self, camera: Camera) -> Iterator[Painter]:
        first = math.floor(camera.z / _WALL_LENGTH_M)
        for side in (-1, 1):
            for slot in range(first, first + round(_WALL_REACH_M / _WALL_LENGTH_M)):
                dice = self._dice(100 + side, slot)
                start = slot * _WALL_LENGTH_M
                if start + _WALL_LENGTH_M < camera.enters(side * _WALL_M):
                    continue
                # Placed at its far end: all that stands beside a wall is painted after it.
                yield (start + _WALL_LENGTH_M, dice.choice(_WALL_KINDS),
                       (dice, side * _WALL_M, start, _WALL_LENGTH_M))

    def _things(self, camera: Camera, seconds: float) -> Iterator[Painter]:
        for number, row in enumerate(_ROWS):
            travelled = row.speed * seconds
            near, far = camera.z + NEAR_M - row.length, camera.z + row.reach
            first = math.floor((near - travelled) / row.spacing) - 1
            last = math.ceil((far - travelled) / row.spacing)
            for slot in range(first, last):
                dice = self._dice(number, slot)
                z = travelled + (slot + dice.uniform(0, 0.4)) * row.spacing
                x = self._mirror * dice.uniform(*row.lateral)
                inside = z + row.length > camera.enters(x, around=_HALF_WIDTH_M)
                if dice.random() < row.chance and near < z < far and inside:
                    # What stands further aside is behind, as seen from the camera.
                    yield z + 0.3 * abs(x - camera.x), row.draw, (dice, x, z)

    def _dice(self, kind: int, slot: int) -> Random:
        return Random((self._seed * 256 + kind + 2) * 2 ** 32 + slot)

    def _develop(self, canvas: np.ndarray, index: int) -> np.ndarray:
        image = cv2.cvtColor(canvas, cv2.COLOR_BGRA2BGR)
        image = cv2.GaussianBlur(image, (3, 3), 0.6)
        dice = self._dice(-1, index)
        top, left = dice.randrange(_NOISE_SPARE), dice.randrange(_NOISE_SPARE)
        noise = self._noise[top:top + self._height, left:left + self._width]
        return cv2.LUT(cv2.addWeighted(image, 1, noise, 1, -NOISE_MEAN), self._exposure)
