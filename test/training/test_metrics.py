"""Measures beside the IoU, worked out by hand and against torchmetrics."""
import json

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)
from torchmetrics.functional.segmentation import hausdorff_distance

from training.metrics import (
    Baseline,
    BoundaryF1,
    Hausdorff,
    InstancePrecision,
    METRICS,
    Metrics,
    Pixels,
)

SURE = np.full((40, 40), 255, np.uint8)


def square(top, left, size, value=1, shape=(40, 40)):
    """Return a mask of zeros with a square in it."""
    mask = np.zeros(shape, np.uint8)
    mask[top:top + size, left:left + size] = value
    return mask


def judge(metric, *pairs):
    """Return a metric's result over pairs of truth and prediction."""
    for truth, prediction in pairs:
        metric.update(truth, prediction, np.full(truth.shape, 255, np.uint8))
    return metric.result()


@pytest.fixture
def noisy():
    """Return pairs of random masks of four classes, some pixels unlabelled."""
    rng = np.random.default_rng(0)
    truths = rng.integers(0, 4, (3, 40, 40), np.uint8)
    found = np.where(rng.random(truths.shape) < 0.6, truths,
                     rng.integers(0, 4, truths.shape, np.uint8))
    truths[:, :, :5] = 255
    return list(zip(truths, found))


def test_pixels_against_torchmetrics(noisy):
    """Precision, recall and F1 are the library's, over all frames together."""
    result = judge(Pixels(4), *noisy)
    truths, found = (torch.tensor(np.array(masks)).long() for masks in zip(*noisy))
    for name, function in (('precision', multiclass_precision), ('recall', multiclass_recall),
                           ('f1', multiclass_f1_score)):
        wanted = function(found, truths, 4, average=None, ignore_index=255)
        np.testing.assert_allclose(result[name], wanted, rtol=1e-6)


def test_baseline_is_the_mean_share_of_the_frames():
    """Each frame has the same say, however much of it is labelled."""
    half, quarter = square(0, 0, 4, shape=(4, 8)), square(0, 0, 2, shape=(2, 8))
    quarter[:, 4:], half[:, 4:] = 255, 0
    nothing = np.full((4, 4), 255, np.uint8)
    result = judge(Baseline(3), (half, half), (quarter, quarter), (quarter[:, :2],) * 2,
                   (nothing, nothing))
    # class 1 covers 1/2, 2/4 and all of what is labelled
    np.testing.assert_allclose(result['baseline'], [(0.5 + 0.5 + 0) / 3, (0.5 + 0.5 + 1) / 3, 0])


def test_boundary_f1_by_hand():
    """A border moved by two pixels is right within two, wrong within one."""
    truth, found = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    truth[:, 20:], found[:, 22:] = 1, 1
    diagonal = 50
    for tolerance, wanted in ((2.01, 1.0), (1.99, 0.0)):
        result = judge(BoundaryF1(3, tolerance / diagonal), (truth, found))['boundary_f1']
        np.testing.assert_equal(result, [wanted, wanted, np.nan])
    # half of a border that is found is right, all of the true one is found
    found = truth.copy()
    found[:, 5] = 1
    result = judge(BoundaryF1(2, 1.01 / diagonal), (truth, found))['boundary_f1']
    assert result[1] == pytest.approx(2 * 0.5 / 1.5)


def test_boundary_f1_is_the_mean_over_frames_that_have_the_border():
    """A border only in the prediction scores 0; frames without any have no say."""
    plain, split = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    split[:, 20:] = 1
    result = judge(BoundaryF1(2), (split, split), (plain, split), (plain, plain))
    np.testing.assert_allclose(result['boundary_f1'], [0.5, 0.5])


def test_unlabelled_pixels_are_no_border():
    """A class that ends where the labels do has no border there."""
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 20:] = 255
    assert np.isnan(judge(BoundaryF1(1), (mask, mask))['boundary_f1']).all()


def test_hausdorff_by_hand():
    """A square moved by (3, 4) is 5 away; the mean over frames."""
    pairs = [(square(10, 10, 12), square(13, 14, 12)), (square(10, 10, 12), square(10, 10, 12))]
    result = judge(Hausdorff(3), *pairs)
    assert result['hausdorff'][1] == pytest.approx(2.5)
    assert np.isnan(result['hausdorff'][2])


def test_hausdorff_95_passes_by_single_pixels():
    """One pixel far off is all of the distance, and none of its 95th percentile."""
    truth = square(5, 5, 20)
    found = truth.copy()
    found[36, 24] = 1
    result = judge(Hausdorff(2), (truth, found))
    assert result['hausdorff'][1] == pytest.approx(12)
    assert result['hausdorff_95'][1] == 0


def test_hausdorff_of_what_only_one_mask_has():
    """A class missed or made up is as far off as the frame is wide."""
    result = judge(Hausdorff(2), (square(0, 0, 8), np.zeros((40, 40), np.uint8)))
    assert result['hausdorff'][1] == result['hausdorff_95'][1] == pytest.approx(40 * 2 ** 0.5)


def test_hausdorff_against_torchmetrics():
    """On a square frame the library agrees."""
    rng = np.random.default_rng(4)
    truth, found = (rng.integers(0, 3, (5, 5), np.uint8).repeat(8, 0).repeat(8, 1)
                    for _ in range(2))
    wanted = hausdorff_distance(*(torch.tensor(mask).long()[None] for mask in (found, truth)),
                                num_classes=3, include_background=True, input_format='index')
    result = judge(Hausdorff(3), (truth, found))
    np.testing.assert_allclose(result['hausdorff'], wanted[0], rtol=1e-6)


def test_instances_by_class():
    """Each class has its own regions."""
    truth = square(2, 2, 10) + square(20, 20, 10, 2)
    result = judge(InstancePrecision(4), (truth, square(2, 2, 10)))
    np.testing.assert_equal(result['instance_ap'][1:], [1, 0, np.nan])
    np.testing.assert_equal(result['instance_recall_50'][1:], [1, 0, np.nan])
    np.testing.assert_equal(result['instance_precision_75'][1:], [1, np.nan, np.nan])


def test_all_of_a_perfect_mask_and_json(noisy):
    """What is right is perfect by every measure; the summary is rounded and fit for JSON."""
    truth = noisy[0][0]
    metrics = Metrics(['all'], 5)
    metrics.update(truth, np.where(truth == 255, 3, truth), SURE)
    result = metrics.summary('abcde')
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert {name for name in result if not name.startswith('mean_')} == {
        'precision', 'recall', 'f1', 'baseline', 'boundary_f1', 'hausdorff', 'hausdorff_95',
        'instance_ap', 'instance_ap_50', 'instance_precision_50', 'instance_recall_50',
        'instance_ap_75', 'instance_precision_75', 'instance_recall_75'}
    for name in ('precision', 'recall', 'f1', 'boundary_f1', 'instance_ap'):
        assert result[name] == {**dict.fromkeys('abcd', 1.0), 'e': None}
        assert result[f'mean_{name}'] == 1.0
    assert result['mean_hausdorff'] == result['mean_hausdorff_95'] == 0


@pytest.mark.parametrize('name', METRICS)
def test_unlabelled_truth_has_no_say(name, noisy):
    """Whatever is found there, and nothing labelled at all is no value."""
    summaries = []
    for value in (0, 3):
        metrics = Metrics([name], 4)
        for truth, found in noisy:
            metrics.update(truth, np.where(truth == 255, np.uint8(value), found), SURE)
        summaries.append(metrics.summary('abcd'))
    assert summaries[0] == summaries[1]
    metrics = Metrics([name], 4)
    metrics.update(np.full((40, 40), 255, np.uint8), noisy[0][1], SURE)
    assert all(value is None or set(value.values()) == {None}
               for value in metrics.summary('abcd').values())


def test_only_what_is_asked_for():
    """Names choose; unknown ones are refused."""
    assert Metrics([], 2).summary('ab') == {}
    assert set(Metrics(['baseline'], 2).summary('ab')) == {'mean_baseline', 'baseline'}
    with pytest.raises(ValueError, match="unknown metric 'iou'; known: all, pixels, baseline"):
        Metrics(['iou'], 2)
