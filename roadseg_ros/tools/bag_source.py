"""Read the images of a ROS 2 bag, without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
import re
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.node.image_messages import decode_compressed, to_bgr
from roadseg_ros.node.topics import base_topic
from roadseg_ros.tools.frames import Frame, Source, SourceError

BAG_SUFFIXES = ('.mcap', '.db3')
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = ('sensor_msgs/msg/Image', COMPRESSED_TYPE)


class BagSource(Source):
    """
    The image messages of a bag in the order they were recorded.

    :param path: a bag folder, `.mcap` or `.db3` file.
    :param topics: image topics to read; none = all, but of a camera recorded both raw and
        compressed only the one with more messages, and no compressedDepth.
    :raises SourceError: damaged, without images, or without one of the topics.
    """

    kind = 'bag'

    def __init__(self, path: Path, topics: Sequence[str] = ()) -> None:
        self._path = path
        # the two types are the same in all of ROS 2, and old bags carry no definitions
        self._types = get_typestore(Stores.ROS2_JAZZY)
        try:
            self._reader = Reader(path)
            self._reader.open()
        # on damaged files rosbags raises its own errors and those of every library below it
        except Exception as error:
            raise self._damaged(error) from error
        try:
            self.topics = self._choose(topics)
        except SourceError:
            self._reader.close()
            raise
        self._connections = [connection for connection in self._reader.connections
                             if connection.topic in self.topics]
        self.count = sum(connection.msgcount for connection in self._connections)

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self._reader.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield each image message."""
        messages = iter(self._reader.messages(self._connections))
        while True:
            try:
                connection, bag_time_ns, data = next(messages)
            except StopIteration:
                return
            except Exception as error:
                raise self._damaged(error) from error
            yield self._frame(connection.topic, connection.msgtype, bag_time_ns, data)

    def _frame(self, topic: str, type_name: str, bag_time_ns: int, data: bytes) -> Frame:
        """Return the frame of a message; one that cannot be read fails when it is decoded."""
        folder = re.sub(r'[^\w/]', '_', topic).strip('/')
        try:
            message: Any = self._types.deserialize_cdr(data, type_name)
            stamp = message.header.stamp
        except Exception as error:
            reason = f'no {type_name}: {error}'
            return Frame(f'{topic} recorded at {bag_time_ns}', f'{folder}/{bag_time_ns}',
                         bag_time_ns, lambda: _refuse(reason), topic, '', bag_time_ns)
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        convert = decode_compressed if type_name == COMPRESSED_TYPE else to_bgr
        return Frame(f'{topic} at {stamp_ns}', f'{folder}/{stamp_ns}', stamp_ns,
                     lambda: convert(message), topic, message.header.frame_id, bag_time_ns)

    def _choose(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return the topics to read."""
        counts: dict[str, int] = {}
        for connection in self._reader.connections:
            if connection.msgtype in IMAGE_TYPES:
                counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        counts = {topic: count for topic, count in counts.items() if count}
        if not counts:
            found = sorted({f'{connection.topic} ({connection.msgtype})'
                            for connection in self._reader.connections})
            raise SourceError(f'{self._path} holds no image; supported: {", ".join(IMAGE_TYPES)}; '
                              f'its topics: {", ".join(found) or "none"}')
        wanted = ['/' + topic.lstrip('/') for topic in wanted]
        missing = [topic for topic in wanted if topic not in counts]
        if missing:
            raise SourceError(f'{self._path} has no image topic {", ".join(missing)}; '
                              f'it has {", ".join(sorted(counts))}')
        return tuple(dict.fromkeys(wanted)) or _one_per_camera(counts)

    def _damaged(self, error: Exception) -> SourceError:
        """Return what to say of a bag that cannot be read."""
        return SourceError(
            f'cannot read bag {self._path}: it is cut short, damaged or no ROS 2 bag '
            f'({" ".join(str(error).split()) or type(error).__name__}); `mcap recover` or '
            '`ros2 bag reindex` may save it')


def _one_per_camera(counts: dict[str, int]) -> tuple[str, ...]:
    """Leave out depth, and of each camera the transport with fewer messages."""
    pictures = [topic for topic in sorted(counts) if not topic.endswith('/compressedDepth')]
    best: dict[str, str] = {}
    for topic in pictures or sorted(counts):
        other = best.setdefault(base_topic(topic), topic)
        if counts[topic] > counts[other]:
            best[base_topic(topic)] = topic
    return tuple(best.values())


def _refuse(reason: str) -> np.ndarray:
    """Fail as decoding does."""
    raise SourceError(reason)
