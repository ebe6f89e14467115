"""Readers: what is opened as what, each frame once with its stamp, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from roadseg_ros.tools.frames import SourceError
from roadseg_ros.tools.sources import open_source, read_picture


def save(path: Path, picture: np.ndarray) -> Path:
    """Write a picture file."""
    assert cv2.imwrite(str(path), picture)
    return path


def save_video(path: Path, pictures: list[np.ndarray], rate: float = 10.0) -> Path:
    """Write an MJPEG video."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), rate,
                             pictures[0].shape[1::-1])
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


def test_folder_in_order_with_stamps(tmp_path, pictures):
    for name, picture in zip(('b.png', 'a.png', 'C.PNG'), pictures[:3], strict=True):
        save(tmp_path / name, picture)
    (tmp_path / 'notes.txt').write_text('not an image')
    with open_source(tmp_path, rate_hz=4.0) as source:
        frames = [(frame.label, frame.stem, frame.stamp_ns, frame.decode()) for frame in source]
    assert source.count == 3
    assert [frame[:3] for frame in frames] == [
        ('C.PNG', 'C', 0), ('a.png', 'a', 250_000_000), ('b.png', 'b', 500_000_000)]
    for found, wanted in zip(frames, (pictures[2], pictures[1], pictures[0]), strict=True):
        np.testing.assert_array_equal(found[3], wanted)


def test_names_that_collide(tmp_path, picture):
    save(tmp_path / 'a.png', picture)
    save(tmp_path / 'a.jpg', picture)
    with pytest.raises(SourceError, match=r'a\.jpg and a\.png would both become a\.png'):
        open_source(tmp_path)


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.bmp', 'a.webp'])
def test_cut_short_picture(tmp_path, picture, name):
    path = save(tmp_path / name, picture)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(SourceError, match='broken, cut short'):
        read_picture(path)


def test_empty_picture(tmp_path):
    (tmp_path / 'a.png').touch()
    with pytest.raises(SourceError, match='broken'):
        read_picture(tmp_path / 'a.png')


def test_grey_and_alpha_become_bgr(tmp_path, picture):
    grey = picture[:, :, 0]
    np.testing.assert_array_equal(read_picture(save(tmp_path / 'g.png', grey)),
                                  np.stack((grey,) * 3, 2))
    alpha = np.dstack((picture, grey))
    np.testing.assert_array_equal(read_picture(save(tmp_path / 'a.png', alpha)), picture)


def test_video_frames_and_stamps(tmp_path, pictures):
    with open_source(save_video(tmp_path / 'drive.avi', pictures)) as source:
        frames = [(frame.stem, frame.stamp_ns, frame.decode().shape) for frame in source]
    assert frames == [(f'frame_{index:06d}', index * 100_000_000, (48, 64, 3))
                      for index in range(4)]


def test_video_cut_short(tmp_path, pictures):
    path = save_video(tmp_path / 'drive.mkv', pictures * 10)
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    with open_source(path) as source:
        frames = iter(source)
        with pytest.raises(SourceError, match=r'ends after \d+ of the 40 frames'):
            for _ in range(41):
                next(frames).decode()


@pytest.mark.parametrize('name', ['drive.avi', 'drive.mp4'])
def test_video_that_gives_a_few_frames_less(tmp_path, pictures, monkeypatch, name):
    writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(
        *{'.avi': 'MJPG', '.mp4': 'mp4v'}[name[-4:]]), 10, (64, 48))
    for picture in pictures * 25:
        writer.write(picture)
    writer.release()
    with open_source(tmp_path / name) as source:
        assert len(list(source)) == 100
    with open_source(tmp_path / name) as source:
        source.count = 103
        frames = iter(source)
        with pytest.raises(SourceError, match='ends after 100 of the 103 frames'):
            for _ in range(101):
                next(frames)


def test_video_of_no_frames(tmp_path, pictures):
    with open_source(save_video(tmp_path / 'drive.avi', pictures)) as source:
        source.count = None
        list(source)
        with pytest.raises(SourceError, match='holds no frame that can be decoded'):
            list(source)


def test_video_that_is_none(tmp_path):
    (tmp_path / 'x.mp4').write_bytes(b'nothing of a video')
    with pytest.raises(SourceError, match=r'cannot open video .*x\.mp4'):
        open_source(tmp_path / 'x.mp4')


def test_unknown_inputs_say_what_is_supported(tmp_path, picture):
    (tmp_path / 'x.txt').touch()
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'torn').mkdir()
    (tmp_path / 'torn' / 'torn_0.mcap').touch()
    for name, said in (('gone', 'does not exist'), ('x.txt', 'no known kind'),
                       ('empty', 'holds no image')):
        with pytest.raises(SourceError, match=rf'{said}.*\.png.*\.mp4.*\.mcap \.db3'):
            open_source(tmp_path / name)
    with pytest.raises(SourceError, match='without metadata.yaml'):
        open_source(tmp_path / 'torn')
    with pytest.raises(SourceError, match='--topic is for bags'):
        open_source(save(tmp_path / 'a.png', picture), ['/camera'])
    with pytest.raises(SourceError, match='--rate is for images'):
        open_source(tmp_path / 'torn' / 'torn_0.mcap', rate_hz=3.0)
