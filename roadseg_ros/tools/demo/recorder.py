"""Write serialised messages to a bag as they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import threading
import time

from roadseg_ros.tools.bag_file import BagFile


class Recorder:
    """
    A bag file that threads may write to, complete once the recorder is left.

    :param path: ends in `.mcap`.
    :param topics: message type by topic.
    """

    def __init__(self, path: Path, topics: Mapping[str, str]) -> None:
        self._bag = BagFile(path, topics)
        self._lock = threading.Lock()
        self._open = False

    def __enter__(self) -> Recorder:
        """Open the bag."""
        with self._lock:
            self._bag.__enter__()
            self._open = True
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the bag."""
        with self._lock:
            self._open = False
            self._bag.__exit__(*error)

    def write(self, topic: str, data: bytes) -> None:
        """
        Append a message in CDR; one that comes before the start or after the end is left out.

        :raises SinkError: it cannot be stored.
        """
        with self._lock:
            if self._open:
                self._bag.write(topic, time.time_ns(), data)
