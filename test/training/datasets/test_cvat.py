"""A CVAT export of `Segmentation mask 1.1` in miniature."""
import numpy as np
import pytest

from training.datasets.cvat import Cvat
from training.datasets.frames import DatasetError

LABEL_MAP = ('# label:color_rgb:parts:actions\n'
             'background:0,0,0::\n'
             'street:128,64,128::\n'
             'car:0,0,142::\n')
BLACK, STREET, CAR = (0, 0, 0), (128, 64, 128), (142, 0, 0)  # BGR
MASK = np.array([[BLACK, STREET, CAR], [CAR, CAR, STREET]], np.uint8)
CLASSES = {'road': ['street'], 'car': ['car']}


@pytest.fixture
def root(tmp_path, write):
    """Return an export of two pictures, one of them in a folder."""
    write('labelmap.txt', LABEL_MAP)
    write('ImageSets/Segmentation/default.txt', 'one\ndrive/two shots\n')
    write('JPEGImages/one.png', np.full((2, 3, 3), 3, np.uint8))
    write('JPEGImages/drive/two shots.JPG', np.full((2, 3, 3), 4, np.uint8))
    for name in ('one', 'drive/two shots'):
        write(f'SegmentationClass/{name}.png', MASK)
        write(f'SegmentationObject/{name}.png', MASK[::-1])
    return tmp_path


def test_colours_become_classes(root):
    """By the names in the label map."""
    data = Cvat(root, labels='road_car', classes=CLASSES, rest='background')
    assert [path.name for path in data.images] == ['one.png', 'two shots.JPG']
    image, mask = data[1]
    assert mask.tolist() == [[0, 1, 2], [2, 2, 1]]
    assert mask.dtype == np.uint8 and (image == 4).all()


def test_names_that_agree_need_no_list(root, write):
    """A label space of one's own lies beside the label map."""
    write('labels.yaml', '- {name: car, color: [0, 0, 1]}\n- {name: street, color: [0, 0, 2]}\n')
    data = Cvat(root)
    assert data.labels.names == ('car', 'street')
    assert data.mask(0).tolist() == [[255, 1, 0], [0, 0, 1]]


def test_a_frame_on_which_nothing_was_drawn_is_background(root, write):
    """CVAT lists it and writes no mask; an export without a single mask is refused."""
    (root / 'SegmentationClass/one.png').unlink()
    data = Cvat(root, labels='road_car', classes=CLASSES, rest='background')
    assert (data.mask(0) == 0).all() and data.mask(0).shape == (2, 3)
    assert (Cvat(root, labels='road_car', classes=CLASSES).mask(0) == 255).all()
    (root / 'SegmentationClass/drive/two shots.png').unlink()
    with pytest.raises(DatasetError, match='2 pictures have no mask'):
        Cvat(root, labels='road_car', classes=CLASSES)


def test_pictures_are_turned_as_cvat_shows_them(root, write, sideways):
    """The mask has the size of the picture on the screen."""
    (root / 'JPEGImages/one.png').unlink()
    sideways('JPEGImages/one.jpg')
    write('SegmentationClass/one.png', np.full((8, 6, 3), STREET, np.uint8))
    image, mask = Cvat(root, labels='road_car', classes=CLASSES)[0]
    assert (mask == 1).all()
    assert image[1, 3].min() > 200 and image[6, 3].max() < 50


@pytest.mark.parametrize('text, reason', [
    ('car:0,0\n', "labelmap.txt: 'car:0,0' is not name:red,green,blue::"),
    ('car\n', "labelmap.txt: 'car' is not name:red,green,blue::"),
    ('car:0,0,1::\nbus:0,0,1::\n', "the name or the colour of 'bus:0,0,1::' stands twice"),
    ('car:0,0,1::\ncar:0,0,2::\n', "the name or the colour of 'car:0,0,2::' stands twice"),
])
def test_label_maps_that_do_not_fit_are_named(root, write, text, reason):
    """The message shows the line."""
    write('labelmap.txt', text)
    with pytest.raises(DatasetError, match=reason):
        Cvat(root, labels='car')


def test_what_does_not_fit_is_named(root, write):
    """A colour that the label map lacks, names, files."""
    path = write('SegmentationClass/one.png', np.full((2, 3, 3), (3, 2, 1), np.uint8))
    with pytest.raises(DatasetError, match=rf'{path}: the colour \[1, 2, 3\] \(RGB\) stands for '
                                           'none of background, street, car'):
        Cvat(root, labels='car').mask(0)
    with pytest.raises(DatasetError, match="classes: the data set has no 'road', only backgro"):
        Cvat(root, labels='road_car', classes={'road': ['road']})
    with pytest.raises(DatasetError, match='cannot read .*Segmentation/train.txt'):
        Cvat(root, 'train', labels='car')
    (root / 'labelmap.txt').unlink()
    with pytest.raises(DatasetError, match='cannot read .*labelmap.txt'):
        Cvat(root, labels='car')
