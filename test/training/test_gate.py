"""Synthetic motion of single frames, and a gate that learns from it."""
import numpy as np

from roadseg_ros.inference.correction import Gate
from training.gate import drive, Examples, fit, STEPS

SIZE = (48, 64)


def frame(seed):
    """Return a picture of blocks and its mask."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 11, (6, 8), np.uint8).repeat(8, 0).repeat(8, 1)
    return np.dstack([20 * blocks] * 3), blocks


def test_a_drive_begins_with_the_picture_and_moves():
    """Picture and mask move together; what comes from outside is unlabelled."""
    frames = list(drive(frame(0), frame(1), np.random.default_rng(0)))
    assert len(frames) == STEPS + 1
    for image, mask in frames:
        assert (image.shape, image.dtype) == ((*SIZE, 3), np.uint8)
        assert (mask.shape, mask.dtype) == (SIZE, np.uint8)
        known = mask != 255
        assert (np.abs(image[known][:, 0] / 20 - mask[known]) < 0.5).mean() > 0.8
    share = [(frames[0][1] != mask).mean() for _, mask in frames[1:]]
    assert 0 < share[0] < share[-1]


def test_a_drive_is_the_seeds():
    """The same seed gives the same drive, another one another."""
    one, same, other = (list(drive(frame(0), frame(1), np.random.default_rng(seed)))[-1][0]
                        for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_examples_are_where_one_label_is_right():
    """Pixels that agree, are unlabelled or wrong in both teach nothing."""
    examples = Examples(np.random.default_rng(0))
    examples.truth = np.array([[1, 1, 1, 1, 255, 1]], np.uint8)
    carried = (np.array([[1, 2, 1, 2, 1, 255]], np.uint8), np.full((1, 6), 100, np.uint8))
    seen = (np.array([[3, 1, 1, 3, 2, 1]], np.uint8), np.full((1, 6), 50, np.uint8))
    assert examples.choose(carried, seen) is carried
    found = examples.rows[0][np.argsort(examples.rows[0][:, 0])]
    np.testing.assert_array_equal(found, [[1, 100, 3, 50, 1], [2, 100, 1, 50, 1]])


def test_fit_finds_what_confidence_says():
    """Where the surer label is the right one, the gate comes to choose it."""
    rng = np.random.default_rng(0)
    sure, new_sure = rng.integers(20, 250, (2, 4000))
    truth = np.where(new_sure > sure, 3, 1)
    rows = np.column_stack([np.ones(4000), sure, np.full(4000, 3), new_sure, truth])
    rows = rows.astype(np.uint8)
    ids, _ = Gate(fit(rows)).choose(
        (np.ones((1, 4000), np.uint8), sure.astype(np.uint8)[None]),
        (np.full((1, 4000), 3, np.uint8), new_sure.astype(np.uint8)[None]))
    assert (ids[0] == truth).mean() > 0.97
