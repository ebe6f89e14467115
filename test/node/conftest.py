"""The node as its own process, and the test's side of the conversation over DDS."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
import itertools
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_SEC = 30.0
_drawn = itertools.count(17)


class NodeProcess:
    """A segmentation node under test, its log in a file."""

    def __init__(self, log: Path, parameters: dict[str, Any]) -> None:
        settings = [f'{name}:={value}' for name, value in parameters.items()]
        arguments = [part for setting in settings for part in ('-p', setting)]
        self._log = log
        with log.open('w') as stream:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'roadseg_ros.node.segmentation_node', '--ros-args',
                 *arguments], cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        """Return what the node has written so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self.send_signal(signal.SIGINT)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Return the exit status."""
        return self._process.wait(timeout)

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self.alive():
            self.interrupt()
            try:
                self.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self.wait(10)


class Peer:
    """A ROS node in the test's process: publishes frames, collects results, calls services."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor

        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node('peer', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._stamps = itertools.count(1)

    def wait(self, condition: Callable[[], Any], what: str = '', timeout: float = WAIT_SEC) -> Any:
        """Spin until the condition holds and return what it gave."""
        end = time.monotonic() + timeout
        while True:
            result = condition()
            if result:
                return result
            assert time.monotonic() < end, f'waited {timeout} s for {what or condition}'
            self._executor.spin_once(timeout_sec=0.05)

    def take_for(self, seconds: float) -> None:
        """Take what comes for some time: the pace of a camera."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def collect(self, message_type: type, topic: str, qos: Any = 50) -> list[Any]:
        """Subscribe; return the list that the messages go into."""
        messages: list[Any] = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def publisher(self, message_type: type, topic: str, qos: Any = 10) -> Any:
        """Return a publisher that a subscription has been matched with."""
        publisher = self.node.create_publisher(message_type, topic, qos)
        self.wait(publisher.get_subscription_count, f'a subscription of {topic}')
        return publisher

    def heard(self, topic: str) -> None:
        """Wait until the node publishes a topic that is collected here."""
        self.wait(lambda: self.node.count_publishers(topic), f'a publisher of {topic}')

    def call(self, service_type: type, name: str, **request: Any) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(service_type, name)
        self.wait(client.service_is_ready, f'service {name}')
        future = client.call_async(service_type.Request(**request))
        self.wait(future.done, f'the response of {name}')
        self.node.destroy_client(client)
        return future.result()

    def state(self) -> str:
        """Return the lifecycle state of the node under test."""
        from lifecycle_msgs.srv import GetState

        return self.call(GetState, '/roadseg/get_state').current_state.label

    def change_state(self, transition: str) -> bool:
        """Ask for a transition; return whether it succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        wanted = Transition(id=getattr(Transition, f'TRANSITION_{transition.upper()}'))
        return self.call(ChangeState, '/roadseg/change_state', transition=wanted).success

    def set_parameter(self, name: str, value: Any) -> tuple[bool, str]:
        """Set a parameter of the node under test; return success and reason."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        result = self.call(SetParameters, '/roadseg/set_parameters', parameters=[
            Parameter(name, value=value).to_parameter_msg()]).results[0]
        return result.successful, result.reason

    def image(self, frame: np.ndarray, frame_id: str = 'camera') -> Any:
        """Return a bgr8 message of a frame under a stamp of its own."""
        from sensor_msgs.msg import Image

        message = Image(height=frame.shape[0], width=frame.shape[1], encoding='bgr8',
                        step=frame.shape[1] * 3, data=array('B', frame.tobytes()))
        return self.stamp(message, frame_id)

    def compressed(self, frame: np.ndarray, frame_id: str = 'camera') -> Any:
        """Return a PNG message of a frame, exact, under a stamp of its own."""
        from sensor_msgs.msg import CompressedImage

        data = cv2.imencode('.png', frame)[1].tobytes()
        return self.stamp(CompressedImage(format='bgr8; png compressed bgr8',
                                          data=array('B', data)), frame_id)

    def stamp(self, message: Any, frame_id: str = 'camera') -> Any:
        """Give a message a stamp that no other has."""
        message.header.stamp.sec = next(self._stamps)
        message.header.stamp.nanosec = 123456789
        message.header.frame_id = frame_id
        return message

    def exchange(self, publisher: Any, message: Any, answers: list[Any],
                 timeout: float = WAIT_SEC) -> Any:
        """Publish a message and return the answer that carries its stamp."""
        publisher.publish(message)
        return self.wait(lambda: self.answer(message, answers),
                         f'an answer to stamp {message.header.stamp.sec}', timeout)

    @staticmethod
    def answer(message: Any, answers: list[Any]) -> Any:
        """Return the answer with a message's stamp, None if there is none."""
        return next((answer for answer in reversed(answers)
                     if answer.header.stamp == message.header.stamp), None)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture(scope='module')
def ros_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put a ROS domain of the module's own into the environment, with the packaged profile."""
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')
    profile = str(ROOT / 'config' / 'fastdds.xml')
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
                'ROS_DOMAIN_ID': str(1 + (os.getpid() + 37 * next(_drawn)) % 101),
                'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                'ROS_LOG_DIR': str(tmp_path_factory.mktemp('ros_log')),
                'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
                'FASTDDS_DEFAULT_PROFILES_FILE': profile,
                'FASTRTPS_DEFAULT_PROFILES_FILE': profile}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope='module')
def start_node(ros_domain: None, checkpoint_path: Path,
               tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NodeProcess]]:
    """Return a function that starts a node with the small checkpoint; stop all afterwards."""
    started: list[NodeProcess] = []

    def start(**parameters: Any) -> NodeProcess:
        settings = {'checkpoint': checkpoint_path, 'device': 'cpu', **parameters}
        process = NodeProcess(tmp_path_factory.mktemp('node') / 'log', settings)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope='module')
def peer(ros_domain: None) -> Iterator[Peer]:
    """Return the test's own ROS node."""
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture(scope='module')
def segmenter(checkpoint_path: Path) -> Any:
    """Return a segmenter with the weights that the node under test runs."""
    from roadseg_ros.inference.segmenter import Segmenter

    return Segmenter(checkpoint_path, device='cpu')
