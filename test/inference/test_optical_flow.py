"""Masks follow the picture: known shifts, pixels from outside, doubt, and other scenes."""

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.optical_flow import (
    flow_picture,
    FlowEstimator,
    MAX_HEIGHT,
    MIN_SIDE,
    Motion,
    Path,
)

OUTSIDE = 255
SIZE = (120, 160)


def texture(seed=0, size=(240, 320)):
    """Return (h, w) uint8 grey noise with structure at several scales."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.uniform(0, 1, (size[0] // step, size[1] // step)), size[::-1],
                         interpolation=cv2.INTER_CUBIC) for step in (4, 8, 24)]
    return cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def window(world, x, y, size=SIZE):
    """Return what a camera at (x, y) sees of a world."""
    return np.ascontiguousarray(world[y:y + size[0], x:x + size[1]])


def constant(x, y, size=SIZE, unsure=0):
    """Return the motion of a picture whose pixels were all (x, y) away."""
    flow = np.full((*size, 2), (x, y), np.float32)
    return Motion(flow, np.full((size[0] // 4, size[1] // 4), unsure, np.uint8), 0.0, 50.0)


@pytest.fixture
def ids():
    """Return (h, w) uint8 ids that differ from pixel to pixel."""
    return np.random.default_rng(1).integers(0, 11, SIZE, np.uint8)


@pytest.fixture
def sure():
    """Return (h, w) uint8 confidence, nowhere 0."""
    return np.random.default_rng(2).integers(100, 256, SIZE, np.uint8)


@pytest.mark.parametrize('x, y', [(0, 0), (3, 0), (0, -2), (-5, 4), (9, 6)])
def test_a_shift_is_found(x, y):
    """The flow of a shifted picture is the shift, and it is trusted."""
    world = texture()
    motion = FlowEstimator().estimate(window(world, 60, 60), window(world, 60 + x, 60 + y))
    inner = motion.flow[16:-16, 16:-16]
    assert np.median(np.abs(inner - (x, y)), (0, 1)).max() < 0.1
    assert motion.unsure.mean() < 0.1
    assert not motion.is_cut


def test_a_search_that_begins_at_the_last_motion_finds_more():
    """A way too far for the search alone is found from nearby; the guess stays as it is."""
    world, estimator, guess = texture(), FlowEstimator(), constant(36, 1)
    before, now = window(world, 60, 60), window(world, 98, 60)
    kept = guess.flow.copy()
    alone, begun = (estimator.estimate(before, now, last) for last in (None, guess))
    assert (np.abs(alone.flow[:, :-40] - (38, 0)).max(2) < 1).mean() < 0.5
    assert (np.abs(begun.flow[:, :-40] - (38, 0)).max(2) < 1).mean() > 0.9
    assert begun.unsure[:, :-10].mean() < 0.1 and not begun.is_cut
    np.testing.assert_array_equal(guess.flow, kept)


def test_labels_follow_the_picture():
    """Carried over five estimated steps, labels that belong to the world stay with it."""
    world = texture()
    labels = cv2.resize(np.random.default_rng(3).integers(0, 11, (15, 20), np.uint8),
                        world.shape[::-1], interpolation=cv2.INTER_NEAREST)
    path, estimator = Path(), FlowEstimator()
    places = [(40 + 4 * step, 60 - 3 * step) for step in range(6)]
    for before, now in zip(places, places[1:]):
        path.extend(estimator.estimate(window(world, *before), window(world, *now)))
    carried, confidence = path.carry(
        window(labels, *places[0]), np.full(SIZE, 200, np.uint8), OUTSIDE)
    truth = window(labels, *places[-1])
    # what came in: 20 columns on the right, 15 rows at the top
    assert (carried[:, -19:] == OUTSIDE).mean() > 0.9
    assert (carried[:14] == OUTSIDE).mean() > 0.9
    assert (carried[17:, :-22] == truth[17:, :-22]).mean() > 0.95
    assert set(np.unique(confidence[carried == OUTSIDE])) == {0}
    assert (confidence[17:, :-22] == 200).mean() > 0.9


def test_a_path_of_no_steps_changes_nothing(ids, sure):
    """Before the first step the labels are the key's."""
    carried, confidence = Path().carry(ids, sure, OUTSIDE)
    np.testing.assert_array_equal(carried, ids)
    np.testing.assert_array_equal(confidence, sure)


def test_standing_still_changes_nothing_for_ever(ids, sure):
    """Motion of noise, far below a pixel, eats no pixel of the border in a hundred frames."""
    path = Path()
    for step in range(100):
        path.extend(constant(0.2 * (-1) ** step, 0.2 * (-1) ** step))
    carried, confidence = path.carry(ids, sure, OUTSIDE)
    np.testing.assert_array_equal(carried, ids)
    np.testing.assert_array_equal(confidence[1:-1, 1:-1], sure[1:-1, 1:-1])


def test_steps_add_up(ids, sure):
    """Exact shifts carry each label exactly; what was outside is unlabelled, confidence 0."""
    path = Path()
    path.extend(constant(3, 0))
    path.extend(constant(2, -4))
    carried, confidence = path.carry(ids, sure, OUTSIDE)
    np.testing.assert_array_equal(carried[4:, :-5], ids[:-4, 5:])
    # the second step left the picture of the first: followed no more, only continued
    np.testing.assert_array_equal(confidence[4:, :-5], sure[:-4, 5:])
    assert (carried[:4] == OUTSIDE).all() and (carried[:, -5:] == OUTSIDE).all()
    assert not confidence[:4].any() and not confidence[:, -5:].any()


def test_doubt_travels_with_the_pixels(ids, sure):
    """Where a step was not to be trusted confidence is 0, also after further steps."""
    path = Path()
    unsure = constant(0, 0)
    unsure.unsure[6, 8] = 1  # the cell of 4 x 4 pixels at row 24, column 32
    path.extend(unsure)
    path.extend(constant(8, 0))
    carried, confidence = path.carry(ids, sure, OUTSIDE)
    expected = sure[:, 8:].copy()
    expected[24:28, 24:28] = 0
    np.testing.assert_array_equal(confidence[:, :-8], expected)
    np.testing.assert_array_equal(carried[:, :-8], ids[:, 8:])


@pytest.mark.parametrize('scale', [2, 3, 0.5])
def test_labels_of_another_size_than_the_flows(scale):
    """The path is measured in the labels' own pixels."""
    size = (round(SIZE[0] * scale), round(SIZE[1] * scale))
    labels = np.tile((np.arange(size[1]) % 251).astype(np.uint8), (size[0], 1))
    path = Path()
    path.extend(constant(6, 0))
    carried, confidence = path.carry(labels, np.full(size, 9, np.uint8), OUTSIDE)
    shift = round(6 * scale)
    np.testing.assert_array_equal(carried[:, :-shift], labels[:, shift:])
    assert (carried[:, -shift:] == OUTSIDE).all()
    assert (confidence[:, :-shift] == 9).all()


def test_a_disagreement_is_noticed():
    """Where a thing covers another the way back does not lead home."""
    world, thing = texture(0), texture(9)
    before, now = window(world, 60, 60), window(world, 60, 60)
    before[24:96, 20:60] = thing[:72, :40]
    now[24:96, 32:72] = thing[:72, :40]
    unsure = FlowEstimator().estimate(before, now).unsure
    assert unsure[6:24, 4:20].any(1).mean() > 0.5
    assert not unsure[:, 24:].any()


@pytest.mark.parametrize('contrast', [1.0, 0.25], ids=['day', 'dusk'])
def test_another_scene_is_a_cut(contrast):
    """Two pictures that have nothing in common are a cut, however dark."""
    one, other = (cv2.convertScaleAbs(window(texture(seed), 60, 60), alpha=contrast)
                  for seed in (0, 1))
    assert FlowEstimator().estimate(one, other).is_cut


def test_no_signal_is_a_cut():
    """A picture that is all of one grey is followed without doubt, and is another scene."""
    picture = window(texture(), 60, 60)
    assert FlowEstimator().estimate(picture, np.full_like(picture, 128)).is_cut


def test_a_change_of_exposure_is_no_cut():
    """The same scene in another light is the same scene."""
    picture = window(texture(), 60, 60) // 4 * 3
    brighter = FlowEstimator().estimate(picture, picture + 15)
    assert not brighter.is_cut
    assert brighter.residual < 5


@pytest.mark.parametrize('level', [0, 128, 255])
def test_a_picture_of_nothing_is_no_cut(level):
    """A lens cap or a white-out has no contrast; its noise is not another scene."""
    rng = np.random.default_rng(0)
    one, other = (np.clip(level + rng.normal(0, 2, SIZE), 0, 255).astype(np.uint8)
                  for _ in range(2))
    assert not FlowEstimator().estimate(one, other).is_cut


@pytest.mark.parametrize('frame, network, wanted', [
    ((48, 64), (48, 64), (MIN_SIDE, 32)), ((96, 128), (96, 128), (48, 64)),
    ((720, 960), (360, 480), (180, 240)),
    ((1080, 1920), (1080, 1920), (MAX_HEIGHT, 320)), ((1, 50), (7, 360), (MIN_SIDE, 180)),
    ((1, 1), (1, 1), (MIN_SIDE, MIN_SIDE)), ((200, 3), (360, 5), (180, MIN_SIDE)),
])
def test_pictures_have_room_for_patches_and_bounded_rows(frame, network, wanted):
    """Flow works at half the network's size, within bounds, whatever the frame."""
    world = np.random.default_rng(0).integers(0, 256, (*frame, 3), np.uint8)
    picture = flow_picture(world, network)
    assert (picture.shape, picture.dtype) == (wanted, np.uint8)
    motion = FlowEstimator().estimate(picture, picture)
    assert motion.flow.shape == (*wanted, 2)
    path = Path()
    path.extend(motion)
    ids, _ = path.carry(np.full(network, 5, np.uint8), np.full(network, 9, np.uint8), OUTSIDE)
    assert ids.shape == network and (ids == 5).mean() > 0.9


def test_the_picture_is_its_own():
    """A frame that is changed afterwards does not change what the flow remembers."""
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    picture = flow_picture(frame, (48, 64))
    kept = picture.copy()
    frame[:] = 0
    np.testing.assert_array_equal(picture, kept)
