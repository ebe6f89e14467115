"""The vehicle's own parts are unlabelled and certain of nothing."""
import cv2
import numpy as np
import pytest

from roadseg_ros.inference.ego_mask import EgoMask, EgoMaskError
from roadseg_ros.inference.segmenter import Segmentation


@pytest.fixture
def bonnet():
    """Return a picture whose lower half but for the left column is the vehicle."""
    picture = np.zeros((4, 4), np.uint8)
    picture[2:, 1:] = 1
    return picture


def write(path, picture):
    path.write_bytes(cv2.imencode('.png', picture)[1].tobytes())
    return path


@pytest.mark.parametrize('make', [
    lambda grey: grey, lambda grey: grey * 255, lambda grey: grey.astype(np.uint16),
    lambda grey: np.dstack([grey, 0 * grey, 0 * grey]),
    lambda grey: np.dstack([grey, grey, grey, np.full_like(grey, 255)]),
], ids=['one', 'white', '16 bit', 'nearly black blue', 'alpha'])
def test_the_vehicles_pixels_are_unlabelled(tmp_path, bonnet, make):
    ids = np.arange(16, dtype=np.uint8).reshape(4, 4)
    confidence = np.full((4, 4), 200, np.uint8)
    result = Segmentation(ids.copy(), confidence.copy(), made='warped', age_ms=3.0)
    hidden = EgoMask(write(tmp_path / 'ego.png', make(bonnet))).hide(result)
    assert np.array_equal(hidden.class_ids, np.where(bonnet, 255, ids))
    assert np.array_equal(hidden.confidence, np.where(bonnet, 0, 200))
    assert hidden.class_ids.dtype == hidden.confidence.dtype == np.uint8
    assert (hidden.made, hidden.age_ms) == ('warped', 3.0)
    assert np.array_equal(result.class_ids, ids) and np.array_equal(result.confidence, confidence)


def test_it_follows_the_size_of_the_frames(tmp_path, bonnet):
    ego = EgoMask(write(tmp_path / 'ego.png', bonnet))
    for scale in (1, 3, 2, 1):
        ids = np.full((4 * scale, 4 * scale), 7, np.uint8)
        expected = np.where(bonnet.repeat(scale, 0).repeat(scale, 1), 255, 7)
        assert np.array_equal(ego.hide(Segmentation(ids, None)).class_ids, expected)


def test_no_confidence_stays_none(tmp_path, bonnet):
    ego = EgoMask(write(tmp_path / 'ego.png', bonnet))
    assert ego.hide(Segmentation(np.zeros((4, 4), np.uint8), None)).confidence is None


@pytest.mark.parametrize('content, words', [
    (None, 'cannot read .*ego.png: No such file'), (b'', 'ego.png is no picture'),
    (b'garbage', 'ego.png is no picture'),
    (np.zeros((3, 3), np.uint8), 'covers none of the picture'),
    (np.ones((3, 3), np.uint8), 'covers all of the picture')])
def test_bad_files_are_named_in_one_line(tmp_path, capfd, content, words):
    path = tmp_path / 'ego.png'
    if isinstance(content, np.ndarray):
        write(path, content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(EgoMaskError, match=f'^ego_mask: .*{words}') as caught:
        EgoMask(path)
    assert '\n' not in str(caught.value)
    assert capfd.readouterr().err == ''
