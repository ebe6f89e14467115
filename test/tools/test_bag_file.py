"""Bag files: whole under their name, or what could be written kept and named."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys

import pytest

from roadseg_ros.tools.bag_file import BagFile, SinkError

HEADER = b'\0\1\0\0' + bytes(8) + b'\1\0\0\0\0'  # CDR: stamp 0, frame_id ''
TOPICS = {'/odometry': 'std_msgs/msg/Header'}
FULL_DISK = '''
import resource, sys
from pathlib import Path
from roadseg_ros.tools.bag_file import BagFile, SinkError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
written = 0
try:
    with BagFile(Path(sys.argv[1]), {'/odometry': 'std_msgs/msg/Header'}) as bag:
        for index in range(int(sys.argv[3])):
            bag.write('/odometry', index, bytes(100_000))
            written += 1
except SinkError as error:
    print(error)
    sys.exit(7)
'''


def fill(path: Path, limit: int, messages: int) -> str:
    """Write messages of 100 kB where a file may have this many bytes; return the error."""
    done = subprocess.run([sys.executable, '-c', FULL_DISK, path, str(limit), str(messages)],
                          capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    return done.stdout


@pytest.mark.parametrize('suffix, readable', [('.mcap', 1_000_000), ('.db3', 2_700_000)])
@pytest.mark.parametrize('messages', [30, 100])
def test_full_disk_leaves_what_could_be_written(tmp_path, suffix, readable, messages):
    path = tmp_path / f'out{suffix}'
    said = fill(path, 2_900_000, messages)
    kept = re.fullmatch(rf'cannot write {path}: .*; what could be written is in (.*)\n', said)
    assert kept and not path.exists()
    assert Path(kept[1]).parent.parent.parent == tmp_path
    assert Path(kept[1]).stat().st_size > readable


def test_sqlite_keeps_each_message_at_once(tmp_path, bags):
    with BagFile(tmp_path / 'out.db3', TOPICS) as bag:
        bag.write('/odometry', 5, HEADER)
        (unfinished,) = tmp_path.glob('.*/out/out.db3')
        # as a kill leaves it
        copy = tmp_path / 'copy.db3'
        copy.write_bytes(unfinished.read_bytes())
    assert [message[:2] for message in bags.read(copy)] == [('/odometry', 5)]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(SinkError, match=r'cannot write .*out\.mcap: .*(File exists|Not a dir)'):
        BagFile(tmp_path / 'file' / 'out.mcap', TOPICS).__enter__()


def test_name_too_long_leaves_nothing(tmp_path):
    with pytest.raises(SinkError, match='too long'):
        BagFile(tmp_path / f'{"a" * 300}.mcap', TOPICS).__enter__()
    assert not list(tmp_path.iterdir())
