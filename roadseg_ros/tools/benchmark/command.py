"""The command: its arguments, and the order in which things happen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from importlib.util import find_spec
import itertools
import json
from pathlib import Path
import re
import shutil
import sys
from typing import Any

from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path, load_checkpoint, MAX_PIXELS
from roadseg_ros.inference.engines import ENGINE_CLASSES, EngineError
from roadseg_ros.tools.arguments import positive
from roadseg_ros.tools.benchmark.machine import describe_machine
from roadseg_ros.tools.benchmark.measure import Effort, measure_engine, Setup
from roadseg_ros.tools.benchmark.plot import draw_plot
from roadseg_ros.tools.benchmark.segmenter_process import EngineCrash
from roadseg_ros.tools.benchmark.table import as_text, complaints
from roadseg_ros.tools.node_process import check_ros, private_environment
from roadseg_ros.tools.results import may_replace, write_marked

MADE_BY = 'roadseg benchmark'
AVAILABLE = tuple(ENGINE_CLASSES)
FULL, QUICK = Effort(rounds=8, frames=6, seconds=10.0), Effort(rounds=3, frames=4, seconds=2.0)
SMALLEST_SIDE = 32
# on two cores: to start the processes of a step; a frame, with all its turns
STEP_SEC, FRAME_SEC = 5.0, 0.5


Found = dict[str, dict[str, Any]]  # figures, or why there are none, by engine


class BenchmarkError(ValueError):
    """Nothing can be measured, or not stored where it was asked to be."""


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'benchmark', help='measure segmenter and node on this machine, with every engine',
        description='Measure the segmenter alone and the node over DDS, in turns: milliseconds '
                    'a frame, latency, several cameras, start-up time and memory. Leave the '
                    'machine alone meanwhile. Exit status: 0 measured, 1 a part could not be '
                    'measured, 2 nothing could, 130 interrupted, 143 ended by SIGTERM.')
    parser.add_argument('--out', type=Path, default=Path('benchmark_output'),
                        help='folder for benchmark.json and benchmark.png; those of an earlier '
                             'benchmark are replaced once an engine is measured '
                             '(default: benchmark_output)')
    parser.add_argument('--quick', action='store_true', help='a short one, less certain')
    parser.add_argument('--engines', nargs='+', choices=AVAILABLE, metavar='E',
                        help=f'of {", ".join(AVAILABLE)} (default: all that are here)')
    parser.add_argument('--sizes', nargs='+', type=_size, metavar='WxH',
                        default=[(360, 480), (720, 1280), (1080, 1920)],
                        help='of frames; several cameras have the first '
                             '(default: 480x360 1280x720 1920x1080)')
    parser.add_argument('--cameras', nargs='*', type=_count, default=[1, 3, 6], metavar='N',
                        help='numbers of cameras (default: 1 3 6; none: leave that out)')
    parser.add_argument('--camera-rate', type=positive, default=10.0, metavar='HZ',
                        help='of each of several cameras (default: 10)')
    parser.add_argument('--checkpoint', type=Path,
                        help='.safetensors file to use instead of the packaged one')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda or cuda:N')
    parser.add_argument('--json', action='store_true', help='print the results as JSON')


def run(options: argparse.Namespace) -> int:
    """
    Run the command.

    :param options: as parsed.
    :return: exit status, 1 if a part could not be measured.
    :raises ValueError: output folder, checkpoint or ROS cannot be used, or no engine can.
    """
    out, checkpoint = options.out, options.checkpoint or default_checkpoint_path()
    summary, logs = out / 'benchmark.json', out / 'logs'
    if not may_replace(out, summary, MADE_BY):
        raise BenchmarkError(f'{out} exists and is not the output of an earlier benchmark; '
                             'nothing is overwritten: remove it or choose another --out')
    if find_spec('matplotlib') is None:
        raise BenchmarkError(f'the plot needs matplotlib, which {sys.executable} does not have')
    check_ros()
    load_checkpoint(checkpoint)
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    if not summary.exists():
        write_marked(summary, MADE_BY, {'finished': False})
    setup = Setup(checkpoint, options.device, _unique(options.sizes), _unique(options.cameras),
                  options.camera_rate, QUICK if options.quick else FULL, logs)
    about = {'date': datetime.now().astimezone().isoformat(timespec='seconds'),
             'checkpoint': str(checkpoint), 'quick': options.quick}
    with private_environment(logs):
        for found in _measure(setup, _unique(options.engines or AVAILABLE)):
            # the picture is of other figures from now on
            (out / 'benchmark.png').unlink(missing_ok=True)
            write_marked(summary, MADE_BY, _results(about, found, finished=False))
    results = write_marked(summary, MADE_BY, _results(about, found, finished=True))
    draw_plot(results, out / 'benchmark.png')
    print(json.dumps(results, indent=2) if options.json else
          f'{as_text(results)}\n\n{summary}\n{out / "benchmark.png"}')
    absent = results['absent']
    asked_in_vain = options.engines and absent
    return 1 if asked_in_vain or len(complaints(results)) > len(absent) else 0


def _unique(values: Sequence[Any]) -> list[Any]:
    """Return each value once."""
    return list(dict.fromkeys(values))


def _results(about: dict[str, Any], found: Found, finished: bool) -> dict[str, Any]:
    """Return what is stored."""
    gpus = (engine['gpu'] for engine in found['engines'].values() if engine['gpu'])
    return {'finished': finished, **about,
            'machine': {**describe_machine(), 'gpu': next(gpus, None)}, **found}


def _measure(setup: Setup, engines: Sequence[str]) -> Iterator[Found]:
    """Yield, after each engine that was measured and at the end, what was found until then."""
    steps = 1 + len(setup.cases) + len(setup.cameras)
    print(f'about {_minutes(setup, len(engines), steps)} if all of {", ".join(engines)} are here; '
          'leave the machine alone meanwhile', file=sys.stderr)
    found: Found = {'engines': {}, 'absent': {}, 'failed': {}}
    with tqdm(total=len(engines) * steps, unit='step', disable=None) as progress:
        for number, engine in enumerate(engines):
            step = partial(_show, progress, itertools.count(number * steps))
            try:
                found['engines'][engine] = measure_engine(setup, engine, step)
            except EngineCrash as error:
                found['failed'][engine] = str(error)
            except EngineError as error:
                found['absent'][engine] = str(error)
            else:
                yield found
        progress.update(progress.total - progress.n)
    if not found['engines']:
        raise BenchmarkError('no engine could be measured: ' + '; '.join(
            f'{engine}: {reason}' for kind in ('absent', 'failed')
            for engine, reason in found[kind].items()))
    yield found


def _show(progress: tqdm[Any], turns: Iterator[int], what: str) -> None:
    """Say which of the steps begins."""
    progress.update(next(turns) - progress.n)
    progress.set_description(what)


def _minutes(setup: Setup, engines: int, steps: int) -> str:
    """Return how long it will take on two cores, for people."""
    effort = setup.effort
    frames = len(setup.cases) * effort.rounds * effort.frames
    seconds = engines * (steps * STEP_SEC + frames * FRAME_SEC
                         + len(setup.cameras) * effort.seconds)
    return f'{seconds / 60:.0f} minutes' if seconds > 90 else 'a minute'


def _size(text: str) -> tuple[int, int]:
    """Read '1280x720' as (720, 1280), for argparse."""
    found = re.fullmatch(r'(\d+)x(\d+)', text, re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f'{text} must look like 1280x720')
    size = int(found[2]), int(found[1])
    if min(size) < SMALLEST_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise argparse.ArgumentTypeError(
            f'{text} must have sides of {SMALLEST_SIDE} or more and up to {MAX_PIXELS} pixels')
    return size


def _count(text: str) -> int:
    """Read a number of cameras, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, not {text}')
    return value
