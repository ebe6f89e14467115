"""Write serialised messages to a bag as they arrive."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
import shutil
import tempfile
import threading
import time

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from roadseg_ros.tools.sinks import BAG_VERSION


class Recorder:
    """
    A bag file, complete once the recorder is left.

    :param path: ends in `.mcap`.
    :param topics: message type by topic.
    """

    def __init__(self, path: Path, topics: Mapping[str, str]) -> None:
        self._path, self._topics = path, topics
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> Recorder:
        """Open a bag beside the file to be."""
        self._partial = Path(tempfile.mkdtemp(prefix='.recording.', dir=self._path.parent))
        self._writer = Writer(self._partial / self._path.stem, version=BAG_VERSION,
                              storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        types = get_typestore(Stores.ROS2_JAZZY)
        self._connections = {topic: self._writer.add_connection(topic, kind, typestore=types)
                             for topic, kind in self._topics.items()}
        return self

    def __exit__(self, *_: object) -> None:
        """Move the file into place."""
        try:
            with self._lock:
                self._connections = {}
                self._writer.close()
            os.replace(self._partial / self._path.stem / self._path.name, self._path)
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, topic: str, data: bytes) -> None:
        """Append a message in CDR; one that comes after the end is left out."""
        with self._lock:
            if topic in self._connections:
                self._writer.write(self._connections[topic], time.time_ns(), data)
