"""A node as a process of its own, in a ROS domain nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import random
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import yaml

from roadseg_ros.share import share_file

DOMAINS = range(1, 102)  # Fast DDS's ports hold ids up to 101; 0 is what people use
SEGMENTATION_NODE = (sys.executable, '-m', 'roadseg_ros.node.segmentation_node')
STOP_TIMEOUTS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0))


class NodeError(ValueError):
    """The node did not start or did not stay; carries what it said last."""


def check_ros() -> None:
    """
    Look whether there is a ROS to use.

    :raises NodeError: there is none; says how to get it.
    """
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        raise NodeError(f'rclpy cannot be imported ({error}): run `make setup`, or source a '
                        f'ROS 2 install and use its Python; this is {sys.executable}') from error


@contextmanager
def private_environment(log_folder: Path) -> Iterator[None]:
    """
    Keep this process's ROS, and that of the processes it starts, to this machine and to itself.

    :param log_folder: where rclpy writes its logs.
    """
    profile = str(share_file('config/fastdds.xml'))
    variables = {
        'ROS_DOMAIN_ID': str(_free_domain()), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(log_folder), 'FASTRTPS_DEFAULT_PROFILES_FILE': profile,
        'FASTDDS_DEFAULT_PROFILES_FILE': profile}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class NodeProcess:
    """
    Start the node on entering, end it on leaving, however that happens.

    :param parameters: of the node, by name.
    :param parameter_file: they are written to; replaced.
    :param output: file for what it prints; replaced.
    :param command: that runs the node.
    """

    def __init__(self, parameters: Mapping[str, Any], parameter_file: Path, output: Path,
                 command: Sequence[str] = SEGMENTATION_NODE) -> None:
        self._parameters, self._file, self._output = parameters, parameter_file, output
        self._command = [*command, '--ros-args', '--params-file', str(parameter_file.absolute())]

    def __enter__(self) -> NodeProcess:
        """Start it; `started` is when (perf_counter, s)."""
        # a file, as the command line takes no quotes within a value
        self._file.write_text(
            yaml.safe_dump({'/**': {'ros__parameters': dict(self._parameters)}},
                           allow_unicode=True), encoding='utf-8')
        with self._output.open('wb') as output:
            self.started = time.perf_counter()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, 'PYTHONUNBUFFERED': '1'})
        return self

    def __exit__(self, *_: object) -> None:
        """Interrupt it, and insist if that is not enough."""
        try:
            for stop, timeout_sec in STOP_TIMEOUTS:
                if self._process.poll() is None:
                    self._process.send_signal(stop)
                try:
                    self._process.wait(timeout_sec)
                    return
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if self._process.poll() is None:
                self._process.kill()

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def check(self) -> None:
        """
        Look whether it is well.

        :raises NodeError: it ended, or could not configure itself.
        """
        text = self._output.read_text(errors='replace')
        failed = re.search(r'configure failed: (.*)', text)
        if failed:
            raise NodeError(f'the node cannot start: {failed[1]}')
        if self._process.poll() is not None:
            raise NodeError(f'the node ended with status {self._process.returncode}: '
                            f'{self.last_line()} (all of it: {self._output})')

    def last_line(self) -> str:
        """Return what it printed last."""
        lines = self._output.read_text(errors='replace').strip().splitlines()
        return lines[-1] if lines else 'it printed nothing'


def _free_domain() -> int:
    """Return a domain id whose first participant's port nobody holds."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7410 + 250 * domain))
                return domain
            except OSError:
                continue
    raise NodeError('every ROS domain from 1 to 101 is in use on this machine')
