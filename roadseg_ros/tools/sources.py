"""Readers of `roadseg segment`: image files, folders of images and videos; bags by bag_source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
import os
from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.checkpoint import MAX_PIXELS
from roadseg_ros.node.compressed_size import compressed_size
from roadseg_ros.tools.bag_source import BAG_SUFFIXES, BagSource
from roadseg_ros.tools.frames import Frame, Source, SourceError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
# they carry no number of frames; what OpenCV gives is duration times rate, which may be a few off
ESTIMATING_SUFFIXES = ('.mkv', '.webm', '.mpg', '.mpeg')
DEFAULT_RATE_HZ = 15.0
SUPPORTED = (
    f'an image ({" ".join(IMAGE_SUFFIXES)}), a folder of images, a video '
    f'({" ".join(VIDEO_SUFFIXES)}) or a ROS 2 bag (a folder with metadata.yaml, '
    f'{" ".join(BAG_SUFFIXES)})')


def open_source(path: Path, topics: Sequence[str] = (), rate_hz: float | None = None) -> Source:
    """
    Open an input by what it is.

    :param path: an image, a folder of images, a video or a bag.
    :param topics: image topics of a bag to read; none = all.
    :param rate_hz: of a folder of images, which carry no stamps; None = 15.
    :return: the source.
    :raises SourceError: missing, unreadable, of an unknown kind, or an option that is not for it.
    """
    if not path.exists():
        raise SourceError(f'{path} does not exist; supported: {SUPPORTED}')
    suffix = path.suffix.lower()
    is_bag = (path / 'metadata.yaml').is_file() if path.is_dir() else suffix in BAG_SUFFIXES
    is_images = not is_bag and (path.is_dir() or suffix in IMAGE_SUFFIXES)
    if topics and not is_bag:
        raise SourceError(f'--topic is for bags, {path} is none')
    if rate_hz is not None and not is_images:
        raise SourceError(f'--rate is for images, which carry no stamps; {path} has its own')
    if is_bag:
        return BagSource(path, topics)
    if is_images:
        return ImageSource(image_files(path), rate_hz or DEFAULT_RATE_HZ)
    if suffix in VIDEO_SUFFIXES:
        return VideoSource(path)
    raise SourceError(f'{path} is of no known kind; supported: {SUPPORTED}')


def image_files(path: Path) -> list[Path]:
    """
    List the images of a folder by name; hidden files and sub folders are left out.

    :param path: a folder, or an image file, which is then the only one.
    :raises SourceError: there are none.
    """
    if path.is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file()
                   and file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith('.'))
    if files:
        return files
    bags = sorted(file.name for file in path.iterdir() if file.suffix in BAG_SUFFIXES)
    if bags:
        raise SourceError(f'{path} is a bag without metadata.yaml: give {path / bags[0]} itself, '
                          'or run `ros2 bag reindex`')
    raise SourceError(f'{path} holds no image (sub folders are not searched); '
                      f'supported: {SUPPORTED}')


def read_picture(path: Path) -> np.ndarray:
    """
    Read an image file as the node reads a compressed message: EXIF orientation is ignored.

    :return: (H, W, 3) uint8 BGR.
    :raises SourceError: unreadable, broken or cut short; the message leaves the name to the
        caller.
    """
    try:
        data = np.fromfile(path, np.uint8)
        height, width = compressed_size(data.tobytes()) or (0, 0)
        if height * width > MAX_PIXELS:
            raise SourceError(f'has {width}x{height} pixels, more than the limit of {MAX_PIXELS}')
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except OSError as error:
        raise SourceError(f'cannot be read: {error.strerror}') from error
    except cv2.error:
        picture = None
    if picture is None:
        raise SourceError('broken, cut short or not an image; '
                          f'supported: {" ".join(IMAGE_SUFFIXES)}')
    return picture


class ImageSource(Source):
    """
    Image files, stamped as if taken at an even rate from 0 on.

    :param files: in order.
    :param rate_hz: frames a second.
    :raises SourceError: two files would have masks of one name.
    """

    kind = 'images'

    def __init__(self, files: Sequence[Path], rate_hz: float) -> None:
        self._files, self._rate_hz = files, rate_hz
        self.count = len(files)
        by_stem: dict[str, Path] = {}
        for file in files:
            other = by_stem.setdefault(file.stem, file)
            if other != file:
                raise SourceError(f'{other.name} and {file.name} would both become '
                                  f'{file.stem}.png; rename or move one of them')

    def __iter__(self) -> Iterator[Frame]:
        """Yield each file."""
        for index, file in enumerate(self._files):
            yield Frame(file.name, file.stem, round(index * 1e9 / self._rate_hz),
                        partial(read_picture, file))


class VideoSource(Source):
    """
    A video file; a frame's stamp is its time from the beginning of the video.

    :param path: anything OpenCV's FFmpeg reads.
    :raises SourceError: it cannot be opened.
    """

    kind = 'video'

    def __init__(self, path: Path) -> None:
        # FFmpeg writes its own lines to stderr, between ours
        os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceError(f'cannot open video {path}: cut short, empty or of a codec that '
                              'OpenCV does not have; supported: what FFmpeg plays, '
                              f'in {" ".join(VIDEO_SUFFIXES)}')
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 else None

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """Yield each frame."""
        period_ns = round(1e9 / (self._capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE_HZ))
        index, stamp_ns = 0, -1
        while self._capture.grab():
            told_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            # some containers carry no times, and then OpenCV repeats one
            if told_ns > stamp_ns or index == 0:
                stamp_ns = max(told_ns, 0)
            else:
                stamp_ns += period_ns
            yield Frame(f'frame {index}', f'frame_{index:06d}', stamp_ns, self._retrieve)
            index += 1
        if index == 0:
            raise SourceError(f'video {self._path} holds no frame that can be decoded')
        estimated = self._path.suffix.lower() in ESTIMATING_SUFFIXES
        announced = self.count or 0
        if index < (0.95 * announced - 1 if estimated else announced):
            raise SourceError(f'video {self._path} ends after {index} of the {announced} frames '
                              'it announces: it is damaged or cut short')

    def _retrieve(self) -> np.ndarray:
        """Decode the frame grabbed last."""
        good, picture = self._capture.retrieve()
        if not good:
            raise SourceError('cannot be decoded')
        return picture
