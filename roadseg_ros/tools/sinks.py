"""Writers of `roadseg segment`: a folder of PNG masks, or a bag."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path, PurePath
import struct
from typing import Any, IO, Protocol

import cv2
import numpy as np
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.node.topics import output_prefixes
from roadseg_ros.tools.bag_file import BagFile, reason, SinkError, STORAGES
from roadseg_ros.tools.bag_source import COMPRESSED_TYPE, IMAGE_TYPES
from roadseg_ros.tools.frames import Frame, Source
from roadseg_ros.tools.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES

STAMP_COLUMNS = ('file', 'stamp_ns', 'topic', 'frame_id', 'bag_time_ns')
# class ids lie in runs: smaller and no slower than zlib's own strategy
PNG_FLAGS = (cv2.IMWRITE_PNG_COMPRESSION, 1,
             cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
JPEG_FLAGS = (cv2.IMWRITE_JPEG_QUALITY, 90)
# the file system does not take the name; it may take the next one
UNFIT_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
MAX_TIME_NS = 2**63 - 1


class UnwritableFrame(ValueError):
    """A frame that this output cannot hold; others may fit."""


class Sink(Protocol):
    """A context manager; what was written stays, also after an exception."""

    def __enter__(self) -> Sink:
        """Make the output."""

    def __exit__(self, *_: object) -> None:
        """Finish the output."""

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> None:
        """
        Store the result of a frame.

        :param frame: it is of.
        :param class_ids: (H, W) uint8.
        :param overlay: (H, W, 3) uint8 BGR, or None.
        :raises UnwritableFrame: this one cannot be stored.
        :raises SinkError: nothing more can be stored.
        """


def output_path(out: Path) -> Path:
    """Return what the output is called: readers of bags know their endings in small letters."""
    suffix = out.suffix.lower()
    return out.with_suffix(suffix) if suffix in STORAGES else out


def make_sink(out: Path, source: Source, overlay: bool) -> Sink:
    """
    Choose the output by its name; nothing is written yet.

    :param out: of `output_path`; a bag if it ends in `.mcap` or `.db3`, else a folder.
    :param source: what will be written.
    :param overlay: there will be overlays.
    :raises SinkError: it is taken, or named like something it would not be.
    :raises ValueError: two topics of the source would share their output topics.
    """
    if out.suffix in STORAGES:
        return BagSink(out, source.topics, overlay)
    if out.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        raise SinkError(f'--out {out} is named like a picture or video; it is a folder, or a bag '
                        f'that ends in {" or ".join(STORAGES)}')
    return FolderSink(out, overlay, stamps=source.kind != 'images')


class FolderSink:
    """
    A folder with a PNG of class ids a frame, and overlays as JPEG in `<folder>_overlay`.

    :param folder: new or empty.
    :param overlay: overlays will come.
    :param stamps: write `frames.csv` with the stamp of each file.
    :raises SinkError: a folder is taken.
    """

    def __init__(self, folder: Path, overlay: bool, stamps: bool) -> None:
        self._folder = folder
        self._overlays = overlay_folder(folder) if overlay else None
        self._stamps = stamps
        self._table: IO[str] | None = None
        self._used: set[str] = set()
        for path in filter(None, (self._folder, self._overlays)):
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise SinkError(f'{path} exists and is not an empty folder; nothing is '
                                'overwritten: remove it or choose another --out')

    def __enter__(self) -> FolderSink:
        """Make the folders."""
        try:
            for path in filter(None, (self._folder, self._overlays)):
                path.mkdir(parents=True, exist_ok=True)
            if self._stamps:
                self._table = (self._folder / 'frames.csv').open('w', newline='',
                                                                 encoding='utf-8')
                csv.writer(self._table).writerow(STAMP_COLUMNS)
        except OSError as error:
            raise self._said(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Close the table."""
        try:
            if self._table:
                self._table.close()
        except OSError as error:
            raise self._said(error) from error

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> None:
        """Store the files of a frame; each appears whole or not at all."""
        path = PurePath(frame.stem)
        if path.is_absolute() or '..' in path.parts:
            raise UnwritableFrame(f'{path} leads out of {self._folder}')
        try:
            self._write(frame, self._free(frame.stem), class_ids, overlay)
        except OSError as error:
            if error.errno in UNFIT_NAME:
                raise UnwritableFrame(f'no file can be named {path.name}.png: '
                                      f'{reason(error)}') from error
            raise self._said(error) from error

    def _write(self, frame: Frame, stem: str, class_ids: np.ndarray,
               overlay: np.ndarray | None) -> None:
        """Write the files and the line of the table."""
        if self._overlays and overlay is not None:
            _write_whole(self._overlays / f'{stem}.jpg', _encode('.jpg', overlay))
        _write_whole(self._folder / f'{stem}.png', _encode('.png', class_ids))
        if self._table:
            csv.writer(self._table).writerow(
                (f'{stem}.png', frame.stamp_ns, frame.topic, frame.frame_id, frame.bag_time_ns))
            self._table.flush()

    def _free(self, stem: str) -> str:
        """Return a name no frame has had: drivers repeat stamps, and no frame may be lost."""
        name, again = stem, 0
        while name in self._used:
            again += 1
            name = f'{stem}_{again}'
        self._used.add(name)
        return name

    def _said(self, error: OSError) -> SinkError:
        """Return what to say of a failure that ends the run."""
        return SinkError(f'cannot write to {self._folder}: {reason(error)}; '
                         'finished frames remain')


class BagSink:
    """
    One bag file with the masks, and overlays as JPEG, on the topics the node would use.

    The header and the bag time of each message are those of its image. The file plays alone:
    `ros2 bag play out.mcap`.

    :param out: ends in `.mcap` or `.db3`; must not exist.
    :param topics: image topics of the frames to come.
    :param overlay: overlays will come.
    :raises SinkError: the file exists.
    :raises ValueError: two topics are of the same camera.
    """

    def __init__(self, out: Path, topics: tuple[str, ...], overlay: bool) -> None:
        if out.exists():
            raise SinkError(f'{out} exists; nothing is overwritten: remove it or choose another '
                            '--out')
        self._prefixes = output_prefixes(topics)
        self._types = get_typestore(Stores.ROS2_JAZZY)
        kinds = {'mask': IMAGE_TYPES[0]}
        if overlay:
            kinds['overlay/compressed'] = COMPRESSED_TYPE
        self._bag = BagFile(out, {f'{prefix}/{name}': kind for name, kind in kinds.items()
                                  for prefix in self._prefixes.values()})

    def __enter__(self) -> BagSink:
        """Open the bag."""
        self._bag.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the bag, with what it holds so far."""
        self._bag.__exit__(*error)

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> None:
        """Append the messages of a frame at the time its image was recorded."""
        time_ns = frame.stamp_ns if frame.bag_time_ns is None else frame.bag_time_ns
        if not 0 <= time_ns <= MAX_TIME_NS:
            raise UnwritableFrame(f'recorded at {time_ns} ns, which no bag can hold')
        prefix = self._prefixes[frame.topic]
        # all of them before the first is written, so that a frame is whole or not there
        data = [(f'{prefix}/{name}', self._serialize(message))
                for name, message in self._messages(frame, class_ids, overlay).items()]
        for topic, content in data:
            self._bag.write(topic, time_ns, content)

    def _messages(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None
                  ) -> dict[str, Any]:
        """Return the messages of a frame by the last part of their topics."""
        types: Any = self._types.types
        header = types['std_msgs/msg/Header'](
            types['builtin_interfaces/msg/Time'](*frame.stamp or divmod(frame.stamp_ns, 10**9)),
            frame.frame_id)
        height, width = class_ids.shape
        messages = {'mask': types[IMAGE_TYPES[0]](
            header, height, width, 'mono8', 0, width, class_ids.reshape(-1))}
        if overlay is not None:
            messages['overlay/compressed'] = types[COMPRESSED_TYPE](
                header, 'rgb8; jpeg compressed bgr8', _encode('.jpg', overlay))
        return messages

    def _serialize(self, message: Any) -> memoryview:
        """Return the message in CDR."""
        try:
            return self._types.serialize_cdr(message, message.__msgtype__)
        except (struct.error, ValueError) as error:
            raise UnwritableFrame(f'no {message.__msgtype__} can hold it: {error}') from error


def overlay_folder(out: Path) -> Path:
    """Return the folder the overlays of a folder of masks go to."""
    # '.' and '..' have no name of their own
    whole = Path(os.path.abspath(out))
    return whole.parent / f'{whole.name}_overlay'


def _encode(suffix: str, picture: np.ndarray) -> np.ndarray:
    """Return the (N,) uint8 bytes of a file."""
    good, data = cv2.imencode(suffix, picture, PNG_FLAGS if suffix == '.png' else JPEG_FLAGS)
    if not good:
        raise UnwritableFrame(f'{picture.shape[1]}x{picture.shape[0]} pixels do not fit {suffix}')
    return data


def _write_whole(path: Path, data: np.ndarray) -> None:
    """Write a file that appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # short: a name may have 255 bytes, and the file's own may need them all
    partial = path.with_name('.partial')
    try:
        partial.write_bytes(data.tobytes())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
