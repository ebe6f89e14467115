"""The table of parameters: what the node declares, and the settings it reads from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import difflib
import re
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from roadseg_ros.checkpoint import default_checkpoint_path, MAX_PIXELS
from roadseg_ros.inference.engines import ENGINES
from roadseg_ros.inference.refresh import CacheSettings, POLICIES

CACHE = 'cache.'  # before the names of its parameters
RELIABILITIES = ('auto', 'reliable', 'best_effort')


class ParameterError(ValueError):
    """A parameter value that cannot be; names the parameter and what is supported."""


@dataclass(frozen=True)
class Parameter:
    """
    One row of the table.

    :param choices: the allowed texts, empty for any.
    :param span: lowest and highest number allowed, or None.
    :param live: takes effect at once; others at the next configure.
    """

    name: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    live: bool = False
    read_only: bool = False

    def check(self, value: Any) -> None:
        """
        Refuse a value.

        :raises ParameterError: outside the choices or the span.
        """
        if self.choices and value not in self.choices:
            raise ParameterError(
                f'{self.name} is {value!r}; supported: {", ".join(self.choices)}')
        if self.span and not self.span[0] <= value <= self.span[1]:
            raise ParameterError(
                f'{self.name} is {value}; supported: {self.span[0]} to {self.span[1]}')

    def descriptor(self) -> ParameterDescriptor:
        """Return what `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.choices:
            descriptor.additional_constraints = f'one of {", ".join(self.choices)}'
        if self.span and isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=self.span[0], to_value=self.span[1])]
        elif self.span:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.span[0]), to_value=int(self.span[1]))]
        return descriptor


PARAMETERS = (
    Parameter('image_topics', ['/camera/image_raw'],
              'cameras: topics of sensor_msgs/Image or CompressedImage'),
    Parameter('checkpoint', '',
              'weights to run (.safetensors); empty = the packaged ones; a change also takes '
              'effect at ~/reload_checkpoint'),
    Parameter('device', 'auto', 'where to run: auto, cpu, cuda or cuda:N'),
    Parameter('engine', 'auto',
              'what runs the network; auto = torch on a GPU, openvino on a CPU; openvino_int8 is '
              'faster and a little less accurate',
              choices=ENGINES),
    Parameter('inference_height', 0,
              "pixels the network works at; 0 = the checkpoint's, -1 = the frame's own",
              span=(-1, 16384)),
    Parameter('input_reliability', 'auto',
              'QoS of the image subscriptions; auto = reliable where every publisher offers it',
              choices=RELIABILITIES),
    Parameter('autostart', True, 'configure and activate at start', read_only=True),
    Parameter('overlay_alpha', 0.5, 'weight of the class colours in the overlay',
              span=(0.0, 1.0), live=True),
    Parameter('min_confidence', 0.0,
              'pixels whose probability is lower become unlabelled (255); 0 = none',
              span=(0.0, 1.0), live=True),
    Parameter('ego_mask', '',
              "PNG, not zero where the vehicle's own parts are: always unlabelled; empty = none"),
    Parameter('class_groups', '',
              'which class is drivable, sidewalk, obstacle, dynamic or sky (.yaml); empty = the '
              'packaged file'),
    Parameter('camera_height', 0.0,
              'metres from the ground to the camera, for road_grid; 0 = TF says where it is',
              span=(0.0, 20.0), live=True),
    Parameter('camera_pitch', 0.0,
              'radians by which the camera looks below the horizon; counts with camera_height',
              span=(-1.5, 1.5), live=True),
    Parameter('base_frame', 'base_link',
              "the vehicle's frame, its origin on the ground, that road_grid is in"),
    Parameter('grid_resolution', 0.1, 'metres a cell of road_grid', span=(0.01, 5.0)),
    Parameter('grid_length', 30.0, 'metres ahead that road_grid reaches', span=(1.0, 500.0)),
    Parameter('grid_width', 20.0, 'metres from side to side of road_grid', span=(1.0, 500.0)),
    Parameter('publish_compressed', False,
              'also publish mask/compressed (PNG) and overlay/compressed (JPEG)'),
    Parameter('max_image_pixels', MAX_PIXELS, 'larger frames are refused, not decoded',
              span=(1, 2 ** 31 - 1)),
    Parameter('cache.policy', 'off',
              'when the network runs; between those key frames masks are reused; off = always',
              choices=POLICIES, live=True),
    Parameter('cache.interval', 3,
              'every how many frames the network runs; where the policy decides, the longest wait',
              span=(1, 1000), live=True),
    Parameter('cache.max_age_ms', 500,
              'milliseconds after which a mask is no longer reused',
              span=(1, 60000), live=True),
    Parameter('cache.background', False,
              'with warp, adaptive or clockwork: frames never wait for a key, which the network '
              'makes beside them',
              live=True),
)
_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True)
class Settings:
    """The parameters as they are now, under their own names; those of the cache together."""

    image_topics: tuple[str, ...]
    checkpoint: str
    device: str
    engine: str
    inference_height: int
    input_reliability: str
    autostart: bool
    overlay_alpha: float
    min_confidence: float
    ego_mask: str
    class_groups: str
    camera_height: float
    camera_pitch: float
    base_frame: str
    grid_resolution: float
    grid_length: float
    grid_width: float
    publish_compressed: bool
    max_image_pixels: int
    cache: CacheSettings

    @property
    def checkpoint_path(self) -> str:
        """Return the file to load, the packaged one where none is named."""
        return self.checkpoint or str(default_checkpoint_path())


def declare(node: Node) -> dict[str, str]:
    """
    Declare the table on a node, with values from files and launch as they come.

    A value that does not fit leaves the default in place and is reported, so that configure
    can fail with one line where rclpy would end the process in a traceback.

    :param node: the node.
    :return: what was wrong, by parameter name.
    """
    given = _given(node)
    given.update({change.name: change for change in spell_off(given.values())})
    errors = {}
    for parameter in PARAMETERS:
        row = (parameter.name, parameter.default, parameter.descriptor())
        try:
            value = node.declare_parameter(*row).value
            if value is None:  # as rclpy reads an empty list
                raise ParameterError(
                    f'{parameter.name} is empty; give it such as {parameter.default!r}')
            parameter.check(value)
        except (ParameterError, InvalidParameterTypeException,
                InvalidParameterValueException) as error:
            reason = _reason(parameter, error)
            if parameter.read_only:  # nobody could mend it, so it must not stop configure
                node.get_logger().error(f'{reason}; goes on with {parameter.default}')
            else:
                errors[parameter.name] = reason
            if not node.has_parameter(parameter.name):
                node.declare_parameter(*row, ignore_override=True)
    return errors


def unknown_overrides(node: Node) -> list[str]:
    """
    Return one line for each parameter given at start that the node does not have.

    :param node: the node, its parameters declared.
    """
    lines = []
    for name in _given(node):
        if not node.has_parameter(name) and not name.startswith('qos_overrides.'):
            close = difflib.get_close_matches(name, _BY_NAME, 1)
            hint = f'; did you mean {close[0]}?' if close else ''
            lines.append(f'there is no parameter {name}: ignored{hint}')
    return lines


def read(node: Node) -> Settings:
    """
    Read the declared parameters.

    :raises ParameterError: a value is outside its choices or range.
    :raises ValueError: the values of the cache do not go together.
    """
    values = {}
    for parameter in PARAMETERS:
        value = node.get_parameter(parameter.name).value
        parameter.check(value)
        if not parameter.name.startswith(CACHE):
            values[parameter.name] = (
                tuple(value) if isinstance(parameter.default, list) else value)
    return Settings(**values, cache=read_cache(node))


def read_cache(node: Node, changes: Iterable[RosParameter] = ()) -> CacheSettings:
    """
    Read the parameters of the cache.

    :param changes: taken as made.
    :raises ValueError: they do not go together.
    """
    values = {name: node.get_parameter(name).value for name in _BY_NAME if name.startswith(CACHE)}
    values.update((change.name, change.value) for change in changes if change.name in values)
    return CacheSettings(**{name.removeprefix(CACHE): value for name, value in values.items()})


def spell_off(changes: Iterable[RosParameter]) -> list[RosParameter]:
    """
    Return changes with 'off' where YAML, for which a bare off is a false, made that of it.

    :param changes: as they come from files, launch and `ros2 param set`.
    """
    return [RosParameter(change.name, value='off')
            if change.value is False and change.name in _BY_NAME
            and 'off' in _BY_NAME[change.name].choices else change for change in changes]


def check_change(changes: Iterable[RosParameter], configured: bool) -> str | None:
    """
    Say why a change at run time is refused.

    :param changes: as rclpy hands them to a set-parameters callback.
    :param configured: whether the node holds a configuration.
    :return: one line, or None where the change is fine.
    """
    for change in changes:
        parameter = _BY_NAME.get(change.name)
        if parameter is None:
            continue
        try:
            parameter.check(change.value)
        except ParameterError as error:
            return str(error)
        if configured and not parameter.live and parameter.name != 'checkpoint':
            return (f'{parameter.name} takes effect at configure: clean the node up first '
                    '(ros2 lifecycle set NODE deactivate, then cleanup)')
    return None


def _given(node: Node) -> dict[str, RosParameter]:
    """Return what files and launch gave, by name; rclpy has no public way to it."""
    return getattr(node, '_parameter_overrides', {})


def _reason(parameter: Parameter, error: Exception) -> str:
    """Return one line that names the parameter, what it was given and what it takes."""
    if isinstance(error, ParameterError):
        return str(error)
    kind = {list: 'a list of texts', str: 'text', bool: 'true or false', int: 'a whole number',
            float: 'a number with a decimal point'}[type(parameter.default)]
    if parameter.span and isinstance(error, InvalidParameterValueException):
        kind = f'from {parameter.span[0]} to {parameter.span[1]}'
    # rclpy's exceptions keep the value only inside their text
    given = re.search(r"value \((.*?)\) for|to '(.*?)' of type", str(error))
    was = f', not {next(filter(None, given.groups()))}' if given else ''
    return f'{parameter.name} must be {kind}, such as {parameter.default!r}{was}'
