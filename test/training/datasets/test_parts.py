"""Parts of a data set: their sizes, what stays together, and what is refused."""
import pytest

from training.datasets.frames import DatasetError
from training.datasets.parts import choose, labelled_splits

ITEMS = [f'{video}-{frame}' for video in 'abcdefghijklmnopqrst' for frame in range(3)]


def draw(part, samples=None, shares=(70, 15, 15), seed=0, group=lambda item: item[0]):
    """Draw a part of `ITEMS`, by video."""
    return choose(ITEMS, part, shares, seed, samples, group)


def test_parts_have_their_shares_and_divide_no_video():
    """Each item is in one part, each video too."""
    parts = [draw(part) for part in ('train', 'val', 'test')]
    assert [len(part) for part in parts] == [42, 9, 9]
    assert sorted(sum(parts, [])) == ITEMS
    videos = [{item[0] for item in part} for part in parts]
    assert sum(map(len, videos)) == len(set.union(*videos)) == 20


def test_parts_are_shuffled_by_the_seed():
    """The same seed gives the same part in the same order, another one another."""
    assert draw('train') == draw('train')
    assert draw('train') != sorted(draw('train'))
    assert set(draw('train')) != set(draw('train', seed=1))


def test_samples_are_the_first_of_their_part():
    """Fewer samples are among more."""
    assert draw('train', 5) == draw('train')[:5]
    assert len(draw(None, 50)) == 50
    with pytest.raises(DatasetError, match='10 samples are asked for, part val has 9'):
        draw('val', 10)


def test_all_come_in_their_own_order():
    """Nothing asked for, nothing shuffled."""
    assert draw(None) == ITEMS


@pytest.mark.parametrize('shares', [(0.7, 0.15, 0.15), (14, 3, 3)])
def test_shares_have_no_unit(shares):
    """Rounding of the shares does not move a border."""
    items = [str(index) for index in range(20)]
    parts = [choose(items, part, shares, 0, None, str) for part in ('train', 'val', 'test')]
    assert [len(part) for part in parts] == [14, 3, 3]


@pytest.mark.parametrize('arguments, reason', [
    ({'part': 'training'}, "part must be one of train, val, test, not 'training'"),
    ({'part': 'train', 'shares': (1, 2)}, 'shares must be three numbers'),
    ({'part': 'train', 'shares': (0, 0, 0)}, 'shares must be three numbers'),
    ({'part': 'train', 'shares': (2, -1, 1)}, 'shares must be three numbers'),
    ({'part': 'train', 'seed': -1}, 'seed must be a whole number from 0, not -1'),
    ({'part': 'train', 'samples': 0}, 'samples must be a whole number from 1, not 0'),
])
def test_arguments_that_do_not_fit_are_named(arguments, reason):
    """The message says what is wanted."""
    with pytest.raises(DatasetError, match=reason):
        draw(**arguments)


@pytest.mark.parametrize('splits', [['test'], ['train', 'test'], 'train', [], None, ['mars']])
def test_other_splits_have_no_labels(splits):
    """A benchmark keeps the labels of test."""
    with pytest.raises(DatasetError, match=r'list of train and val \(the labels of test are not'):
        labelled_splits(splits)
    assert labelled_splits(['val', 'train']) == ['val', 'train']
