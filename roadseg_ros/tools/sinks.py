"""Writers of `roadseg segment`: a folder of PNG masks, or a bag."""

from __future__ import annotations

import csv
import os
from pathlib import Path
import shutil
import tempfile
from typing import Any, Final, IO, Protocol

import cv2
import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.node.topics import output_prefixes
from roadseg_ros.tools.bag_source import COMPRESSED_TYPE, IMAGE_TYPES
from roadseg_ros.tools.frames import Frame, Source
from roadseg_ros.tools.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES

STORAGES = {'.mcap': StoragePlugin.MCAP, '.db3': StoragePlugin.SQLITE3}
STAMP_COLUMNS = ('file', 'stamp_ns', 'topic', 'frame_id', 'bag_time_ns')
# class ids lie in runs: smaller and no slower than zlib's own strategy
PNG_FLAGS = (cv2.IMWRITE_PNG_COMPRESSION, 1,
             cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
JPEG_FLAGS = (cv2.IMWRITE_JPEG_QUALITY, 90)
# Humble to Rolling read it; 9 is Jazzy's
BAG_VERSION: Final = 8


class SinkError(ValueError):
    """An output that cannot be written to."""


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
        """


def make_sink(out: Path, source: Source, overlay: bool) -> Sink:
    """
    Choose the output by its name; nothing is written yet.

    :param out: a bag if it ends in `.mcap` or `.db3`, else a folder.
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
        for path in filter(None, (self._folder, self._overlays)):
            path.mkdir(parents=True, exist_ok=True)
        if self._stamps:
            self._table = (self._folder / 'frames.csv').open('w', newline='', encoding='utf-8')
            csv.writer(self._table).writerow(STAMP_COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the table."""
        if self._table:
            self._table.close()

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> None:
        """Store the files of a frame; each appears whole or not at all."""
        stem = self._free(frame.stem)
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
        self._out = out
        self._overlay = overlay
        self._prefixes = output_prefixes(topics)
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._written = 0

    def __enter__(self) -> BagSink:
        """Open a bag beside the file to be."""
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._partial = Path(tempfile.mkdtemp(prefix=f'.{self._out.name}.', dir=self._out.parent))
        self._writer = Writer(self._partial / self._out.stem, version=BAG_VERSION,
                              storage_plugin=STORAGES[self._out.suffix])
        self._writer.open()
        self._masks = {topic: self._connect(f'{prefix}/mask', IMAGE_TYPES[0])
                       for topic, prefix in self._prefixes.items()}
        self._overlays = {topic: self._connect(f'{prefix}/overlay/compressed', COMPRESSED_TYPE)
                          for topic, prefix in self._prefixes.items() if self._overlay}
        return self

    def __exit__(self, *_: object) -> None:
        """Move the file into place, with what it holds so far."""
        try:
            self._writer.close()
            if self._written:
                os.replace(self._partial / self._out.stem / self._out.name, self._out)
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> None:
        """Append the messages of a frame."""
        seconds, nanoseconds = divmod(frame.stamp_ns, 10**9)
        types: Any = self._types.types
        header = types['std_msgs/msg/Header'](
            types['builtin_interfaces/msg/Time'](seconds, nanoseconds), frame.frame_id)
        height, width = class_ids.shape
        self._append(frame, self._masks, types[IMAGE_TYPES[0]](
            header, height, width, 'mono8', 0, width, class_ids.reshape(-1)))
        if overlay is not None:
            self._append(frame, self._overlays, types[COMPRESSED_TYPE](
                header, 'rgb8; jpeg compressed bgr8', _encode('.jpg', overlay)))
        self._written += 1

    def _connect(self, topic: str, type_name: str) -> Connection:
        """Add an output topic."""
        return self._writer.add_connection(topic, type_name, typestore=self._types)

    def _append(self, frame: Frame, connections: dict[str, Connection], message: Any) -> None:
        """Write a message at the time its image was recorded."""
        connection = connections[frame.topic]
        bag_time_ns = frame.stamp_ns if frame.bag_time_ns is None else frame.bag_time_ns
        self._writer.write(connection, bag_time_ns,
                           self._types.serialize_cdr(message, connection.msgtype))


def overlay_folder(out: Path) -> Path:
    """Return the folder the overlays of a folder of masks go to."""
    return out.with_name(f'{out.name}_overlay')


def _encode(suffix: str, picture: np.ndarray) -> np.ndarray:
    """Return the (N,) uint8 bytes of a file."""
    return cv2.imencode(suffix, picture, PNG_FLAGS if suffix == '.png' else JPEG_FLAGS)[1]


def _write_whole(path: Path, data: np.ndarray) -> None:
    """Write a file that appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.partial')
    try:
        partial.write_bytes(data.tobytes())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
