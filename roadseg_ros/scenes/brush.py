"""Paint polygons of a street through a pinhole camera, into picture and truth at once."""

from __future__ import annotations

from dataclasses import dataclass
import math
from random import Random

import cv2
import numpy as np
from numpy.typing import ArrayLike

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
NEAR_M = 1.0
DETAIL_M = 55.0  # beyond, windows and leaves are smaller than pixels

Color = tuple[float, float, float]  # BGR in [0, 255]
Point = tuple[float, float, float]  # metres right, up and along the road

_HAZE: Color = (215, 205, 195)
_ANGLES = np.arange(14) * math.tau / 14
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


@dataclass(frozen=True)
class Camera:
    """
    A forward camera on a road that bends away as a parabola.

    :param x: metres right of the road's centre line.
    :param z: metres driven along the road.
    :param slope: sideways metres per metre ahead (yaw).
    :param curve: curvature of the road, 1/m.
    :param focal: focal length in pixels.
    :param center: image column of the principal point.
    :param horizon: image row of the horizon.
    """

    x: float
    z: float
    slope: float
    curve: float
    focal: float
    center: float
    horizon: int
    height: float = 1.4

    def project(self, points: np.ndarray) -> np.ndarray:
        """
        Project points of the street to pixels.

        :param points: (..., 3) float: metres right, up and along the road. Points behind the near
            plane are moved onto it along the road, which clips walls exactly.
        :return: (..., 2) int32: column and row.
        """
        depth = np.maximum(points[..., 2] - self.z, NEAR_M)
        scale = self.focal / depth
        pixels = np.empty(points.shape[:-1] + (2,), np.float64)
        bend = self.focal * (self.slope + 0.5 * self.curve * depth)
        pixels[..., 0] = self.center + scale * (points[..., 0] - self.x) - bend
        pixels[..., 1] = self.horizon + scale * (self.height - points[..., 1])
        return np.rint(pixels).astype(np.int32)

    def enters(self, x: float, around: float = 0.0) -> float:
        """Return the z up to which what is within `around` of `x` metres is out of view."""
        aside = max(abs(x - self.x) - around, 0.0)
        return self.z + aside * self.focal / (1.2 * self.center)


class Brush:
    """
    Fill polygons into picture and truth at once.

    :param canvas: (H, W, 4) uint8: blue, green, red, class id; one fill writes all four, so the
        truth is exact for the picture.
    :param camera: where the picture is taken from.
    :param light: brightness of faces that look left, right and at the camera.
    """

    def __init__(self, canvas: np.ndarray, camera: Camera, light: tuple[float, float, float]):
        self._canvas = canvas
        self.camera = camera
        self.light = light

    def facing(self, x: float) -> float:
        """Return the brightness of a face along the road at `x` metres."""
        return self.light[0] if x > self.camera.x else self.light[1]

    def fill(self, points: ArrayLike, color: Color, class_id: int, light: float = 1.0) -> None:
        """
        Fill polygons of one colour.

        :param points: (k, 3) or (n, k, 3) metres right, up and along the road.
        :param color: BGR in [0, 255], before light and haze.
        :param class_id: what the truth says there.
        :param light: factor on the colour.
        """
        corners = np.asarray(points, np.float64)
        if corners.ndim == 2:
            corners = corners[None]
        if not corners.size:
            return
        haze = min(max((corners[0, 0, 2] - self.camera.z) / 250, 0.0), 0.35)
        shade = [min(255.0, c * light * (1 - haze) + h * haze)
                 for c, h in zip(color, _HAZE, strict=True)]
        # One call with all of them would leave holes where they overlap (even-odd rule).
        for polygon in self.camera.project(corners):
            cv2.fillPoly(self._canvas, [polygon], (*shade, class_id))

    def fill_flat(self, x: float, y: float, z: float, outlines: ArrayLike, color: Color,
                  class_id: int, light: float | None = None) -> None:
        """Fill outlines (k, 2) or (n, k, 2), metres right and up of a point, facing the camera."""
        outline = np.asarray(outlines, np.float64)
        points = np.empty(outline.shape[:-1] + (3,))
        points[..., 0] = outline[..., 0] + x
        points[..., 1] = outline[..., 1] + y
        points[..., 2] = z
        self.fill(points, color, class_id, self.light[2] if light is None else light)


def split(dice: Random) -> Random:
    """Return dice of its own for a part, so that skipping its details changes nothing else."""
    return Random(dice.getrandbits(32))


def vary(dice: Random, color: Color) -> Color:
    """Return a colour a little lighter or darker, and a little off in hue."""
    gain = dice.uniform(0.85, 1.15)
    blue, green, red = (min(max(c * gain + dice.uniform(-8, 8), 0), 255) for c in color)
    return blue, green, red


def box(left: float, right: float, bottom: float, top: float) -> np.ndarray:
    """Outline a rectangle that faces the camera, metres right and up: (4, 2) float64."""
    return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


def along(x: float, bottom: float, top: float, start: float, end: float) -> list[Point]:
    """Outline an upright rectangle along the road."""
    return [(x, bottom, start), (x, bottom, end), (x, top, end), (x, top, start)]


def across(left: float, right: float, bottom: float, top: float, z: float) -> list[Point]:
    """Outline an upright rectangle across the road."""
    return [(left, bottom, z), (right, bottom, z), (right, top, z), (left, top, z)]
