"""The confusion matrix against counts made by hand."""
import json
import math

import cv2
import numpy as np
import pytest

from roadseg_ros.metrics import add_consistency, ConfusionMatrix, origins_between

TRUTH = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
PREDICTION = np.array([[0, 0, 1, 1], [1, 255, 0, 2]], np.uint8)


def test_counts_by_hand():
    """Unlabelled truth does not count, an unlabelled prediction counts as wrong."""
    confusion = ConfusionMatrix(3)
    confusion.update(TRUTH, PREDICTION)
    assert confusion.matrix.tolist() == [[2, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(confusion.iou(), [2 / 3, 2 / 4, np.nan])
    assert confusion.mean_iou() == pytest.approx((2 / 3 + 2 / 4) / 2)
    assert confusion.pixel_accuracy() == pytest.approx(4 / 6)


def test_shares_by_hand():
    """Precision is of what was said, recall of what is there, F1 their harmonic mean."""
    confusion = ConfusionMatrix(4)
    confusion.update(TRUTH, PREDICTION)
    confusion.matrix[2, 0] = 2
    assert confusion.matrix[:3, :3].tolist() == [[2, 1, 0], [0, 2, 0], [2, 0, 0]]
    np.testing.assert_allclose(confusion.precision(), [2 / 4, 2 / 3, np.nan, np.nan])
    # the unlabelled prediction is missing in the recall of class 1
    np.testing.assert_allclose(confusion.recall(), [2 / 3, 2 / 3, 0, np.nan])
    np.testing.assert_allclose(confusion.f1(), [4 / 7, 4 / 6, 0, np.nan])
    np.testing.assert_allclose(confusion.share(), [3 / 8, 3 / 8, 2 / 8, 0])
    wanted = 3 / 8 * 2 / 5 + 3 / 8 * 2 / 4 + 2 / 8 * 0
    assert confusion.frequency_weighted_iou() == pytest.approx(wanted)


def test_share_is_the_iou_of_saying_so_everywhere():
    """The baseline that a score stands beside."""
    truth = np.array([[0, 1, 1, 1, 255]], np.uint8)
    told, everywhere = ConfusionMatrix(2), ConfusionMatrix(2)
    told.update(truth, truth)
    everywhere.update(truth, np.ones_like(truth))
    assert told.share()[1] == everywhere.iou()[1] == 0.75


def test_updates_add_up():
    """Two updates with halves equal one with the whole."""
    whole, halves = ConfusionMatrix(3), ConfusionMatrix(3)
    whole.update(TRUTH, PREDICTION)
    for row in range(2):
        halves.update(TRUTH[row:row + 1], PREDICTION[row:row + 1])
    np.testing.assert_array_equal(whole.matrix, halves.matrix)


def test_a_class_only_predicted_has_iou_zero():
    """A class that is predicted where it is not counts as zero, not as absent."""
    confusion = ConfusionMatrix(2)
    confusion.update(np.zeros((1, 2), np.uint8), np.array([[0, 1]], np.uint8))
    assert confusion.iou().tolist() == [0.5, 0.0]


@pytest.mark.parametrize('truth', [np.zeros((0, 4), np.uint8), np.full((2, 4), 255, np.uint8)])
def test_nothing_counted_is_nan(truth):
    """Without labelled pixels there is no accuracy."""
    confusion = ConfusionMatrix(3)
    confusion.update(truth, np.zeros_like(truth))
    assert math.isnan(confusion.mean_iou())
    assert math.isnan(confusion.pixel_accuracy())
    assert math.isnan(confusion.frequency_weighted_iou())
    for values in (confusion.precision(), confusion.recall(), confusion.f1(), confusion.share()):
        assert np.isnan(values).all()


def test_summary_is_rounded_and_fit_for_json():
    """Four decimals under the classes' names, None for what does not occur."""
    confusion = ConfusionMatrix(3)
    assert confusion.summary('abc') == {
        'mean_iou': None, 'pixel_accuracy': None, 'iou': {'a': None, 'b': None, 'c': None}}
    confusion.update(TRUTH, PREDICTION)
    result = confusion.summary('abc')
    assert result == {'mean_iou': 0.5833, 'pixel_accuracy': 0.6667,
                      'iou': {'a': 0.6667, 'b': 0.5, 'c': None}}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize('truth, prediction, reason', [
    ([[0, 3]], [[0, 0]], r'0..2 or be 255; found 3'),
    ([[0, 0]], [[0, 3]], r'0..2 or be 255; found 3'),
    ([[0, 0]], [[0, 9]], r'0..2 or be 255; found 9'),
    ([[0, 0]], [[0], [0]], r'truth is \(1, 2\), prediction \(2, 1\)'),
])
def test_masks_that_do_not_fit_are_refused(truth, prediction, reason):
    """Ids outside the label space and sizes that differ are errors, not counts."""
    confusion = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=reason):
        confusion.update(np.array(truth, np.uint8), np.array(prediction, np.uint8))
    assert not confusion.matrix.any()


def test_masks_that_move_with_the_picture_are_consistent():
    """A mask carried along the true motion agrees with itself; one that stays does not."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (24, 40, 3), np.uint8), (320, 192),
                       interpolation=cv2.INTER_CUBIC)
    labels = (np.arange(320) // 40 % 2).astype(np.uint8)[None].repeat(192, 0)
    frames = [scene[:, 3 * index:240 + 3 * index] for index in range(3)]
    moving = [labels[:, 3 * index:240 + 3 * index] for index in range(3)]
    origins = [origins_between(before, now) for before, now in zip(frames, frames[1:])]
    assert origins[0].shape == (192, 240, 2)
    scores = []
    for masks in (moving, moving[:1] * 3):
        confusion = ConfusionMatrix(2)
        add_consistency(confusion, masks, origins)
        assert confusion.matrix.sum() < 2 * 192 * 240  # what comes from outside does not count
        scores.append(confusion.mean_iou())
    assert scores[0] > 0.98 > 0.9 > scores[1]
