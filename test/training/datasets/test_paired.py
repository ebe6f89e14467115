"""What all data sets on disk share: turned pictures, and sizes that differ."""
import numpy as np
import pytest

from training.datasets.class_map import ClassMap
from training.datasets.folders import Folders
from training.datasets.frames import DatasetError
from training.datasets.paired import ColorMasks, find_picture, IdMasks


def test_pictures_of_benchmarks_are_not_turned(tmp_path, write, sideways):
    """Their masks were drawn on the pixels as they lie in the file."""
    pair = (sideways('a.jpg'), write('a.png', np.zeros((6, 8), np.uint8)))
    image, mask = IdMasks([pair], ['road'], ClassMap('kitti_road'), '')[0]
    assert image.shape == (6, 8, 3) and mask.shape == (6, 8)
    assert image[3, 1].min() > 200 and image[3, 6].max() < 50


def test_colours_with_alpha_and_ids_in_one_channel_are_read(write):
    """Some tools write a fourth channel, some write ids."""
    colors = np.array([[(0, 0, 9, 255), (0, 0, 8, 255)]], np.uint8)
    pairs = [(path, path) for path in (write('a.png', colors),
                                       write('b.png', np.array([[1, 0]], np.uint8)))]
    data = ColorMasks(pairs, ['background', 'road'], [(8, 0, 0), (9, 0, 0)],
                      ClassMap('kitti_road'), '')
    assert data.mask(0).tolist() == data.mask(1).tolist() == [[1, 0]]


def test_sizes_that_differ_name_both_files(write):
    """Picture and mask."""
    pair = (write('a.jpg', np.zeros((6, 8, 3), np.uint8)),
            write('m.png', np.zeros((8, 6), np.uint8)))
    data = IdMasks([pair], ['road'], ClassMap('kitti_road'), '')
    with pytest.raises(DatasetError, match=r'm.png: the mask is \(8, 6\), its picture \(6, 8\): '
                                           '.*a.jpg'):
        data[0]


def test_folders_that_are_not_there_are_named(tmp_path):
    """Before the label space that they would hold."""
    with pytest.raises(DatasetError, match=r'no pictures .*nowhere/\*: there is no such folder'):
        Folders(tmp_path / 'nowhere', 'train')


def test_pictures_are_found_by_their_name(tmp_path, write):
    """Whatever their suffix; where there is none, the likeliest is named."""
    path = write('a.PNG', np.zeros((2, 2), np.uint8))
    assert find_picture(tmp_path, 'a') == path
    assert find_picture(tmp_path, 'b').name == 'b.jpg'
