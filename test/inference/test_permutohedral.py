"""The lattice against sums over all pairs of points."""
import numpy as np
import pytest

from roadseg_ros.inference.permutohedral import PermutohedralLattice


def exact(features, values):
    """Return the Gaussian sums over all pairs."""
    distances = ((features[:, None] - features[None]) ** 2).sum(-1, dtype=float)
    return np.exp(-distances / 2) @ values


# of standard deviations; without the blur along the lattice it would be 0.15 at least, in five
# dimensions, where a point has few others within reach, 0.36
WORST = {1: 0.05, 2: 0.05, 3: 0.05, 5: 0.25}


@pytest.mark.parametrize('dimensions', WORST)
@pytest.mark.parametrize('spread', [0.5, 2])
@pytest.mark.parametrize('offset', [0, 12345])
def test_means_are_those_of_all_pairs(dimensions, spread, offset):
    """Means weighted by the lattice are those by the Gaussian, far from the origin too."""
    rng = np.random.default_rng(dimensions)
    features = (spread * rng.normal(size=(600, dimensions))).astype(np.float32)
    values = np.column_stack([np.ones(600), features[:, 0], rng.normal(size=600)])
    values = values.astype(np.float32)
    wanted = exact(features, values)
    found = PermutohedralLattice(features + np.float32(offset)).filter(values)
    error = found[:, 1:] / found[:, :1] - wanted[:, 1:] / wanted[:, :1]
    assert np.sqrt((error ** 2).mean(0) / values[:, 1:].var(0)).max() < WORST[dimensions]


def test_a_single_point_reaches_its_neighbours_alone():
    """What one point holds comes to a standard deviation by half or more, to ten not at all."""
    features = np.array([[0, 0], [1, 0], [10, 0]], np.float32)
    values = np.array([[1], [0], [0]], np.float32)
    own, near, far = PermutohedralLattice(features).filter(values).ravel()
    assert 0.4 < near / own < 0.8  # exp(-1 / 2) is 0.61
    assert far == 0


def test_all_in_one_place():
    """Points that are one point share everything evenly."""
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    found = PermutohedralLattice(np.full((6, 3), 7, np.float32)).filter(values)
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], (6, 2)), rtol=1e-5)
    assert found[0, 1] / found[0, 0] == pytest.approx(values[:, 1].sum() / values[:, 0].sum())
