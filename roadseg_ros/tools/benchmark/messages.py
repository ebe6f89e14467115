"""Frames as serialised messages. Imports rclpy."""

from __future__ import annotations

from collections.abc import Sequence
import struct

import numpy as np
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from roadseg_ros.node.image_messages import to_image_message
from roadseg_ros.tools.benchmark.drive import RATE_HZ, stamped
from roadseg_ros.tools.listener import STAMP, stamp_format


class ImageMessages:
    """
    A camera that plays its frames there and back for ever, each time with stamps that go on.

    Frames are serialised once; a message costs a copy.

    :param frames: (H, W, 3) uint8 BGR each, consecutive.
    :param rate_hz: of the stamps.
    """

    def __init__(self, frames: Sequence[np.ndarray], rate_hz: float = RATE_HZ) -> None:
        header = Header(frame_id='camera')
        self._turns = stamped([serialize_message(to_image_message(frame, 'bgr8', header))
                               for frame in frames], rate_hz)

    def take(self) -> tuple[int, bytes]:
        """Return the next message: its stamp (ns) and sensor_msgs/Image in CDR."""
        stamp_ns, data = next(self._turns)
        stamp = struct.pack(stamp_format(data), *divmod(stamp_ns, 10**9))
        return stamp_ns, b''.join((data[:STAMP.start], stamp, memoryview(data)[STAMP.stop:]))
