"""Reading bags: which topics, which order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from roadseg_ros.tools.frames import SourceError
from roadseg_ros.tools.sources import open_source


@pytest.mark.parametrize('storage', ['mcap', 'db3'])
@pytest.mark.parametrize('alone', [False, True])
def test_frames_in_order(tmp_path, pictures, bags, storage, alone):
    bag = bags.write(tmp_path / 'log', [
        ('/cam/left', 30, bags.raw(pictures[0], 5)), ('/cam/right', 10, bags.raw(pictures[1], 7)),
        ('/cam/left', 20, bags.raw(pictures[2], 6, 'rgb8'))], storage)
    with open_source(bag / f'log.{storage}' if alone else bag) as source:
        frames = [(frame.topic, frame.stamp_ns, frame.bag_time_ns, frame.frame_id, frame.decode())
                  for frame in source]
    assert source.topics == ('/cam/left', '/cam/right') and source.count == 3
    assert [frame[:4] for frame in frames] == [
        ('/cam/right', 7, 10, 'front'), ('/cam/left', 6, 20, 'front'),
        ('/cam/left', 5, 30, 'front')]
    for found, wanted in zip(frames, (1, 2, 0), strict=True):
        np.testing.assert_array_equal(found[4], pictures[wanted])


def test_topics_chosen(tmp_path, picture, bags):
    both = [('/cam/image_raw', index, bags.raw(picture, index)) for index in range(2)]
    both += [('/cam/image_raw/compressed', index, bags.compressed(picture, index, 'png'))
             for index in range(3)]
    both += [('/cam/depth/compressedDepth', 0, bags.compressed(picture, 0, 'png'))]
    bag = bags.write(tmp_path / 'log', both)
    with open_source(bag) as source:
        assert source.topics == ('/cam/image_raw/compressed',) and source.count == 3
    with open_source(bag, ['cam/image_raw']) as source:
        assert source.topics == ('/cam/image_raw',) and len(list(source)) == 2
    with pytest.raises(SourceError, match='no image topic /gone; it has /cam/depth'):
        open_source(bag, ['/gone'])


def test_bag_without_images(tmp_path, bags):
    bag = bags.write(tmp_path / 'log', [('/odometry', 1, bags.header(5))])
    with pytest.raises(SourceError, match=r'holds no image; supported: .*CompressedImage; '
                                          r'its topics: /odometry \(std_msgs/msg/Header\)'):
        open_source(bag)


@pytest.mark.parametrize('storage', ['mcap', 'db3'])
@pytest.mark.parametrize('kept', [0.0, 0.001, 0.1, 0.5, 0.99])
def test_cut_short(tmp_path, pictures, bags, storage, kept):
    bag = bags.write(tmp_path / 'log', [
        ('/cam', index, bags.raw(pictures[index % 4], index)) for index in range(40)], storage)
    path = bag / f'log.{storage}'
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * kept)])
    for cut in (path, bag):
        with pytest.raises(SourceError, match='cut short, damaged'), open_source(cut) as source:
            for frame in source:
                frame.decode()


def test_hostile_topic_stays_in_the_folder(tmp_path, picture, bags):
    bag = bags.write(tmp_path / 'log', [('/../../cam', 1, bags.raw(picture, 5))])
    with open_source(bag) as source:
        assert [frame.stem for frame in source] == ['__/__/cam/5']
