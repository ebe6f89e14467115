"""The example tells how far the road is free, over DDS."""
from array import array
from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

SCRIPT = Path(__file__).resolve().parents[2] / 'examples' / 'stop_line.py'
ROAD, CAR, UNLABELLED, SKY = 3, 8, 255, 0
WAIT_SEC = 30.0


@pytest.fixture
def talk(domain_id: int) -> Iterator[SimpleNamespace]:
    """Return publishers of a mask and its calibration, and what waits while they are served."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('masks', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def wait(condition, what):
        end = time.monotonic() + WAIT_SEC
        while not condition():
            assert time.monotonic() < end, f'waited {WAIT_SEC} s for {what}'
            executor.spin_once(timeout_sec=0.05)

    yield SimpleNamespace(wait=wait, mask=node.create_publisher(Image, '/front/segmentation/mask',
                                                               2),
                          info=node.create_publisher(CameraInfo, '/front/segmentation/camera_info',
                                                     2))
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def masks():
    """Return masks of a camera 1.5 m up (focal length 100, horizon in row 50), and the answers."""
    road = np.full((120, 160), SKY, np.uint8)
    road[51:] = ROAD
    ends, bonnet, unsure, aside, blocked = (road.copy() for _ in range(5))
    ends[:65] = SKY              # 15 rows below the horizon: 1.5 m * 100 / 15
    bonnet[110:], bonnet[:80] = UNLABELLED, CAR
    unsure[70:] = UNLABELLED     # from 2 to 7 metres: no bonnet is so long
    aside[80:110, :40] = CAR     # 30 rows below: the vehicle takes 20 pixels each side of 79.5
    blocked[:80, 90:100] = CAR   # half of it within the vehicle's way 30 rows below the horizon
    return [(ends, '10.0 m'), (bonnet, '5.0 m'), (unsure, '0.0 m'), (aside, '50.0 m'),
            (blocked, '5.0 m'),
            (np.full_like(road, CAR), '0.0 m')]  # neighbours differ


def test_the_free_road_ahead_is_printed(talk, tmp_path):
    output = tmp_path / 'output'
    with output.open('w') as stream:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), '--camera', '/front', '--height', '1.5'],
            stdout=stream, stderr=subprocess.STDOUT)
    try:
        def listens():
            assert process.poll() is None, output.read_text()
            return talk.mask.get_subscription_count() and talk.info.get_subscription_count()

        talk.wait(listens, 'the example to listen')
        talk.wait(output.read_text, 'what it waits for')
        assert output.read_text() == 'waiting for /front/segmentation/camera_info\n'
        k = [100.0, 0.0, 79.5, 0.0, 100.0, 50.0, 0.0, 0.0, 1.0]
        talk.info.publish(CameraInfo(height=120, width=160, k=k))
        for mask, answer in masks():
            message = Image(height=120, width=160, step=160, encoding='mono8',
                            data=array('B', mask.tobytes()))

            def answered(message=message, answer=answer):
                # again and again, as a mask that comes before the calibration has no answer
                talk.mask.publish(message)
                return output.read_text().splitlines()[-1:] == [f'{answer} of free road']

            talk.wait(answered, answer)
    finally:
        process.terminate()
        process.wait(10)
