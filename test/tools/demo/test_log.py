"""The driving log: stamps that go on, topics that ROS allows, no more than memory holds."""

from __future__ import annotations

import numpy as np
import pytest

from roadseg_ros.tools.demo import log as demo_log
from roadseg_ros.tools.demo.log import playable_topic, read_log

SECOND_NS = 10**9


def test_log_of_a_bag(bags, pictures, tmp_path):
    stamps = [5 * SECOND_NS, 5 * SECOND_NS, 6 * SECOND_NS, 9 * SECOND_NS]
    bag = bags.write(tmp_path / 'bag', [
        ('/front/image_raw', stamp + index, bags.raw(picture, stamp))
        for index, (stamp, picture) in enumerate(zip(stamps, pictures))])
    log = read_log(bag, None, 3.0)
    assert log.topic == '/front/image_raw'
    # the second repeats a stamp and takes the time of its recording; the last is 4 s later
    assert [frame.stamp_ns for frame in log.frames] == [stamps[0], stamps[1] + 1, stamps[2]]
    assert log.recorded_hz == 2
    assert all(np.array_equal(frame.picture, picture) and frame.frame_id == 'front'
               for frame, picture in zip(log.frames, pictures))


def log_of(bags, pictures, folder, stamps, bag_times):
    """Return the log of a bag of one camera."""
    bag = bags.write(folder / 'bag', [
        ('/front/image_raw', bag_time, bags.raw(pictures[index % 4], stamp))
        for index, (stamp, bag_time) in enumerate(zip(stamps, bag_times, strict=True))])
    return read_log(bag, None, 10.0)


def test_repeated_stamp_does_not_end_the_log(bags, pictures, tmp_path):
    # recorded hours after the camera's clock said, which begins at zero
    bag_times = [10**14 + index * SECOND_NS for index in range(5)]
    log = log_of(bags, pictures, tmp_path, [0, SECOND_NS, SECOND_NS, 3 * SECOND_NS + 1,
                                            4 * SECOND_NS], bag_times)
    assert [frame.stamp_ns for frame in log.frames] == [
        0, SECOND_NS, 2 * SECOND_NS, 3 * SECOND_NS + 1, 4 * SECOND_NS]


def test_clock_that_is_set_does_not_stop_the_play(bags, pictures, tmp_path):
    set_to = 1_700_000_000 * SECOND_NS
    log = log_of(bags, pictures, tmp_path, [0, SECOND_NS, set_to, set_to + SECOND_NS],
                 [index * SECOND_NS for index in range(4)])
    assert [frame.stamp_ns for frame in log.frames] == [
        index * SECOND_NS for index in range(4)]
    assert log.recorded_hz == 1


def test_first_stamp_that_is_no_time(bags, pictures, tmp_path):
    hostile = bags.raw(pictures[0], 0)
    hostile.header.stamp.sec, hostile.header.stamp.nanosec = 2**31 - 1, 2**32 - 1
    bag = bags.write(tmp_path / 'bag', [('/cam', 0, hostile),
                                        ('/cam', 50, bags.raw(pictures[1], 50))])
    assert [frame.stamp_ns for frame in read_log(bag, None, 1.0).frames] == [
        demo_log.START_NS, demo_log.START_NS + 50]


@pytest.mark.parametrize('with_bag', [False, True])
def test_memory_is_limited(bags, pictures, tmp_path, monkeypatch, capsys, with_bag):
    bag = bags.write(tmp_path / 'bag', [('/cam', index, bags.raw(pictures[0], index))
                                        for index in range(9)])
    frame = read_log(bag if with_bag else None, None, 0.1).frames[0]
    size = frame.picture.nbytes + (0 if frame.truth is None else frame.truth.nbytes)
    monkeypatch.setattr(demo_log, 'MEMORY_LIMIT', 4 * size + 1)
    assert len(read_log(bag if with_bag else None, None, 3600.0).frames) == 4
    assert 'plays the first 4 frames' in capsys.readouterr().err


@pytest.mark.parametrize('topic, played', [
    ('/cam-1/image_raw', '/cam_1/image_raw'), ('camera/image_raw', '/camera/image_raw'),
    ('/front/image_raw/compressed', '/front/image_raw'), ('/2nd//cam/', '/_2nd/cam'),
    ('/', '/camera/image_raw'), ('/' + 'a' * 300, '/camera/image_raw')])
def test_topics_ros_does_not_allow(topic, played):
    assert playable_topic(topic) == played


def test_bag_of_such_a_topic(bags, pictures, tmp_path):
    bag = bags.write(tmp_path / 'bag', [('cam-1/image_raw', index, bags.raw(picture, index + 1))
                                        for index, picture in enumerate(pictures)])
    for asked in (None, 'cam-1/image_raw'):
        log = read_log(bag, asked, 1.0)
        assert log.topic == '/cam_1/image_raw' and 'cam-1' in log.name


def test_what_was_left_out_is_said(bags, pictures, tmp_path, capsys):
    bag = bags.write(tmp_path / 'bag', [
        (topic, index, bags.raw(pictures[0], index)) for index in range(2)
        for topic in ('/cam/image_raw', '/cam/segmentation/overlay')])
    assert read_log(bag, None, 1.0).topic == '/cam/image_raw'
    assert 'left out /cam/segmentation/overlay' in capsys.readouterr().err
