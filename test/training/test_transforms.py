"""Augmentation: picture and mask move together, and each draw can be drawn again."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from roadseg_ros.inference.preprocessing import prepare_frame
from roadseg_ros.labels import UNLABELLED
from training.config import Augmentation
from training.transforms import Augmented, lay_over, Prepared, training_transform

GEOMETRY = Augmentation(crop=(32, 48), scale=(0.6, 2.0), brightness=0, contrast=0,
                        saturation=0, hue=0)


class Blocks(Dataset):
    """Pictures whose blue channel tells the id of each pixel: 20 * id."""

    def __init__(self, larger=1):
        self.larger = larger

    def __len__(self):
        """Return the number of items."""
        return 4

    def __getitem__(self, index):
        """Return blocks of ids 1 to 11 with their picture."""
        rng = np.random.default_rng(index)
        side = 24 * self.larger
        mask = rng.integers(1, 12, (2, 3), np.uint8).repeat(side, 0).repeat(side, 1)
        image = np.zeros((*mask.shape, 3), np.uint8)
        image[..., 0], image[..., 2] = 20 * mask, 255
        return image, mask


def augmented(augmentation=GEOMETRY, seed=0, epoch=0, larger=1):
    """Return the augmented blocks at an epoch."""
    data = Augmented(Blocks(larger), training_transform(augmentation, (48, 72)), seed,
                     augmentation.class_mix)
    data.epoch = epoch
    return data


@pytest.mark.parametrize('epoch', range(6))
def test_picture_and_mask_stay_aligned(epoch):
    """Inside blocks the picture still tells the id; padding is black and unlabelled."""
    data = augmented(epoch=epoch)
    for image, mask in (data[index] for index in range(4)):
        assert (image.shape, image.dtype) == ((3, 32, 48), torch.uint8)
        assert (mask.shape, mask.dtype) == ((32, 48), torch.int64)
        assert set(mask.unique().tolist()) <= {*range(1, 12), UNLABELLED}
        labelled = mask != UNLABELLED
        assert labelled.any()
        blue = image[2].float() / 20
        # Along the edges of blocks the picture blends and the mask does not.
        agree = (blue - mask).abs()[labelled] < 0.6
        assert agree.float().mean() > 0.8
        assert (image[0][labelled] > 200).float().mean() > 0.97
        assert not image[:, ~labelled].any()


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
def test_scale_is_of_the_frame_size_whatever_the_picture_has(factor):
    """Blocks of 24 pixels at the frame size come out as 24 * factor, padded where short."""
    height, width = int(48 * factor), int(72 * factor)
    augmentation = replace(GEOMETRY, crop=(height, width), scale=(factor, factor), flip=0)
    for larger in (1, 2, 3):
        image, mask = augmented(augmentation, larger=larger)[0]
        ids = mask[::int(24 * factor), ::int(24 * factor)]
        np.testing.assert_array_equal(ids, Blocks()[0][1][::24, ::24])
        assert not (mask == UNLABELLED).any() and image[0].float().mean() > 250


def test_flip_is_left_to_right():
    augmentation = replace(GEOMETRY, crop=(48, 72), scale=(1, 1))
    picture, ids = Blocks()[0]
    for flip, columns in ((0, slice(None)), (1, slice(None, None, -1))):
        image, mask = augmented(replace(augmentation, flip=flip))[0]
        np.testing.assert_array_equal(mask, ids[:, columns])
        np.testing.assert_array_equal(image[2], picture[:, columns, 0])


def test_every_epoch_draws_anew():
    views = [augmented(epoch=epoch)[0][1] for epoch in range(6)]
    for one in range(6):
        for other in range(one):
            assert not torch.equal(views[one], views[other])


def test_draws_follow_from_seed_epoch_and_index():
    """The same three numbers give the same item, whatever was drawn before."""
    augmentation = Augmentation(crop=(32, 48))
    wanted = augmented(augmentation, seed=7, epoch=2)[3]
    data = augmented(augmentation, seed=7, epoch=2)
    for index in (0, 1, 3):
        found = data[index]
    torch.manual_seed(99)
    for again in (found, data[3]):
        assert torch.equal(again[0], wanted[0])
        assert torch.equal(again[1], wanted[1])
    for changes in ({'seed': 8, 'epoch': 2}, {'seed': 7, 'epoch': 3}):
        assert not torch.equal(augmented(augmentation, **changes)[3][0], wanted[0])


def test_drawing_leaves_the_global_generator_alone():
    """Augmentation does not disturb what else is random in a run."""
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    augmented()[0]
    assert torch.equal(torch.rand(3), wanted)


def test_color_jitter_spares_the_mask():
    """Jitter of colours changes the picture only."""
    color = Augmentation(crop=(32, 48), brightness=0.9, contrast=0.9)
    one, other = augmented(GEOMETRY)[1], augmented(color)[1]
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize('height, size, padded', [
    (48, (48, 72), (64, 96)), (24, (24, 36), (32, 64)), (96, (96, 144), (96, 160))])
def test_prepared_is_what_the_segmenter_hands_to_the_network(height, size, padded):
    """The frame is resized and padded as the segmenter does, the mask stays as it is."""
    frame, mask = Prepared(Blocks(), height, 32)[1]
    picture, ids = Blocks()[1]
    wanted = np.empty((*padded, 3), np.uint8)
    prepare_frame(picture, size, wanted)
    assert (frame.shape, frame.dtype) == ((*padded, 3), torch.uint8)
    np.testing.assert_array_equal(frame.numpy(), wanted)
    np.testing.assert_array_equal(mask.numpy(), ids)
    assert mask.dtype == torch.uint8


@pytest.mark.parametrize('changes', [{'shift': 12}, {'rotation': 20}, {'elastic': 30}],
                         ids=['shift', 'rotation', 'elastic'])
def test_what_moves_the_picture_moves_the_mask(changes):
    """Inside blocks the picture still tells the id; what comes in is black and unlabelled."""
    still = replace(GEOMETRY, crop=(48, 72), scale=(1, 1), flip=0)
    image, mask = augmented(replace(still, **changes), larger=2)[1]
    assert not torch.equal(mask, augmented(still, larger=2)[1][1])
    labelled = mask != UNLABELLED
    assert labelled.float().mean() > 0.5
    agree = (image[2].float() / 20 - mask).abs()[labelled] < 0.6
    assert agree.float().mean() > 0.8


def test_levels_are_stretched_about_the_middle_and_shifted():
    """Of 127 levels above the middle, contrast makes so many more; the offset adds to all."""
    plain = replace(GEOMETRY, crop=(48, 72), scale=(1, 1), flip=0)
    image, mask = augmented(plain)[0]
    for contrast, offset in ((0.5, 0.0), (1.0, -45.0), (1.15, 30.0)):
        found, same = augmented(replace(plain, linear_contrast=(contrast, contrast),
                                        offset=(offset, offset)))[0]
        wanted = ((image.float() - 127) * contrast + 127 + offset).round().clamp(0, 255)
        torch.testing.assert_close(found.float(), wanted, atol=1, rtol=0)
        assert torch.equal(same, mask)


def test_noise_has_the_width_that_is_drawn():
    """It is of the picture alone, and another for each."""
    plain = replace(GEOMETRY, crop=(48, 72), scale=(1, 1), flip=0)
    image, mask = augmented(plain)[0]
    noisy, same = augmented(replace(plain, noise=(8.0, 8.0)))[0]
    middle = (image > 40) & (image < 215)
    assert (noisy.float() - image)[middle].std() == pytest.approx(8, rel=0.1)
    assert torch.equal(same, mask)
    frames = augmented(replace(plain, noise=(0.0, 12.0)))
    widths = []
    for frames.epoch in range(8):
        noisy = frames[0][0]
        widths.append((noisy.float() - image)[middle].std().item())
    assert min(widths) < 4 and 8 < max(widths) < 13


def test_half_of_the_classes_are_laid_over():
    """Rounded up, with all their pixels; what is unlabelled above covers nothing."""
    mask, ids = torch.full((4, 6), 9), torch.tensor([[1, 2, 3, 4, 5, UNLABELLED]] * 4)
    image, above = torch.zeros(3, 4, 6), torch.ones(3, 4, 6)
    seen = set()
    for seed in range(40):
        picture, found = lay_over(image, mask, above, ids, torch.Generator().manual_seed(seed))
        taken = set(found.unique().tolist()) - {9}
        assert len(taken) == 3 and taken < {1, 2, 3, 4, 5}
        for column, label in enumerate(ids[0].tolist()):
            over = label in taken
            assert (found[:, column] == (label if over else 9)).all()
            assert (picture[:, :, column] == over).all()
        seen.add(frozenset(taken))
    assert len(seen) > 5 and not image.any() and (mask == 9).all()


def test_nothing_is_laid_over_by_a_picture_without_labels():
    image, mask = torch.zeros(3, 2, 2), torch.ones(2, 2, dtype=torch.int64)
    picture, found = lay_over(image, mask, image + 1, torch.full((2, 2), UNLABELLED),
                              torch.Generator())
    assert torch.equal(picture, image) and torch.equal(found, mask)


def test_mixed_pictures_and_masks_stay_aligned():
    """As often as the recipe says, with a draw of its own, drawn again at will."""
    plain = replace(GEOMETRY, crop=(48, 72), scale=(1, 1))
    changed = 0
    for epoch in range(10):
        data, single = (augmented(replace(plain, class_mix=share), epoch=epoch)
                        for share in (0.5, 0.0))
        for index in range(4):
            image, mask = data[index]
            assert torch.equal(image[2], (20 * mask).to(torch.uint8))
            assert torch.equal(data[index][0], image)
            changed += not torch.equal(single[index][1], mask)
    # of the others some are the item itself, flipped alike
    assert 8 <= changed <= 24
