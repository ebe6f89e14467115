"""Which of a data set's pictures are used: official splits, drawn parts, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

from training.datasets.frames import DatasetError

PARTS = ('train', 'val', 'test')
SHARES = (70, 15, 15)

T = TypeVar('T')


def labelled_splits(splits: Sequence[str]) -> Sequence[str]:
    """
    Check a list of official splits of a benchmark.

    :param splits: of train and val.
    :raises DatasetError: another split, or no list.
    """
    if not isinstance(splits, (list, tuple)) or not splits or not {*splits} <= {'train', 'val'}:
        raise DatasetError('splits must be a list of train and val (the labels of test are not '
                           f'public), not {splits!r}')
    return splits


def choose(items: Sequence[T], part: str | None, shares: Sequence[float], seed: int,
           samples: int | None, group: Callable[[T], str]) -> list[T]:
    """
    Draw a part, so that what belongs together stays together.

    :param items: in a fixed order.
    :param part: 'train', 'val', 'test', or None for all.
    :param shares: of the three parts, in any unit.
    :param seed: the same one gives the same parts.
    :param samples: take so many of the part (default: all of it).
    :param group: name of what an item must not be parted from, such as its video.
    :return: the items, shuffled; in their own order where all are asked for.
    :raises DatasetError: an argument does not fit, or the part has fewer than `samples`.
    """
    _check(part, shares, seed, samples)
    if part is None and samples is None:
        return list(items)
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    drawn: tuple[list[T], ...] = ([], [], [])
    ends = [len(items) * end / sum(shares) for end in accumulate(shares)]
    done = 0
    kept_together = list(groups.values())
    for index in np.random.default_rng(seed).permutation(len(kept_together)):
        members = kept_together[index]
        # half an item on, so that rounding of the shares decides nothing
        drawn[sum(done + 0.5 > end for end in ends[:2])].extend(members)
        done += len(members)
    chosen = [item for some in drawn for item in some] if part is None else (
        drawn[PARTS.index(part)])
    if samples is not None and samples > len(chosen):
        raise DatasetError(f'{samples} samples are asked for, part {part or "all"} has '
                           f'{len(chosen)}')
    return chosen[:samples]


def _check(part: str | None, shares: Sequence[float], seed: int, samples: int | None) -> None:
    """Refuse arguments that no part can be drawn by."""
    if part is not None and part not in PARTS:
        raise DatasetError(f'part must be one of {", ".join(PARTS)}, not {part!r}')
    if not isinstance(shares, (list, tuple)) or len(shares) != 3 or not all(
            type(share) in (int, float) and share >= 0 for share in shares) or not sum(shares):
        raise DatasetError('shares must be three numbers, of train, val and test, such as '
                           f'{list(SHARES)}, not {shares!r}')
    if type(seed) is not int or seed < 0:
        raise DatasetError(f'seed must be a whole number from 0, not {seed!r}')
    if samples is not None and (type(samples) is not int or samples < 1):
        raise DatasetError(f'samples must be a whole number from 1, not {samples!r}')
