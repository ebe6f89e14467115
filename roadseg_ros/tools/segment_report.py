"""`roadseg segment --report`: a page of the run, in one file with its pictures in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from pathlib import Path
import sys

import cv2
import numpy as np

from roadseg_ros.inference.segmenter import Segmentation
from roadseg_ros.labels import LabelSpace, UNLABELLED
from roadseg_ros.tools.bag_file import reason, SinkError
from roadseg_ros.tools.frames import Frame
from roadseg_ros.tools.page import Camera, check_page, class_shares, make_page, Timeline
from roadseg_ros.tools.page.timeline import LIMIT

LONGEST_SIDE = 640  # of the pictures, at most
ALPHA = 128  # of the classes' colours over the frame
FEWEST_SPANS = 16
JPEG_FLAGS = (cv2.IMWRITE_JPEG_QUALITY, 80)


class SegmentReport:
    """
    Keep what the page shows while frames are segmented.

    Memory and page stay near ten megabytes, however long the input is: frames are put together
    as `Timeline` says.

    :param path: of the page; must not exist.
    :param out: the output of the run.
    :param topics: image topics of the frames to come.
    :param labels: of the masks.
    :raises SinkError: the page would replace a file or lie among the masks.
    :raises ValueError: the page cannot be made here.
    """

    def __init__(self, path: Path, out: Path, topics: Sequence[str], labels: LabelSpace) -> None:
        if path.exists():
            raise SinkError(f'{path} exists; nothing is overwritten: remove it or choose another '
                            '--report')
        if path.resolve().is_relative_to(out.resolve()):
            raise SinkError(f'--report {path} would lie among the masks in {out}')
        check_page()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()  # refused now rather than at the end
            path.unlink()
        except OSError as error:
            raise SinkError(f'cannot write {path}: {reason(error)}') from error
        self._path, self._labels = path, labels
        alpha = np.full((256, 1), ALPHA, np.uint8)
        alpha[UNLABELLED] = 0
        self._colors = np.hstack([labels.color_table[:, ::-1], alpha])  # BGRA by id
        limit = max(LIMIT // len(topics), FEWEST_SPANS)
        self._timelines = {topic: Timeline(len(labels), limit) for topic in topics}
        self._start_ns: int | None = None

    def add(self, frame: Frame, picture: np.ndarray, result: Segmentation) -> None:
        """
        Take in the next frame.

        :param frame: it is of.
        :param picture: (H, W, 3) uint8 BGR.
        :param result: of the picture.
        """
        # stamps may be no times at all; readers hand frames out in the order of this clock
        now_ns = frame.stamp_ns if frame.bag_time_ns is None else frame.bag_time_ns
        self._start_ns = now_ns if self._start_ns is None else self._start_ns
        self._timelines[frame.topic].add(
            (now_ns - self._start_ns) / 1e9, partial(self._pictures, picture, result.class_ids),
            result.made, sum(result.timing_ms.values()),
            class_shares(result.class_ids, len(self._labels)))

    def write(self, subtitle: str, facts: Sequence[tuple[str, str]]) -> None:
        """
        Write the page; without a frame there is none.

        :param subtitle: what was segmented.
        :param facts: name and value of what is worth knowing of the run.
        :raises SinkError: that is impossible.
        """
        cameras = [Camera(topic, timeline, 'Milliseconds of the segmenter')
                   for topic, timeline in self._timelines.items() if timeline.frames]
        if not cameras:
            print('roadseg segment: no frame was segmented, so there is no page', file=sys.stderr)
            return
        page = make_page('roadseg segment', subtitle, facts, self._labels, cameras)
        try:
            self._path.write_text(page, encoding='utf-8')
        except OSError as error:
            raise SinkError(f'cannot write {self._path}: {reason(error)}') from error

    def _pictures(self, picture: np.ndarray, class_ids: np.ndarray) -> tuple[str, str]:
        """Return frame and half-transparent colours as addresses that hold the pictures."""
        height, width = class_ids.shape
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        ids = cv2.resize(class_ids, size, interpolation=cv2.INTER_NEAREST)
        frame = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return (_address('jpeg', cv2.imencode('.jpg', frame, JPEG_FLAGS)[1]),
                _address('png', cv2.imencode('.png', self._colors[ids])[1]))


def _address(kind: str, data: np.ndarray) -> str:
    """Return a picture file as an address that holds it."""
    return f'data:image/{kind};base64,{b64encode(data).decode()}'
