"""The ground under a mask: inverse perspective mapping from camera geometry to grid cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import math

import cv2
import numpy as np

from roadseg_ros.labels import UNLABELLED

MAX_CELLS = 1_000_000
NEAR = 1e-4  # metres, and radians: a tenth of a pixel with a focal length of 1000
NEAREST_M = 0.1  # points closer to the camera's plane project to nowhere
FARTHEST_RAY = 10.0  # metres aside for each metre ahead: 84 degrees off the axis
# by name of sensor_msgs/CameraInfo, the numbers of coefficients that OpenCV takes for it
DISTORTIONS = {'': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8, 12, 14)}


class GroundError(ValueError):
    """A camera or a grid that no ground can be mapped with."""


@dataclass(frozen=True)
class GroundGrid:
    """
    Square cells on the ground ahead of the vehicle, in its frame: x ahead, y left, z up.

    :param resolution_m: side of a cell.
    :param length_m: from x = 0 on.
    :param width_m: half of it left and half of it right of the vehicle.
    :raises GroundError: more than `MAX_CELLS`, or none.
    """

    resolution_m: float
    length_m: float
    width_m: float

    def __post_init__(self) -> None:
        """Refuse what would take seconds and hundreds of megabytes."""
        cells = self.shape[0] * self.shape[1]
        if not 0 < cells <= MAX_CELLS:
            raise GroundError(f'a grid of {self.length_m} x {self.width_m} m in cells of '
                              f'{self.resolution_m} m has {cells} of them; supported: 1 to '
                              f'{MAX_CELLS}')

    @property
    def shape(self) -> tuple[int, int]:
        """Return how many cells lie side by side (y) and one after the other (x)."""
        return round(self.width_m / self.resolution_m), round(self.length_m / self.resolution_m)

    def centers(self) -> np.ndarray:
        """Return where the cells are: (rows, columns, 3) float64 metres, y rising by rows."""
        rows, columns = self.shape
        y = (np.arange(rows) + 0.5 - rows / 2) * self.resolution_m
        x = (np.arange(columns) + 0.5) * self.resolution_m
        grid_x, grid_y = np.meshgrid(x, y)
        return np.stack([grid_x, grid_y, np.zeros_like(grid_x)], axis=2)


@dataclass(frozen=True)
class CameraModel:
    """
    What a camera's frame shows, in pixels whose centres are whole numbers.

    :param size: rows and columns of the frame.
    :param focal: horizontal and vertical focal length.
    :param center: column and row of the principal point.
    :param distortion: OpenCV's coefficients (k1, k2, p1, p2, k3, ...), may be empty.
    """

    size: tuple[int, int]
    focal: tuple[float, float]
    center: tuple[float, float]
    distortion: tuple[float, ...] = ()

    def project(self, rays: np.ndarray) -> np.ndarray:
        """
        Find the pixels that points are seen at.

        :param rays: (n, 2) float64: metres right and down for each metre ahead.
        :return: (n, 2) int64 column and row; -1 where the frame does not show the point.
        """
        pixels = self._distorted(rays, self.distortion) * self.focal + self.center
        nearest = np.rint(np.clip(pixels, -2, 1e6)).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < self.size[::-1])).all(axis=1)
        if self.distortion:
            inside &= np.hypot(rays[:, 0], rays[:, 1]) < self._reach()
        nearest[~inside] = -1
        return nearest

    def _reach(self) -> float:
        """Return how far from the axis rays go before the polynomial folds them back in."""
        radial = [*self.distortion[:2], 0.0, 0.0, *self.distortion[4:8]]  # not the tangential ones
        radius = np.arange(0, FARTHEST_RAY, 1e-3)
        seen_at = self._distorted(np.column_stack([radius, np.zeros_like(radius)]), radial)[:, 0]
        folds = np.diff(seen_at) <= 0
        return float(radius[folds.argmax()]) if folds.any() else math.inf

    @staticmethod
    def _distorted(rays: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
        """Return (n, 2) rays bent by the lens."""
        if not len(rays) or not len(coefficients):
            return rays
        points = np.column_stack([rays, np.ones(len(rays))])
        return cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3),
                                 np.array(coefficients))[0].reshape(-1, 2)


@dataclass(frozen=True)
class CameraPose:
    """
    Where a camera is in the vehicle's frame, whose ground is z = 0.

    :param rotation: the nine values, row by row, that turn the optical frame (x right, y down, z
        ahead) into the vehicle's.
    :param position: metres ahead, left and up.
    """

    rotation: tuple[float, ...]
    position: tuple[float, float, float]

    @classmethod
    def above_ground(cls, height_m: float, pitch_rad: float) -> CameraPose:
        """
        Look straight ahead above the vehicle's origin.

        :param height_m: above the ground.
        :param pitch_rad: below the horizon, as ROS turns around the axis to the left.
        """
        sine, cosine = math.sin(pitch_rad), math.cos(pitch_rad)
        return cls((0, -sine, cosine, -1, 0, 0, 0, -cosine, -sine), (0, 0, height_m))

    @classmethod
    def from_quaternion(cls, quaternion: Sequence[float], position: Sequence[float]) -> CameraPose:
        """
        Take over a transform from the optical frame to the vehicle's, as TF gives it.

        :param quaternion: x, y, z, w, of length 1.
        :param position: metres ahead, left and up.
        """
        x, y, z, w = quaternion
        return cls((1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
                    2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
                    2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
                   (position[0], position[1], position[2]))

    def is_near(self, other: CameraPose) -> bool:
        """Return whether both see a point within a fraction of a pixel: `NEAR` apart, or less."""
        mine, theirs = (pose.rotation + pose.position for pose in (self, other))
        return all(abs(one - two) <= NEAR for one, two in zip(mine, theirs))

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Return (n, 3) float64 points of the vehicle's frame in the optical one."""
        return (points - self.position) @ np.reshape(self.rotation, (3, 3))


@lru_cache(maxsize=8)
def cell_pixels(grid: GroundGrid, camera: CameraModel, pose: CameraPose) -> np.ndarray:
    """
    Find the pixel that shows the centre of each cell.

    :param grid: the cells.
    :param camera: what the frame shows.
    :param pose: where the camera is.
    :return: (rows, columns) int32, index into the flat frame; -1 where the cell is not in it.
        Kept for the next call: not to be written to.
    """
    points = pose.seen(grid.centers().reshape(-1, 3))
    ahead = points[:, 2] > NEAREST_M
    index = np.full(len(points), -1, np.int32)
    pixels = camera.project(points[ahead, :2] / points[ahead, 2:])
    index[ahead] = np.where(pixels[:, 0] < 0, -1, pixels[:, 1] * camera.size[1] + pixels[:, 0])
    index.flags.writeable = False
    return index.reshape(grid.shape)


def on_ground(class_ids: np.ndarray, grid: GroundGrid, camera: CameraModel, pose: CameraPose
              ) -> np.ndarray:
    """
    Lay a mask on the ground.

    What stands upright covers the ground behind it as well, as far as the camera cannot see it.

    :param class_ids: (H, W) uint8 of the camera's size.
    :param grid: the cells.
    :param camera: what the frame shows.
    :param pose: where the camera is.
    :return: (rows, columns) uint8: the id at each cell's centre, unlabelled where unseen; rows
        run to the left, columns ahead.
    """
    index = cell_pixels(grid, camera, pose)
    ids = class_ids.take(index, mode='clip')
    ids[index < 0] = UNLABELLED
    return ids


def camera_model(model: str, coefficients: Sequence[float], matrix: Sequence[float],
                 region: tuple[int, int, int, int], size: tuple[int, int]) -> CameraModel:
    """
    Build the model of a frame from a calibration, of which it may be a part or a smaller copy.

    :param model: name of the distortion, as sensor_msgs/CameraInfo has it.
    :param coefficients: of the distortion.
    :param matrix: the nine values of K, or the twelve of P, row by row.
    :param region: left, top, width and height of what the frame shows of the calibrated picture.
    :param size: rows and columns of the frame.
    :raises GroundError: the distortion is of another kind, or there is no focal length.
    """
    if not any(coefficients):
        model, coefficients = '', ()
    if model not in DISTORTIONS or len(coefficients) not in DISTORTIONS[model]:
        raise GroundError(f'cannot undo the distortion {model!r} with {len(coefficients)} '
                          'coefficients; supported: plumb_bob, rational_polynomial')
    row = len(matrix) // 3
    focal, center = (matrix[0], matrix[row + 1]), (matrix[2], matrix[row + 2])
    if not (min(focal) > 0 and min(region[2:]) > 0):  # nor NaN
        raise GroundError('the calibration has no size or no focal length: the camera is not '
                          'calibrated')
    scale = size[1] / region[2], size[0] / region[3]
    # pixel centres are whole numbers, so half a pixel stands between them and the borders
    return CameraModel(
        size, (focal[0] * scale[0], focal[1] * scale[1]),
        ((center[0] - region[0] + 0.5) * scale[0] - 0.5,
         (center[1] - region[1] + 0.5) * scale[1] - 0.5),
        tuple(coefficients) if any(coefficients) else ())
