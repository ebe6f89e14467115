"""Matches of regions and their average precision, worked out by hand."""
import math

import numpy as np
import pytest

from training.instances import Instances


def line(*lengths):
    """Return a (1, W) bool mask: gaps and regions in turn, a gap first."""
    return np.concatenate([np.full(length, index % 2 == 1)
                           for index, length in enumerate(lengths)])[None]


def test_one_match_by_threshold():
    """An IoU of 0.8 counts up to the threshold of 0.8: seven of the ten."""
    instances = Instances()
    truth, found = line(2, 10, 4), line(2, 8, 6)
    instances.update(truth, found, np.full(truth.shape, 200, np.uint8))
    assert instances.confidence == [200]
    assert instances.iou == [0.8]
    assert instances.result() == pytest.approx({
        'ap': 0.7, 'ap_50': 1, 'precision_50': 1, 'recall_50': 1, 'ap_75': 1, 'precision_75': 1,
        'recall_75': 1})


def test_sure_mistakes_cost_precision():
    """Two true regions; a sure wrong region, then a right one: half the precision up to half."""
    instances = Instances()
    truth, found = line(1, 4, 3, 4, 8), line(1, 4, 11, 3, 1)
    confidence = np.where(np.arange(20) < 8, 100, 250)[None].astype(np.uint8)
    instances.update(truth, found, confidence)
    result = instances.result()
    assert instances.confidence == [100, 250]
    # 51 of the 101 recalls are at most one half
    assert result['ap_50'] == pytest.approx(0.5 * 51 / 101)
    assert (result['precision_50'], result['recall_50']) == (0.5, 0.5)


def test_each_region_has_its_best_iou():
    """Regions are compared one by one; corners that touch make one region."""
    truth = np.zeros((8, 20), bool)
    truth[:3, :4], truth[3:6, 4:8], truth[:4, 10:] = True, True, True
    found = np.zeros((8, 20), bool)
    found[:3, :4], found[:, 10:15], found[7, 0] = True, True, True
    instances = Instances()
    instances.update(truth, found, np.full(truth.shape, 9, np.uint8))
    # 12 of 24 pixels, 20 of 40 + 40 - 20, and nothing
    assert instances.truths == 2
    assert sorted(instances.iou) == [0, 20 / 60, 0.5]
    assert (instances.result()['precision_50'], instances.result()['recall_50']) == (1 / 3, 0.5)


def test_surest_first_over_all_frames():
    """Frames are judged together, in the order of confidence, not of time."""
    instances = Instances()
    nothing, region = line(10), line(2, 6, 2)
    instances.update(nothing, region, np.full((1, 10), 50, np.uint8))  # wrong, unsure
    instances.update(region, region, np.full((1, 10), 90, np.uint8))  # right, sure
    result = instances.result()
    assert result['ap'] == result['ap_50'] == 1
    assert (result['precision_50'], result['recall_50']) == (0.5, 1)


@pytest.mark.parametrize('truth, found, ap, precision, recall', [
    (line(10), line(10), math.nan, math.nan, math.nan),
    (line(10), line(2, 8), math.nan, 0, math.nan),
    (line(2, 8), line(10), 0, math.nan, 0),
])
def test_nothing_there_or_nothing_found(truth, found, ap, precision, recall):
    """What has nothing to be measured by is nan."""
    instances = Instances()
    instances.update(truth, found, np.zeros(truth.shape, np.uint8))
    result = instances.result()
    np.testing.assert_equal([result['ap'], result['precision_50'], result['recall_50']],
                            [ap, precision, recall])
