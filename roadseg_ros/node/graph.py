"""Look at the ROS graph around a camera, with any node of rclpy."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

from roadseg_ros.node.silence import Endpoint, mismatch, Surroundings
from roadseg_ros.node.topics import IMAGE_TYPES

RELOAD_SERVICE = 'reload_checkpoint'  # by which a segmentation node is known, whatever its name
# in the names that the middleware gives to what is no ROS node, or has not told its name yet
UNKNOWN = '_UNKNOWN_'
NAMELESS = 'an unknown node'  # what is said instead


def survey(node: Node, topic: str, owner: str, outputs: Iterable[str]) -> Surroundings:
    """
    Gather what may keep frames from a segmentation node, or its masks from listeners.

    :param node: to look with; its remappings of the names hold.
    :param topic: of the images.
    :param owner: the segmentation node, with its namespace.
    :param outputs: topics that it publishes for each frame.
    """
    publishers = endpoints(node.get_publishers_info_by_topic(topic))
    subscriptions = endpoints(node.get_subscriptions_info_by_topic(topic))
    usable = any(publisher.type in IMAGE_TYPES for publisher in publishers)
    return Surroundings(
        topic, publishers,
        next((found for found in subscriptions if found.node == owner), None),
        # masks are no cameras
        () if usable else image_topics(node, {owner, *segmentation_nodes(node)}),
        tuple(line for output in outputs for line in deaf_listeners(node, output, owner)))


def segmentation_nodes(node: Node) -> list[str]:
    """
    Return the segmentation nodes that can be discovered, with their namespaces.

    :param node: to look with.
    """
    suffix = f'/{RELOAD_SERVICE}'
    return sorted(name.removesuffix(suffix) for name, _ in node.get_service_names_and_types()
                  if name.endswith(suffix))


def endpoints(found: Iterable[TopicEndpointInfo]) -> tuple[Endpoint, ...]:
    """
    Return endpoints in plain words.

    :param found: what the graph says of them.
    """
    return tuple(Endpoint(_full_name(info), info.topic_type,
                          info.qos_profile.reliability.name.lower(),
                          info.qos_profile.durability.name.lower()) for info in found)


def image_topics(node: Node, but: Collection[str]) -> tuple[str, ...]:
    """
    Return the image topics that somebody publishes.

    :param node: to look with.
    :param but: nodes whose topics do not count.
    """
    return tuple(
        topic for topic, types in node.get_topic_names_and_types() if set(types) & {*IMAGE_TYPES}
        and any(publisher.type in IMAGE_TYPES and publisher.node not in but
                for publisher in endpoints(node.get_publishers_info_by_topic(topic))))


def deaf_listeners(node: Node, output: str, owner: str) -> list[str]:
    """
    Say of each listener of an output that it asks for what is not offered.

    :param node: to look with.
    :param output: the topic.
    :param owner: the node that publishes it.
    """
    listeners = endpoints(node.get_subscriptions_info_by_topic(output))
    if not listeners:
        return []
    offered = [found for found in endpoints(node.get_publishers_info_by_topic(output))
               if found.node == owner]
    said = (mismatch(publisher, listener) for publisher in offered for listener in listeners)
    return [f'{output}, {line}' for line in said if line]


def _full_name(info: TopicEndpointInfo) -> str:
    """Return the name of an endpoint's node, with its namespace."""
    if UNKNOWN in info.node_name:
        return NAMELESS
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'
