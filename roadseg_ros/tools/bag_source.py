"""Read the images of a ROS 2 bag, without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
import re
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.node.image_messages import decode_compressed, to_bgr
from roadseg_ros.node.topics import base_topic, IMAGE_TYPES, OUTPUT_NAMES
from roadseg_ros.tools.frames import Frame, Source, SourceError

BAG_SUFFIXES = ('.mcap', '.db3')
COMPRESSED_TYPE = IMAGE_TYPES[1]
# mono16 is none of them: thermal cameras send it
DEPTH_ENCODINGS = ('16UC1', '32FC1')
# also without its camera, as `roadseg demo` records them
OUTPUT = re.compile(rf'(^|/)segmentation(/[^/]+)?/({"|".join(OUTPUT_NAMES)})$')


class BagSource(Source):
    """
    The image messages of a bag in the order they were recorded.

    :param path: a bag folder, `.mcap` or `.db3` file.
    :param topics: image topics to read; none = all, but of a camera recorded both raw and
        compressed only the one with more messages, no depth, and not what the node publishes;
        `note` says what was left out.
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
        folder = re.sub(r'[^\w/]', '_', topic).strip('/') or '_'
        try:
            message: Any = self._types.deserialize_cdr(data, type_name)
            stamp = message.header.stamp
        except Exception as error:
            reason = f'no {type_name}: {error}'
            return Frame(f'{topic} recorded at {bag_time_ns}', f'{folder}/{bag_time_ns}',
                         bag_time_ns, lambda: _refuse(reason), topic, '', bag_time_ns)
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        compressed = type_name == COMPRESSED_TYPE
        convert = decode_compressed if compressed else to_bgr
        return Frame(f'{topic} at {stamp_ns}', f'{folder}/{stamp_ns}', stamp_ns,
                     lambda: convert(message), topic, message.header.frame_id, bag_time_ns,
                     (stamp.sec, stamp.nanosec),
                     message.format if compressed else message.encoding)

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
        # users leave the slash out; so do some logs, which are not of ROS
        wanted = [topic if topic in counts or f'/{topic}' not in counts else f'/{topic}'
                  for topic in wanted]
        missing = [topic for topic in wanted if topic not in counts]
        if missing:
            raise SourceError(f'{self._path} has no image topic {", ".join(missing)}; '
                              f'it has {", ".join(sorted(counts))}')
        return tuple(dict.fromkeys(wanted)) or self._cameras(counts)

    def _cameras(self, counts: dict[str, int]) -> tuple[str, ...]:
        """Return a topic for each camera, and note what was left out."""
        outputs = {topic for topic in counts if OUTPUT.search(base_topic(topic))}
        left_out = {topic: 'output of the node' if topic in outputs else 'depth'
                    for topic in sorted(counts) if topic in outputs or self._is_depth(topic)}
        listed = ', '.join(f'{topic} ({what})' for topic, what in left_out.items())
        if len(left_out) == len(counts):
            raise SourceError(f'{self._path} holds no camera, only {listed}; '
                              'choose with --topic')
        if listed:
            self.note = f'left out {listed}; choose with --topic'
        return _one_per_camera({topic: count for topic, count in counts.items()
                                if topic not in left_out})

    def _is_depth(self, topic: str) -> bool:
        """Return whether the pictures of a topic are distances, as far as can be told."""
        if topic.endswith('/compressedDepth'):
            return True
        connections: list[Connection] = [
            connection for connection in self._reader.connections
            if connection.topic == topic and connection.msgtype == IMAGE_TYPES[0]]
        if not connections:
            return False
        try:
            _, _, data = next(iter(self._reader.messages(connections)))
            first: Any = self._types.deserialize_cdr(data, IMAGE_TYPES[0])
        # whatever is wrong with the message is said when its turn comes
        except Exception:
            return False
        return first.encoding in DEPTH_ENCODINGS

    def _damaged(self, error: Exception) -> SourceError:
        """Return what to say of a bag that cannot be read."""
        return SourceError(
            f'cannot read bag {self._path}: it is cut short, damaged or no ROS 2 bag '
            f'({" ".join(str(error).split()) or type(error).__name__}); `mcap recover` or '
            '`ros2 bag reindex` may save it')


def _one_per_camera(counts: dict[str, int]) -> tuple[str, ...]:
    """Leave out the transport of each camera with fewer messages."""
    best: dict[str, str] = {}
    for topic in sorted(counts):
        other = best.setdefault(base_topic(topic), topic)
        if counts[topic] > counts[other]:
            best[base_topic(topic)] = topic
    return tuple(best.values())


def _refuse(reason: str) -> np.ndarray:
    """Fail as decoding does."""
    raise SourceError(reason)
