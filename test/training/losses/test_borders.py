"""Losses of borders against numbers worked out by hand."""
from math import exp, log

import pytest
import torch

from training.losses.borders import (
    border_loss,
    BorderCrossEntropy,
    borders_of,
    Boundary,
    DistancePenalised,
    Hausdorff,
)

MASK = torch.tensor([[[0, 0, 0, 1, 255]]])


def scores_of(*zero):
    """Return scores (1, 2, 1, W) that give class 0 these probabilities."""
    zero = torch.tensor(zero)
    return torch.stack((zero, 1 - zero)).log()[None, :, None]


@pytest.fixture
def scores():
    """Return scores of four pixels and an unlabelled one."""
    return scores_of(0.9, 0.5, 0.8, 0.3, 0.6)


def weighted(weights):
    """Return the weighted mean of the four pixels' cross entropy."""
    losses = [-log(p) for p in (0.9, 0.5, 0.8, 0.7)]
    return sum(a * b for a, b in zip(weights, losses)) / sum(weights)


def test_border_cross_entropy(scores):
    """A pixel's weight grows with how near the second thing is."""
    loss = BorderCrossEntropy(w0=10.0, sigma=2.0)
    near = [exp(-distance ** 2 / 8) for distance in (3, 2, 1, 1)]
    assert loss(scores, MASK).item() == pytest.approx(weighted([1 + 10 * n for n in near]))
    loss = BorderCrossEntropy(w0=10.0, sigma=2.0, class_weights=torch.tensor([1.0, 5.0]))
    wanted = weighted([c + 10 * n for c, n in zip((1, 1, 1, 5), near)])
    assert loss(scores, MASK).item() == pytest.approx(wanted)


def test_only_the_classes_asked_for_are_things(scores):
    """One thing alone has no neighbour: plain cross entropy."""
    loss = BorderCrossEntropy(classes=[1])
    assert loss(scores, MASK).item() == pytest.approx(weighted([1] * 4))


def test_distance_penalised(scores):
    """Pixels at the border weigh twice, the innermost one once."""
    assert DistancePenalised()(scores, MASK).item() == pytest.approx(weighted([1, 1.5, 2, 2]))
    loss = DistancePenalised(class_weights=torch.tensor([1.0, 3.0]))
    assert loss(scores, MASK).item() == pytest.approx(weighted([1, 1.5, 2, 6]))


def test_boundary(scores):
    """Probability times signed distance, over four labelled pixels and two classes."""
    # class 0: -2, -1, 0 inside and 1 outside; class 1: 3, 2, 1 outside and 0 inside
    wanted = (-2 * 0.9 - 0.5 + 0.3 + 3 * 0.1 + 2 * 0.5 + 0.2) / 8
    assert Boundary()(scores, MASK).item() == pytest.approx(wanted)


@pytest.mark.parametrize('alpha, distances', [(1.0, (5, 3, 2, 3)), (2.0, (13, 5, 2, 5))])
def test_hausdorff(alpha, distances):
    """Squared error times the powers of the distances to both borders."""
    # the truth's border is 3, 2, 1, 1 away, the prediction's 2, 1, 1, 2
    mask, errors = MASK[..., :4], (0.01, 0.16, 0.36, 0.09)
    wanted = sum(a * b for a, b in zip(distances, errors)) / 4
    loss = Hausdorff(alpha)(scores_of(0.9, 0.6, 0.4, 0.3), mask)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_borders_lie_between_labelled_classes():
    """To the right or below; what is unlabelled borders on nothing."""
    mask = torch.tensor([[[0, 0, 1], [0, 255, 1], [2, 2, 1]]])
    assert borders_of(mask).tolist() == [[[0, 1, 0], [1, 0, 0], [0, 1, 0]]]


def test_borders_weigh_as_much_as_the_rest():
    """However few they are; chance costs log 2, unlabelled pixels nothing."""
    mask = torch.zeros(1, 8, 8, dtype=torch.int64)
    mask[:, :, 4:] = 1
    mask[:, 0] = 255
    assert border_loss(torch.zeros(1, 1, 8, 8), mask).item() == pytest.approx(log(2))
    right = torch.where(borders_of(mask) > 0, 20.0, -20.0)[:, None]
    right[:, :, 0] = 20
    assert border_loss(right, mask).item() == pytest.approx(0, abs=1e-6)
    everywhere = torch.full((1, 1, 8, 8), 20.0)
    assert border_loss(everywhere, mask).item() == pytest.approx(10, rel=1e-3)


def test_a_picture_of_one_class_has_no_borders_to_learn():
    """Its loss is 0 and still has a gradient."""
    logits = torch.ones(1, 1, 4, 4, requires_grad=True)
    loss = border_loss(logits, torch.zeros(1, 8, 8, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()
