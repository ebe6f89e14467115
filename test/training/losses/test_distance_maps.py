"""Maps of borders against distances measured one by one."""
import cv2
import numpy as np
import pytest
import torch

from training.losses.distance_maps import border_map, maps_of, penalty_map


def row(*ids):
    """Return a mask of one row."""
    return np.array([ids], np.uint8)


def test_border_map_by_hand():
    """Between two things a gap of two adds up to three pixels; beside the second thing too."""
    gap = np.exp(-9 / 2)
    np.testing.assert_allclose(border_map(row(1, 0, 0, 1), [1], 1.0), [[gap] * 4], rtol=1e-6)
    near, far = np.exp(-1 / 2), np.exp(-4 / 2)
    np.testing.assert_allclose(border_map(row(0, 0, 1, 1), [0, 1], 1.0),
                               [[far, near, near, far]], rtol=1e-6)
    assert not border_map(row(1, 0, 0, 0), [1], 1.0).any()  # one thing nears no other


def test_border_map_of_many_things():
    """It is what comes out of the distances of all pixels to all things."""
    coarse = np.random.default_rng(1).integers(0, 4, (6, 9), np.uint8)
    mask = np.where(coarse == 3, 255, coarse).astype(np.uint8).repeat(5, 0).repeat(4, 1)
    sigma = 1.5
    places = np.argwhere(np.ones_like(mask))
    distances = []
    for index in (0, 2):
        count, regions = cv2.connectedComponents((mask == index).view(np.uint8))
        for number in range(1, count):
            thing = np.argwhere(regions == number)
            distances.append(np.linalg.norm(places[:, None] - thing, axis=2).min(1))
    first, second = np.sort(distances, axis=0)[:2]
    wanted = np.where(second <= 6, np.exp(-(first + second) ** 2 / (2 * sigma ** 2)), 0)
    found = border_map(mask, [0, 2], sigma)
    assert len(distances) > 5
    np.testing.assert_allclose(found, wanted.reshape(mask.shape), atol=1e-5)


def test_penalty_map_by_hand():
    """1 at a border, 0 in the innermost pixel of each class; unlabelled is no border."""
    np.testing.assert_allclose(penalty_map(row(255, 0, 0, 0, 1, 1, 255)),
                               [[0, 0, 0.5, 1, 1, 0, 0]])
    assert not penalty_map(row(2, 2, 255)).any()


@pytest.mark.parametrize('height', [1, 3])
def test_maps_of_a_batch(height):
    """Each mask gets its own map."""
    masks = torch.stack([torch.zeros(height, 2), torch.full((height, 2), 255)]).long()
    maps = maps_of(masks, lambda mask: (mask / 2).astype(np.float32))
    assert (maps.shape, maps.dtype) == (masks.shape, torch.float32)
    assert maps[0].eq(0).all() and maps[1].eq(127.5).all()
