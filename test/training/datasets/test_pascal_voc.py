"""Pascal VOC's layout in miniature."""
import numpy as np
from PIL import Image
import pytest

from roadseg_ros.labels import load_label_space
from training.datasets.frames import DatasetError
from training.datasets.pascal_voc import PascalVoc

IDS = np.array([[0, 7, 255], [20, 15, 14]], np.uint8)


@pytest.fixture
def root(tmp_path, write):
    """Return a VOC of two pictures, one with a mask of grey ids, as SBD's are."""
    colors = np.zeros((256, 3), np.uint8)
    colors[:21] = load_label_space('pascal_voc').colors
    colors[255] = 224, 224, 192
    for name in ('2007_000032', '2008_000008'):
        write(f'JPEGImages/{name}.jpg', np.full((2, 3, 3), 5, np.uint8))
    write('SegmentationClass/2008_000008.png', IDS)
    mask = Image.fromarray(IDS, mode='P')
    mask.putpalette(colors.ravel().tolist())
    mask.save(tmp_path / 'SegmentationClass/2007_000032.png')
    write('ImageSets/Segmentation/train.txt', '2007_000032\n2008_000008\n')
    write('ImageSets/Segmentation/val.txt', '\n')
    return tmp_path


def test_palette_and_grey_masks_are_read_alike(root):
    """Void is unlabelled; all 21 classes stand for themselves."""
    data = PascalVoc(root, 'train')
    assert len(data) == 2 and len(data.labels) == 21
    for index in range(2):
        np.testing.assert_array_equal(data[index][1], IDS)


def test_other_classes_take_what_they_list(root):
    """Cars and buses as cars."""
    data = PascalVoc(root, 'train', 'car', {'car': ['car', 'train', 'motorbike']}, 'background')
    assert data.mask(0).tolist() == [[0, 1, 255], [0, 0, 1]]


def test_what_is_missing_is_named(root, write):
    """The list, the pictures in it, a mask."""
    with pytest.raises(DatasetError, match='cannot read .*Segmentation/test.txt'):
        PascalVoc(root, 'test')
    with pytest.raises(DatasetError, match='no pictures named in .*val.txt'):
        PascalVoc(root, 'val')
    write('ImageSets/Segmentation/val.txt', 'mars\n')
    with pytest.raises(DatasetError, match='1 labels have no picture; first: .*mars.jpg'):
        PascalVoc(root, 'val')
    write('JPEGImages/mars.jpg', IDS)
    with pytest.raises(DatasetError, match='no mask; first: .*SegmentationClass/mars.png'):
        PascalVoc(root, 'val')
