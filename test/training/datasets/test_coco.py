"""COCO's layout in miniature: polygons, run lengths of both kinds, crowds."""
import json

import numpy as np
from pycocotools import mask as run_lengths
import pytest

from training.datasets.coco import Coco
from training.datasets.frames import DatasetError

# pycocotools 2.0.11 on NumPy 2
pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation')

CLASSES = {'car': ['car', 'truck']}


def instance(image, category, segmentation, **fields):
    """Return an annotation."""
    return {'id': 7, 'image_id': image, 'category_id': category, 'iscrowd': 0,
            'segmentation': segmentation, **fields}


def rectangle(left, top, right, bottom):
    """Return polygons of one rectangle."""
    return [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture
def save(tmp_path, write):
    """Return a function that writes the annotations of two 4x6 pictures; ids have gaps."""
    for name in ('000000000009', '000000000025'):
        write(f'val2017/{name}.jpg', np.full((4, 6, 3), 6, np.uint8))

    def save_file(annotations):
        return write('annotations/instances_val2017.json', json.dumps({
            'images': [{'id': 25, 'file_name': '000000000025.jpg', 'height': 4, 'width': 6},
                       {'id': 9, 'file_name': '000000000009.jpg', 'height': 4, 'width': 6}],
            'annotations': annotations,
            'categories': [{'id': 1, 'name': 'person'}, {'id': 3, 'name': 'car'},
                           {'id': 90, 'name': 'truck'}]}))
    return save_file


def test_instances_become_classes(tmp_path, save):
    """Polygons of the classes asked for; the rest is what they leave."""
    save([instance(9, 3, rectangle(1, 1, 4, 3)), instance(9, 90, rectangle(5, 0, 6, 4)),
          instance(9, 1, rectangle(0, 3, 1, 4))])
    data = Coco(tmp_path, 'val2017', 'car', CLASSES, 'background')
    assert [path.name for path in data.images] == ['000000000009.jpg', '000000000025.jpg']
    expected = np.zeros((4, 6), np.uint8)
    expected[1:3, 1:4] = expected[:, 5] = 1
    image, mask = data[0]
    np.testing.assert_array_equal(mask, expected)
    assert image.shape == (4, 6, 3) and mask.dtype == np.uint8
    assert not data.mask(1).any()
    assert (Coco(tmp_path, 'val2017', 'car').mask(1) == 255).all()


def test_the_smaller_instance_lies_on_top(tmp_path, save, write):
    """In whatever order they are listed."""
    write('labels.yaml', '- {name: person, color: [0, 0, 1]}\n- {name: car, color: [0, 0, 2]}\n')
    person, car = instance(9, 1, rectangle(2, 2, 3, 3)), instance(9, 3, rectangle(0, 0, 6, 4))
    for annotations in ([person, car], [car, person]):
        save(annotations)
        mask = Coco(tmp_path, 'val2017', tmp_path / 'labels.yaml').mask(0)
        assert mask[2, 2] == 0 and (mask == 1).sum() == 23


def test_run_lengths_are_read(tmp_path, save):
    """As lists, as crowds have them, and packed into text."""
    drawn = np.zeros((4, 6), np.uint8, order='F')
    drawn[1:3, 2] = 1
    packed = run_lengths.encode(drawn)
    packed['counts'] = packed['counts'].decode()
    for outline in (packed, {'size': [4, 6], 'counts': [9, 2, 13]}):
        save([instance(25, 3, outline, iscrowd=1)])
        mask = Coco(tmp_path, 'val2017', 'car', rest='background').mask(1)
        np.testing.assert_array_equal(mask, drawn)


@pytest.mark.parametrize('outline, reason', [
    ([[0, 0, 1, 1]], 'a polygon has fewer than three points'),
    ([], 'a polygon has fewer than three points'),
    ({'size': [6, 4], 'counts': [9, 2, 13]}, r'run lengths of size \[6, 4\]'),
    ({'counts': 3}, ''),
])
def test_outlines_that_do_not_fit_are_named(tmp_path, save, outline, reason):
    """The message names the file and the picture."""
    path = save([instance(9, 3, outline)])
    with pytest.raises(DatasetError, match=f'{path}: an instance on 000000000009.jpg does not '
                                           f'fit: .*{reason}'):
        Coco(tmp_path, 'val2017', 'car').mask(0)


def test_what_does_not_fit_is_named(tmp_path, save, write):
    """Unknown categories, names and files."""
    path = save([instance(9, 5, rectangle(0, 0, 1, 1))])
    with pytest.raises(DatasetError, match=f'{path}: annotation 7 is of the unknown category 5'):
        Coco(tmp_path, 'val2017', 'car')
    save([])
    with pytest.raises(DatasetError, match="classes: the data set has no 'van', only person"):
        Coco(tmp_path, 'val2017', 'car', {'car': ['van']})
    (tmp_path / 'val2017/000000000009.jpg').unlink()
    with pytest.raises(DatasetError, match='1 labels have no picture; first: .*000000000009.jpg'):
        Coco(tmp_path, 'val2017', 'car')
    with pytest.raises(DatasetError, match='cannot read .*instances_train2017.json'):
        Coco(tmp_path, 'train2017', 'car')
    for text in ('{', '{}', '[]'):
        path = write('annotations/instances_val2017.json', text)
        with pytest.raises(DatasetError, match=f'{path} is not as COCO has it'):
            Coco(tmp_path, 'val2017', 'car')
