"""
Play a bag into the segmentation node, from the moment that the node waits for frames.

`roadseg segment BAG` is the tool that takes every frame, however slow the machine.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetLaunchConfiguration,
)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch.utilities.type_utils import coerce_to_type

READY = b'waiting for frames on'  # what the node logs at activate
SEGMENTATION = Path(__file__).resolve().parent / 'segmentation.launch.py'

# Those of segmentation.launch.py come on top.
ARGUMENTS = {
    'bag': 'the bag to play',
    'rate': 'factor on the recorded speed',
    'loop': 'true to start over at the end',
    'clock': 'true to publish /clock from the bag and have the node follow it',
}


def play_command(bag: str, rate: str, loop: bool, clock: bool) -> list[str]:
    """
    Put the command together that plays the bag.

    :param bag: path of the bag
    :param rate: factor on the recorded speed; empty: as recorded
    :param loop: start over at the end
    :param clock: publish /clock
    :return: the command and its arguments
    """
    command = ['ros2', 'bag', 'play', bag]
    command += ['--rate', rate] if rate else []
    command += ['--loop'] if loop else []
    return command + (['--clock'] if clock else [])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """
    Make the player once the launch arguments are known.

    :param context: where the launch arguments stand
    :return: the player held back, and what has the node follow its clock
    """
    bag, rate, loop, clock = (LaunchConfiguration(name).perform(context) for name in ARGUMENTS)
    follow = coerce_to_type(clock or 'false', bool)
    command = play_command(bag, rate, coerce_to_type(loop or 'false', bool), follow)
    sim_time = [SetLaunchConfiguration('use_sim_time', 'true')] if follow else []
    return [*sim_time, when_ready(ExecuteProcess(cmd=command, output='screen'))]


def when_ready(player: ExecuteProcess) -> RegisterEventHandler:
    """
    Hold the player back until the node has loaded its weights.

    :param player: started once, also where the node is activated again later
    :return: the action that waits
    """
    waiting = [player]

    def look(event: ProcessIO) -> list[ExecuteProcess]:
        return [waiting.pop()] if waiting and READY in event.text else []

    return RegisterEventHandler(OnProcessIO(on_stdout=look, on_stderr=look))


def generate_launch_description() -> LaunchDescription:
    """
    Describe the launch.

    :return: the arguments, then the player and the node
    """
    return LaunchDescription([
        DeclareLaunchArgument('bag', description=ARGUMENTS['bag']),
        *(DeclareLaunchArgument(name, default_value='', description=ARGUMENTS[name])
          for name in ('rate', 'loop', 'clock')),
        OpaqueFunction(function=start),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(str(SEGMENTATION))),
    ])
