"""Frames to the network's size and masks back: sizes, content, and what is refused."""
import numpy as np
import pytest

from roadseg_ros.inference.preprocessing import (
    check_frame,
    FrameError,
    MAX_ASPECT,
    network_size,
    padded_size,
    prepare_frame,
    restore,
)


@pytest.mark.parametrize('frame, found', [
    ([[1, 2, 3]], 'list'),
    (None, 'NoneType'),
    (np.zeros((4, 4), np.uint8), r'uint8 \(4, 4\)'),
    (np.zeros((4, 4, 4), np.uint8), r'uint8 \(4, 4, 4\)'),
    (np.zeros((4, 4, 3), np.float32), r'float32 \(4, 4, 3\)'),
    (np.zeros((0, 4, 3), np.uint8), r'uint8 \(0, 4, 3\)'),
    (np.zeros((4, 0, 3), np.uint8), r'uint8 \(4, 0, 3\)'),
])
def test_what_is_no_picture_is_refused(frame, found):
    """The error says what a frame is and what came instead."""
    with pytest.raises(FrameError, match=rf'\(H, W, 3\) uint8 BGR .* not {found}'):
        check_frame(frame)


def test_a_single_pixel_is_a_picture():
    """The smallest frame passes."""
    check_frame(np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize('frame_size, height, wanted', [
    ((720, 1280), 360, (360, 640)),
    ((100, 133), 360, (360, 479)),
    ((1, 1), 360, (360, 360)),
    ((4000, 2), 360, (360, 1)),
    ((10, 300), 360, (192, MAX_ASPECT * 360)),
    ((1, 3000), 48, (1, MAX_ASPECT * 48)),
    ((721, 3), -1, (721, 3)),
    ((480, 640), 16384, (5017, 6689)),  # 2 ** 25 pixels
])
def test_network_size_keeps_the_aspect(frame_size, height, wanted):
    """Frames go to the height asked for; very wide ones to the greatest width instead."""
    assert network_size(frame_size, height) == wanted


@pytest.mark.parametrize('size, stride, wanted', [
    ((360, 480), 32, (384, 480)), ((1, 1), 8, (8, 8)), ((64, 32), 32, (64, 32)),
    ((7, 9), 1, (7, 9)),
])
def test_padded_size_rounds_up_to_the_stride(size, stride, wanted):
    """Sides are rounded up, never down."""
    assert padded_size(size, stride) == wanted


def test_prepare_pads_right_and_below_with_the_edge():
    """The frame lies at the top left, its last row and column go on into the padding."""
    frame = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    out = np.full((4, 8, 3), 99, np.uint8)
    prepare_frame(frame, (3, 5), out)
    np.testing.assert_array_equal(out[:3, :5], frame)
    np.testing.assert_array_equal(out, np.pad(frame, ((0, 1), (0, 3), (0, 0)), mode='edge'))


def test_prepare_averages_where_it_shrinks():
    """Halving takes the mean of each 2x2 block and leaves nothing unwritten."""
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    out = np.full((8, 8, 3), 99, np.uint8)
    prepare_frame(frame, (4, 6), out)
    means = frame.reshape(4, 2, 6, 2, 3).mean((1, 3))
    assert np.abs(out[:4, :6] - means).max() <= 0.5
    np.testing.assert_array_equal(out, np.pad(out[:4, :6], ((0, 4), (0, 2), (0, 0)), mode='edge'))


def test_prepare_interpolates_where_it_grows():
    """A ramp that is enlarged stays a ramp between its ends."""
    frame = np.array([[0, 100, 200]], np.uint8)[..., None].repeat(3, 2).repeat(2, 0)
    out = np.empty((8, 16, 3), np.uint8)
    prepare_frame(frame, (6, 9), out)
    row = out[0, :9, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert (row[0], row[4], row[8]) == (0, 100, 200)
    assert len(set(row)) > 3


def test_restore_invents_no_ids():
    """Ids come back by nearest neighbour: each frame pixel has the id at its place."""
    ids = np.array([[0, 9, 77], [255, 4, 77], [77, 77, 77]], np.uint8)
    back = restore(ids[:2, :2], (4, 6))
    assert back.tolist() == [[0] * 3 + [9] * 3] * 2 + [[255] * 3 + [4] * 3] * 2
    assert back.flags.c_contiguous
    small = restore(back, (2, 2))
    np.testing.assert_array_equal(small, ids[:2, :2])


def test_restore_at_the_same_size_is_a_contiguous_crop():
    """Without scaling the mask is the crop, ready to be sent."""
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    back = restore(ids[:3, :4], (3, 4))
    np.testing.assert_array_equal(back, ids[:3, :4])
    assert back.flags.c_contiguous
