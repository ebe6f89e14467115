"""Proposed masks come back through the readers of training as they were written."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from roadseg_ros.labels import LabelSpace, load_label_space, UNLABELLED
from roadseg_ros.scenes import Drive
from roadseg_ros.tools.proposals import mask_colors, polygons, Proposals
from training.datasets.cvat import Cvat, read_label_map
from training.datasets.labelme import LabelMe


@pytest.fixture(scope='module')
def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return a street, (360, 480, 3) uint8 BGR, and its ids."""
    return Drive(seed=3).frame(40)


def borders(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return where another class is within so many pixels, (H, W) bool."""
    size = np.ones((2 * pixels + 1,) * 2, np.uint8)
    return cv2.dilate(mask, size) != cv2.erode(mask, size)


def write(folder, labels, *frames):
    """Write frames of (stem, picture, mask); return their names."""
    proposals = Proposals(folder, labels)
    proposals.write_labels()
    return [proposals.write(*frame) for frame in frames]


def test_cvat_reads_the_very_mask(tmp_path, labels, scene):
    picture, truth = scene
    truth = truth.copy()
    truth[:50, :50] = UNLABELLED
    assert write(tmp_path, labels, ('cam/front/17', picture, truth), ('a', picture, truth),
                 ('a', picture, truth)) == ['cam_front_17', 'a', 'a_1']
    data = Cvat(tmp_path)
    np.testing.assert_array_equal(data[0][0], picture)
    np.testing.assert_array_equal(data[0][1], truth)
    assert load_label_space(tmp_path / 'labels.yaml') == labels


def test_labelme_reads_the_mask_but_for_its_borders(tmp_path, labels, scene):
    """Farther than three pixels from another class, each pixel of a region is as it was."""
    picture, truth = scene
    write(tmp_path, labels, ('a', picture, truth))
    ((image, mask),) = LabelMe(tmp_path / 'JPEGImages', tmp_path / 'labels.yaml')
    np.testing.assert_array_equal(image, picture)
    inside = ~borders(truth, 3)
    assert inside.mean() > 0.5
    np.testing.assert_array_equal(mask[inside], truth[inside])
    assert (mask == truth).mean() > 0.97
    assert (mask == UNLABELLED).mean() < 0.01


def test_the_programs_are_told_the_classes(tmp_path):
    """LabelMe reads a name a line; CVAT wants colours in hex, and a list of attributes of each."""
    labels = LabelSpace(('road', 'bike lane'), ((128, 64, 255), (0, 1, 2)))
    write(tmp_path, labels)
    assert (tmp_path / 'labels.txt').read_text() == '__ignore__\nroad\nbike lane\n'
    assert json.loads((tmp_path / 'labels.json').read_text()) == [
        {'name': 'road', 'color': '#8040ff', 'attributes': []},
        {'name': 'bike lane', 'color': '#000102', 'attributes': []}]


def test_colours_in_cvat_are_those_of_its_masks(tmp_path, labels):
    write(tmp_path, labels)
    colors = {entry['name']: entry['color']
              for entry in json.loads((tmp_path / 'labels.json').read_text())}
    masks = read_label_map(tmp_path / 'labelmap.txt')
    assert colors == {name: f'#{bytes(masks[name]).hex()}' for name in labels.names}


def test_rings_and_islands():
    """What lies in a region is drawn over it, in any depth, also where it touches a corner."""
    mask = np.zeros((90, 120), np.uint8)
    mask[10:80, 10:110] = 1
    mask[20:70, 20:100] = 0
    mask[30:60, 30:90] = 2
    mask[40:50, 40:80] = 1
    mask[60:70, 90:100] = 3  # meets the corner of 2
    drawn = np.full_like(mask, UNLABELLED)
    for class_id, corners in polygons(mask):
        cv2.fillPoly(drawn, [np.array(corners, np.int32)], class_id)
    np.testing.assert_array_equal(drawn, mask)


def test_unlabelled_and_specks(tmp_path, labels, picture):
    """Unlabelled stays so; a region of a few pixels in a large picture is left out."""
    mask = np.full((480, 640), 3, np.uint8)
    mask[100:200, 100:300] = UNLABELLED
    mask[300:303, 300:303] = 7
    write(tmp_path, labels, ('a', np.zeros((480, 640, 3), np.uint8), mask))
    document = json.loads((tmp_path / 'JPEGImages' / 'a.json').read_bytes())
    assert [shape['label'] for shape in document['shapes']] == ['road', '__ignore__']
    assert document['imagePath'] == 'a.png'
    mask[300:303, 300:303] = 3
    data = LabelMe(tmp_path / 'JPEGImages', tmp_path / 'labels.yaml')
    np.testing.assert_array_equal(data.mask(0), mask)


def test_colours_that_cannot_tell_classes_apart_are_replaced(tmp_path):
    """A class called as CVAT's background, in black, and two in one colour."""
    labels = LabelSpace(('background', 'road', 'lane'), ((0, 0, 0), (9, 9, 9), (9, 9, 9)))
    assert mask_colors(labels) == [(128, 0, 0), (0, 128, 0), (128, 128, 0)]
    mask = np.arange(3, dtype=np.uint8).repeat(20).reshape(3, 20).repeat(10, 0)
    write(tmp_path, labels, ('a', np.zeros((30, 20, 3), np.uint8), mask))
    assert list(read_label_map(tmp_path / 'labelmap.txt')) == ['background', 'road', 'lane']
    np.testing.assert_array_equal(Cvat(tmp_path).mask(0), mask)
    np.testing.assert_array_equal(LabelMe(tmp_path / 'JPEGImages', tmp_path / 'labels.yaml')
                                  .mask(0), mask)
