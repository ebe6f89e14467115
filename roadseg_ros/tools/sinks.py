"""Writers of `roadseg segment`: a folder of PNG masks, or a bag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from roadseg_ros.tools.bag_file import SinkError, STORAGES
from roadseg_ros.tools.bag_sink import BagSink
from roadseg_ros.tools.folder_sink import FolderSink
from roadseg_ros.tools.frames import Frame, Source
from roadseg_ros.tools.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES


class Sink(Protocol):
    """A context manager; what was written stays, also after an exception."""

    def __enter__(self) -> Sink:
        """Make the output."""

    def __exit__(self, *_: object) -> None:
        """Finish the output."""

    def whole(self, files: Sequence[str]) -> int:
        """
        Look at what an interrupted run left.

        :param files: what `write` returned for its frames.
        :return: how many of them, from the first on, are there with all that is theirs.
        :raises SinkError: it cannot be read.
        """

    def keep(self, files: Sequence[str]) -> None:
        """
        Go on after these frames of an interrupted run; before anything is written.

        :param files: the first of those that are whole; all others are forgotten.
        """

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> str:
        """
        Store the result of a frame.

        :param frame: it is of.
        :param class_ids: (H, W) uint8.
        :param overlay: (H, W, 3) uint8 BGR, or None.
        :return: its file in a folder, '' in a bag.
        :raises UnwritableFrame: this one cannot be stored.
        :raises SinkError: nothing more can be stored.
        """


def output_path(out: Path) -> Path:
    """Return what the output is called: readers of bags know their endings in small letters."""
    suffix = out.suffix.lower()
    return out.with_suffix(suffix) if suffix in STORAGES else out


def make_sink(out: Path, source: Source, overlay: bool, resume: bool = False) -> Sink:
    """
    Choose the output by its name; nothing is written yet.

    :param out: of `output_path`; a bag if it ends in `.mcap` or `.db3`, else a folder.
    :param source: what will be written.
    :param overlay: there will be overlays.
    :param resume: go on with what an interrupted run left.
    :raises SinkError: it is taken, or named like something it would not be.
    :raises ValueError: two topics of the source would share their output topics.
    """
    if out.suffix in STORAGES:
        return BagSink(out, source.topics, overlay, resume)
    if out.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        raise SinkError(f'--out {out} is named like a picture or video; it is a folder, or a bag '
                        f'that ends in {" or ".join(STORAGES)}')
    return FolderSink(out, overlay, source.kind != 'images', resume)
