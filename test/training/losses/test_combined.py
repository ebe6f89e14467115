"""What every loss keeps to, their weighted sum, and recipes that cannot be."""
import math

import numpy as np
import pytest
import torch

from training.losses import LOSSES, make_loss

CLASSES = 4  # the last one does not occur


@pytest.fixture
def mask():
    """Return masks (2, 12, 16) of three classes, the right side unlabelled."""
    mask = torch.zeros(2, 12, 16, dtype=torch.int64)
    mask[0, 5:], mask[1, :, 4:9], mask[1, 3:6, 2:7] = 1, 1, 2
    mask[..., 13:] = 255
    return mask


@pytest.fixture
def scores():
    """Return scores (2, 4, 12, 16)."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, CLASSES, 12, 16, generator=generator).requires_grad_()


def make(name, **arguments):
    """Return a loss of a recipe by itself."""
    return make_loss([{'loss': name, **arguments}], CLASSES, no_masks)


def no_masks():
    """Nobody may read the masks without need."""
    raise AssertionError('the masks were read')


@pytest.mark.parametrize('name', LOSSES)
def test_gradient(name, scores, mask):
    """It is finite and not zero, but zero where nothing is labelled."""
    loss = make(name)(scores, mask)
    loss.backward()
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    assert math.isfinite(loss.item())
    assert scores.grad.isfinite().all()
    assert scores.grad[..., :13].abs().sum() > 1e-6
    assert scores.grad[..., 13:].abs().max() == 0


@pytest.mark.parametrize('name', LOSSES)
def test_unlabelled_pixels_have_no_say(name, scores, mask):
    """Whatever is said there, the loss stays."""
    loss = make(name)
    other = scores.detach().clone()
    other[..., 13:] *= -7
    torch.testing.assert_close(loss(other, mask), loss(scores.detach(), mask))


@pytest.mark.parametrize('name', LOSSES)
def test_perfect_is_least(name, scores, mask):
    """A sure and right prediction has the lowest loss, 0 but for `boundary`; better is lower."""
    loss = make(name)
    truth = torch.nn.functional.one_hot(mask.clamp_max(CLASSES - 1), CLASSES).movedim(-1, 1)
    perfect = (40.0 * truth).requires_grad_()
    least = loss(perfect, mask)
    least.backward()
    assert perfect.grad.isfinite().all()
    values = [loss(scores.detach() + gain * truth, mask).item() for gain in (4.0, 2.0, 0.0)]
    assert [least.item(), *values] == sorted([least.item(), *values])
    assert least.item() < values[0]
    if name != 'boundary':
        assert least.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('name', LOSSES)
def test_nothing_labelled_is_0(name, scores, mask):
    """And every parameter has a gradient, as several processes need."""
    loss = make(name)(scores, torch.full_like(mask, 255))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.abs().max() == 0


@pytest.mark.parametrize('name', LOSSES)
def test_pictures_of_one_class_or_none(name, scores, mask):
    """A batch in which one picture has one class and the other none gives a number."""
    mask[0], mask[1] = 1, 255
    loss = make(name)(scores, mask)
    loss.backward()
    assert math.isfinite(loss.item())
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize('name', LOSSES)
def test_autocast(name, scores, mask):
    """Under bfloat16 autocast it is computed in float32, from small scores too."""
    loss, small = make(name), scores[..., ::2, ::2].detach().bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        found = loss(small, mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(small.float(), mask))


def test_scores_are_enlarged_to_the_mask():
    """Scores at a lower stride are interpolated between pixel centres."""
    scores = torch.tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]])
    loss = make_loss([{'loss': 'cross_entropy'}], 2, no_masks)
    wanted = np.mean([math.log(1 + math.exp(-score)) for score in (0, 1, 3, 4)])
    mask = torch.zeros(1, 2, 4, dtype=torch.int64)
    assert loss(scores, mask).item() == pytest.approx(wanted, rel=1e-5)


def test_weighted_sum(scores, mask):
    """Losses add up, each times its weight; 1 where none is given."""
    parts = [make(name)(scores, mask) for name in ('cross_entropy', 'dice', 'ohem')]
    both = make_loss([{'loss': 'cross_entropy'}, {'loss': 'dice', 'weight': 0.5},
                      {'loss': 'ohem', 'weight': 0}], CLASSES, no_masks)
    torch.testing.assert_close(both(scores, mask), parts[0] + 0.5 * parts[1])


def test_class_weights_by_name_and_by_number(scores, mask):
    """The masks are read once for all losses; a list does as well as the name that yields it."""
    reads = []

    def masks():
        reads.append(1)
        # 8, 2 and 2 pixels: the median is 2
        return iter([np.array([[0] * 8 + [1, 1, 2, 2]], np.uint8)])

    by_name = make_loss([{'loss': name, 'class_weights': 'sqrt_median_frequency'}
                         for name in ('cross_entropy', 'focal')], CLASSES, masks)
    by_number = make_loss([{'loss': name, 'class_weights': [0.5, 1, 1, 1]}
                           for name in ('cross_entropy', 'focal')], CLASSES, no_masks)
    assert len(reads) == 1
    torch.testing.assert_close(by_name(scores, mask), by_number(scores, mask))


def test_class_weights_move_with_the_module():
    """They are buffers, but no part of the state that a checkpoint keeps."""
    loss = make('cross_entropy', class_weights=[1, 2, 3, 4])
    assert [buffer.tolist() for buffer in loss.buffers()] == [[1, 2, 3, 4]]
    assert not loss.state_dict()


@pytest.mark.parametrize('entry, reason', [
    ({'loss': 'l2'}, "unknown loss 'l2'; known: cross_entropy, border_cross_entropy, focal"),
    ({'weight': 1}, 'unknown loss None'),
    ({'loss': 'dice', 'gamma': 2}, "loss dice: unknown argument 'gamma'; known: weight, classes"),
    ({'loss': 'focal', 'gamma': 'two'}, "loss focal: gamma must be a number from 1.*, not 'two'"),
    ({'loss': 'focal', 'gamma': 0.5}, 'loss focal: gamma must be a number from 1'),
    ({'loss': 'focal', 'weight': -1}, 'loss focal: weight must be a number from 0'),
    ({'loss': 'top_k', 'share': 2}, r'loss top_k: share must be a number in 0\.\.1'),
    ({'loss': 'ohem', 'threshold': 2}, r'loss ohem: threshold must be a number in 0\.\.1'),
    ({'loss': 'iou_balanced', 'eta': -1}, 'loss iou_balanced: eta must be a number from 0'),
    ({'loss': 'tversky', 'beta': None}, 'loss tversky: beta must be a number from 0'),
    ({'loss': 'dice', 'smooth': -1}, 'loss dice: smooth must be a number from 0'),
    ({'loss': 'iou', 'smooth': -1}, 'loss iou: smooth must be a number from 0'),
    ({'loss': 'iou', 'classes': [4]}, r'loss iou: classes must be a list of ids in 0\.\.3'),
    ({'loss': 'border_cross_entropy', 'classes': 'car'}, 'classes must be a list of ids'),
    ({'loss': 'border_cross_entropy', 'sigma': 0}, 'sigma must be a number from 0.1'),
    ({'loss': 'hausdorff', 'alpha': -1}, 'loss hausdorff: alpha must be a number from 0'),
    ({'loss': 'sensitivity_specificity', 'sensitivity': 2}, 'sensitivity must be a number in'),
    ({'loss': 'cross_entropy', 'class_weights': 'even'},
     "loss cross_entropy: unknown class_weights 'even'; known: sqrt_median_frequency"),
    ({'loss': 'cross_entropy', 'class_weights': [1, 2]}, 'or 4 numbers from 0, not'),
    ({'loss': 'cross_entropy', 'class_weights': [1, 2, 3, -4]}, 'or 4 numbers from 0, not'),
])
def test_what_a_recipe_cannot_ask_for(entry, reason):
    """The message names loss and argument."""
    with pytest.raises(ValueError, match=reason):
        make_loss([entry], CLASSES, no_masks)


def test_no_loss_at_all():
    """A recipe has one at least."""
    with pytest.raises(ValueError, match='at least one loss'):
        make_loss([], CLASSES, no_masks)
