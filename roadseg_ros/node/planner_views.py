"""What planners read of one camera's masks: the road in the picture and on the ground."""

from __future__ import annotations

from array import array
import time

import cv2
from nav_msgs.msg import OccupancyGrid
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from roadseg_ros.ground import (
    camera_model,
    CameraModel,
    CameraPose,
    GroundError,
    GroundGrid,
    on_ground,
)
from roadseg_ros.groups import ClassGroups
from roadseg_ros.labels import LabelSpace
from roadseg_ros.node.camera import COMPLAINT_PERIOD_SEC
from roadseg_ros.node.parameters import Settings
from roadseg_ros.node.topics import base_topic
from roadseg_ros.node.transforms import TransformError, Transforms

FREE, OCCUPIED, UNKNOWN = 0, 100, 255  # 255 is the byte of an int8's -1


class PlannerViews:
    """
    Make the planners' views of one camera's masks.

    `road_grid_problem` says why the last road grid could not be made, '' if it was or nobody
    listens.

    :param node: that publishes them.
    :param image_topic: of the camera.
    :param settings: as they are at configure.
    :param groups: what the classes are to a planner.
    :param transforms: of the node.
    :raises GroundError: the grid is too large.
    """

    def __init__(self, node: Node, image_topic: str, settings: Settings, groups: ClassGroups,
                 transforms: Transforms) -> None:
        self._node, self._topic, self._groups = node, image_topic, groups
        # ROS names the pictures of image_proc so; the rest of their calibration is the raw one's
        self._rectified = base_topic(image_topic).rpartition('/')[2].startswith('image_rect')
        self._base_frame = settings.base_frame
        self._grid = GroundGrid(settings.grid_resolution, settings.grid_length,
                                settings.grid_width)
        self._transforms = transforms
        self._camera_frame = ''
        self._pose: CameraPose | None = None
        self._obstacle = 'the frames have no frame_id that TF could be asked for'
        self.road_grid_problem = ''
        self._quiet_since: float | None = None

    def follow(self, settings: Settings, listened: bool) -> None:
        """
        Find out where the camera is; from the executor's thread.

        :param settings: as they are now.
        :param listened: whether somebody listens to the road grid.
        """
        if not listened:
            self.road_grid_problem = ''
        if settings.camera_height:
            self._pose = CameraPose.above_ground(settings.camera_height, settings.camera_pitch)
        elif listened and self._camera_frame:
            try:
                pose = self._transforms.pose(self, self._base_frame, self._camera_frame)
                # which cell is seen where takes milliseconds to find out; what trembles is kept
                if self._pose is None or not pose.is_near(self._pose):
                    self._pose = pose
            except TransformError as error:
                self._pose, self._obstacle = None, str(error)
            return
        else:
            self._pose = None
        self._transforms.stop(self)

    def drivable(self, class_ids: np.ndarray, labels: LabelSpace) -> np.ndarray:
        """
        Return where the road is in the picture.

        :param class_ids: (H, W) uint8.
        :param labels: the label space of the ids.
        :return: (H, W) uint8: 255 drivable, 0 all else, unlabelled among it.
        """
        return cv2.LUT(class_ids, self._groups.table(labels, {'drivable': 255}, 0, 0))

    def road_grid(self, header: Header, class_ids: np.ndarray, labels: LabelSpace,
                  info: CameraInfo | None) -> OccupancyGrid | None:
        """
        Return the road on the ground, None as long as the camera's geometry is not known.

        :param header: of the frame.
        :param class_ids: (H, W) uint8.
        :param labels: the label space of the ids.
        :param info: the camera's calibration.
        """
        self._camera_frame = header.frame_id
        pose = self._pose
        if pose is None or info is None:
            self._complain('no camera_info' if info is None else self._obstacle)
            return None
        try:
            camera = self._camera(info, class_ids.shape)
        except GroundError as error:
            self._complain(str(error))
            return None
        self.road_grid_problem, self._quiet_since = '', None
        table = self._groups.table(labels, {'drivable': FREE, 'sky': UNKNOWN}, OCCUPIED, UNKNOWN)
        cells = on_ground(class_ids, self._grid, camera, pose)
        return self._message(header, cv2.LUT(cells, table))

    def close(self) -> None:
        """Listen to TF no more, until `follow` is called again."""
        self.road_grid_problem = ''
        self._transforms.stop(self)

    def _camera(self, info: CameraInfo, size: tuple[int, int]) -> CameraModel:
        """Return what a frame of a size shows."""
        roi = info.roi
        region = (0, 0, info.width, info.height)
        if roi.width and roi.height:
            region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
        if self._rectified and any(info.p):
            return camera_model('', (), info.p.tolist(), region, size)
        return camera_model(info.distortion_model if len(info.d) else '', list(info.d),
                            info.k.tolist(), region, size)

    def _message(self, header: Header, cells: np.ndarray) -> OccupancyGrid:
        """Return the message of (rows, columns) uint8 cells."""
        message = OccupancyGrid(header=Header(stamp=header.stamp, frame_id=self._base_frame))
        message.info.map_load_time = header.stamp
        message.info.resolution = self._grid.resolution_m
        message.info.height, message.info.width = cells.shape
        message.info.origin.position.y = -cells.shape[0] / 2 * self._grid.resolution_m
        message.data = array('b', cells.tobytes())
        return message

    def _complain(self, reason: str) -> None:
        """Say why there is no grid, when it has been so for a while and then now and again."""
        self.road_grid_problem = reason
        now = time.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        if now - self._quiet_since >= COMPLAINT_PERIOD_SEC:
            self._quiet_since = now
            self._node.get_logger().warning(f'{self._topic}: no road_grid: {reason}')
