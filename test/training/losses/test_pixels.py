"""Losses of single pixels against numbers worked out by hand."""
from math import log

import pytest
import torch

from training.losses.pixels import CrossEntropy, Focal, IouBalanced, Ohem, TopK

# Three labelled pixels whose true classes have these probabilities, and one without a label.
TRUE = (0.9, 0.5, 0.2)
MASK = torch.tensor([[[0, 0, 1, 255]]])
LOSSES = [-log(p) for p in TRUE]
WEIGHTS = torch.tensor([1.0, 3.0])


@pytest.fixture
def scores():
    """Return scores (1, 2, 1, 4) whose softmax has those probabilities."""
    zero = torch.tensor([0.9, 0.5, 0.8, 0.3])
    return torch.stack((zero, 1 - zero)).log()[None, :, None].requires_grad_()


def test_cross_entropy(scores):
    """The mean over labelled pixels, each weighing what its class does."""
    assert CrossEntropy()(scores, MASK).item() == pytest.approx(sum(LOSSES) / 3)
    wanted = (LOSSES[0] + LOSSES[1] + 3 * LOSSES[2]) / 5
    assert CrossEntropy(WEIGHTS)(scores, MASK).item() == pytest.approx(wanted)


def test_classes_of_no_weight_give_0_where_they_are_alone(scores):
    """No division by nothing."""
    assert CrossEntropy(torch.zeros(2))(scores, MASK).item() == 0


def test_focal(scores):
    """Cross entropy times (1 - p)^gamma."""
    terms = [(1 - p) ** 2 * loss for p, loss in zip(TRUE, LOSSES)]
    assert Focal()(scores, MASK).item() == pytest.approx(sum(terms) / 3)
    wanted = (terms[0] + terms[1] + 3 * terms[2]) / 5
    assert Focal(class_weights=WEIGHTS)(scores, MASK).item() == pytest.approx(wanted)
    linear = [(1 - p) * loss for p, loss in zip(TRUE, LOSSES)]
    assert Focal(gamma=1.0)(scores, MASK).item() == pytest.approx(sum(linear) / 3)


def test_top_k(scores):
    """The share of the labelled pixels that is hardest, at least one."""
    assert TopK(0.67)(scores, MASK).item() == pytest.approx((LOSSES[1] + LOSSES[2]) / 2)
    assert TopK(0.01)(scores, MASK).item() == pytest.approx(LOSSES[2])
    wanted = (LOSSES[1] + 3 * LOSSES[2]) / 4
    assert TopK(0.67, WEIGHTS)(scores, MASK).item() == pytest.approx(wanted)


def test_ohem(scores):
    """The pixels below the threshold; where too few are, the hardest share."""
    assert Ohem(0.6)(scores, MASK).item() == pytest.approx((LOSSES[1] + LOSSES[2]) / 2)
    assert Ohem(0.1)(scores, MASK).item() == pytest.approx(LOSSES[2])
    assert Ohem(0.1, share=0.67)(scores, MASK).item() == pytest.approx(sum(LOSSES[1:]) / 2)


def test_iou_balanced(scores):
    """The value is the cross entropy's; the gradient is shared out by the IoU of the classes."""
    loss = IouBalanced(eta=1.0)(scores, MASK)
    assert loss.item() == pytest.approx(sum(LOSSES) / 3)
    loss.backward()
    # class 0: 1.4 of 0.9 + 0.5 + 0.8 + 2 - 1.4; class 1: 0.2 of 0.1 + 0.5 + 0.2 + 1 - 0.2
    iou = (1.4 / 2.8, 1.4 / 2.8, 0.2 / 1.6)
    scale = sum(LOSSES) / sum(share * loss for share, loss in zip(iou, LOSSES)) / 3
    wanted = [scale * share * (p - 1) for share, p in zip(iou, TRUE)]
    found = [scores.grad[0, index, 0, place].item() for place, index in enumerate((0, 0, 1))]
    assert found == pytest.approx(wanted, rel=1e-5)
    assert scores.grad[..., 3].abs().max() == 0


def test_iou_balanced_judges_each_picture_alone(scores):
    """With eta 0 it is the cross entropy; a picture's IoU has no say in another's pixels."""
    two, mask = torch.cat((scores, scores.flip(1))), torch.cat((MASK, MASK))
    overlap = IouBalanced.overlap(two, mask)
    torch.testing.assert_close(overlap[:1], IouBalanced.overlap(scores, MASK))
    assert overlap[1, 0, 0] != overlap[0, 0, 0]
    gradients = [torch.autograd.grad(loss(scores, MASK), scores)[0]
                 for loss in (IouBalanced(eta=0.0), CrossEntropy())]
    torch.testing.assert_close(*gradients)
