"""Frames under other conditions."""
import numpy as np
import pytest

from roadseg_ros.scenes import Drive
from training.conditions import bonnet, compare_conditions, CONDITIONS, conditions_table, PLAIN
from training.evaluate import main


@pytest.fixture
def frame():
    """Return a street scene (96, 128, 3) and its mask."""
    return Drive(3, 96, 128).frame(0)


@pytest.mark.parametrize('name', CONDITIONS)
def test_picture_and_mask_stay_together(frame, name):
    """Both are of one size and their own type, and what was given is left alone."""
    before = [part.copy() for part in frame]
    image, truth = CONDITIONS[name](*frame, np.random.default_rng(0))
    assert image.shape == (*truth.shape, 3)
    assert image.dtype == truth.dtype == np.uint8
    assert set(np.unique(truth)) <= {*np.unique(frame[1]), 255}
    assert image.shape != frame[0].shape or (image != frame[0]).any()
    for part, was in zip(frame, before):
        np.testing.assert_array_equal(part, was)


def test_dusk_is_dark_and_blue(frame):
    """The channels are BGR."""
    image, _ = CONDITIONS['dusk'](*frame, np.random.default_rng(0))
    blue, green, red = (image / np.maximum(frame[0], 1)).mean((0, 1))
    assert 0.6 > blue > green > red


def test_sizes_and_sides(frame):
    """Half, double and mirrored are what they say, masks too."""
    rng = np.random.default_rng(0)
    assert CONDITIONS['half_size'](*frame, rng)[1].shape == (48, 64)
    image, truth = CONDITIONS['double_size'](*frame, rng)
    assert image.shape == (192, 256, 3)
    np.testing.assert_array_equal(truth[::2, ::2], frame[1])
    np.testing.assert_array_equal(CONDITIONS['flipped'](*frame, rng)[1][:, ::-1], frame[1])


def test_nothing_is_labelled_under_the_bonnet(frame):
    """It covers the bottom, in the middle most; all else is as it was."""
    image, truth = bonnet(*frame, np.random.default_rng(0))
    changed = (image != frame[0]).any(-1)
    assert (truth[changed] == 255).all() and truth[-2, 64] == 255
    assert changed[-1].mean() > 0.9 and not changed[:80].any()
    np.testing.assert_array_equal(truth[:80], frame[1][:80])


@pytest.mark.parametrize('name', CONDITIONS)
@pytest.mark.parametrize('size', [(1, 9), (5, 1)])
def test_small_frames(name, size):
    """Down to one row or column nothing breaks."""
    image, truth = CONDITIONS[name](np.full((*size, 3), 90, np.uint8), np.ones(size, np.uint8),
                                    np.random.default_rng(0))
    assert image.shape == (*truth.shape, 3) and image.dtype == np.uint8


class Remembering:
    """A segmenter that says the class it saw most of in this size."""

    def __init__(self, labels):
        self.labels, self.asked = labels, []

    def segment(self, images):
        self.asked.append(images[0].shape)
        result = type('Result', (), {'class_ids': np.full(images[0].shape[:2], 3, np.uint8)})
        return [result]


def test_each_condition_is_counted(frame, labels):
    """Every frame is segmented once a condition; the table has their differences."""
    segmenter = Remembering(labels)
    result = compare_conditions(segmenter, [frame, frame])
    assert list(result) == [PLAIN, *CONDITIONS]
    assert len(segmenter.asked) == 2 * (1 + len(CONDITIONS))
    road = (frame[1] == 3).mean() / (frame[1] != 255).mean()
    assert result[PLAIN]['iou']['road'] == pytest.approx(road, abs=1e-4)
    assert result['flipped']['iou']['road'] == result[PLAIN]['iou']['road']
    assert result['bonnet']['iou']['road'] < result[PLAIN]['iou']['road']
    row = next(line for line in conditions_table(result, labels).splitlines()
               if line.startswith('road')).split()
    assert float(row[1]) == pytest.approx(road, abs=1e-4) and row[6] == '+0.0'
    assert float(row[7]) < 0


def test_it_goes_with_no_cache(capsys):
    """What does not go together is said."""
    assert main(['--dataset', 'synthetic', '--samples', '1', '--conditions', '--cache',
                 'warp']) == 2
    assert '--conditions does not go with --cache' in capsys.readouterr().err
