"""The permutohedral lattice (Adams et al., 2010): Gaussian filtering in many dimensions."""

from __future__ import annotations

import numpy as np

HASH_SEED = 0


class PermutohedralLattice:
    """
    Filter values at points with a Gaussian of standard deviation 1 over their features.

    Each point gives its values to the corners of the simplex it lies in, these are blurred along
    the lattice, and each point reads them back. That costs as much as there are points, where all
    pairs of them would cost the square.

    :param features: (N, D) float32, in standard deviations.
    """

    def __init__(self, features: np.ndarray) -> None:
        points, rank, self._weights = _enclosing_simplex(features)
        dimensions = features.shape[1]
        # Keys are linear in the coordinates and wrap at 64 bits: they need no bounds, a neighbour
        # has its own at a fixed distance, and for two vertices to share one is a matter of 1e-9
        factors = np.random.default_rng(HASH_SEED).integers(1, 2 ** 63, dimensions, np.uint64) | 1
        keys = np.empty(rank.shape, np.uint64)
        for corner in range(dimensions + 1):
            beyond = rank[:, :dimensions] > dimensions - corner
            moved = points[:, :dimensions] + corner - (dimensions + 1) * beyond
            keys[:, corner] = moved.astype(np.uint64) @ factors
        vertices, corners = np.unique(keys, return_inverse=True)
        self._corners = corners.reshape(keys.shape)
        self._count = len(vertices)
        steps = np.append(factors * np.uint64(dimensions + 1), np.uint64(0)) - factors.sum()
        self._neighbours = [(_found(vertices, vertices + step), _found(vertices, vertices - step))
                            for step in steps]

    def filter(self, values: np.ndarray) -> np.ndarray:
        """
        Return for each point the sum of all points' values, weighted by the Gaussian.

        :param values: (N, C) float32.
        :return: (N, C) float32, up to a factor common to all.
        """
        # the last vertex stands for all that are not there, and stays empty
        lattice = np.zeros((self._count + 1, values.shape[1]), np.float32)
        corners = self._corners.ravel()
        for channel in range(values.shape[1]):
            shares = values[:, channel, None] * self._weights
            lattice[:-1, channel] = np.bincount(corners, shares.ravel(), self._count)
        for before, after in self._neighbours:
            lattice[:-1] += 0.5 * (lattice[before] + lattice[after])
        result = np.zeros_like(values)
        for corner, weights in zip(self._corners.T, self._weights.T):
            result += lattice[corner] * weights[:, None]
        return result


def _found(vertices: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return where keys stand among the sorted vertices, their number for those that do not."""
    places = np.searchsorted(vertices, keys)
    there = vertices[np.minimum(places, len(vertices) - 1)] == keys
    return np.where(there, places, len(vertices))


def _enclosing_simplex(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Place points in the lattice (algorithm 3 of the paper).

    :param features: (N, D) float32.
    :return: the remainder-0 corner of each point's simplex, (N, D + 1) int64; the rank of each of
        its coordinates' distance from there, (N, D + 1); and the barycentric weight of corner 0
        to D, (N, D + 1) float32.
    """
    count, dimensions = features.shape
    size = dimensions + 1
    axes = np.arange(1, size)
    # a blur along the lattice then has variance 1
    scaled = features * (np.sqrt(2 / 3) * size / np.sqrt(axes * (axes + 1))).astype(np.float32)
    # onto the plane of coordinates that add up to 0
    above = np.cumsum(scaled[:, ::-1], 1)[:, ::-1]
    elevated = np.zeros((count, size), np.float32)
    elevated[:, :-1] = above
    elevated[:, 1:] -= axes.astype(np.float32) * scaled
    rounded = np.rint(elevated / size).astype(np.int64)
    order = np.argsort(rounded * size - elevated, 1, kind='stable')
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(size)[None], 1)
    # rounding may leave the plane: the coordinates that it moved furthest come back
    rank += rounded.sum(1, keepdims=True)
    wrapped = (rank < 0).astype(np.int64) - (rank > dimensions)
    rank += size * wrapped
    points = (rounded + wrapped) * size
    falling = np.empty_like(elevated)
    np.put_along_axis(falling, rank, (elevated - points) / size, 1)
    weights = np.empty_like(elevated)
    weights[:, 0] = 1 + falling[:, -1] - falling[:, 0]
    weights[:, 1:] = (falling[:, :-1] - falling[:, 1:])[:, ::-1]
    return points, rank, weights
