"""What the demo leaves behind: numbers and pictures, taken from the bag it recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.node.image_messages import to_bgr
from roadseg_ros.tools.demo_log import DrivingLog

STRIP_FRAMES, STRIP_WIDTH = 6, 320
FRAME_FLAGS = (cv2.IMWRITE_JPEG_QUALITY, 85)
VIDEOS = {'overlay.mp4': 'mp4v', 'overlay.avi': 'MJPG'}


def read_outputs(bag: Path) -> Iterator[tuple[str, int, Any]]:
    """
    Read the recording.

    :param bag: the file.
    :return: last name of the topic ('mask', 'compressed' or 'diagnostics'), stamp of the header
        in ns, message.
    """
    types = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag) as reader:
        for connection, _, data in reader.messages():
            message: Any = types.deserialize_cdr(data, connection.msgtype)
            stamp = message.header.stamp
            yield (connection.topic.rpartition('/')[2], stamp.sec * 10**9 + stamp.nanosec,
                   message)


def write_pictures(log: DrivingLog, bag: Path, folder: Path) -> None:
    """
    Write a JPEG of each frame, and beside it the overlay the node published.

    :param folder: gets `00000.jpg`, `00000_overlay.jpg` and so on; the second is missing where
        no overlay came.
    """
    folder.mkdir()
    for index, frame in enumerate(log.frames):
        cv2.imwrite(str(folder / f'{index:05}.jpg'), frame.picture, FRAME_FLAGS)
    index_of = {frame.stamp_ns: index for index, frame in enumerate(log.frames)}
    for name, stamp_ns, message in read_outputs(bag):
        if name == 'compressed' and stamp_ns in index_of:
            path = folder / f'{index_of[stamp_ns]:05}_overlay.jpg'
            path.write_bytes(message.data.tobytes())


def accuracy(log: DrivingLog, bag: Path, labels: LabelSpace) -> dict[str, Any]:
    """
    Compare the recorded masks with the truth.

    :return: `mean_iou`, `pixel_accuracy` and `iou` by class name, None for what is not known;
        empty when the log has no truth.
    """
    truths = {frame.stamp_ns: frame.truth for frame in log.frames if frame.truth is not None}
    if not truths:
        return {}
    confusion = ConfusionMatrix(len(labels))
    for name, stamp_ns, message in read_outputs(bag):
        if name == 'mask' and stamp_ns in truths:
            confusion.update(truths[stamp_ns], to_bgr(message)[:, :, 0])
    return {'mean_iou': _known(confusion.mean_iou()),
            'pixel_accuracy': _known(confusion.pixel_accuracy()),
            'iou': {name: _known(value) for name, value in zip(labels.names, confusion.iou())}}


def node_facts(bag: Path) -> dict[str, str]:
    """Return what the node's last diagnostics say of itself; empty when none were recorded."""
    facts: dict[str, str] = {}
    for name, _, message in read_outputs(bag):
        if name == 'diagnostics' and message.status:
            facts = {item.key: item.value for item in message.status[0].values}
    return {key: facts[key] for key in ('device', 'engine', 'network') if key in facts}


def write_video(folder: Path, out: Path, rate_hz: float) -> str | None:
    """
    Make a video of the overlays, of the frame itself where one is missing.

    :param folder: of `write_pictures`.
    :return: name of the file in `out`; None where OpenCV can write neither format.
    """
    pictures = [_overlay_of(path) for path in _frames(folder)]
    height, width = cv2.imread(str(pictures[0])).shape[:2]
    for name, codec in VIDEOS.items():
        writer = cv2.VideoWriter(str(out / name), cv2.VideoWriter.fourcc(*codec), rate_hz,
                                 (width, height))
        if not writer.isOpened():
            continue
        for path in pictures:
            picture = cv2.imread(str(path))
            if picture.shape[:2] != (height, width):
                picture = cv2.resize(picture, (width, height))
            writer.write(picture)
        writer.release()
        return name
    return None


def write_strip(folder: Path, path: Path) -> None:
    """Put frames spread over the drive into one picture, each over its overlay."""
    frames = _frames(folder)
    chosen = np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)
    columns = []
    for index in chosen:
        pair = [cv2.imread(str(part)) for part in (frames[index], _overlay_of(frames[index]))]
        height = round(pair[0].shape[0] * STRIP_WIDTH / pair[0].shape[1])
        columns.append(cv2.vconcat([
            cv2.resize(part, (STRIP_WIDTH, height), interpolation=cv2.INTER_AREA)
            for part in pair]))
    lowest = min(column.shape[0] for column in columns)
    cv2.imwrite(str(path), cv2.hconcat([column[:lowest] for column in columns]))


def _frames(folder: Path) -> list[Path]:
    """Return the pictures of the frames in order."""
    return sorted(path for path in folder.iterdir() if '_' not in path.stem)


def _overlay_of(frame: Path) -> Path:
    """Return the overlay of a frame's picture, itself where none came."""
    overlay = frame.with_name(f'{frame.stem}_overlay.jpg')
    return overlay if overlay.exists() else frame


def _known(value: float) -> float | None:
    """Return a number JSON can hold."""
    return round(float(value), 4) if np.isfinite(value) else None
