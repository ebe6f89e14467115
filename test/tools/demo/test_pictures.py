"""Pictures and video of the demo: failures are said."""

from __future__ import annotations

import cv2
import pytest

from roadseg_ros.tools.demo.pictures import frame_path, overlay_path, write_strip, write_video


@pytest.fixture
def frames(tmp_path, pictures):
    """Return a folder with four frames, of which the second has an overlay."""
    folder = tmp_path / 'frames'
    folder.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(frame_path(folder, index)), picture)
    cv2.imwrite(str(overlay_path(folder, 1)), pictures[1])
    return folder


def test_video_that_is_not_whole_is_not_kept(frames, tmp_path):
    videos = {tmp_path / 'none' / 'a.mp4': 'mp4v', tmp_path / 'b.avi': 'MJPG'}
    assert write_video(frames, 4, videos, 10.0) == tmp_path / 'b.avi'
    assert cv2.VideoCapture(str(tmp_path / 'b.avi')).get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert write_video(frames, 4, {tmp_path / 'none' / 'a.mp4': 'mp4v'}, 10.0) is None


def test_strip_that_cannot_be_written(frames, tmp_path):
    write_strip(frames, 4, tmp_path / 'strip.jpg')
    assert cv2.imread(str(tmp_path / 'strip.jpg')).shape == (2 * 240, 4 * 320, 3)
    with pytest.raises(OSError, match='strip.jpg'):
        write_strip(frames, 4, tmp_path / 'none' / 'strip.jpg')
