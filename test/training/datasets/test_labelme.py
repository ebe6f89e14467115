"""LabelMe's files in miniature: shapes, pictures beside them and in them."""
import base64
import json

import cv2
import numpy as np
import pytest

from training.datasets.frames import DatasetError
from training.datasets.labelme import LabelMe

ROAD = {'label': 'road', 'points': [[0, 3], [7, 3], [7, 5], [0, 5]], 'group_id': None,
        'shape_type': 'polygon', 'flags': {}}
CAR = {'label': 'car', 'points': [[4.2, 4.0], [1.8, 2.1]], 'shape_type': 'rectangle'}
SPOT = {'label': '__ignore__', 'points': [[6, 1], [6, 2]], 'shape_type': 'circle'}


@pytest.fixture
def save(tmp_path, write):
    """Return a function that writes a picture and its JSON; the folder is `tmp_path`."""
    def save_file(name, shapes, **fields):
        write(f'{name}.png', np.full((6, 8, 3), 9, np.uint8))
        return write(f'{name}.json', json.dumps({
            'version': '5.4.1', 'flags': {}, 'shapes': shapes, 'imagePath': f'{name}.png',
            'imageData': None, 'imageHeight': 6, 'imageWidth': 8, **fields}))
    return save_file


def test_shapes_are_drawn_in_their_order(tmp_path, save):
    """Later ones lie on top; what none covers is the rest; `__ignore__` is unlabelled."""
    save('a', [ROAD, CAR, SPOT])
    image, mask = LabelMe(tmp_path, labels='road_car', rest='background')[0]
    expected = np.zeros((6, 8), np.uint8)
    expected[3:] = 1
    expected[2:5, 2:5] = 2
    expected[0, 6] = expected[1, 5:8] = expected[2, 6] = 255
    np.testing.assert_array_equal(mask, expected)
    assert (image == 9).all() and image.shape == (6, 8, 3)


def test_rest_is_unlabelled_unless_said(tmp_path, save, write):
    """Also what no shape covers; the label space may lie in the folder."""
    save('a', [ROAD])
    write('labels.yaml', '- {name: road, color: [0, 0, 1]}\n')
    mask = LabelMe(tmp_path).mask(0)
    assert (mask[:3] == 255).all() and (mask[3:] == 0).all()


def test_classes_take_labels_of_any_name(tmp_path, save):
    """Labels that none of them takes are the rest."""
    save('a', [{**ROAD, 'label': 'street'}, CAR])
    data = LabelMe(tmp_path, 'road_car', {'road': ['street', 'lane']}, 'background')
    assert data.mask(0)[5].tolist() == [1] * 8
    assert (data.mask(0)[2:5, 2:5] == 0).all()


def test_misspelt_labels_are_named(tmp_path, save):
    """Without `classes`, a label must be a class."""
    path = save('a', [{**ROAD, 'label': 'raod'}])
    with pytest.raises(DatasetError, match=f"{path} is not .* the label 'raod' is none of the "
                                           'classes background, road, car'):
        LabelMe(tmp_path, 'road_car')


def test_pictures_may_be_in_the_file(tmp_path, save):
    """imageData is read where the picture itself is missing."""
    png = cv2.imencode('.png', np.full((6, 8, 3), 77, np.uint8))[1]
    path = save('a', [ROAD], imageData=base64.b64encode(png).decode())
    assert LabelMe(tmp_path, 'road_car')[0][0][0, 0].tolist() == [9] * 3
    (tmp_path / 'a.png').unlink()
    image, mask = LabelMe(tmp_path, 'road_car')[0]
    assert (image == 77).all() and image.shape[:2] == mask.shape
    save('a', [ROAD], imageData='AAAA')
    (tmp_path / 'a.png').unlink()
    with pytest.raises(DatasetError, match=f'{path}: its imageData is no picture'):
        LabelMe(tmp_path, 'road_car').image(0)
    save('a', [ROAD])
    (tmp_path / 'a.png').unlink()
    with pytest.raises(DatasetError, match='1 labels have no picture; first: .*a.png'):
        LabelMe(tmp_path, 'road_car')


def test_pictures_are_found_where_windows_put_them(tmp_path, save, write):
    """A path with backslashes leads to another folder all the same."""
    write('shots/b.png', np.full((6, 8, 3), 5, np.uint8))
    save('a', [ROAD], imagePath='shots\\b.png')
    assert LabelMe(tmp_path, 'road_car')[0][0][0, 0].tolist() == [5] * 3


def test_pictures_are_turned_as_labelme_shows_them(tmp_path, save, sideways):
    """Shapes were drawn on the picture that its EXIF asks for."""
    sideways('a.jpg')
    save('a', [ROAD], imagePath='a.jpg', imageHeight=8, imageWidth=6)
    image, mask = LabelMe(tmp_path, 'road_car')[0]
    assert mask.shape == (8, 6) == image.shape[:2]
    assert image[1, 3].min() > 200 and image[6, 3].max() < 50


def test_parts_are_drawn_by_the_seed(tmp_path, save):
    """Each file is in one part."""
    for name in 'abc':
        save(name, [ROAD])
    parts = [LabelMe(tmp_path, 'road_car', part=part, shares=[2, 1, 0])
             for part in ('train', 'val')]
    assert [len(part) for part in parts] == [2, 1]
    assert not {*parts[0].masks} & {*parts[1].masks}


@pytest.mark.parametrize('shape, reason', [
    ({**ROAD, 'shape_type': 'line'}, "'road' is a line; masks are made of polygon, rectangle"),
    ({**ROAD, 'points': [[0, 0], [1, 1]]}, "the polygon 'road' has the points"),
    ({**ROAD, 'points': [[0, 0, 0]] * 3}, "the polygon 'road' has the points"),
    ({'points': [[0, 0]] * 3}, "'label'"),
    ({'label': 'road'}, "'points'"),
])
def test_shapes_that_do_not_fit_are_named(tmp_path, save, shape, reason):
    """The message names the file and the shape."""
    path = save('a', [shape])
    with pytest.raises(DatasetError, match=f'{path} is not as LabelMe writes it: {reason}'):
        LabelMe(tmp_path, 'road_car')


@pytest.mark.parametrize('text', ['{', '[]', '{"shapes": []}', '{"shapes": 3}',
                                  '{"shapes": [], "imagePath": "a.png", "imageHeight": null, '
                                  '"imageWidth": 8}'])
def test_files_of_something_else_are_named(tmp_path, write, text):
    """JSON that LabelMe did not write is no label."""
    path = write('a.json', text)
    with pytest.raises(DatasetError, match=f'{path} is not as LabelMe writes it'):
        LabelMe(tmp_path, 'road_car')


def test_what_is_missing_or_of_another_size_is_named(tmp_path, save):
    """No folder, no files, a picture that was scaled since."""
    with pytest.raises(DatasetError, match=r'no pictures .*nowhere/\*: there is no such folder'):
        LabelMe(tmp_path / 'nowhere')
    with pytest.raises(DatasetError, match=r'no pictures that .*/\*.json describe'):
        LabelMe(tmp_path, 'road_car')
    path = save('a', [ROAD], imageHeight=12)
    with pytest.raises(DatasetError, match=rf'{path}: the mask is \(12, 8\), its '
                                           r'picture \(6, 8\)'):
        LabelMe(tmp_path, 'road_car')[0]
