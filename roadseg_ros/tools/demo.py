"""`roadseg demo`: the node at work on a driving log, and a page that shows how it went."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import json
import os
from pathlib import Path
import shutil
import signal
import sys
import threading
from typing import Any

from roadseg_ros.checkpoint import default_checkpoint_path, load_checkpoint
from roadseg_ros.tools.demo_log import DrivingLog, read_log
from roadseg_ros.tools.demo_node import NodeProcess, private_environment
from roadseg_ros.tools.demo_report import VIDEOS
from roadseg_ros.tools.demo_summary import MADE_BY, Rates, report, rows, write_summary
from roadseg_ros.tools.segment import positive

OUTPUTS = ('drive.mcap', 'frames', 'index.html', 'node.log', 'ros_log', 'strip.jpg',
           'summary.json', *VIDEOS)
ENOUGH = 0.99
CALIBRATION_FRAMES = 9
SPARE = 0.8   # of the rate measured frame by frame
TRIES, SLOWER = 4, 0.6  # a machine may be busier while playing than it was while measuring


class DemoError(ValueError):
    """The demo cannot run here; says why and what to do."""


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'demo', help='run the node on a driving log and make a page of it',
        description='Start the node as its own process, play a driving log to it over DDS at '
                    'the rate it was recorded at, or the highest the machine sustains when that '
                    'is lower, and record what it publishes. Exit status: 0 masks for at least '
                    '99 % of the frames, 1 fewer, 2 it could not run, 130 interrupted.')
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
    _check_folder(options.out)
    _check_ros()
    checkpoint = options.checkpoint or default_checkpoint_path()
    labels = load_checkpoint(checkpoint).labels
    log = read_log(options.bag, options.topic, options.seconds)
    _clear(options.out)
    with _ended_by_signal():
        played = _play(log, checkpoint, options)
    summary = report(log, labels, options.out, *played)
    print(json.dumps(summary, indent=2) if options.json else
          '\n'.join(f'{name:<14} {value}' for name, value in rows(summary)))
    return 0 if summary['masks_received'] >= ENOUGH * summary['frames_sent'] else 1


def _play(log: DrivingLog, checkpoint: Path, options: argparse.Namespace) -> tuple[Any, Rates]:
    """Play the log to a node; return the times and the rates."""
    out: Path = options.out
    os.environ.update(private_environment(out / 'ros_log'))
    from roadseg_ros.tools.demo_player import Player

    with NodeProcess(log.topic, checkpoint, options.device, out / 'node.log') as node, \
            Player(log.topic, node.check) as player:
        print(f'waiting for the node (process {node.pid})', file=sys.stderr)
        player.connect(log.frames[0], node.last_line)
        trip_sec = player.round_trip_sec(log.frames[:CALIBRATION_FRAMES])
        rates = Rates(log.recorded_hz, SPARE / trip_sec, options.rate)
        for tries_left in reversed(range(1 if options.rate else TRIES)):
            play = player.play(log.frames, rates.played_hz / log.recorded_hz,
                               2.0 + 4 * trip_sec, out / 'drive.mcap',
                               round(len(log.frames) * (1 - ENOUGH)) if tries_left else None)
            if not tries_left or len(play.received) >= ENOUGH * len(log.frames):
                break
            slower = replace(rates, sustained_hz=rates.played_hz * SLOWER)
            print(f'masks went missing at {rates.played_hz:.1f} Hz; trying '
                  f'{slower.played_hz:.1f} Hz', file=sys.stderr)
            rates = slower
    return play, rates


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything in it that is not an earlier demo's."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        earlier = json.loads((out / 'summary.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        earlier = {}
    if not isinstance(earlier, dict) or earlier.get('made_by') != MADE_BY:
        raise DemoError(f'{out} exists and is not the output of an earlier demo; nothing is '
                        'overwritten: remove it or choose another --out')


def _clear(out: Path) -> None:
    """Make the folder, without what an earlier demo left, and mark it as a demo's."""
    for name in OUTPUTS:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    write_summary(out, {'made_by': MADE_BY, 'finished': False})


def _check_ros() -> None:
    """Say how to get ROS where there is none."""
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        raise DemoError(f'rclpy cannot be imported ({error}): run `make setup`, or source a '
                        f'ROS 2 install and use its Python; this is {sys.executable}') from error


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that the node is ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
