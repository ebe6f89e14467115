"""Colours by id, blended pictures and the legend."""
import numpy as np

from roadseg_ros.labels import LabelSpace, UNLABELLED
from roadseg_ros.overlay import blend, colorize, legend

LABELS = LabelSpace(('sky', 'road'), ((10, 20, 30), (200, 100, 50)))
IDS = np.array([[0, 1, UNLABELLED], [1, 0, 77]], np.uint8)


def test_colorize_looks_every_id_up():
    """Each pixel has its class's colour; ids without a class are black."""
    colors = colorize(IDS, LABELS.color_table)
    assert (colors.shape, colors.dtype) == ((2, 3, 3), np.uint8)
    np.testing.assert_array_equal(colors, LABELS.color_table[IDS])
    assert colors[0, 2].tolist() == [0, 0, 0]


def test_colorize_keeps_the_order_of_the_table():
    """A BGR table gives a BGR picture."""
    bgr = np.ascontiguousarray(LABELS.color_table[:, ::-1])
    assert colorize(IDS, bgr)[0, 1].tolist() == [50, 100, 200]


def test_blend_mixes_by_alpha_and_spares_unlabelled_pixels():
    """Labelled pixels are alpha * colour + (1 - alpha) * frame, unlabelled ones the frame."""
    frame = np.full((2, 3, 3), (40, 80, 120), np.uint8)
    mixed = blend(frame, IDS, LABELS.color_table, 0.25)
    labelled = IDS != UNLABELLED
    wanted = 0.25 * LABELS.color_table[IDS] + 0.75 * frame
    assert np.abs(mixed - wanted)[labelled].max() <= 0.5
    assert mixed[0, 2].tolist() == [40, 80, 120]


def test_blend_ends_are_frame_and_colors():
    """Alpha 0 is the frame, alpha 1 the colours; the arguments stay as they were."""
    frame = np.full((2, 3, 3), 90, np.uint8)
    ids = np.array([[0, 1, 0], [1, 0, 1]], np.uint8)
    np.testing.assert_array_equal(blend(frame, ids, LABELS.color_table, 0.0), frame)
    np.testing.assert_array_equal(blend(frame, ids, LABELS.color_table, 1.0),
                                  LABELS.color_table[ids])
    assert (frame == 90).all()


def test_legend_has_a_row_of_color_and_text_for_each_class():
    """Each row starts with the class's colour and has dark text on white beside it."""
    picture = legend(LABELS, row_height=20, width=160)
    assert (picture.shape, picture.dtype) == ((40, 160, 3), np.uint8)
    for index, color in enumerate(LABELS.colors):
        row = picture[index * 20:(index + 1) * 20]
        assert (row[:, :40] == color).all()
        assert row[:, 40:].min() < 100 < row[:, 40:].max() == 255
