"""A bag of one file, which takes its name only when it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
import os
from pathlib import Path
import shutil
import sqlite3
import tempfile
from typing import Any, Final

from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import get_typestore, Stores

STORAGES = {'.mcap': StoragePlugin.MCAP, '.db3': StoragePlugin.SQLITE3}
# Humble to Rolling read it; 9 is Jazzy's
BAG_VERSION: Final = 8
PARTIAL_PREFIX = '.roadseg.'
STORAGE_ERRORS = (OSError, sqlite3.Error, WriterError)


class SinkError(ValueError):
    """An output that cannot be written to; the message names it."""


class BagFile:
    """
    A bag to write; a context manager.

    What was written is there afterwards, also when an exception ends it. Where the file cannot be
    finished, what there is of it stays in a hidden folder beside, which the error names.

    :param path: ends in `.mcap` or `.db3`; replaced, its folder is made.
    :param topics: message type by topic.
    :param folder: to lie in until it is whole; must not exist (default: a new one beside).
    """

    def __init__(self, path: Path, topics: Mapping[str, str], folder: Path | None = None) -> None:
        self._path, self._topics, self._wanted_folder = path, topics, folder
        self._written = 0
        self._failure: Exception | None = None

    def __enter__(self) -> BagFile:
        """
        Open a bag beside the file to be.

        :raises SinkError: that is impossible.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = self._make_folder()
        except OSError as error:
            raise self._said(error) from error
        try:
            self._open()
        except STORAGE_ERRORS as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise self._said(error) from error
        return self

    def _make_folder(self) -> Path:
        """Make the folder to lie in until it is whole."""
        if self._wanted_folder is None:
            return Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=self._path.parent))
        self._wanted_folder.mkdir()
        return self._wanted_folder

    def _open(self) -> None:
        """Start a bag with the topics and no messages."""
        storage = STORAGES[self._path.suffix]
        self._writer = Writer(self._folder / self._path.stem, version=BAG_VERSION,
                              storage_plugin=storage)
        self._writer.open()
        opened: Any = self._writer.storage
        self._file = opened.path
        if storage is StoragePlugin.SQLITE3:
            # one transaction for everything would be rolled back as a whole when it fails
            opened.conn.isolation_level = None
            opened.conn.execute('PRAGMA synchronous = OFF')
        types = get_typestore(Stores.ROS2_JAZZY)
        self._connections = {topic: self._writer.add_connection(topic, kind, typestore=types)
                             for topic, kind in self._topics.items()}

    def write(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """
        Append a message.

        :param time_ns: when it was recorded, 0 or more.
        :param data: CDR.
        :raises SinkError: the storage fails; nothing more can be written.
        """
        try:
            self._writer.write(self._connections[topic], time_ns, data)
        except STORAGE_ERRORS as error:
            self._failure = error
            raise self._said(error) from error
        self._written += 1

    def __exit__(self, *_: object) -> None:
        """
        Move the file into place; leave nothing where there were no messages.

        :raises SinkError: it could not be finished; names what is left of it.
        """
        try:
            # nothing may follow a record that is only half there
            if self._failure is not None:
                raise self._failure
            self._writer.close()
            if self._written:
                os.replace(self._file, self._path)
        except STORAGE_ERRORS as error:
            with suppress(*STORAGE_ERRORS):
                self._writer.abort()
            raise self._said(error, f'; what could be written is in {self._file}') from error
        shutil.rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        """Leave nothing of it."""
        with suppress(*STORAGE_ERRORS):
            self._writer.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _said(self, error: Exception, more: str = '') -> SinkError:
        """Return what to say of a failure."""
        return SinkError(f'cannot write {self._path}: {reason(error)}{more}')


def reason(error: Exception) -> str:
    """Return what an error says, in one line and without the path that the caller names."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ' '.join(text.split()) or type(error).__name__
