"""Names of the topics beside a camera. Pure text: the command line uses it without ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

COMPRESSED = '/compressed'
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
OUTPUT_NAMES = ('mask', 'overlay', 'color_mask', 'confidence', 'camera_info', 'provenance',
                'drivable', 'road_grid', 'mask/compressed', 'overlay/compressed', 'legend',
                'label_info')


def base_topic(image_topic: str) -> str:
    """Return '/cam/image_raw' from '/cam/image_raw/compressed'."""
    return image_topic.removesuffix(COMPRESSED)


def camera_info_topic(image_topic: str) -> str:
    """Return the sibling every ROS camera has: the last name replaced by `camera_info`."""
    return _parent(image_topic) + 'camera_info'


def output_prefixes(image_topics: Sequence[str]) -> dict[str, str]:
    """
    Say under which prefix the outputs of each camera stand.

    The last name is replaced by `segmentation`; cameras that share a parent keep their own
    name below it.

    :param image_topics: such as ['/camera/front/image_raw/compressed'].
    :return: by image topic, such as '/camera/front/segmentation'.
    :raises ValueError: empty, or two topics are the same camera.
    """
    if not image_topics or not all(base_topic(topic).strip('/') for topic in image_topics):
        raise ValueError('image_topics must name at least one topic, none of them empty')
    twice = [topic for topic, count in Counter(map(base_topic, image_topics)).items() if count > 1]
    if twice:
        raise ValueError(f'image_topics names {twice[0]} more than once')
    siblings = Counter(map(_parent, image_topics))
    prefixes = {}
    for topic in image_topics:
        prefix = _parent(topic) + 'segmentation'
        if siblings[_parent(topic)] > 1:
            prefix += '/' + base_topic(topic).rpartition('/')[2]
        prefixes[topic] = prefix
    return prefixes


def _parent(image_topic: str) -> str:
    """Return the namespace of the camera with its slash; '' for a bare relative name."""
    base = base_topic(image_topic)
    return base[:base.rfind('/') + 1]
