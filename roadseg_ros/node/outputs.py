"""What is published beside one camera; nothing is computed for a topic nobody listens to."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import OccupancyGrid
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from roadseg_ros.inference.segmenter import Segmentation
from roadseg_ros.labels import LabelSpace
from roadseg_ros.node.image_messages import to_compressed_message, to_image_message
from roadseg_ros.node.parameters import Settings
from roadseg_ros.node.planner_views import PlannerViews
from roadseg_ros.overlay import blend, colorize, legend

QUEUE_DEPTH = 2
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    'mask': Image, 'drivable': Image, 'road_grid': OccupancyGrid, 'overlay': Image,
    'color_mask': Image, 'confidence': Image, 'camera_info': CameraInfo,
    'provenance': DiagnosticArray,
}
COMPRESSED_TOPICS = {'mask/compressed': CompressedImage, 'overlay/compressed': CompressedImage}


class Outputs:
    """
    The publishers of one camera.

    :param node: to publish on.
    :param prefix: such as '/camera/front/segmentation'.
    :param compressed: also offer the compressed topics.
    :param planner: makes the views for planners.
    """

    def __init__(self, node: Node, prefix: str, compressed: bool, planner: PlannerViews) -> None:
        self._node, self._planner = node, planner
        topics = {**TOPICS, **(COMPRESSED_TOPICS if compressed else {})}
        self._publishers = {name: node.create_publisher(kind, f'{prefix}/{name}', QUEUE_DEPTH)
                            for name, kind in topics.items()}
        self._latched = {'legend': node.create_publisher(Image, f'{prefix}/legend', LATCHED)}
        label_info = _label_info_type()
        if label_info is None:
            node.get_logger().info('vision_msgs is not installed: no label_info', once=True)
        else:
            self._latched['label_info'] = node.create_publisher(
                label_info, f'{prefix}/label_info', LATCHED)

    def topics(self) -> list[str]:
        """Return the full names of the per-frame topics."""
        return [publisher.topic_name for publisher in self._publishers.values()]

    def listened(self) -> set[str]:
        """Return the names of the per-frame topics that somebody listens to."""
        return {name for name, publisher in self._publishers.items()
                if publisher.get_subscription_count()}

    def wanted(self) -> bool:
        """Return whether somebody listens to what takes a mask to make."""
        return bool(self.listened() - {'camera_info'})

    @property
    def road_grid_problem(self) -> str:
        """Return why the last road grid could not be made, '' if it was or nobody listens."""
        return self._planner.road_grid_problem

    def follow(self, settings: Settings) -> None:
        """Let the views for planners follow where the camera is."""
        listened = self._publishers['road_grid'].get_subscription_count() > 0
        self._planner.follow(settings, listened)

    def unfollow(self) -> None:
        """Ask no longer where the camera is."""
        self._planner.close()

    def publish(self, header: Header, frame: np.ndarray, result: Segmentation,
                labels: LabelSpace, alpha: float, info: CameraInfo | None) -> None:
        """
        Publish one frame's results where somebody listens.

        :param header: the input's, carried unchanged.
        :param frame: (H, W, 3) uint8 BGR.
        :param result: of the frame.
        :param labels: the label space of the ids.
        :param alpha: weight of the colours in the overlay.
        :param info: the camera's calibration, or None.
        """
        views = _Views(header, frame, result, labels, alpha, info, self._planner)
        listened = self.listened()
        for name, publisher in self._publishers.items():  # planners' first: they wait
            message = views.message(name) if name in listened else None
            if message is not None:
                publisher.publish(message)

    def publish_legend(self, labels: LabelSpace) -> None:
        """Publish the picture of the classes and their colours, latched."""
        self._latched['legend'].publish(to_image_message(legend(labels), 'rgb8', self._now()))

    def publish_label_info(self, labels: LabelSpace, threshold: float) -> None:
        """
        Publish which id means what, latched; vision_msgs asks for it again and again.

        :param labels: the label space.
        :param threshold: the confidence under which pixels are unlabelled.
        """
        if 'label_info' in self._latched:
            self._latched['label_info'].publish(_label_info(labels, threshold, self._now()))

    def _now(self) -> Header:
        """Return a header with the time of the node's clock."""
        return Header(stamp=self._node.get_clock().now().to_msg())

    def destroy(self) -> None:
        """Take all topics down."""
        self._planner.close()
        for publisher in (*self._publishers.values(), *self._latched.values()):
            self._node.destroy_publisher(publisher)


class _Views:
    """The messages of one frame, each made when first asked for."""

    def __init__(self, header: Header, frame: np.ndarray, result: Segmentation,
                 labels: LabelSpace, alpha: float, info: CameraInfo | None,
                 planner: PlannerViews) -> None:
        self._header, self._frame, self._result = header, frame, result
        self._labels, self._alpha, self._info = labels, alpha, info
        self._planner = planner

    def message(self, topic: str) -> Any:
        """Return the message of a topic, None where there is nothing to say."""
        ids, header = self._result.class_ids, self._header
        if topic == 'mask':
            return to_image_message(ids, 'mono8', header)
        if topic == 'overlay':
            return to_image_message(self._overlay, 'rgb8', header)
        if topic == 'color_mask':
            colors = colorize(ids, self._labels.color_table)
            return to_image_message(colors, 'rgb8', header)
        if topic == 'confidence':
            confidence = self._result.confidence
            return None if confidence is None else to_image_message(confidence, 'mono8', header)
        if topic == 'mask/compressed':
            return to_compressed_message(ids, 'png', header)
        if topic == 'overlay/compressed':
            return to_compressed_message(self._overlay, 'jpeg', header)
        if topic == 'camera_info':
            return self._camera_info()
        if topic == 'drivable':
            return to_image_message(self._planner.drivable(ids, self._labels), 'mono8', header)
        if topic == 'road_grid':
            return self._planner.road_grid(header, ids, self._labels, self._info)
        return _provenance(header, self._result)

    @cached_property
    def _overlay(self) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB overlay."""
        frame = cv2.cvtColor(self._frame, cv2.COLOR_BGR2RGB)
        return blend(frame, self._result.class_ids, self._labels.color_table, self._alpha)

    def _camera_info(self) -> CameraInfo | None:
        """Return the camera's calibration under the frame's header."""
        info = self._info
        if info is None:
            return None
        return CameraInfo(
            header=self._header, height=info.height, width=info.width,
            distortion_model=info.distortion_model, d=info.d, k=info.k, r=info.r, p=info.p,
            binning_x=info.binning_x, binning_y=info.binning_y, roi=info.roi)


def _provenance(header: Header, result: Segmentation) -> DiagnosticArray:
    """Return how a mask was made, under the mask's own header."""
    values = {'made': result.made, 'age_ms': f'{result.age_ms:.1f}'}
    if result.made in ('warped', 'cached'):
        values['change'] = f'{result.change:.2f}'
    values.update({f'{stage}_ms': f'{ms:.2f}' for stage, ms in result.timing_ms.items()})
    status = DiagnosticStatus(
        level=DiagnosticStatus.OK, name='segmentation', message=result.made,
        values=[KeyValue(key=key, value=value) for key, value in values.items()])
    return DiagnosticArray(header=header, status=[status])


def _label_info_type() -> Any:
    """Return vision_msgs' LabelInfo, None where that package is not installed."""
    try:
        from vision_msgs.msg import LabelInfo
    except ImportError:
        return None
    return LabelInfo


def _label_info(labels: LabelSpace, threshold: float, header: Header) -> Any:
    """Return the classes in id order; the stamp is the time of publishing."""
    from vision_msgs.msg import LabelInfo, VisionClass
    classes = [VisionClass(class_id=index, class_name=name)
               for index, name in enumerate(labels.names)]
    return LabelInfo(header=header, class_map=classes, threshold=float(threshold))
