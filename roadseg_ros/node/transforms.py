"""Where a camera is on the vehicle, from TF, where tf2_ros is installed; it is not on PyPI."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from roadseg_ros.ground import CameraPose


class TransformError(Exception):
    """TF does not say where the camera is; says why."""


class Transforms:
    """
    Ask TF, which is listened to from the first question on until nobody asks any more.

    One for all cameras of a node; all from the executor's thread.

    :param node: to subscribe on.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._users: set[object] = set()
        self._buffer: Any = None
        self._listener: Any = None

    def pose(self, user: object, vehicle_frame: str, camera_frame: str) -> CameraPose:
        """
        Return where a camera is, as TF knows it last.

        :param user: who asks, and will say `stop`.
        :param vehicle_frame: whose origin stands on the ground.
        :param camera_frame: the optical frame, that of the images.
        :raises TransformError: tf2_ros is not installed, or TF does not connect the two (yet).
        """
        try:
            import tf2_ros
        except ImportError:
            raise TransformError('camera_height is 0 and tf2_ros is not installed: set '
                                 'camera_height, and camera_pitch where it is not 0') from None
        self._users.add(user)
        try:
            if self._listener is None:
                self._buffer = tf2_ros.Buffer()
                self._listener = tf2_ros.TransformListener(self._buffer, self._node)
            found = self._buffer.lookup_transform(vehicle_frame, camera_frame, Time()).transform
        except (tf2_ros.TransformException, RuntimeError) as error:  # such as denied by SROS
            raise TransformError(f'no transform from {camera_frame!r} to {vehicle_frame!r}: '
                                 f'{" ".join(str(error).split())}') from error
        turn, at = found.rotation, found.translation
        return CameraPose.from_quaternion((turn.x, turn.y, turn.z, turn.w), (at.x, at.y, at.z))

    def stop(self, user: object) -> None:
        """Ask no more; TF is listened to as long as another user does."""
        self._users.discard(user)
        if self._users:
            return
        if self._listener is not None:
            self._listener.unregister()
        self._listener = self._buffer = None
