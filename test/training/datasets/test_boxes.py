"""CrowdAI's boxes in miniature, with its own header and with the one that it should have."""
import numpy as np
import pytest

from training.datasets.boxes import CarBoxes
from training.datasets.frames import DatasetError

HEADER = 'xmin,xmax,ymin,ymax,Frame,Label,Preview URL\n'
CORRECT = 'xmin,ymin,xmax,ymax,Frame,Label,Preview URL\n'
LINES = ('3,3,9,6,b.jpg,Car,http://x\n'
         '9,0,12,9,b.jpg,Truck,http://x\n'
         '0,0,3,3,b.jpg,Pedestrian,http://x\n'
         '0,6,2,8,a.jpg,Car,http://x\n'
         '0,0,9,9,c.jpg,Pedestrian,http://x\n')


@pytest.fixture(params=[HEADER, CORRECT])
def root(request, tmp_path, write):
    """Return three frames of 9x12 pixels and their boxes."""
    for index, name in enumerate('abcd'):
        write(f'{name}.jpg', np.full((9, 12, 3), 40 * index, np.uint8))
    write('labels.csv', request.param + LINES)
    return tmp_path


def test_boxes_of_cars_and_trucks_are_drawn(root):
    """Whatever the header says, a line is left, top, right, bottom."""
    data = CarBoxes(root)
    assert [path.name for path in data.images] == ['a.jpg', 'b.jpg', 'c.jpg']
    assert data.labels.names == ('background', 'car')
    expected = np.zeros((9, 12), np.uint8)
    expected[3:6, 3:9] = expected[:, 9:12] = 1
    image, mask = data[1]
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.uint8 and (abs(image.astype(int) - 40) < 3).all()
    assert data.mask(0).sum() == 4 and not data.mask(2).any()


def test_frames_are_made_smaller(root):
    """Picture and mask alike."""
    image, mask = CarBoxes(root, divide=3)[1]
    assert image.shape == (3, 4, 3)
    assert mask.tolist() == [[0, 0, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]]


def test_small_boxes_are_dropped_by_their_area_as_filed(root):
    """The area counts before the frame is made smaller."""
    data = CarBoxes(root, min_box_pixels=18, divide=3)
    assert not data.mask(0).any()
    assert data.mask(1).sum() == 5
    assert CarBoxes(root, min_box_pixels=19, divide=3).mask(1).sum() == 3


def test_boxes_are_cut_at_the_border_and_may_begin_at_another_corner(root, write):
    """What lies outside is lost, not an error."""
    write('labels.csv', f'{HEADER}-3,-2,2,2,a.jpg,Car,\n10,8,20,20,a.jpg,Car,\n'
                        '6,4,4,3,a.jpg,Car,\n')
    mask = CarBoxes(root).mask(0)
    assert mask[:2, :2].all() and mask[8:, 10:].all() and mask[3, 4:6].all()
    assert mask.sum() == 8


def test_parts_are_drawn_by_the_seed(root):
    """Each frame is in one part."""
    parts = [CarBoxes(root, part=part, shares=[1, 1, 1]) for part in ('train', 'val', 'test')]
    assert sorted(part.images[0].name for part in parts) == ['a.jpg', 'b.jpg', 'c.jpg']
    with pytest.raises(DatasetError, match='no pictures named in .*labels.csv'):
        CarBoxes(root, part='val', shares=[1, 0, 0])


def test_neighbours_stay_together(tmp_path, write):
    """Parts change only between stretches, a fortieth of the drive each."""
    names = [f'{index:03}.jpg' for index in range(400)]
    for name in names:
        (tmp_path / name).touch()
    write('labels.csv', HEADER + ''.join(f'0,0,3,3,{name},Car,\n' for name in names))
    part_of = {path.name: part for part in ('train', 'val', 'test')
               for path in CarBoxes(tmp_path, part=part).images}
    assert len(part_of) == 400
    breaks = [name for name, after in zip(names, names[1:]) if part_of[name] != part_of[after]]
    assert breaks and all(int(name[:3]) % 10 == 9 for name in breaks)


@pytest.mark.parametrize('line, reason', [
    ('1,2,3,x,a.jpg,Car,', 'line 2 is not xmin,ymin,xmax,ymax,frame,label: 1,2,3,x,a.jpg,Car,'),
    ('1,2,3,4', 'line 2 is not xmin,ymin,xmax,ymax,frame,label: 1,2,3,4'),
    ('1,2,3,4,a.jpg,Boat,', "line 2: unknown label 'Boat'; known: Car, Truck, Pedestrian"),
    ('1,2,3,4,z.jpg,Car,', '1 labels have no picture; first: .*z.jpg'),
    ('785,905,533,644,a.jpg,Car,', '1 of 1 boxes end before they begin'),
])
def test_lines_that_do_not_fit_are_named(root, write, line, reason):
    """The message names the file and the line."""
    write('labels.csv', HEADER + line)
    with pytest.raises(DatasetError, match=reason):
        CarBoxes(root)


def test_what_is_missing_or_broken_is_named(root, tmp_path):
    """No list, no numbers, no picture."""
    with pytest.raises(DatasetError, match='cannot read .*nowhere/labels.csv'):
        CarBoxes(tmp_path / 'nowhere')
    with pytest.raises(DatasetError, match='divide must be a whole number from 1, not 0'):
        CarBoxes(root, divide=0)
    with pytest.raises(DatasetError, match="min_box_pixels must be .* from 0, not 'few'"):
        CarBoxes(root, min_box_pixels='few')
    (root / 'a.jpg').write_bytes(b'not a picture')
    for read in (CarBoxes(root).mask, CarBoxes(root).image):
        with pytest.raises(DatasetError, match='cannot read .*a.jpg'):
            read(0)
