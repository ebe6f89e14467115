"""The procedural drive: repeatable, exact, complete and moving."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from roadseg_ros.labels import load_label_space
from roadseg_ros.scenes import brush, Drive

NAMES = {
    'sky': brush.SKY, 'building': brush.BUILDING, 'pole': brush.POLE, 'road': brush.ROAD,
    'pavement': brush.PAVEMENT, 'tree': brush.TREE, 'sign_symbol': brush.SIGN,
    'fence': brush.FENCE, 'car': brush.CAR, 'pedestrian': brush.PEDESTRIAN,
    'bicyclist': brush.BICYCLIST}


def test_ids_are_those_of_the_camvid_label_space():
    assert load_label_space('camvid').names == tuple(sorted(NAMES, key=NAMES.__getitem__))


def test_frames_are_repeatable_in_any_order():
    forward, backward = Drive(seed=5, height=120, width=160), Drive(seed=5, height=120, width=160)
    first = [forward.frame(index) for index in (0, 1, 2, 40)]
    second = [backward.frame(index) for index in (40, 2, 1, 0)][::-1]
    for (image, class_ids), (image_again, class_ids_again) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(class_ids, class_ids_again)


def test_seeds_make_different_streets():
    assert (Drive(0).frame(0)[0] != Drive(1).frame(0)[0]).mean() > 0.5


@pytest.mark.parametrize('height, width', [(360, 480), (480, 640), (720, 1280), (101, 77)])
def test_any_size(height, width):
    image, class_ids = Drive(seed=2, height=height, width=width).frame(30)
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert class_ids.shape == (height, width) and class_ids.dtype == np.uint8
    assert class_ids.max() < len(NAMES)


def test_the_picture_keeps_its_content_at_another_size():
    small, large = (Drive(seed=2, height=scale * 180, width=scale * 240).frame(30)[1]
                    for scale in (1, 2))
    assert (small == large[::2, ::2]).mean() > 0.93


@pytest.mark.parametrize('seed', range(6))
def test_every_class_appears_within_two_seconds_in_most_windows(seed):
    drive = Drive(seed)
    windows = np.array([
        np.sum([np.bincount(drive.frame(index)[1].ravel(), minlength=len(NAMES))
                for index in range(start, start + 30, 7)], axis=0)
        for start in range(0, 240, 30)])
    assert ((windows > 200).mean(axis=0) >= 0.75).all()


def test_the_road_lies_ahead_and_the_sky_above():
    class_ids = Drive(seed=1).frame(100)[1]
    assert (class_ids[-60:, 180:300] == brush.ROAD).mean() > 0.5
    assert not (class_ids[200:] == brush.SKY).any()
    assert (class_ids[:100] == brush.SKY).any()


def test_neighbouring_frames_differ_little_and_distant_ones_much():
    drive = Drive(seed=4)
    start, after, later = (drive.frame(index)[1] for index in (60, 61, 120))
    assert 0 < (start != after).mean() < 0.2
    assert (start != later).mean() > 1.5 * (start != after).mean()


def test_the_rate_only_decides_how_often_the_same_world_is_seen():
    slow, fast = Drive(seed=4, rate_hz=15.0), Drive(seed=4, rate_hz=60.0)
    np.testing.assert_array_equal(slow.frame(20)[1], fast.frame(80)[1])


def test_the_camera_moves_forward():
    drive = Drive(seed=4)
    before, after = (cv2.cvtColor(drive.frame(index)[0], cv2.COLOR_BGR2GRAY) for index in (60, 61))
    dense = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = dense.calc(before, after, None)
    assert np.median(flow[80:250, 390:, 0]) > 0.3
    assert np.median(flow[80:250, :90, 0]) < -0.3


@pytest.mark.parametrize('wrong', [{'seed': -1}, {'height': 0}, {'width': 8}, {'rate_hz': 0}])
def test_impossible_drives_are_refused(wrong):
    with pytest.raises(ValueError, match='no drive of seed'):
        Drive(**wrong)
