"""The folder that `roadseg segment` writes masks to."""

from __future__ import annotations

from collections.abc import Sequence
import csv
import errno
import io
import os
from pathlib import Path, PurePath
from typing import IO

import numpy as np

from roadseg_ros.tools.bag_file import PARTIAL_PREFIX, reason, SinkError
from roadseg_ros.tools.frames import Frame
from roadseg_ros.tools.picture_files import encode, is_whole, UnwritableFrame, write_whole
from roadseg_ros.tools.progress import complete_path, NEW, taken

STAMP_COLUMNS = ('file', 'stamp_ns', 'topic', 'frame_id', 'bag_time_ns')
# the file system does not take the name; it may take the next one
UNFIT_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class FolderSink:
    """
    A folder with a PNG of class ids a frame, and overlays as JPEG in `<folder>_overlay`.

    :param folder: new or empty.
    :param overlay: overlays will come.
    :param stamps: write `frames.csv` with the stamp of each file.
    :param resume: go on with what an interrupted run left in the folder.
    :raises SinkError: a folder is taken.
    """

    def __init__(self, folder: Path, overlay: bool, stamps: bool, resume: bool = False) -> None:
        self._folder = folder
        self._overlays = overlay_folder(folder) if overlay else None
        self._stamps = stamps
        self._table: IO[str] | None = None
        self._kept: Sequence[str] = ()
        self._used: set[str] = set()
        for path in filter(None, (self._folder, self._overlays)):
            if not resume and path.exists() and (not path.is_dir() or _holds_files(path)):
                raise taken(f'{path} exists and is not an empty folder', folder)

    def whole(self, files: Sequence[str]) -> int:
        """Return how many frames of an interrupted run are there with all that is theirs."""
        count = min(len(files), len(self._rows()) - 1) if self._stamps else len(files)
        for index, file in enumerate(files[:max(count, 0)]):
            mask = self._folder / file
            overlay = self._overlays and self._overlays / PurePath(file).with_suffix('.jpg')
            if not (is_whole(mask) and (overlay is None or is_whole(overlay))):
                return index
        return max(count, 0)

    def keep(self, files: Sequence[str]) -> None:
        """Go on after these frames of an interrupted run."""
        self._kept = files
        self._used = {file.removesuffix('.png') for file in files}

    def __enter__(self) -> FolderSink:
        """Make the folders."""
        try:
            for path in filter(None, (self._folder, self._overlays)):
                path.mkdir(parents=True, exist_ok=True)
            if self._stamps:
                self._begin_table()
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

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> str:
        """Store the files of a frame; each appears whole or not at all."""
        path = PurePath(frame.stem)
        if path.is_absolute() or '..' in path.parts:
            raise UnwritableFrame(f'{path} leads out of {self._folder}')
        try:
            return self._write(frame, self._free(frame.stem), class_ids, overlay)
        except OSError as error:
            if error.errno in UNFIT_NAME:
                raise UnwritableFrame(f'no file can be named {path.name}.png: '
                                      f'{reason(error)}') from error
            raise self._said(error) from error

    def _write(self, frame: Frame, stem: str, class_ids: np.ndarray,
               overlay: np.ndarray | None) -> str:
        """Write the files and the line of the table; return the name of the mask."""
        if self._overlays and overlay is not None:
            write_whole(self._overlays / f'{stem}.jpg', encode('.jpg', overlay))
        write_whole(self._folder / f'{stem}.png', encode('.png', class_ids))
        if self._table:
            csv.writer(self._table).writerow(
                (f'{stem}.png', frame.stamp_ns, frame.topic, frame.frame_id, frame.bag_time_ns))
            self._table.flush()
        return f'{stem}.png'

    def _begin_table(self) -> None:
        """Open the table with the lines of the frames that are kept."""
        path, partial = self._folder / 'frames.csv', self._folder / f'{PARTIAL_PREFIX}csv'
        rows = self._rows()[1:len(self._kept) + 1] if self._kept else []
        self._table = partial.open('w', newline='', encoding='utf-8')
        csv.writer(self._table).writerows([STAMP_COLUMNS, *rows])
        self._table.flush()
        os.replace(partial, path)

    def _rows(self) -> list[list[str]]:
        """Return the whole lines of the table that an interrupted run left."""
        try:
            text = (self._folder / 'frames.csv').read_bytes().decode(errors='replace')
        except FileNotFoundError:
            return []
        lines = list(io.StringIO(text, newline=''))
        if lines and not lines[-1].endswith('\n'):
            del lines[-1]
        return list(csv.reader(lines))

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


def overlay_folder(out: Path) -> Path:
    """Return the folder the overlays of a folder of masks go to."""
    # '.' and '..' have no name of their own
    whole = Path(os.path.abspath(out))
    return whole.parent / f'{whole.name}_overlay'


def _holds_files(folder: Path) -> bool:
    """Return whether a folder holds more than is left of a run killed at its start, or emptied."""
    return any(not path.name.startswith(NEW) and path != complete_path(folder)
               for path in folder.iterdir())
