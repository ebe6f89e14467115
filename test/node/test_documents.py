"""The README's tables name what the code has: topics, services and commands."""

from pathlib import Path
import re

from rclpy.node import NodeNameNonExistentError

from roadseg_ros.node import outputs
from roadseg_ros.node.topics import OUTPUT_NAMES
from roadseg_ros.tools.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def rows(heading: str) -> dict[str, list[str]]:
    """Return the cells of the first table below a heading, by the name in their first."""
    section = (ROOT / 'README.md').read_text().split(f'\n## {heading}\n')[1]
    table = re.search(r'(?:^\|.*\n)+', section, re.MULTILINE).group()
    cells = [[cell.strip() for cell in line.strip('|\n ').split(' | ')]
             for line in table.splitlines()[2:]]
    return {first.strip('`'): others for first, *others in cells}


def ros_type(kind: type) -> str:
    """Return sensor_msgs/Image for its class."""
    return f'{kind.__module__.split(".")[0]}/{kind.__name__}'


def test_topics():
    """Every topic stands there with its type."""
    shown = {name: cells[0].split(',')[0] for name, cells in rows('Topics').items()}
    assert set(shown) == set(OUTPUT_NAMES)
    kinds = {name: ros_type(kind)
             for name, kind in {**outputs.TOPICS, **outputs.COMPRESSED_TOPICS}.items()}
    assert {name: shown[name] for name in kinds} == kinds


def test_services(start_node, peer):
    """Every service of the node stands there with its type; ROS's own are left out."""
    start_node()
    wanted = {name: cells[0] for name, cells in rows('Services').items()}

    def offered():
        try:
            found = peer.node.get_service_names_and_types_by_node('roadseg', '/')
        except NodeNameNonExistentError:
            return {}
        return {name.replace('/roadseg/', '~/'): kinds[0].replace('/srv', '')
                for name, kinds in found if kinds[0].startswith('std_srvs')}

    peer.wait(lambda: len(offered()) >= len(wanted), 'the services', 60)
    assert offered() == wanted


def test_commands():
    """Every command stands there."""
    assert set(rows('Commands')) == set(COMMANDS)
