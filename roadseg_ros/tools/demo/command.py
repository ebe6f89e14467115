"""The command: its arguments, and the order in which things happen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any

from roadseg_ros.checkpoint import default_checkpoint_path, load_checkpoint
from roadseg_ros.tools.arguments import positive
from roadseg_ros.tools.demo.folder import DemoError, DemoFolder
from roadseg_ros.tools.demo.log import DrivingLog, read_log
from roadseg_ros.tools.demo.report import write_report
from roadseg_ros.tools.demo.summary import Rates, rows, summarize
from roadseg_ros.tools.node_process import check_ros, NodeProcess, private_environment
from roadseg_ros.tools.page import check_page

ENOUGH = 0.99
CALIBRATION_FRAMES = 9
SPARE = 0.8   # of the rate measured frame by frame
TRIES, SLOWER = 4, 0.6  # a machine may be busier while playing than it was while measuring


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'demo', help='run the node on a driving log and make a page of it',
        description='Start the node as its own process, play a driving log to it over DDS at '
                    'the rate it was recorded at, or the highest the machine sustains when that '
                    'is lower, and record what it publishes. Exit status: 0 masks for at least '
                    '99 % of the frames, 1 fewer, 2 it could not run, 130 interrupted, 143 ended '
                    'by SIGTERM.')
    parser.add_argument('--bag', type=Path, help='bag to play (default: a generated drive)')
    parser.add_argument('--topic', metavar='T',
                        help='image topic of the bag (default: its first camera)')
    parser.add_argument('--out', type=Path, default=Path('demo_output'),
                        help='folder for the results; those of an earlier demo are replaced '
                             '(default: demo_output)')
    parser.add_argument('--seconds', type=positive, default=10.0,
                        help='how much of the log to play (default: 10)')
    parser.add_argument('--rate', type=positive, metavar='HZ',
                        help='play at this rate, whether the machine sustains it or not')
    parser.add_argument('--checkpoint', type=Path,
                        help='.safetensors file to use instead of the packaged one')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda or cuda:N')
    parser.add_argument('--json', action='store_true', help='print the summary as JSON')


def run(options: argparse.Namespace) -> int:
    """
    Run the command.

    :param options: as parsed.
    :return: exit status, 1 if masks are missing.
    :raises ValueError: log, output folder, checkpoint or ROS cannot be used.
    """
    if options.topic and not options.bag:
        raise DemoError('--topic is for --bag; the generated drive has one camera')
    folder = DemoFolder(options.out)
    folder.check(options.bag)
    check_ros()
    check_page()
    checkpoint = options.checkpoint or default_checkpoint_path()
    labels = load_checkpoint(checkpoint).labels
    log = read_log(options.bag, options.topic, options.seconds)
    folder.clear()
    with private_environment(folder.ros_log):
        play, rates = _play(log, checkpoint, options, folder)
    summary = summarize(log, labels, folder.bag, play, rates)
    summary = write_report(folder, log, labels, play, summary)
    print(json.dumps(summary, indent=2) if options.json else
          '\n'.join(f'{name:<14} {value}' for name, value in rows(summary)))
    return 0 if summary['masks_received'] >= ENOUGH * summary['frames_sent'] else 1


def _play(log: DrivingLog, checkpoint: Path, options: argparse.Namespace, folder: DemoFolder
          ) -> tuple[Any, Rates]:
    """Play the log to a node; return the times and the rates."""
    from roadseg_ros.tools.demo.player import Player

    parameters = {'image_topics': [log.topic], 'publish_compressed': True,
                  'checkpoint': str(checkpoint.absolute()), 'device': options.device}
    with NodeProcess(parameters, folder.node_parameters, folder.node_log) as node, \
            Player(log.topic, node.check) as player:
        print(f'waiting for the node (process {node.pid}; its first start with a checkpoint '
              'takes longer)', file=sys.stderr)
        player.connect(log.frames[0], node.last_line)
        trip_sec = player.round_trip_sec(log.frames[:CALIBRATION_FRAMES], folder.bag)
        rates = Rates(log.recorded_hz, SPARE / trip_sec, options.rate)
        for tries_left in reversed(range(1 if options.rate else TRIES)):
            play = player.play(log.frames, rates.target_hz / log.recorded_hz,
                               2.0 + 4 * trip_sec, folder.bag,
                               round(len(log.frames) * (1 - ENOUGH)) if tries_left else None)
            if not tries_left or len(play.received) >= ENOUGH * len(log.frames):
                break
            slower = rates.slower(SLOWER)
            print(f'masks went missing at {play.rate_hz:.1f} Hz; trying '
                  f'{slower.target_hz:.1f} Hz', file=sys.stderr)
            rates = slower
    return play, rates
