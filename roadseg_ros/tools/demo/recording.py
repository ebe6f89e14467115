"""What the recorded bag says: masks against the truth, and the node about itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.node.image_messages import to_bgr
from roadseg_ros.tools.demo.log import DrivingLog
from roadseg_ros.tools.page import class_shares


def read_outputs(bag: Path) -> Iterator[tuple[str, int, Any]]:
    """
    Read the recording.

    :param bag: the file.
    :return: last name of the topic ('mask', 'compressed', 'provenance' or
        'diagnostics'), stamp of the header in ns, message.
    """
    types = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag) as reader:
        for connection, _, data in reader.messages():
            message: Any = types.deserialize_cdr(data, connection.msgtype)
            stamp = message.header.stamp
            yield (connection.topic.rpartition('/')[2], stamp.sec * 10**9 + stamp.nanosec,
                   message)


def accuracy(log: DrivingLog, bag: Path, labels: LabelSpace) -> dict[str, Any]:
    """
    Compare the recorded masks with the truth.

    :return: `mean_iou`, `pixel_accuracy` and `iou` by class name, None for what is not known;
        empty when the log has no truth.
    """
    truths = {frame.stamp_ns: frame.truth for frame in log.frames if frame.truth is not None}
    if not truths:
        return {}
    confusion = ConfusionMatrix(len(labels))
    for name, stamp_ns, message in read_outputs(bag):
        if name == 'mask' and stamp_ns in truths:
            confusion.update(truths[stamp_ns], to_bgr(message)[:, :, 0])
    return confusion.summary(labels.names)


@dataclass(frozen=True)
class MaskFacts:
    """How a mask was made, and the shares of `class_shares` in it."""

    made: str
    shares: np.ndarray


def mask_facts(bag: Path, classes: int) -> dict[int, MaskFacts]:
    """
    Look at each recorded mask whose provenance is recorded too.

    :param classes: of the label space.
    :return: by stamp in ns.
    """
    shares: dict[int, np.ndarray] = {}
    made: dict[int, str] = {}
    for name, stamp_ns, message in read_outputs(bag):
        if name == 'mask':
            shares[stamp_ns] = class_shares(to_bgr(message)[:, :, 0].copy(), classes)
        elif name == 'provenance':
            made[stamp_ns] = message.status[0].message
    return {stamp_ns: MaskFacts(made[stamp_ns], shares[stamp_ns])
            for stamp_ns in shares if stamp_ns in made}


def node_facts(bag: Path) -> dict[str, str]:
    """Return what the node's last diagnostics say of itself; empty when none were recorded."""
    facts: dict[str, str] = {}
    for name, _, message in read_outputs(bag):
        if name == 'diagnostics' and message.status:
            facts = {item.key: item.value for item in message.status[0].values}
    return {key: facts[key] for key in ('device', 'engine', 'network') if key in facts}
