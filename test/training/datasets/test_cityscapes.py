"""Cityscapes' layout in miniature."""
import numpy as np
import pytest

from roadseg_ros.labels import load_label_space
from training.datasets import make_dataset
from training.datasets.cityscapes import Cityscapes, LABEL_IDS
from training.datasets.frames import DatasetError

IDS = np.arange(34, dtype=np.uint8).reshape(2, 17)
# trainId by labelId, as Cityscapes' scripts have it
TRAIN_IDS = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, *range(6, 16),
                         255, 255, 16, 17, 18]


@pytest.fixture
def root(tmp_path, write):
    """Return a Cityscapes of three pictures in two cities, every id in each mask."""
    for split, city in (('train', 'ulm'), ('train', 'aachen'), ('val', 'lindau')):
        stem = f'{split}/{city}/{city}_000000_000019_'
        write(f'leftImg8bit/{stem}leftImg8bit.png', np.full((2, 17, 3), len(city), np.uint8))
        write(f'gtFine/{stem}gtFine_labelIds.png', IDS)
        write(f'gtFine/{stem}gtFine_instanceIds.png', IDS)
    return tmp_path


def test_label_ids_become_train_ids(root):
    """Each id becomes its training class or unlabelled."""
    data = Cityscapes(root)
    assert data.labels == load_label_space('cityscapes')
    assert [path.name[:5] for path in data.images] == ['aache', 'ulm_0']
    image, mask = data[0]
    assert mask.ravel().tolist() == TRAIN_IDS
    assert (image == 6).all()
    assert len(LABEL_IDS) == 34 and len(data.labels) == 19


def test_splits_are_joined(root):
    """Train and val together, in the order asked for."""
    data = Cityscapes(root, splits=['val', 'train'])
    assert [path.parent.name for path in data.images] == ['lindau', 'aachen', 'ulm']


def test_other_classes_take_what_they_list(root):
    """Background, road and car, as in a recipe."""
    joined = make_dataset([{'dataset': 'cityscapes', 'root': root, 'labels': 'road_car',
                            'classes': {'road': ['road', 'parking'], 'car': ['car', 'truck']},
                            'rest': 'background'}])
    ids = joined[0][1].ravel().tolist()
    assert [index for index, value in enumerate(ids) if value == 1] == [7, 9]
    assert [index for index, value in enumerate(ids) if value == 2] == [26, 27]
    assert ids.count(0) == 30
    assert joined.parts[0].labels.names == ('background', 'road', 'car')


def test_licence_plates_are_unlabelled(root, write):
    """Their id, -1, is 255 in a mask of 8 bits."""
    write('gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png',
          np.array([[255, 7]], np.uint8))
    assert Cityscapes(root, ['val'], rest='sky').mask(0).tolist() == [[255, 0]]


def test_test_has_no_public_labels(root):
    """Asking for it is an error, not a set of empty masks."""
    with pytest.raises(DatasetError, match='the labels of test are not public'):
        Cityscapes(root, ['test'])


def test_what_is_missing_is_named(root, tmp_path):
    """An empty folder, and a picture without its mask."""
    with pytest.raises(DatasetError, match=r'no pictures .*nowhere/leftImg8bit/val/\*/\*_left'):
        Cityscapes(tmp_path / 'nowhere', ['val'])
    path = root / 'gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png'
    path.unlink()
    with pytest.raises(DatasetError, match=f'1 pictures have no mask; first: {path}'):
        Cityscapes(root)


def test_foreign_ids_are_named(root, write):
    """Ids above 33 are none of Cityscapes'."""
    path = write('gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png',
                 np.full((2, 17), 34, np.uint8))
    with pytest.raises(DatasetError, match=rf'{path}: id 34 is none of the 34 classes unlabeled'):
        Cityscapes(root, ['val'])[0]
