"""Start the segmentation node, and RViz where it is asked for."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch.utilities.type_utils import coerce_to_type
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
import yaml

CONFIG = Path(__file__).resolve().parents[1] / 'config'

# What is left empty overrides nothing: the defaults stand in the parameters file.
ARGUMENTS = {
    'image_topics': 'cameras: topics separated by commas, or a YAML list',
    'params_file': 'parameters file; empty: the packaged config/segmentation.yaml',
    'checkpoint': 'weights file (.safetensors)',
    'device': 'where the network runs: auto, cuda or cpu',
    'namespace': 'namespace of the node',
    'use_sim_time': 'true to follow /clock',
    'rviz': 'true to open RViz beside the node',
}


def topics_of(text: str) -> list[str]:
    """
    Read a launch argument that names topics.

    :param text: topics separated by commas, or a YAML list of them
    :return: the topics
    :raises ValueError: a list that is no YAML
    """
    if not text.strip().startswith('['):
        return [topic.strip() for topic in text.split(',') if topic.strip()]
    try:
        return [str(topic) for topic in yaml.safe_load(text)]
    except yaml.YAMLError as error:
        raise ValueError(f"image_topics:={text} is no list such as ['/a', '/b']") from error


def overrides(arguments: dict[str, str]) -> dict[str, object]:
    """
    Make node parameters of the launch arguments that are given.

    :param arguments: launch arguments by name; an empty one is left out
    :return: parameter values by name
    """
    values: dict[str, object] = {}
    if arguments['image_topics']:
        values['image_topics'] = topics_of(arguments['image_topics'])
    for name in ('checkpoint', 'device'):
        if arguments[name]:
            values[name] = ParameterValue(arguments[name], value_type=str)
    if arguments['use_sim_time']:
        values['use_sim_time'] = coerce_to_type(arguments['use_sim_time'], bool)
    return values


def start(context: LaunchContext) -> list[Node]:
    """
    Make the processes once the launch arguments are known.

    :param context: where the launch arguments stand
    :return: the node, and RViz under its condition
    """
    arguments = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    given = overrides(arguments)
    sim_time = {name: given[name] for name in ('use_sim_time',) if name in given}
    # The node brings itself up (its parameter `autostart`); nothing is sent to it from here.
    segmentation = LifecycleNode(
        package='roadseg_ros',
        executable='segmentation_node',
        name='roadseg',
        namespace=arguments['namespace'],
        parameters=[
            arguments['params_file'] or str(CONFIG / 'segmentation.yaml'),
            *([given] if given else []),
        ],
        output='screen',
        emulate_tty=True,
    )
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', str(CONFIG / 'segmentation.rviz')],
        parameters=[sim_time] if sim_time else None,
        condition=IfCondition(arguments['rviz'] or 'false'),
    )
    return [segmentation, rviz]


def generate_launch_description() -> LaunchDescription:
    """
    Describe the launch.

    :return: the arguments, then the processes
    """
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value='', description=text)
          for name, text in ARGUMENTS.items()),
        OpaqueFunction(function=start),
    ])
