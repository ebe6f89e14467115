"""Reading bags: which topics, which order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from roadseg_ros.node.topics import OUTPUT_NAMES
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
        assert source.note == ('left out /cam/depth/compressedDepth (depth); choose with --topic')
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


@pytest.mark.parametrize('topic, stem', [('/../../cam', '__/__/cam/5'), ('/', '_/5')])
def test_hostile_topic_stays_in_the_folder(tmp_path, picture, bags, topic, stem):
    bag = bags.write(tmp_path / 'log', [(topic, 1, bags.raw(picture, 5))])
    with open_source(bag) as source:
        assert [frame.stem for frame in source] == [stem]


def test_exact_name_before_the_one_with_a_slash(tmp_path, picture, bags):
    bag = bags.write(tmp_path / 'log', [('cam/image_raw', 1, bags.raw(picture, 5)),
                                        ('/cam/image_raw', 2, bags.raw(picture, 6)),
                                        ('/back/image_raw', 3, bags.raw(picture, 7))])
    for asked, topic in (('cam/image_raw', 'cam/image_raw'), ('/cam/image_raw',) * 2,
                         ('back/image_raw', '/back/image_raw')):
        with open_source(bag, [asked]) as source:
            assert source.topics == (topic,)


def test_neither_depth_nor_outputs_of_the_node_are_cameras(tmp_path, picture, bags):
    grey = bags.raw(picture, 5)
    topics = ['/left/image_raw', '/left/segmentation/mask', '/left/segmentation/image_raw/mask',
              '/rig/front', '/rig/segmentation/front/color_mask', '/alone/segmentation/mask']
    messages = [(topic, 1, grey) for topic in topics]
    messages += [('/left/segmentation/overlay/compressed', 1, bags.compressed(picture, 5, 'png'))]
    for topic, encoding in (('/depth/raw', '16UC1'), ('/depth/rect', '32FC1'),
                            ('/thermal/image', 'mono16')):
        messages.append((topic, 1, bags.raw(picture, 5)))
        messages[-1][2].encoding = encoding
    bag = bags.write(tmp_path / 'log', messages)
    with open_source(bag) as source:
        assert source.topics == ('/left/image_raw', '/rig/front', '/thermal/image')
        assert source.count == len(list(source)) == 3
    for said in ('/depth/raw (depth)', '/depth/rect (depth)', '; choose with --topic',
                 '/left/segmentation/overlay/compressed (output of the node)',
                 '/alone/segmentation/mask (output of the node)',
                 '/rig/segmentation/front/color_mask (output of the node)'):
        assert said in source.note
    with open_source(bag, ['/depth/raw']) as source:
        assert source.topics == ('/depth/raw',) and not source.note


def test_bag_of_nothing_but_depth(tmp_path, picture, bags):
    message = bags.raw(picture, 5)
    message.encoding = '16UC1'
    bag = bags.write(tmp_path / 'log', [('/depth', 1, message)])
    with pytest.raises(SourceError, match=r'no camera, only /depth \(depth\); choose with'):
        open_source(bag)


def test_output_names_are_those_the_node_publishes():
    outputs = pytest.importorskip('roadseg_ros.node.outputs', reason='rclpy is not importable')
    assert set(OUTPUT_NAMES) == {*outputs.TOPICS, *outputs.COMPRESSED_TOPICS, 'legend',
                                 'label_info'}
