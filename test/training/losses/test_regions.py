"""Losses of whole classes against numbers worked out by hand."""
import pytest
import torch

from training.losses.regions import Dice, Iou, LovaszSoftmax, SensitivitySpecificity, Tversky

MASK = torch.tensor([[[0, 0, 1, 255]]])
# Of class 0 the masks share 1.4, 0.8 is found wrongly and 0.6 missed; of class 1 it is 0.2,
# 0.6 and 0.8. Class 2 does not occur and is not found.
BOTH, WRONG, MISSED = (1.4, 0.2), (0.8, 0.6), (0.6, 0.8)


@pytest.fixture
def scores():
    """Return scores (1, 3, 1, 4) with the probabilities that those numbers come from."""
    zero = torch.tensor([0.9, 0.5, 0.8, 0.3])
    return torch.stack((zero, 1 - zero, torch.full((4,), 1e-12))).log()[None, :, None]


def tversky(index, alpha, beta, smooth=0.0):
    """Return the index of a class."""
    both = BOTH[index] + smooth
    return both / (both + alpha * WRONG[index] + beta * MISSED[index])


@pytest.mark.parametrize('kind, alpha, beta', [
    (Dice, 0.5, 0.5), (Iou, 1.0, 1.0), (Tversky, 0.3, 0.7)])
def test_overlap(scores, kind, alpha, beta):
    """1 - the mean over the classes that occur; those asked for; smoothed."""
    wanted = [1 - tversky(index, alpha, beta) for index in (0, 1)]
    assert kind()(scores, MASK).item() == pytest.approx(sum(wanted) / 2, rel=1e-5)
    assert kind(classes=[1, 2])(scores, MASK).item() == pytest.approx(wanted[1], rel=1e-5)
    smooth = 1 - tversky(1, alpha, beta, 1.0)
    assert kind(classes=[1], smooth=1.0)(scores, MASK).item() == pytest.approx(smooth, rel=1e-5)


def test_known_values(scores):
    """Dice 2 * 1.4 / 4.2 and 0.4 / 1.8; IoU 1.4 / 2.8 and 0.2 / 1.6."""
    assert Dice()(scores, MASK).item() == pytest.approx(1 - (2 / 3 + 2 / 9) / 2)
    assert Iou()(scores, MASK).item() == pytest.approx(1 - (1 / 2 + 1 / 8) / 2)


def test_tversky_weighs_what_is_asked(scores):
    """Alpha is for what is found wrongly, beta for what is missed."""
    loss = Tversky(alpha=0.9, beta=0.1, classes=[1])
    assert loss(scores, MASK).item() == pytest.approx(1 - 0.2 / (0.2 + 0.54 + 0.08), rel=1e-5)


def test_a_class_that_is_not_there_asks_for_nothing(scores):
    """Where none of the classes asked for occurs the loss is 0, with a gradient."""
    scores.requires_grad_()
    loss = Iou(classes=[2])(scores, MASK)
    loss.backward()
    assert (loss.item(), scores.grad.abs().max().item()) == (0, 0)


def test_lovasz_softmax(scores):
    """The errors from the largest on, each times the IoU that it costs."""
    # class 0: errors 0.8, 0.5, 0.1 cost a third each; class 1: 0.8 costs all
    wanted = ((0.8 + 0.5 + 0.1) / 3 + 0.8) / 2
    assert LovaszSoftmax()(scores, MASK).item() == pytest.approx(wanted, rel=1e-5)


def test_sensitivity_specificity(scores):
    """Mean squared error in each class and outside it; over all classes."""
    inside, outside = (0.13, 0.64, 0.0), (0.64, 0.13, 0.0)
    for share in (0.05, 0.3):
        wanted = sum(share * a + (1 - share) * b for a, b in zip(inside, outside)) / 3
        loss = SensitivitySpecificity(share)(scores, MASK)
        assert loss.item() == pytest.approx(wanted, rel=1e-5)
