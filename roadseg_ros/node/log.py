"""What modules without ROS say through `logging`, said through the node's logger."""

from __future__ import annotations

import logging
from typing import Any


class RosHandler(logging.Handler):
    """
    Pass records on to a logger of rclpy.

    :param logger: of the node.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on under its own severity."""
        text = self.format(record)
        # a line for each, as rclpy takes one severity from a line
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def forward(logger: Any) -> RosHandler:
    """
    Let the package's modules be heard through a node, from level INFO on.

    :param logger: of the node.
    :return: to hand to `silence` when the node goes.
    """
    package = logging.getLogger('roadseg_ros')
    package.setLevel(logging.INFO)
    handler = RosHandler(logger)
    package.addHandler(handler)
    return handler


def silence(handler: RosHandler) -> None:
    """Undo `forward`."""
    logging.getLogger('roadseg_ros').removeHandler(handler)
