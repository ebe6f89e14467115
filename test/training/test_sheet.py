"""Which pictures are kept, and what the sheet shows of them."""
import numpy as np
import pytest

from roadseg_ros.labels import LabelSpace
from training.sheet import BestAndWorst, draw_sheet, Sample

LABELS = LabelSpace(('road', 'car'), ((200, 0, 0), (0, 0, 200)))
GREY = 100


def sample(score, name='a'):
    """Return a grey picture whose left half is road and whose prediction is all road."""
    truth = np.zeros((60, 80), np.uint8)
    truth[:, 40:], truth[:10] = 1, 255
    return Sample(name, np.full((60, 80, 3), GREY, np.uint8), truth, np.zeros_like(truth), score)


@pytest.mark.parametrize('scores, kept', [
    ([], []),
    ([0.5], [0.5]),
    ([0.1, 0.9, 0.5], [0.9, 0.5, 0.1]),
    ([0.5, 0.1, 0.9, 0.2, 0.8, 0.4, 0.6], [0.9, 0.8, 0.2, 0.1]),
    ([0.5, float('nan'), 0.4], [0.5, 0.4]),
])
def test_best_and_worst(scores, kept):
    """Never more than two of either, the best first, none twice."""
    pictures = BestAndWorst(2)
    for score in scores:
        pictures.add(sample(score))
    assert [one.score for one in pictures.samples()] == kept


def test_sheet_by_pixel():
    """Picture, truth, prediction, and red where they differ; black where unlabelled."""
    sheet = draw_sheet([sample(0.7), sample(0.2)], LABELS)
    assert (sheet.shape, sheet.dtype) == ((2 * (22 + 240) + 2 * 24 + 16, 1280, 3), np.uint8)
    for top in (22, 22 + 240 + 22):
        row = sheet[top:top + 240]
        blend = [0.4 * GREY] * 3
        road, car = ([blend[0], blend[1], blend[2] + 120], [blend[0] + 120, *blend[1:]])
        for x, wanted in ((80, [GREY] * 3), (320 + 80, road), (320 + 240, car), (640 + 240, road),
                          (960 + 80, [GREY] * 3), (960 + 240, [0, 0, 255])):
            np.testing.assert_allclose(row[200, x], wanted, atol=1)
        assert row[10, 960 + 80].tolist() == [0, 0, 0]
        assert row[10, 320 + 80].tolist() == [GREY] * 3
    assert sheet[:22].min() < 100  # the banner's text
    assert sheet[-30, 5].tolist() == [200, 0, 0]  # the legend, blue for cars


def test_pictures_of_several_sizes():
    """Rows keep their picture's shape."""
    wide = Sample('b', np.zeros((20, 80, 3), np.uint8), *[np.zeros((20, 80), np.uint8)] * 2, 1.0)
    assert draw_sheet([sample(0.5), wide], LABELS).shape[0] == 22 + 240 + 22 + 80 + 64
