"""The launch files: their arguments, what they start, and what they must not do."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEGMENTATION = ROOT / 'launch' / 'segmentation.launch.py'
REPLAY = ROOT / 'launch' / 'replay.launch.py'
FILES = [SEGMENTATION, REPLAY]
ARGUMENTS = {
    SEGMENTATION: ['image_topics', 'params_file', 'checkpoint', 'device', 'namespace',
                   'use_sim_time', 'rviz'],
    REPLAY: ['bag', 'rate', 'loop', 'clock'],
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_arguments_are_the_documented_ones(path: Path) -> None:
    tables = [node.value for node in tree_of(path).body
              if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'ARGUMENTS']
    assert list(ast.literal_eval(tables[0])) == ARGUMENTS[path]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_no_argument_has_a_default_of_its_own(path: Path) -> None:
    defaults = [keyword.value for keyword in ast.walk(tree_of(path))
                if isinstance(keyword, ast.keyword) and keyword.arg == 'default_value']
    assert [ast.literal_eval(default) for default in defaults] == ['']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_no_delay_and_no_change_of_environment(path: Path) -> None:
    names = {getattr(node, 'id', getattr(node, 'attr', '')) for node in ast.walk(tree_of(path))}
    assert not names & {'SetEnvironmentVariable', 'AppendEnvironmentVariable', 'environ', 'sleep',
                        'UnsetEnvironmentVariable', 'TimerAction', 'additional_env'}


def load(path: Path) -> Any:
    """
    Import a launch file, or skip where ROS 2 launch is not installed.

    :param path: the launch file
    :return: its module
    """
    # Not `launch` itself: the folder of that name answers to it.
    pytest.importorskip('launch_ros.actions', reason='launch_ros is not installed')
    spec = importlib.util.spec_from_file_location(path.name.replace('.', '_'), path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(module: Any, **arguments: str) -> list[Any]:
    """
    Evaluate a launch file down to what it starts.

    :param module: the launch file's module
    :param arguments: launch arguments
    :return: what its `start` makes of them
    """
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update({name: '' for name in module.ARGUMENTS} | arguments)
    return list(module.start(context))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_description_declares_every_argument(path: Path) -> None:
    description = load(path).generate_launch_description()
    names = [argument.name for argument in description.get_launch_arguments()]
    expected = ARGUMENTS[path] + (ARGUMENTS[SEGMENTATION] if path == REPLAY else [])
    assert names == expected


def test_empty_arguments_override_nothing() -> None:
    module = load(SEGMENTATION)
    assert module.overrides(dict.fromkeys(module.ARGUMENTS, '')) == {}


def test_given_arguments_become_parameters() -> None:
    module = load(SEGMENTATION)
    values = module.overrides(dict.fromkeys(module.ARGUMENTS, '') | {
        'image_topics': '/left/image_raw, /right/image_raw', 'device': 'cpu',
        'checkpoint': '1', 'use_sim_time': 'true'})
    assert values['image_topics'] == ['/left/image_raw', '/right/image_raw']
    assert values['use_sim_time'] is True
    assert values['device'].value == 'cpu'
    # A file called 1 stays a string.
    assert values['checkpoint'].value_type is str


def test_topics_may_be_a_yaml_list() -> None:
    module = load(SEGMENTATION)
    assert module.topics_of('["/a/image_raw", /b/image_raw]') == ['/a/image_raw', '/b/image_raw']
    assert module.topics_of('/a/image_raw,') == ['/a/image_raw']
    with pytest.raises(ValueError, match='is no list such as'):
        module.topics_of('["/a')


def test_rviz_starts_only_where_asked() -> None:
    module = load(SEGMENTATION)
    from launch import LaunchContext

    for text, expected in (('', False), ('false', False), ('true', True)):
        node, rviz = started(module, rviz=text)
        assert node.condition is None
        assert rviz.condition.evaluate(LaunchContext()) is expected


def test_player_gets_the_options_given() -> None:
    module = load(REPLAY)
    assert module.play_command('drive.mcap', '', False, False) == [
        'ros2', 'bag', 'play', 'drive.mcap']
    assert module.play_command('drive.mcap', '0.5', True, True) == [
        'ros2', 'bag', 'play', 'drive.mcap', '--rate', '0.5', '--loop', '--clock']


def test_player_waits_for_what_the_node_logs() -> None:
    node = (ROOT / 'roadseg_ros' / 'node' / 'lifecycle.py').read_text(encoding='utf-8')
    ready, = (ast.literal_eval(node.value) for node in tree_of(REPLAY).body
              if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'READY')
    assert f"info(f'{ready.decode()} " in node


def test_player_starts_once() -> None:
    module = load(REPLAY)
    from types import SimpleNamespace

    from launch import LaunchContext

    handler = module.when_ready('player').event_handler

    def heard(text: bytes) -> object:
        event = SimpleNamespace(text=text, from_stdout=False, from_stderr=True, from_stdin=False)
        return handler.handle(event, LaunchContext())

    assert not heard(b'loading weights')
    assert heard(b'[INFO] [roadseg]: waiting for frames on /camera/image_raw') == ['player']
    assert not heard(b'[INFO] [roadseg]: waiting for frames on /camera/image_raw')


def test_clock_has_the_node_follow_it() -> None:
    module = load(REPLAY)
    assert len(started(module, bag='drive.mcap')) == 1
    sim_time, _ = started(module, bag='drive.mcap', clock='true')
    assert [part.text for part in sim_time.name] == ['use_sim_time']
    assert [part.text for part in sim_time.value] == ['true']
