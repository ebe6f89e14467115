"""Writers: nothing is overwritten, no frame is lost, what was written stays."""

from __future__ import annotations

import csv
from dataclasses import replace
import errno
from pathlib import Path

import numpy as np
import pytest

from roadseg_ros.tools import folder_sink
from roadseg_ros.tools.bag_file import SinkError
from roadseg_ros.tools.frames import Frame, Source
from roadseg_ros.tools.picture_files import UnwritableFrame
from roadseg_ros.tools.sinks import make_sink, output_path


class Log(Source):
    """A bag by name."""

    kind = 'bag'

    def __init__(self, *topics: str) -> None:
        self.topics = topics


MASK = np.arange(12, dtype=np.uint8).reshape(3, 4)


def frame_at(stamp_ns: int, topic: str = '/cam/image_raw') -> Frame:
    """Return a frame as a bag gives it."""
    return Frame('x', f'{topic.strip("/")}/{stamp_ns}', stamp_ns, lambda: MASK, topic, 'front', 9)


def test_equal_stamps_lose_nothing(tmp_path, read_mask):
    with make_sink(tmp_path / 'out', Log('/cam/image_raw'), overlay=False) as sink:
        for shift in range(3):
            sink.write(frame_at(0), MASK + shift, None)
    files = [f'cam/image_raw/{name}.png' for name in ('0', '0_1', '0_2')]
    for shift, name in enumerate(files):
        np.testing.assert_array_equal(read_mask(tmp_path / 'out' / name), MASK + shift)
    rows = list(csv.DictReader((tmp_path / 'out' / 'frames.csv').open()))
    assert [row['file'] for row in rows] == files
    assert rows[0] == {'file': files[0], 'stamp_ns': '0', 'topic': '/cam/image_raw',
                       'frame_id': 'front', 'bag_time_ns': '9'}


@pytest.mark.parametrize('name', ['out', 'out.mcap', 'out.db3'])
def test_taken_output_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'mine').write_text('keep')
    with pytest.raises(SinkError, match='nothing is overwritten'):
        make_sink(tmp_path / name, Log('/cam/image_raw'), overlay=False)
    assert (tmp_path / name / 'mine').read_text() == 'keep'


def test_taken_overlay_folder_is_refused(tmp_path):
    (tmp_path / 'out_overlay').write_text('a file')
    with pytest.raises(SinkError, match='out_overlay'):
        make_sink(tmp_path / 'out', Log('/cam/image_raw'), overlay=True)


def test_output_named_like_a_picture(tmp_path):
    with pytest.raises(SinkError, match=r'it is a folder, or a bag that ends in \.mcap or \.db3'):
        make_sink(tmp_path / 'mask.png', Log('/cam/image_raw'), overlay=False)


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
def test_bag_is_one_file_and_survives_an_interrupt(tmp_path, bags, suffix):
    out: Path = tmp_path / 'new' / f'out{suffix}'
    topics = '/cam/left', '/cam/right/compressed'
    with pytest.raises(KeyboardInterrupt), make_sink(out, Log(*topics), overlay=False) as sink:
        sink.write(frame_at(3_000_000_004, topics[0]), MASK, None)
        sink.write(frame_at(5, topics[1]), MASK, None)
        raise KeyboardInterrupt
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    messages = bags.read(out)
    assert [(topic, time) for topic, time, _ in messages] == [
        ('/cam/segmentation/left/mask', 9), ('/cam/segmentation/right/mask', 9)]
    message = messages[0][2]
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 4)
    assert message.header.frame_id == 'front'
    assert (message.height, message.width, message.encoding, message.step) == (3, 4, 'mono8', 4)
    np.testing.assert_array_equal(message.data.reshape(3, 4), MASK)


def test_bag_without_frames_leaves_nothing(tmp_path):
    with make_sink(tmp_path / 'out.mcap', Log('/cam/image_raw'), overlay=False):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('stem', ['/outside', '../outside', 'a/../../outside'])
def test_no_frame_leads_out_of_the_folder(tmp_path, stem):
    with make_sink(tmp_path / 'in' / 'out', Log('/cam'), overlay=False) as sink:
        with pytest.raises(UnwritableFrame, match='leads out of'):
            sink.write(replace(frame_at(0), stem=stem), MASK, None)
    assert not list(tmp_path.rglob('*.png')) and not Path('/outside.png').exists()


def test_longest_name_and_one_too_long(tmp_path, read_mask):
    with make_sink(tmp_path / 'out', Log('/cam'), overlay=True) as sink:
        sink.write(replace(frame_at(0), stem='a' * 251), MASK, np.dstack([MASK] * 3))
        with pytest.raises(UnwritableFrame, match='no file can be named b*.png: .* too long'):
            sink.write(replace(frame_at(0), stem='b' * 252), MASK, None)
        sink.write(replace(frame_at(0), stem='c'), MASK, None)
    np.testing.assert_array_equal(read_mask(tmp_path / 'out' / f'{"a" * 251}.png'), MASK)
    assert sorted(path.name[0] for path in (tmp_path / 'out').iterdir()) == ['a', 'c', 'f']


def test_full_disk_ends_a_folder(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, 'No space left on device', str(path))

    with make_sink(tmp_path / 'out', Log('/cam'), overlay=False) as sink:
        monkeypatch.setattr(folder_sink, 'write_whole', full)
        with pytest.raises(SinkError, match=r'cannot write to .*out: No space left'):
            sink.write(frame_at(0), MASK, None)


def test_header_that_is_no_time_is_carried_unchanged(tmp_path, bags):
    stamp = (2**31 - 1, 2**32 - 1)
    frame = replace(frame_at(0), stamp_ns=stamp[0] * 10**9 + stamp[1], stamp=stamp)
    with make_sink(tmp_path / 'out.mcap', Log('/cam/image_raw'), overlay=False) as sink:
        sink.write(frame, MASK, None)
        with pytest.raises(UnwritableFrame, match='no sensor_msgs/msg/Image can hold it'):
            sink.write(replace(frame, stamp=None), MASK, None)
        with pytest.raises(UnwritableFrame, match='recorded at -1 ns'):
            sink.write(replace(frame, bag_time_ns=-1), MASK, None)
    ((_, _, message),) = bags.read(tmp_path / 'out.mcap')
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == stamp


@pytest.mark.parametrize('out, called', [
    ('OUT.MCAP', 'OUT.mcap'), ('a/b.Db3', 'a/b.db3'), ('out.d', 'out.d'), ('OUT', 'OUT')])
def test_endings_of_bags_in_any_case(out, called):
    assert output_path(Path(out)) == Path(called)


def test_overlays_of_the_folder_one_stands_in(tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    with make_sink(Path('.'), Log('/cam'), overlay=True) as sink:
        sink.write(frame_at(0), MASK, np.dstack([MASK] * 3))
    assert (tmp_path / 'here_overlay/cam/image_raw/0.jpg').is_file()
