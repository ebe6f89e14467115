"""BDD100K's layouts in miniature."""
import numpy as np
import pytest

from training.datasets.bdd100k import Bdd100k
from training.datasets.frames import DatasetError

NAMES = [f'{video:08x}-{frame:08x}' for video in range(10) for frame in range(2)]


@pytest.fixture(params=[('images/10k', 'labels/sem_seg/masks', '.png'),
                        ('seg/images', 'seg/labels', '_train_id.png')])
def root(request, tmp_path, write):
    """Return a BDD100K of ten videos, two frames each, in either layout."""
    images, masks, suffix = request.param
    for index, name in enumerate(NAMES):
        split = 'train' if index % 4 else 'val'
        write(f'{images}/{split}/{name}.jpg', np.full((2, 3, 3), 8, np.uint8))
        write(f'{masks}/{split}/{name}{suffix}', np.array([[index % 19, 255, 13]] * 2, np.uint8))
    write(f'{images}/test/{"f" * 8}-{"0" * 8}.jpg', np.zeros((2, 3, 3), np.uint8))
    return tmp_path


def names(data):
    """Return the pictures' names."""
    return [path.stem for path in data.images]


def test_pictures_meet_their_masks(root):
    """Ids are the training ids of Cityscapes' classes; test is left alone."""
    data = Bdd100k(root, splits=['train'])
    assert names(data) == [name for index, name in enumerate(NAMES) if index % 4]
    image, mask = data[1]
    assert mask.tolist() == [[2, 255, 13]] * 2
    assert image.shape == (2, 3, 3) and image.dtype == np.uint8
    assert data.labels.names[13] == 'car'


def test_parts_divide_no_video(root):
    """Both splits are drawn from, by video."""
    parts = [Bdd100k(root, part) for part in ('train', 'val', 'test')]
    assert [len(part) for part in parts] == [14, 4, 2]
    assert sorted(sum(map(names, parts), [])) == NAMES
    videos = [{name[:8] for name in names(part)} for part in parts]
    assert sum(map(len, videos)) == 10
    assert names(Bdd100k(root, 'train', samples=5)) == names(parts[0])[:5]
    assert names(Bdd100k(root, 'train', seed=1)) != names(parts[0])


def test_other_classes_take_what_they_list(root):
    """Names are those of the training classes."""
    data = Bdd100k(root, labels='car', classes={'car': ['car', 'sidewalk']}, rest='background',
                   splits=['train'])
    assert data.mask(0).tolist() == [[1, 255, 1]] * 2
    assert data.mask(1).tolist() == [[0, 255, 1]] * 2


def test_what_is_missing_is_named(root, tmp_path):
    """Both layouts are named; so is a mask, or a part without a picture."""
    with pytest.raises(DatasetError, match=r'no pictures .*none/images/10k/val/\*.jpg or .*none/'
                                           r'seg/images/val/\*.jpg'):
        Bdd100k(tmp_path / 'none', splits=['val'])
    with pytest.raises(DatasetError, match='no pictures of part val: 20 pictures in all'):
        Bdd100k(root, 'val', shares=[1, 0, 0])
    with pytest.raises(DatasetError, match='700 samples are asked for, part train has 14'):
        Bdd100k(root, 'train', samples=700)
    with pytest.raises(DatasetError, match='the labels of test are not public'):
        Bdd100k(root, splits=['test'])
    path = Bdd100k(root).masks[0]
    path.unlink()
    with pytest.raises(DatasetError, match=f'no mask; first: {path}'):
        Bdd100k(root)
