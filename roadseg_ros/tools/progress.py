"""What a run of `roadseg segment` has done so far, so that another can go on with it."""

from __future__ import annotations

from collections.abc import Mapping
import json
import os
from pathlib import Path
from typing import Any, IO

from roadseg_ros.tools.bag_file import PARTIAL_PREFIX, reason, SinkError, STORAGES

ABSENT = 'not given'
NEW = f'{PARTIAL_PREFIX}new'
Entry = dict[str, str]


class Progress:
    """
    A file that says what is run, and in a line each what became of the frames; a context manager.

    It stays when the run is interrupted; `finish` renames it to `complete_path`.

    :param out: folder or bag that the run writes.
    :param run: what is run, by name; what two runs must have in common to be one.
    """

    def __init__(self, out: Path, run: Mapping[str, str]) -> None:
        self.entries: list[Entry] = []
        self._out, self._path, self._run = out, progress_path(out), dict(run)
        self._file: IO[str] | None = None

    def load(self, path: Path) -> None:
        """
        Read what a run has done into `entries`.

        :param path: of `recorded`.
        :raises SinkError: it cannot be read, or was another one; the message names what differs.
        """
        try:
            lines = path.read_bytes().split(b'\n')
        except OSError as error:
            raise SinkError(f'cannot read {path}: {reason(error)}') from error
        try:
            before = json.loads(lines[0])
            self._compare(before)
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, SinkError):
                raise
            raise SinkError(f'{path} does not say what was run: remove it and '
                            f'{self._out}, and begin anew') from error
        for line in lines[1:-1]:  # the last is empty, or was being written
            entry = _parsed(line)
            if entry is None:
                break
            self.entries.append(entry)

    def __enter__(self) -> Progress:
        """
        Write the file with what is in `entries`.

        :raises SinkError: that is impossible.
        """
        new = self._path.with_name(f'{NEW}.{self._path.name}'[:200])
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            self._file = new.open('w', encoding='utf-8')
            for line in (self._run, *self.entries):
                self._file.write(f'{json.dumps(line)}\n')
            self._file.flush()
            os.replace(new, self._path)
        except OSError as error:
            raise self._said(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; it stays."""
        if self._file is not None:
            self._file.close()

    def add(self, entry: Entry) -> None:
        """
        Note what became of the next frame.

        :param entry: plain JSON; `error` where it failed.
        :raises SinkError: it cannot be written.
        """
        assert self._file is not None
        try:
            self._file.write(f'{json.dumps(entry)}\n')
            self._file.flush()
        except OSError as error:
            raise self._said(error) from error

    def finish(self, complete: bool) -> None:
        """
        End the run.

        :param complete: each frame of the input has come, so that nothing is left to go on with.
        :raises SinkError: the file cannot be renamed.
        """
        try:
            if complete:
                os.replace(self._path, complete_path(self._out))
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._said(error) from error

    def _compare(self, before: dict[str, Any]) -> None:
        """Refuse to go on with another run."""
        names = dict.fromkeys([*before, *self._run])
        different = [f'{name} ({before.get(name, ABSENT)} then, {self._run.get(name, ABSENT)} now)'
                     for name in names if before.get(name) != self._run.get(name)]
        if different:
            raise SinkError(f'{self._out} is of another run, --resume goes on with the same one '
                            f'only; different: {", ".join(different)}')

    def _said(self, error: OSError) -> SinkError:
        """Return what to say of a failure."""
        return SinkError(f'cannot write {self._path}: {reason(error)}')


def progress_path(out: Path) -> Path:
    """Return the file of a run's progress: in a folder of masks, beside a bag."""
    if out.suffix in STORAGES:
        return out.with_name(f'{PARTIAL_PREFIX}{out.name}.progress')
    return out / f'{PARTIAL_PREFIX}progress'


def complete_path(out: Path) -> Path:
    """Return the file that stays of the progress of a complete run, by which it is known again."""
    path = progress_path(out)
    return path.with_name(f'{path.name.removesuffix("progress")}complete')


def recorded(out: Path) -> Path | None:
    """Return the file that says what a run has done, None where there is none."""
    if progress_path(out).is_file():
        return progress_path(out)
    return complete_path(out) if out.exists() and complete_path(out).is_file() else None


def taken(what: str, out: Path) -> SinkError:
    """
    Return what to say where nothing may be overwritten.

    :param what: is there, as a sentence without its end.
    :param out: of the run.
    """
    go_on = ', or go on with its run (--resume)' if progress_path(out).is_file() else ''
    return SinkError(f'{what}; nothing is overwritten: remove it or choose another --out{go_on}')


def _parsed(line: bytes) -> Entry | None:
    """Return a line of the file, None for one that is not whole."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
