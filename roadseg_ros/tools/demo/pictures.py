"""Pictures and video of the demo: frames beside the overlays that the node published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import os
from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.tools.demo.log import DrivingLog
from roadseg_ros.tools.demo.recording import read_outputs

STRIP_FRAMES, STRIP_WIDTH = 6, 320
FRAME_FLAGS = (cv2.IMWRITE_JPEG_QUALITY, 85)


def write_pictures(log: DrivingLog, bag: Path, folder: Path) -> None:
    """
    Write a JPEG of each frame, and beside it the overlay the node published.

    :param folder: gets `00000.jpg`, `00000_overlay.jpg` and so on; the second is missing where
        no overlay came.
    :raises OSError: they cannot be written.
    """
    folder.mkdir()
    for index, frame in enumerate(log.frames):
        _write_jpeg(frame_path(folder, index), frame.picture)
    index_of = {frame.stamp_ns: index for index, frame in enumerate(log.frames)}
    for name, stamp_ns, message in read_outputs(bag):
        if name == 'compressed' and stamp_ns in index_of:
            overlay_path(folder, index_of[stamp_ns]).write_bytes(message.data.tobytes())


def frame_path(folder: Path, index: int) -> Path:
    """Return where the picture of a frame lies."""
    return folder / f'{index:05}.jpg'


def overlay_path(folder: Path, index: int) -> Path:
    """Return where the overlay of a frame lies, if one came."""
    return folder / f'{index:05}_overlay.jpg'


def write_video(folder: Path, count: int, videos: Mapping[Path, str], rate_hz: float
                ) -> Path | None:
    """
    Make a video of the overlays, of the frame itself where one is missing.

    :param folder: of `write_pictures`.
    :param count: of the frames.
    :param videos: codec by file, the first that OpenCV can write is taken.
    :return: the file; None where it can write none of them.
    """
    pictures = [_shown(folder, index) for index in range(count)]
    size = cv2.imread(str(pictures[0])).shape[1::-1]
    for path, codec in videos.items():
        with _silent_stderr():
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate_hz, size)
        for picture in pictures if writer.isOpened() else ():
            writer.write(cv2.resize(cv2.imread(str(picture)), size))
        writer.release()
        # the writer tells nobody when it fails
        if cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == count:
            return path
        path.unlink(missing_ok=True)
    return None


def write_strip(folder: Path, count: int, path: Path) -> None:
    """
    Put frames spread over the drive into one picture, each over its overlay.

    :param folder: of `write_pictures`.
    :param count: of the frames.
    :raises OSError: it cannot be written.
    """
    chosen = np.linspace(0, count - 1, min(STRIP_FRAMES, count)).round().astype(int)
    columns = []
    for index in chosen:
        pair = [cv2.imread(str(part))
                for part in (frame_path(folder, index), _shown(folder, index))]
        height = round(pair[0].shape[0] * STRIP_WIDTH / pair[0].shape[1])
        columns.append(cv2.vconcat([
            cv2.resize(part, (STRIP_WIDTH, height), interpolation=cv2.INTER_AREA)
            for part in pair]))
    lowest = min(column.shape[0] for column in columns)
    _write_jpeg(path, cv2.hconcat([column[:lowest] for column in columns]))


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep quiet what OpenCV prints, past its own log level, about codecs that work or not."""
    kept = os.dup(2)
    try:
        with open(os.devnull, 'wb') as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _shown(folder: Path, index: int) -> Path:
    """Return the overlay of a frame, its picture where none came."""
    overlay = overlay_path(folder, index)
    return overlay if overlay.exists() else frame_path(folder, index)


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write a (H, W, 3) uint8 BGR picture; unlike OpenCV's own way, say why it fails."""
    path.write_bytes(cv2.imencode('.jpg', picture, FRAME_FLAGS)[1].tobytes())
