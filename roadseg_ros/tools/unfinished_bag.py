"""Bags that an interrupted run left: where they lie, and what they hold without their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
import os
from pathlib import Path
import shutil
import sqlite3
import struct
from typing import IO

from roadseg_ros.tools.bag_file import PARTIAL_PREFIX, reason, SinkError

Message = tuple[str, int, bytes]
MAGIC = b'\x89MCAP0\r\n'
# https://mcap.dev/spec
FOOTER, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x02, 0x04, 0x05, 0x06, 0x0F
CHUNK_HEADER, MESSAGE_HEADER = 40, struct.Struct('<HIQQ')
TABLE = "SELECT name FROM sqlite_master WHERE name = 'messages'"
ALL_MESSAGES = ('SELECT topics.name, messages.timestamp, messages.data FROM messages '
                'JOIN topics ON messages.topic_id = topics.id ORDER BY messages.id')


class UnfinishedBag:
    """
    What there is of a bag: whole under its name, or as it was left in the middle.

    :param out: the bag as it is to be, ending in `.mcap` or `.db3`.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self.folder = out.with_name(f'{PARTIAL_PREFIX}{out.name}')
        self._before = out.with_name(f'{PARTIAL_PREFIX}{out.name}.before')

    def places(self) -> list[Path]:
        """Return where something lies that a new bag would replace."""
        return [path for path in (self._out, self.folder, self._before) if path.exists()]

    def count(self) -> int:
        """
        Return how many messages there are.

        :raises SinkError: it cannot be read.
        """
        kept, new = self._in(self._before), self._in(self.folder)
        file = next((path for path in (kept, self._out, new) if path.is_file()), None)
        try:
            return 0 if file is None else count_messages(file)
        except (OSError, sqlite3.Error) as error:
            raise SinkError(f'cannot read {file}: {reason(error)}') from error

    def set_aside(self) -> None:
        """Make room for a new bag; what there is can be read until `discard`."""
        kept = self._in(self._before)
        if kept.is_file():
            # a copy of it was being made
            shutil.rmtree(self.folder, ignore_errors=True)
        elif self._out.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._out, kept)
        elif self.folder.is_dir():
            # the folder: sqlite's journal belongs to the file
            os.replace(self.folder, self._before)

    def messages(self) -> Iterator[Message]:
        """Yield topic, time in ns and CDR of each message set aside, as they were written."""
        kept = self._in(self._before)
        return read_messages(kept) if kept.is_file() else iter(())

    def discard(self) -> None:
        """Remove what was set aside."""
        shutil.rmtree(self._before, ignore_errors=True)

    def _in(self, folder: Path) -> Path:
        """Return the file of the bag in a folder of `BagFile`."""
        return folder / self._out.stem / self._out.name


def count_messages(path: Path) -> int:
    """
    Count the messages of a bag file that need not be finished.

    :param path: as this package writes it, `.mcap` or `.db3`.
    :return: how many there are to their last byte.
    """
    if path.suffix == '.db3':
        with closing(sqlite3.connect(path)) as database:
            if not database.execute(TABLE).fetchone():
                return 0
            count: int = database.execute('SELECT count(*) FROM messages').fetchone()[0]
            return count
    with path.open('rb') as file:
        return sum(1 for _ in _mcap_messages(file))


def read_messages(path: Path) -> Iterator[Message]:
    """
    Yield the messages of a bag file that need not be finished, in the order they were written.

    :param path: as this package writes it, `.mcap` or `.db3`.
    :return: topic, time in ns and CDR of each that is there to its last byte.
    """
    if path.suffix == '.db3':
        # opening it undoes what was being written
        with closing(sqlite3.connect(path)) as database:
            yield from database.execute(ALL_MESSAGES)
        return
    with path.open('rb') as file:
        for topic, time_ns, size in _mcap_messages(file):
            yield topic, time_ns, file.read(size)


def _mcap_messages(file: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Yield topic, time and size of each whole message; the file stands at its data."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return
    topics: dict[int, str] = {}
    while (head := file.read(9)) and len(head) == 9:
        kind, size = struct.unpack('<BQ', head)
        after = file.tell() + size
        if kind == CHUNK:
            # the records follow as they are, and those of a chunk cut short are as good
            after = file.tell() + CHUNK_HEADER
        elif kind in (0, FOOTER, DATA_END) or after > end:
            return
        elif kind == CHANNEL:
            number, topic = _channel(file.read(size))
            topics[number] = topic
        elif kind == MESSAGE:
            number, _, time_ns, _ = MESSAGE_HEADER.unpack(file.read(MESSAGE_HEADER.size))
            yield topics[number], time_ns, size - MESSAGE_HEADER.size
        file.seek(after)


def _channel(record: bytes) -> tuple[int, str]:
    """Return number and topic of a channel."""
    number, _, length = struct.unpack_from('<HHI', record)
    return number, record[8:8 + length].decode()
