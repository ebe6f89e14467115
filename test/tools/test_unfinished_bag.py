"""What can be read of bags without their end: each message that is whole, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadseg_ros.tools.bag_file import BagFile, SinkError
from roadseg_ros.tools.unfinished_bag import count_messages, read_messages, UnfinishedBag

TOPICS = {'/left/mask': 'sensor_msgs/msg/Image', '/right/mask': 'sensor_msgs/msg/Image'}
# bag times that go back, as of a recorder that was late; 400 kB: three make a chunk
MESSAGES = [(topic, 7 * index % 5, np.full(400_000, index + 1, np.uint8).tobytes())
            for index, topic in enumerate([*TOPICS] * 4)]


def write(path: Path) -> bytes:
    """Write a bag; return the bytes of its file."""
    with BagFile(path, TOPICS) as bag:
        for message in MESSAGES:
            bag.write(*message)
    return path.read_bytes()


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
def test_messages_of_a_whole_bag(tmp_path, suffix):
    path = tmp_path / f'out{suffix}'
    write(path)
    assert list(read_messages(path)) == MESSAGES
    assert count_messages(path) == len(MESSAGES)


def test_mcap_cut_anywhere_gives_what_is_whole(tmp_path):
    path = tmp_path / 'out.mcap'
    data = write(path)
    ends = [data.index(content) + len(content) for _, _, content in MESSAGES]
    cuts = [0, 5, 8, 12, 300, *(end + shift for end in ends for shift in (-400_010, -1, 0, 1, 20))]
    for cut in sorted(cut for cut in cuts if cut < len(data)):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert list(read_messages(path)) == MESSAGES[:whole], cut
        assert count_messages(path) == whole


def test_tail_of_zeros_is_no_message(tmp_path):
    """As a file system leaves it when the power fails."""
    path = tmp_path / 'out.mcap'
    data = write(path)
    path.write_bytes(data[:data.index(MESSAGES[2][2]) - 31] + bytes(1_000_000))
    assert count_messages(path) == 2


def test_sqlite_killed_before_its_tables(tmp_path):
    (tmp_path / 'out.db3').touch()
    assert count_messages(tmp_path / 'out.db3') == 0


def test_no_database_is_said(tmp_path):
    (tmp_path / 'out.db3').write_bytes(b'no database ' * 99)
    with pytest.raises(SinkError, match='cannot read .*out.db3: file is not a database'):
        UnfinishedBag(tmp_path / 'out.db3').count()


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
def test_killed_while_it_is_copied(tmp_path, suffix):
    """What was set aside counts, not the copy that was begun; nothing is left at the end."""
    out = tmp_path / f'out{suffix}'
    write(out)
    UnfinishedBag(out).set_aside()
    copy = BagFile(out, TOPICS, UnfinishedBag(out).folder).__enter__()
    copy.write(*MESSAGES[0])
    unfinished = UnfinishedBag(out)
    assert not out.exists() and len(unfinished.places()) == 2
    assert unfinished.count() == len(MESSAGES)
    unfinished.set_aside()
    assert list(unfinished.messages()) == MESSAGES
    unfinished.discard()
    assert not list(tmp_path.iterdir())
