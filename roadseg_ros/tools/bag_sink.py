"""The bag that `roadseg segment` writes masks to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
import struct
from typing import Any

import numpy as np
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.node.topics import IMAGE_TYPES, output_prefixes
from roadseg_ros.tools.bag_file import BagFile, reason, SinkError, STORAGE_ERRORS
from roadseg_ros.tools.bag_source import COMPRESSED_TYPE
from roadseg_ros.tools.frames import Frame
from roadseg_ros.tools.picture_files import encode, UnwritableFrame
from roadseg_ros.tools.progress import taken
from roadseg_ros.tools.unfinished_bag import UnfinishedBag

MAX_TIME_NS = 2**63 - 1


class BagSink:
    """
    One bag file with the masks, and overlays as JPEG, on the topics the node would use.

    The header and the bag time of each message are those of its image. The file plays alone:
    `ros2 bag play out.mcap`.

    :param out: ends in `.mcap` or `.db3`; must not exist.
    :param topics: image topics of the frames to come.
    :param overlay: overlays will come.
    :param resume: go on with what an interrupted run left of it.
    :raises SinkError: the file exists.
    :raises ValueError: two topics are of the same camera.
    """

    def __init__(self, out: Path, topics: tuple[str, ...], overlay: bool, resume: bool = False
                 ) -> None:
        self._out, self._before = out, UnfinishedBag(out)
        if not resume and self._before.places():
            raise taken(f'{self._before.places()[0]} exists', out)
        self._prefixes = output_prefixes(topics)
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._kinds = {'mask': IMAGE_TYPES[0]}
        if overlay:
            self._kinds['overlay/compressed'] = COMPRESSED_TYPE
        self._kept = 0
        self._bag = BagFile(out, {f'{prefix}/{name}': kind for name, kind in self._kinds.items()
                                  for prefix in self._prefixes.values()}, self._before.folder)

    def whole(self, files: Sequence[str]) -> int:
        """Return how many frames of an interrupted run are there with all that is theirs."""
        return min(len(files), self._before.count() // len(self._kinds))

    def keep(self, files: Sequence[str]) -> None:
        """Go on after so many frames of an interrupted run: copy what it wrote of them."""
        self._kept = len(files) * len(self._kinds)

    def __enter__(self) -> BagSink:
        """Open the bag."""
        try:
            self._before.set_aside()
        except OSError as error:
            raise SinkError(f'cannot write {self._out}: {reason(error)}') from error
        self._bag.__enter__()
        try:
            for message in islice(self._before.messages(), self._kept):
                self._bag.write(*message)
        # also when interrupted: what was set aside is better than half of a copy
        except BaseException as error:
            self._bag.abandon()
            if isinstance(error, STORAGE_ERRORS):
                raise SinkError(f'cannot go on with {self._out}: {reason(error)}') from error
            raise
        self._before.discard()
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the bag, with what it holds so far."""
        self._bag.__exit__(*error)

    def write(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None) -> str:
        """Append the messages of a frame at the time its image was recorded."""
        time_ns = frame.stamp_ns if frame.bag_time_ns is None else frame.bag_time_ns
        if not 0 <= time_ns <= MAX_TIME_NS:
            raise UnwritableFrame(f'recorded at {time_ns} ns, which no bag can hold')
        prefix = self._prefixes[frame.topic]
        # all of them before the first is written, so that a frame is whole or not there
        data = [(f'{prefix}/{name}', self._serialize(message))
                for name, message in self._messages(frame, class_ids, overlay).items()]
        for topic, content in data:
            self._bag.write(topic, time_ns, content)
        return ''

    def _messages(self, frame: Frame, class_ids: np.ndarray, overlay: np.ndarray | None
                  ) -> dict[str, Any]:
        """Return the messages of a frame by the last part of their topics."""
        types: Any = self._types.types
        header = types['std_msgs/msg/Header'](
            types['builtin_interfaces/msg/Time'](*frame.stamp or divmod(frame.stamp_ns, 10**9)),
            frame.frame_id)
        height, width = class_ids.shape
        messages = {'mask': types[IMAGE_TYPES[0]](
            header, height, width, 'mono8', 0, width, class_ids.reshape(-1))}
        if overlay is not None:
            messages['overlay/compressed'] = types[COMPRESSED_TYPE](
                header, 'rgb8; jpeg compressed bgr8', encode('.jpg', overlay))
        return messages

    def _serialize(self, message: Any) -> memoryview:
        """Return the message in CDR."""
        try:
            return self._types.serialize_cdr(message, message.__msgtype__)
        except (struct.error, ValueError) as error:
            raise UnwritableFrame(f'no {message.__msgtype__} can hold it: {error}') from error
