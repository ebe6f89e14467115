"""Data dealt out to processes: every validation frame once, equal work, one permutation."""
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from training.data import RunData, Share, Shuffled
from training.datasets import make_dataset
from training.transforms import Augmented, Prepared


class Place:
    """Where a process stands among others, as a trainer says it."""

    def __init__(self, global_rank, world_size):
        self.global_rank, self.world_size = global_rank, world_size


def augmented(samples, epoch=0):
    """Return training data of some samples at an epoch."""
    data = make_dataset([{'dataset': 'synthetic', 'samples': samples, 'height': 32, 'width': 40}])
    data = Augmented(data, lambda *item: item, seed=3)
    data.epoch = epoch
    return data


def loaders(samples, ranks, batch_size=4, frames=3):
    """Return the loaders of each process."""
    val = make_dataset([{'dataset': 'synthetic', 'samples': frames, 'seed': 9, 'height': 32,
                         'width': 40}])
    found = []
    for rank in range(ranks):
        data = RunData(augmented(samples), Prepared(val, 32, 8), batch_size, workers=0)
        data.trainer = Place(rank, ranks)
        found.append((data.train_dataloader(), data.val_dataloader()))
    return found


@pytest.mark.parametrize('ranks', [1, 2, 3, 5])
def test_every_validation_pixel_counts_once(ranks):
    """Shares are of one length; together their labels are those of the data, once."""
    shares = [val for _, val in loaders(8, ranks)]
    assert {len(share) for share in shares} == {-(-3 // ranks)}
    counts = sum(np.bincount(mask.numpy().ravel(), minlength=256)[:255]
                 for share in shares for _, mask in share)
    data = make_dataset([{'dataset': 'synthetic', 'samples': 3, 'seed': 9, 'height': 32,
                          'width': 40}])
    wanted = sum(np.bincount(mask.ravel(), minlength=256)[:255] for mask in data.masks())
    np.testing.assert_array_equal(counts, wanted)


def test_a_share_of_one_is_the_data():
    """A single process sees the frames as they are, in order."""
    data = Prepared(make_dataset([{'dataset': 'synthetic', 'samples': 2, 'height': 32,
                                   'width': 40}]), 32, 8)
    for own, shared in zip(DataLoader(data), DataLoader(Share(data)), strict=True):
        assert torch.equal(own[0], shared[0]) and torch.equal(own[1], shared[1])


@pytest.mark.parametrize('samples, ranks, sizes', [
    (5, 1, [4]), (5, 2, [2]), (3, 1, [3]), (9, 2, [4]), (17, 2, [4, 4]), (7, 7, [1])])
def test_processes_take_equally_many_batches(samples, ranks, sizes):
    """Whole batches, or one shorter one where data is short: the same in every process."""
    for train, _ in loaders(samples, ranks):
        assert len(train) == len(sizes)
        assert [len(image) for image, _ in train] == sizes


@pytest.mark.parametrize('ranks', [2, 3])
def test_shares_are_one_permutation_dealt_out(ranks):
    """The batches of a step, together, are the next piece of what one process would see."""
    whole = list(Shuffled(augmented(11, epoch=4)))
    assert sorted(whole) == list(range(11))
    shares = [list(Shuffled(augmented(11, epoch=4), rank, ranks)) for rank in range(ranks)]
    assert {len(share) for share in shares} == {11 // ranks}
    dealt = [index for step in zip(*shares) for index in step]
    assert dealt == whole[:len(dealt)]
    assert whole != list(Shuffled(augmented(11, epoch=5)))
