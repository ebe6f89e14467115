"""Answer requests for transitions that are not legal now, which would end rclpy's nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode


def refuse_illegal(node: LifecycleNode) -> None:
    """
    Have a node answer such a request with no success, and log it.

    :param node: whose lifecycle services are there already.
    """
    for service in node.services:
        if service.srv_type is ChangeState:
            service.callback = partial(_answer, node, service.callback)


def _answer(node: LifecycleNode, change_state: Callable[[Any, Any], Any],
            request: ChangeState.Request, response: ChangeState.Response
            ) -> ChangeState.Response:
    """Pass a request on; say what is wrong with one that is not legal."""
    try:
        return change_state(request, response)
    except RuntimeError as error:  # rclpy's RCLError
        asked = request.transition.label or request.transition.id
        reason = str(error).partition(', at ')[0]
        node.get_logger().warning(f'transition {asked} refused: {reason}')
        response.success = False
        return response
