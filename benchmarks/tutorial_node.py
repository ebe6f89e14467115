"""
A segmentation node as a careful ROS 2 tutorial writes it, to measure ours against.

One thread, one callback: convert, run a torchvision network in eager float32, argmax, colour one
class after the other, publish three topics. Frames taller than 520 pixels are shrunk to that, as
torchvision's own transforms do; smaller ones are not blown up, as those would. Weights are
random: the time does not depend on them.

    .venv/bin/python -m benchmarks.tutorial_node --ros-args -p network:=fcn_resnet50
"""

from __future__ import annotations

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
import torch
from torchvision import transforms
from torchvision.models import segmentation

CLASSES = 21
MAX_HEIGHT = 520
COLORS = np.random.default_rng(0).integers(0, 256, (CLASSES, 3), np.uint8)  # RGB


def imgmsg_to_cv2(message: Image) -> np.ndarray:
    """Return the (H, W, 3) uint8 BGR picture of a bgr8 message, as cv_bridge does."""
    return np.ndarray((message.height, message.width, 3), np.uint8, message.data)


def cv2_to_imgmsg(picture: np.ndarray, encoding: str, header: Header) -> Image:
    """Return the message of a uint8 picture, as cv_bridge does."""
    message = Image(header=header, height=picture.shape[0], width=picture.shape[1],
                    encoding=encoding, step=picture.nbytes // picture.shape[0])
    message.data.frombytes(picture.tobytes())
    return message


class TutorialNode(Node):
    """Segment the images of a topic."""

    def __init__(self) -> None:
        super().__init__('tutorial')
        topic = self.declare_parameter('image_topic', '/camera/image_raw').value
        name = self.declare_parameter('network', 'lraspp_mobilenet_v3_large').value
        self.network = getattr(segmentation, name)(
            weights=None, weights_backbone=None, num_classes=CLASSES).eval()
        self.prepare = transforms.Compose([
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])])
        self.mask_publisher = self.create_publisher(Image, '/tutorial/mask', 10)
        self.color_publisher = self.create_publisher(Image, '/tutorial/color_mask', 10)
        self.overlay_publisher = self.create_publisher(Image, '/tutorial/overlay', 10)
        self.create_subscription(Image, topic, self.on_image, 10)

    @torch.inference_mode()
    def segment(self, frame: np.ndarray) -> np.ndarray:
        """
        Return the class ids of a frame.

        :param frame: (H, W, 3) uint8 BGR.
        :return: (H, W) uint8.
        """
        height, width = frame.shape[:2]
        picture = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if height > MAX_HEIGHT:
            picture = cv2.resize(picture, (round(width * MAX_HEIGHT / height), MAX_HEIGHT))
        scores = self.network(self.prepare(picture).unsqueeze(0))['out'][0]
        mask = scores.argmax(0).byte().numpy()
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)

    def on_image(self, message: Image) -> None:
        """Publish the mask, its colours and the overlay of a frame."""
        frame = imgmsg_to_cv2(message)
        mask = self.segment(frame)
        color = np.zeros_like(frame)
        for class_id in range(CLASSES):
            color[mask == class_id] = COLORS[class_id]
        overlay = cv2.addWeighted(frame, 0.5, cv2.cvtColor(color, cv2.COLOR_RGB2BGR), 0.5, 0)
        self.mask_publisher.publish(cv2_to_imgmsg(mask, 'mono8', message.header))
        self.color_publisher.publish(cv2_to_imgmsg(color, 'rgb8', message.header))
        self.overlay_publisher.publish(cv2_to_imgmsg(overlay, 'bgr8', message.header))


def main() -> None:
    """Run the node."""
    rclpy.init()
    node = TutorialNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
