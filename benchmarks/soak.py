"""
The node under more frames than it can take, for as long as asked: figures as JSON.

    python -m benchmarks.soak --minutes 120 --out soak.json

First it measures what the machine sustains, then it sends `--factor` times that: the newest frame
must win, the delay stay within two frames, memory flat.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import json
from pathlib import Path
import statistics
import sys
import tempfile
import time
from typing import Any

import numpy as np

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.system import Held, held
from roadseg_ros.tools.arguments import positive
from roadseg_ros.tools.benchmark.client import Client, Feed, Played
from roadseg_ros.tools.benchmark.drive import render
from roadseg_ros.tools.benchmark.machine import describe_machine
from roadseg_ros.tools.benchmark.messages import ImageMessages
from roadseg_ros.tools.node_process import NodeProcess, private_environment

TOPIC, MASK = '/camera/image_raw', '/camera/segmentation/mask'
PROBES = 60  # frames that tell what is sustained
SLICE_SEC = 10.0  # after each, what the process holds is noted
SETTLED = 0.25  # of the run, until allocators and the middleware hold what they will ever need


def soak(checkpoint: str, minutes: float, factor: float, size: tuple[int, int],
         parameters: dict[str, Any]) -> dict[str, Any]:
    """
    Run the node under load.

    :param checkpoint: path of the weights.
    :param minutes: how long, after start and measurement.
    :param factor: times what is sustained.
    :param size: (height, width) of the frames.
    :param parameters: of the node, beside the checkpoint.
    :return: the figures, plain JSON.
    :raises NodeError: the node did not stay.
    """
    feed = Feed(TOPIC, (MASK,), ImageMessages(render(size)))
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        settings = {'image_topics': [TOPIC], 'checkpoint': checkpoint, **parameters}
        with private_environment(logs), NodeProcess(
                settings, logs / 'node.yaml', logs / 'log') as node, Client(
                [feed], node.check) as client:
            client.connect()
            frame_ms = statistics.median(client.saturate(PROBES))
            rate_hz = factor * 1e3 / frame_ms
            slices = list(_slices(client, node.pid, rate_hz, minutes * 60))
    return {'size': list(size), 'minutes': minutes, 'factor': factor,
            'sustained_hz': round(1e3 / frame_ms, 2), 'sent_hz': round(rate_hz, 2),
            **_figures([played for played, _ in slices]), **_held([after for _, after in slices]),
            'machine': describe_machine()}


def _slices(client: Client, pid: int, rate_hz: float, seconds: float
            ) -> Iterator[tuple[Played, Held]]:
    """Yield what came of each stretch of the run, and what the process held after it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield client.play(rate_hz, min(left, SLICE_SEC))[TOPIC], held(pid)


def _figures(played: list[Played]) -> dict[str, Any]:
    """Return counts and delays; a frame is the time between two masks under this load."""
    delays = np.concatenate([stretch.latencies_ms for stretch in played])
    seconds = sum(stretch.seconds for stretch in played)
    frame_ms = seconds * 1e3 / len(delays)
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(delays, (50, 95, 99)))
    return {'sent': sum(stretch.sent for stretch in played), 'answered': len(delays),
            'answered_hz': round(1e3 / frame_ms, 2),
            'delay_ms': {'p50': p50, 'p95': p95, 'p99': p99, 'max': round(delays.max(), 1)},
            'delay_frames': {'p50': round(p50 / frame_ms, 2), 'p95': round(p95 / frame_ms, 2),
                             'p99': round(p99 / frame_ms, 2)}}


def _held(samples: list[Held]) -> dict[str, Any]:
    """Return what the process held over the run, and how it grew after it had settled."""
    memory = [round(sample.memory_mb, 1) for sample in samples]
    settled = samples[int(len(samples) * SETTLED):]
    return {'memory_mb': memory[::max(len(memory) // 60, 1)],
            'growth': {name: round(getattr(settled[-1], name) - getattr(settled[0], name), 1)
                       for name in ('memory_mb', 'threads', 'files')}}


def main() -> int:
    """Print the figures; they are written to a file too where one is named."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.soak', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=positive, default=5.0, help='default: 5')
    parser.add_argument('--factor', type=positive, default=3.0, help='default: 3')
    parser.add_argument('--size', default='480x360', help='of the frames; default: 480x360')
    parser.add_argument('--cache', default='off', help='cache.policy; default: off')
    parser.add_argument('--checkpoint', default=str(default_checkpoint_path()))
    parser.add_argument('--out', type=Path, help='also write the figures here')
    options = parser.parse_args()
    width, height = map(int, options.size.split('x'))
    figures = soak(options.checkpoint, options.minutes, options.factor, (height, width),
                   {'cache.policy': options.cache})
    text = json.dumps({'command': ' '.join(sys.argv[1:]), **figures}, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
