"""Checks of the segmentation nodes that run, and of the cameras around them. Imports rclpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.serialization import deserialize_message
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import CompressedImage, Image

from roadseg_ros.checkpoint import MAX_PIXELS
from roadseg_ros.labels import UNLABELLED
from roadseg_ros.node.graph import deaf_listeners, endpoints, NAMELESS, segmentation_nodes, survey
from roadseg_ros.node.silence import explain, LOADING, Recent, Surroundings
from roadseg_ros.node.topics import IMAGE_TYPES, output_prefixes
from roadseg_ros.tools.doctor.check import Check, FAIL, OK, WARN
from roadseg_ros.tools.doctor.onlooker import Onlooker
from roadseg_ros.tools.doctor.probes import domain

# Fast DDS announces itself every three seconds, and who misses that hears the next
DISCOVERY_SEC, SETTLING_SEC, ANSWER_SEC, FRAMES_SEC = 7.0, 0.5, 5.0, 5.0
# of nodes, which come as late as three seconds after their endpoints; what is no ROS node has none
# and costs all of it
NAMES_SEC = 4.0
LIFECYCLE = 'ros2 lifecycle set'


class Named(NamedTuple):
    """
    An image topic of a node's parameters.

    :param topic: in full.
    :param text: of the parameter, by which the node speaks of it.
    """

    topic: str
    text: str


@dataclass(frozen=True)
class Seen:
    """
    A segmentation node as it looks from outside.

    :param name: with its namespace.
    :param state: of its lifecycle, '' where it does not answer.
    :param cameras: the image topics of its parameters, by the mask topic beside each.
    :param inputs: image topics that it subscribes to.
    :param outputs: image topics that it publishes.
    :param max_image_pixels: of its parameters, None where it does not answer.
    """

    name: str
    state: str
    cameras: Mapping[str, Named]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_image_pixels: int | None = None

    def check(self) -> Check:
        """Say whether it is at work."""
        if not self.state:
            return Check('node', FAIL, f'{self.name} is there and does not answer: '
                         f'{LOADING.message}, or stuck', 'wait, and read its log')
        fix = {'unconfigured': f'mend what its log names, then `{LIFECYCLE} {self.name} '
                               'configure` and `activate`',
               'inactive': f'`{LIFECYCLE} {self.name} activate`'}
        if self.state == 'active':
            return Check('node', OK, f'{self.name} is active')
        return Check('node', FAIL, f'{self.name} is {self.state}',
                     fix.get(self.state, 'wait, and read its log'))

    def topics(self, asked: Sequence[str]) -> list[str]:
        """Return the image topics to look at: what it subscribes to, else what it will."""
        known = self.inputs or tuple(camera.topic for camera in self.cameras.values())
        return [topic for topic in known if topic in asked or not asked]

    def masks(self, asked: Sequence[str]) -> list[str]:
        """Return the mask topics to wait for."""
        if self.state != 'active':
            return []
        return [topic for topic in self.outputs if topic.endswith('/mask')
                and (not asked or self.camera(topic).topic in asked)]

    def camera(self, mask: str) -> Named:
        """Return the camera of a mask topic, one without a name where none is known."""
        return self.cameras.get(mask, Named('', ''))


def examine_graph(asked: Sequence[str]) -> Iterator[Check]:
    """
    Look at the nodes, listen to their cameras and masks for some seconds.

    :param asked: image topics to look at; empty for those of the nodes.
    :return: the checks.
    """
    asked = [topic if topic.startswith('/') else f'/{topic}' for topic in asked]
    with Onlooker() as onlooker:
        nodes = [_see(onlooker, name) for name in _node_names(onlooker)]
        yield from (node.check() for node in nodes)
        owners = {topic: node for node in nodes for topic in node.topics(asked)}
        yield from _missing(nodes, [topic for topic in asked if topic not in owners])
        masks = {topic: node for node in nodes for topic in node.masks(asked)}
        wanted = list(dict.fromkeys([*owners, *asked]))
        onlooker.wait(partial(_all_came, onlooker, {*wanted, *masks}), FRAMES_SEC)
        # a blank one may be the first of many good ones, and the node says why it is not
        onlooker.wait(partial(_none_unexplained, onlooker, masks), FRAMES_SEC)
        outputs = [topic for node in nodes for topic in node.outputs]
        onlooker.wait(partial(_all_named, onlooker, [*wanted, *outputs]), NAMES_SEC)
        for topic in wanted:
            owner = owners.get(topic)
            served = any(onlooker.counts.get(mask) for mask, node in masks.items()
                         if node.camera(mask).topic == topic)
            yield _frames(onlooker, topic, owner, served)
        for topic, node in masks.items():
            yield _masks(onlooker, topic, node)
        for node in nodes:
            for topic in node.outputs:
                for line in deaf_listeners(onlooker.node, topic, node.name):
                    yield Check('listener', WARN, f'incompatible QoS: {line}',
                                'let the listener ask for what is offered')


def _node_names(onlooker: Onlooker) -> list[str]:
    """Return the segmentation nodes that can be discovered."""
    found = partial(segmentation_nodes, onlooker.node)
    if onlooker.wait(found, DISCOVERY_SEC):
        onlooker.wait(lambda: False, SETTLING_SEC)  # others may be there too
    return found()


def _see(onlooker: Onlooker, name: str) -> Seen:
    """Ask a node for its state and its cameras."""
    answer = onlooker.ask(GetState, f'{name}/get_state', GetState.Request(), ANSWER_SEC)
    if answer is None:
        return Seen(name, '', {}, (), ())
    state = answer.current_state.label
    ours = partial(_image_topics, onlooker, name)
    node = onlooker.node
    if state == 'active':
        onlooker.wait(lambda: ours(node.get_subscriptions_info_by_topic)
                      and ours(node.get_publishers_info_by_topic), DISCOVERY_SEC)
    answer = onlooker.ask(GetParameters, f'{name}/get_parameters', GetParameters.Request(
        names=['image_topics', 'max_image_pixels']), ANSWER_SEC)
    topics, limit = ((answer.values[0].string_array_value, answer.values[1].integer_value)
                     if answer and answer.values else ((), None))
    return Seen(name, state, _cameras(topics, name),
                ours(node.get_subscriptions_info_by_topic),
                ours(node.get_publishers_info_by_topic), limit)


def _cameras(topics: Sequence[str], name: str) -> dict[str, Named]:
    """Return the image topics that a node's parameter names, by their mask topics."""
    try:
        return {_full(f'{prefix}/mask', name): Named(_full(topic, name), topic)
                for topic, prefix in output_prefixes(topics).items()}
    # which is why the node is not configured, as its log says
    except (ValueError, InvalidTopicNameException):
        return {}


def _full(topic: str, name: str) -> str:
    """Return a topic as the node of that name expands it."""
    namespace, _, own = name.rpartition('/')
    full = expand_topic_name(topic, own, namespace or '/')
    validate_full_topic_name(full)
    return full


def _image_topics(onlooker: Onlooker, name: str, lookup: Callable[[str], Any]
                  ) -> tuple[str, ...]:
    """Return the image topics that a node has an endpoint of."""
    return tuple(topic for topic, types in onlooker.node.get_topic_names_and_types()
                 if set(types) & {*IMAGE_TYPES}
                 and any(found.node == name for found in endpoints(lookup(topic))))


def _missing(nodes: Sequence[Seen], topics: Sequence[str]) -> Iterator[Check]:
    """Say that there is no node, or none that subscribes to what was asked about."""
    if not nodes:
        yield Check('node', FAIL if topics else WARN,
                    f'no segmentation node runs in ROS domain {domain()}',
                    'start one, or look with its ROS_DOMAIN_ID and RMW_IMPLEMENTATION')
        return
    known = ', '.join(topic for node in nodes for topic in node.topics(())) or 'none'
    for topic in topics:
        yield Check('node', FAIL, f'no node subscribes to {topic}; they do to: {known}',
                    'name it in image_topics')


def _all_came(onlooker: Onlooker, topics: set[str]) -> bool:
    """Listen to the topics that have publishers by now; return whether all were heard."""
    for topic in topics:
        onlooker.hear(topic, endpoints(onlooker.node.get_publishers_info_by_topic(topic)))
    return topics <= onlooker.heard.keys()


def _none_unexplained(onlooker: Onlooker, masks: Mapping[str, Seen]) -> bool:
    """Return whether each mask heard last has labels, or its node says why it has none."""
    return all(not _is_blank(onlooker, topic) or not _is_well(_status(onlooker, topic, node))
               for topic, node in masks.items())


def _all_named(onlooker: Onlooker, topics: Sequence[str]) -> bool:
    """Return whether the node of every endpoint of the topics is known."""
    lookups = (onlooker.node.get_publishers_info_by_topic,
               onlooker.node.get_subscriptions_info_by_topic)
    return all(found.node != NAMELESS for topic in topics for lookup in lookups
               for found in endpoints(lookup(topic)))


def _frames(onlooker: Onlooker, topic: str, owner: Seen | None, served: bool) -> Check:
    """
    Say whether a camera's frames can reach the node.

    :param owner: the node, None where there is none.
    :param served: whether masks come of them; then the node can decode what fails here, as
        cv_bridge may there.
    """
    around = survey(onlooker.node, topic, owner.name if owner else '', ())
    heard = onlooker.heard.get(topic)
    limit = owner and owner.max_image_pixels
    shape, error = _decoded(around, heard, limit) if heard is not None else ('', '')
    counts = Counter(failed=int(bool(error) and not served), received=int(served),
                     published=int(served))
    finding = explain(around, Recent(counts, FRAMES_SEC if heard is None else 0.0, error))
    if finding.level == 'ok':
        return Check('frames', OK, f'{topic}: frames arrive{shape}')
    return Check('frames', FAIL, f'{topic}: {finding.message}', finding.fix)


def _decoded(around: Surroundings, data: bytes, limit: int | None) -> tuple[str, str]:
    """
    Return what a frame is and what is wrong with it, as the node would find out.

    :param limit: the node's max_image_pixels, None for the default.
    """
    is_raw = [found.type for found in around.publishers if found.type in IMAGE_TYPES][-1:] != [
        IMAGE_TYPES[1]]
    message = deserialize_message(data, Image if is_raw else CompressedImage)
    try:
        from roadseg_ros.node.image_messages import decode_compressed, ImageMessageError, to_bgr
    except ImportError:  # of OpenCV, which another check says
        return '', ''
    try:
        picture = (to_bgr if is_raw else decode_compressed)(message, limit or MAX_PIXELS)
    except ImageMessageError as error:
        assumed = ' (the default: no node here says its max_image_pixels)'
        return '', f'{error}{assumed if not limit and str(MAX_PIXELS) in str(error) else ""}'
    encoding = message.encoding if is_raw else message.format
    return f', {picture.shape[1]}x{picture.shape[0]} {encoding}', ''


def _masks(onlooker: Onlooker, topic: str, node: Seen) -> Check:
    """Say whether masks come, and what the node says where they do not, or not well."""
    listeners = endpoints(onlooker.node.get_subscriptions_info_by_topic(topic))
    status = _status(onlooker, topic, node)
    come = bool(onlooker.counts.get(topic))
    if come and _is_well(status):
        if _is_blank(onlooker, topic):
            return Check('masks', WARN, f'{topic}: masks come, but all unlabelled',
                         'read the log of the node')
        alone = '' if len(listeners) > 1 else ', nobody but this command listens to them'
        return Check('masks', OK, f'{topic}: masks come{alone}')
    message = f'{topic}: masks come' if come else f'{topic}: none within {FRAMES_SEC:.0f} s'
    if status is None:
        return Check('masks', FAIL, message, 'read the log of the node')
    fixes = [value.value for value in status.values if value.key == 'fix']
    return Check('masks', WARN if come else FAIL, f'{message}; the node says: {status.message}',
                 *fixes)


def _status(onlooker: Onlooker, mask: str, node: Seen) -> DiagnosticStatus | None:
    """Return what the node said last of the camera of a mask topic."""
    return onlooker.statuses.get(f'{node.name.lstrip("/")}: {node.camera(mask).text}')


def _is_well(status: DiagnosticStatus | None) -> bool:
    """Return whether the node said nothing against it."""
    return status is None or status.level == DiagnosticStatus.OK


def _is_blank(onlooker: Onlooker, mask: str) -> bool:
    """Return whether the last mask heard holds no label at all."""
    data = onlooker.heard.get(mask)
    if data is None:
        return False
    return not deserialize_message(data, Image).data.tobytes().strip(bytes([UNLABELLED]))
