"""The data of a run, dealt out to its processes: nothing twice, and as many batches to each."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from roadseg_ros.labels import UNLABELLED
from training.transforms import Augmented, Item, Prepared


class Shuffled(Sampler[int]):
    """
    One process's share of the items, in an order that follows from seed and epoch alone.

    The processes' batches of one step together are the next piece of one permutation. Up to
    `ranks - 1` items, others each epoch, are left out so that the shares are of one size.

    :param dataset: knows seed and epoch.
    :param rank: number of this process.
    :param ranks: number of processes.
    """

    def __init__(self, dataset: Augmented, rank: int = 0, ranks: int = 1) -> None:
        self.dataset, self.rank, self.ranks = dataset, rank, ranks

    def __len__(self) -> int:
        """Return the number of items in a share."""
        return len(self.dataset) // self.ranks

    def __iter__(self) -> Iterator[int]:
        """Return the order of the data's present epoch."""
        generator = torch.Generator().manual_seed(hash((self.dataset.seed, self.dataset.epoch)))
        order = torch.randperm(len(self.dataset), generator=generator).tolist()
        return iter(order[self.rank:len(self) * self.ranks:self.ranks])


class Share(Dataset[Item]):
    """
    One process's share of the validation frames, all shares of one length.

    The processes must take equally many steps, so a share that would be shorter ends with a
    frame that has no labels and counts nothing.

    :param dataset: the frames.
    :param rank: number of this process.
    :param ranks: number of processes.
    """

    def __init__(self, dataset: Prepared, rank: int = 0, ranks: int = 1) -> None:
        self.dataset, self.rank, self.ranks = dataset, rank, ranks

    def __len__(self) -> int:
        """Return the number of frames in a share."""
        return -(-len(self.dataset) // self.ranks)

    def __getitem__(self, index: int) -> Item:
        """Return a frame and its mask as `Prepared` does."""
        number = index * self.ranks + self.rank
        if number < len(self.dataset):
            return self.dataset[number]
        frame, mask = self.dataset[0]
        return frame, torch.full_like(mask, UNLABELLED)


class RunData(pl.LightningDataModule):
    """
    The loaders of a run, for the process that asks.

    :param train: the training data.
    :param val: the frames to validate on, one a step, since their sizes may differ.
    :param batch_size: items in a batch of one process.
    :param workers: loading processes of each loader.
    """

    def __init__(self, train: Augmented, val: Prepared, batch_size: int, workers: int) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.batch_size, self.workers = batch_size, workers

    def train_dataloader(self) -> DataLoader[Item]:
        """Return whole batches in random order, or the one that there is where data is short."""
        sampler = Shuffled(self.train, *self._place())
        return DataLoader(self.train, batch_size=self.batch_size, sampler=sampler,
                          drop_last=len(sampler) >= self.batch_size, num_workers=self.workers)

    def val_dataloader(self) -> DataLoader[Item]:
        """Return single frames in order."""
        return DataLoader(Share(self.val, *self._place()), num_workers=self.workers)

    def _place(self) -> tuple[int, int]:
        """Return the number of this process and how many there are."""
        assert self.trainer is not None
        return self.trainer.global_rank, self.trainer.world_size
