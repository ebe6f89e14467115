"""Where the outputs of a camera stand."""
import pytest

from roadseg_ros.node.topics import base_topic, camera_info_topic, output_prefixes


def test_outputs_replace_the_last_name():
    assert output_prefixes(['/camera/front/image_raw']) == {
        '/camera/front/image_raw': '/camera/front/segmentation'}


def test_the_transport_is_no_part_of_the_camera():
    topic = '/camera/front/image_raw/compressed'
    assert base_topic(topic) == '/camera/front/image_raw'
    assert camera_info_topic(topic) == '/camera/front/camera_info'
    assert output_prefixes([topic]) == {topic: '/camera/front/segmentation'}


def test_cameras_with_one_parent_keep_their_names():
    assert output_prefixes(['/cam/left', '/cam/right/compressed', '/other/left']) == {
        '/cam/left': '/cam/segmentation/left',
        '/cam/right/compressed': '/cam/segmentation/right',
        '/other/left': '/other/segmentation'}


def test_a_relative_topic_stays_relative():
    assert output_prefixes(['cam/image_raw']) == {'cam/image_raw': 'cam/segmentation'}
    assert output_prefixes(['image_raw']) == {'image_raw': 'segmentation'}
    assert camera_info_topic('image_raw') == 'camera_info'


@pytest.mark.parametrize('topics', [[], [''], ['/cam/image', '/'], ['/compressed']])
def test_no_name_is_refused(topics):
    with pytest.raises(ValueError, match='at least one topic'):
        output_prefixes(topics)


def test_one_camera_twice_is_refused():
    with pytest.raises(ValueError, match='names /cam/image more than once'):
        output_prefixes(['/cam/image', '/cam/image/compressed'])
