"""Print the free road ahead, from a mask and its camera_info: `stop_line.py --height 1.4`."""
import argparse
from collections import deque

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import CameraInfo, Image

HALF_WIDTH_M = 1.0  # of the vehicle
BONNET_M, FARTHEST_M = 3.0, 60.0  # rows nearer may be ego mask; those farther say nothing
UNLABELLED = 255


def free_road(mask, k, height, pitch, road):
    """Return metres until the vehicle's way ends; no lens is undone, a bonnet is skipped."""
    free = 0.0
    for row in range(mask.shape[0] - 1, -1, -1):
        below_horizon = pitch + np.arctan((row - k[5]) / k[4])
        if below_horizon <= 0:
            break
        metres = height / np.tan(below_horizon)
        half = HALF_WIDTH_M * k[0] / (metres * np.cos(pitch) + height * np.sin(pitch))
        strip = mask[row, max(round(k[2] - half), 0):round(k[2] + half) + 1]
        if free == 0 and metres < BONNET_M and (strip == UNLABELLED).all():
            continue
        if metres > FARTHEST_M or not np.isin(strip, road).all():
            break
        free = metres
    return free


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--camera', default='/camera', help='namespace of the camera')
parser.add_argument('--height', type=float, required=True, help='metres above the ground, > 0')
parser.add_argument('--pitch', type=float, default=0.0, help='radians below the horizon')
parser.add_argument('--road', type=int, nargs='+', default=[3], help='class ids of the road')
options = parser.parse_args()
if options.height <= 0:
    parser.error('--height is metres above the ground, more than 0')
rclpy.init()
node, infos = rclpy.create_node('stop_line'), deque(maxlen=1)


def on_mask(message):
    if infos:
        mask = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
        free = free_road(mask, infos[-1].k, options.height, options.pitch, options.road)
        print(f'{free:.1f} m of free road', flush=True)


topic = f'{options.camera}/segmentation/camera_info'
node.create_subscription(CameraInfo, topic, lambda info: infos.append(info), 2)
node.create_timer(5.0, lambda: infos or print(f'waiting for {topic}', flush=True))
node.create_subscription(Image, f'{options.camera}/segmentation/mask', on_mask, 2)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
