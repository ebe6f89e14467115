"""Set-up shared by the tests of the command line: bags and the command itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.checkpoint import Checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.tools.main import main

STORE = get_typestore(Stores.ROS2_JAZZY)
T: Any = STORE.types


class Bags:
    """Messages and bags in folders."""

    def header(self, stamp_ns: int, frame_id: str = 'front') -> Any:
        """Return a message header."""
        return T['std_msgs/msg/Header'](
            T['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9)), frame_id)

    def raw(self, picture: np.ndarray, stamp_ns: int, encoding: str = 'bgr8') -> Any:
        """Return an Image message of a BGR picture, in bgr8 or rgb8."""
        stored = picture if encoding == 'bgr8' else picture[:, :, ::-1]
        return T['sensor_msgs/msg/Image'](
            self.header(stamp_ns), *picture.shape[:2], encoding, 0, picture.shape[1] * 3,
            np.ascontiguousarray(stored).reshape(-1))

    def compressed(self, picture: np.ndarray, stamp_ns: int, compression: str) -> Any:
        """Return a CompressedImage message."""
        data = cv2.imencode(f'.{compression}', picture)[1]
        return T['sensor_msgs/msg/CompressedImage'](
            self.header(stamp_ns), compression, data.reshape(-1))

    def write(self, folder: Path, messages: Sequence[tuple[str, int, Any]],
              storage: str = 'mcap') -> Path:
        """Write (topic, bag time, message) to a bag folder."""
        plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
        with Writer(folder, version=8, storage_plugin=plugin) as writer:
            connections: dict[str, Any] = {}
            for topic, bag_time_ns, message in messages:
                if topic not in connections:
                    connections[topic] = writer.add_connection(
                        topic, message.__msgtype__, typestore=STORE)
                writer.write(connections[topic], bag_time_ns,
                             STORE.serialize_cdr(message, message.__msgtype__))
        return folder

    def read(self, path: Path) -> list[tuple[str, int, Any]]:
        """Return (topic, bag time, message) of a bag whose definitions are all in itself."""
        with AnyReader([path]) as reader:
            return [(connection.topic, bag_time_ns, reader.deserialize(data, connection.msgtype))
                    for connection, bag_time_ns, data in reader.messages()]


@pytest.fixture
def bags() -> Bags:
    """Return what makes and reads bags."""
    return Bags()


@pytest.fixture
def pictures(picture: np.ndarray) -> list[np.ndarray]:
    """Return four (48, 64, 3) uint8 BGR pictures, each another."""
    return [np.ascontiguousarray(np.roll(picture, 5 * index, 1)) for index in range(4)]


@pytest.fixture(scope='session')
def segmenter(checkpoint: Checkpoint) -> Segmenter:
    """Return what the command runs, to compare with."""
    return Segmenter(checkpoint, device='cpu')


@pytest.fixture
def segment(checkpoint_path: Path) -> Callable[..., int]:
    """Return `roadseg segment` with the small checkpoint on the CPU."""
    def run(*arguments: object) -> int:
        return main(['segment', *map(str, arguments), '--checkpoint', str(checkpoint_path),
                     '--device', 'cpu'])
    return run


@pytest.fixture
def mask_of(segmenter: Segmenter) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives the (H, W) uint8 class ids of a picture: several, so they can differ."""
    def run(picture: np.ndarray) -> np.ndarray:
        class_ids = segmenter.segment([picture])[0].class_ids
        assert len(np.unique(class_ids)) > 1
        return class_ids
    return run


@pytest.fixture
def read_mask() -> Callable[[Path], np.ndarray]:
    """Return what reads a PNG as stored, which must be 8 bits of one channel."""
    def read(path: Path) -> np.ndarray:
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask is not None and mask.ndim == 2 and mask.dtype == np.uint8
        return mask
    return read
