"""The executable before it is a node: help, and what it cannot start with."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest

from roadseg_ros.node import segmentation_node
from roadseg_ros.node.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_ROS = """
import sys
sys.modules.update(rclpy=None, cv2=None)
from roadseg_ros.node.segmentation_node import main
sys.exit(main())
"""


def run(code: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as a process of its own."""
    return subprocess.run([sys.executable, *code, *arguments], cwd=ROOT, capture_output=True,
                          text=True, timeout=60)


@pytest.mark.parametrize('arguments', [('--help',), ('-h', '--ros-args', '-p', 'device:=cpu')])
def test_help_is_a_screen_and_needs_no_ros(arguments):
    done = run(['-c', WITHOUT_ROS], *arguments)
    assert (done.returncode, done.stderr) == (0, '')
    lines = done.stdout.splitlines()
    assert lines[0].startswith('usage: segmentation_node') and len(lines) <= 24
    assert max(map(len, lines)) < 100
    for word in ('--ros-args', '-p NAME:=VALUE', '--params-file FILE', 'README.md'):
        assert word in done.stdout


def test_help_names_what_there_is():
    named = {line.split(':=')[0].strip() for line in segmentation_node.USAGE.splitlines()
             if line.startswith(' ' * 25)}
    assert len(named) == 3 and named <= {parameter.name for parameter in PARAMETERS}
    assert (ROOT / 'config' / 'segmentation.yaml').is_file()


def test_what_is_for_ros_asks_for_no_help(monkeypatch, capsys):
    monkeypatch.setattr(segmentation_node.signal, 'signal', lambda *_: None)
    monkeypatch.setitem(sys.modules, 'rclpy', None)
    assert segmentation_node.main(['--ros-args', '-p', 'note:=', '-h']) == 1
    said = capsys.readouterr()
    assert not said.out and 'needs the package rclpy' in said.err


def test_a_parameter_file_that_is_not_there(domain_id):
    done = run(['-m', 'roadseg_ros.node.segmentation_node'], '--ros-args', '--params-file', 'gone')
    line = done.stderr.splitlines()[-1]  # rcl says its own before
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert line.startswith('segmentation_node: ') and 'gone' in line


@pytest.mark.parametrize('arguments, named', [
    (('--params-file', 'my.yaml'), '--params-file'), (('--device', 'cpu'), '--device'),
    (('--ros-args', '-p', 'device:=cpu', '--', 'cpu'), 'cpu')])
def test_parameters_that_ros_would_not_see_are_refused(arguments, named):
    done = run(['-m', 'roadseg_ros.node.segmentation_node'], *arguments)
    assert done.returncode == 2
    assert done.stderr == (f'segmentation_node: unknown argument {named!r}; parameters come after '
                           '--ros-args (see --help)\n')
