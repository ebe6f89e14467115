"""The command: its arguments, and the order in which things are looked at."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
import json
from typing import Any

from roadseg_ros.tools.doctor.check import Check, FAIL, OK
from roadseg_ros.tools.doctor.install import examine_install


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'doctor', help='say what is wrong with the install, or keeps masks away',
        description='Check the install, then look from outside at the segmentation nodes that '
                    'run in this ROS domain: state, cameras, frames, masks. One line for each '
                    'check: ok, warn (works, yet less than it might) or FAIL, and what to do. '
                    'Exit status: 0 nothing fails, 1 something does.')
    parser.add_argument('--topic', nargs='+', default=[], metavar='T',
                        help='image topics to look at (default: those of the nodes found); that '
                             'no node runs is then a failure')
    parser.add_argument('--json', action='store_true', help='print the checks as JSON')


def run(options: argparse.Namespace) -> int:
    """
    Run the command.

    :param options: as parsed.
    :return: exit status, 1 if something fails.
    """
    checks = []
    for check in examine(options.topic):
        checks.append(check)
        if not options.json:
            print(check, flush=True)
    if options.json:
        print(json.dumps({'checks': [asdict(check) for check in checks]}, indent=2))
    return int(any(check.status == FAIL for check in checks))


def examine(topics: list[str]) -> Iterator[Check]:
    """
    Check the install, and the running graph where ROS can be used.

    :param topics: of images; empty for those of the nodes found.
    :return: the checks, each as soon as it is made.
    """
    usable = set()
    for check in examine_install():
        yield check
        if check.status == OK:
            usable.add(check.name)
    if {'rclpy', 'middleware'} <= usable:
        from roadseg_ros.tools.doctor.running import examine_graph

        yield from examine_graph(topics)
