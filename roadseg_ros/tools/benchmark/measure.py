"""One engine at a time: the segmenter in one process, the node in another, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import re
from typing import Any

import numpy as np

from roadseg_ros import system
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.node.topics import output_prefixes
from roadseg_ros.tools.benchmark.drive import render
from roadseg_ros.tools.benchmark.segmenter_process import SegmenterProcess
from roadseg_ros.tools.node_process import NodeError, NodeProcess

WARM_UP_FRAMES = 3
COLD = 1  # first frames of a turn, which find the processor's caches full of the other's data
OUTPUTS = ('mask', 'overlay')  # that are listened to
UNCACHED = 'off'
CACHED = 'warp'  # which every network and engine can do; others: roadseg segment --compare-cache

Round = dict[str, list[float]]  # milliseconds of each frame, by what was measured


@dataclass(frozen=True)
class Effort:
    """
    How much is measured: so many rounds of so many frames, cameras for so many seconds.

    In a round the segmenter has its turn, then the node: a machine that drifts drifts for both.
    """

    rounds: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class Setup:
    """
    What is measured, and with what.

    :param sizes: (height, width) of frames; the first is also measured with masks reused.
    :param cameras: numbers of cameras.
    :param camera_rate_hz: of each of them; their frames have the first size.
    :param logs: folder for what the processes print.
    """

    checkpoint: Path
    device: str
    sizes: Sequence[tuple[int, int]]
    cameras: Sequence[int]
    camera_rate_hz: float
    effort: Effort
    logs: Path

    @property
    def cases(self) -> list[tuple[tuple[int, int], str]]:
        """Return (size, cache policy) of what is measured with one camera."""
        return [*((size, UNCACHED) for size in self.sizes), (self.sizes[0], CACHED)]


def measure_engine(setup: Setup, engine: str, step: Callable[[str], None]) -> dict[str, Any]:
    """
    Measure everything with one engine.

    :param setup: what to measure.
    :param engine: its name.
    :param step: called with what comes next.
    :return: plain JSON; what could not be measured has an `error` instead of figures.
    :raises EngineError: the engine is not there.
    """
    step(f'{engine}: starting')
    with SegmenterProcess(setup.checkpoint, setup.device, engine,
                          setup.logs / f'{engine}_segmenter.log') as segmenter:
        frames = []
        for size, cache in setup.cases:
            step(f'{engine}: {size_name(size)}' + (f', cache {cache}' * (cache != UNCACHED)))
            frames.append(_or_error({'size': size_name(size), 'cache': cache},
                                    partial(_measure_frames, setup, segmenter, size, cache)))
    cameras = []
    for count in setup.cameras:
        step(f'{engine}: {count} camera{"s" * (count > 1)} at {setup.camera_rate_hz:g} Hz')
        cameras.append(_or_error({'cameras': count, 'rate_hz': setup.camera_rate_hz},
                                 partial(_measure_cameras, setup, engine, count)))
    return {**segmenter.facts, 'frames': frames, 'cameras': cameras}


def _or_error(case: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a case with its figures, or with why there are none."""
    try:
        return {**case, **measure()}
    except (EngineError, NodeError) as error:
        return {**case, 'error': str(error)}


def _measure_frames(setup: Setup, segmenter: SegmenterProcess, size: tuple[int, int], cache: str
                    ) -> dict[str, Any]:
    """Return the times of segmenter and node for frames of one size."""
    from roadseg_ros.tools.benchmark.client import Client

    effort = setup.effort
    feed = _feed('/camera/image_raw', render(size))
    # first, as it leaves what the engine compiles for the node, whose start is a later one then
    segmenter.time(size, cache, WARM_UP_FRAMES)
    name = f'{segmenter.engine}_{size_name(size)}_{cache}'
    single: list[Round] = []
    saturated: list[Round] = []
    with _node(setup, segmenter.engine, [feed.topic], cache, name) as node, \
            Client([feed], node.check) as client:
        started = client.connect() - node.started
        client.latencies(WARM_UP_FRAMES)
        for _ in range(effort.rounds):
            alone = segmenter.time(size, cache, effort.frames + COLD)[COLD:]
            answered = client.latencies(effort.frames + COLD)
            single.append({'segmenter': alone, **{
                name: answered[topic][COLD:] for name, topic in zip(OUTPUTS, feed.answers)}})
        # before any frame has to wait its turn, which counts as time inside the node
        stages = _stages(client, feed.topic)
        for _ in range(effort.rounds):
            saturated.append({
                'segmenter': segmenter.time(size, cache, effort.frames + COLD)[COLD:],
                'node': client.saturate(2 * effort.frames)})
        memory_mb = peak_memory_mb(node.pid)
    cycle = 1 if cache == UNCACHED else CacheSettings.interval
    return {**_figures(single, saturated, stages, cycle), 'start_up_s': round(started, 2),
            'peak_memory_mb': memory_mb}


def _figures(single: list[Round], saturated: list[Round], stages: dict[str, float],
             cycle: int) -> dict[str, Any]:
    """
    Return what the times of segmenter and node say.

    :param single: rounds with one frame at a time.
    :param saturated: rounds with frames always waiting.
    :param stages: median milliseconds by stage of the node, of `single`.
    :param cycle: frames that share a key frame, over which times a frame are means.
    """
    inside = stages.pop('total')
    return {
        'segmenter_ms': summary(_means(saturated, 'segmenter', cycle)),
        'node_ms': summary(_means(saturated, 'node', cycle)),
        'latency_ms': {name: summary(_all(single, name)) for name in OUTPUTS},
        'inside_ms': inside, 'stages_ms': stages, 'overhead_ms': {
            'node': _overhead(saturated, 'node'),
            'inside': round(inside - float(np.median(_all(single, 'segmenter'))), 2),
            'mask': _overhead(single, 'mask'), 'overlay': _overhead(single, 'overlay')}}


def _all(rounds: Sequence[Round], name: str) -> list[float]:
    """Return the times of all rounds."""
    return [value for times in rounds for value in times[name]]


def _means(rounds: Sequence[Round], name: str, cycle: int) -> list[float]:
    """Return the means of so many values each; what a round has left over counts for nothing."""
    return [float(np.mean(times[name][start:start + cycle])) for times in rounds
            for start in range(0, len(times[name]) - cycle + 1, cycle)]


def _overhead(rounds: Sequence[Round], name: str) -> float:
    """
    Return how many milliseconds more than the segmenter something takes.

    It is the median of what each round says: machines go from one speed to another in between.
    """
    return round(float(np.median([np.median(times[name]) - np.median(times['segmenter'])
                                  for times in rounds])), 2)


def _measure_cameras(setup: Setup, engine: str, count: int) -> dict[str, Any]:
    """Return what a node makes of several cameras."""
    from roadseg_ros.tools.benchmark.client import Client

    frames = render(setup.sizes[0])
    feeds = [_feed(f'/camera_{index + 1}/image_raw', frames, setup.camera_rate_hz)
             for index in range(count)]
    with _node(setup, engine, [feed.topic for feed in feeds], UNCACHED,
               f'{engine}_{count}_cameras') as node, Client(feeds, node.check) as client:
        client.connect()
        played = client.play(setup.camera_rate_hz, setup.effort.seconds)
        memory_mb = peak_memory_mb(node.pid)
    return {'size': size_name(setup.sizes[0]), 'peak_memory_mb': memory_mb, 'each': [{
        'sent_hz': round(play.sent / play.seconds, 2),
        'masks_hz': round(len(play.latencies_ms) / play.seconds, 2),
        'dropped_percent': round(100 * (1 - len(play.latencies_ms) / play.sent), 2),
        'latency_ms': summary(play.latencies_ms)} for play in played.values()]}


def _node(setup: Setup, engine: str, topics: Sequence[str], cache: str, name: str) -> NodeProcess:
    """Return the node to measure, not started."""
    return NodeProcess(
        {'image_topics': list(topics), 'checkpoint': str(setup.checkpoint.absolute()),
         'device': setup.device, 'engine': engine, 'cache.policy': cache},
        setup.logs / f'{name}.yaml', setup.logs / f'{name}.log')


def _feed(topic: str, frames: Sequence[np.ndarray], rate_hz: float | None = None) -> Any:
    """Return a camera whose mask and overlay are listened to."""
    from roadseg_ros.tools.benchmark.client import Feed
    from roadseg_ros.tools.benchmark.messages import ImageMessages

    prefix = output_prefixes([topic])[topic]
    messages = ImageMessages(frames, *([rate_hz] if rate_hz else []))
    return Feed(topic, tuple(f'{prefix}/{name}' for name in OUTPUTS), messages)


def _stages(client: Any, topic: str) -> dict[str, float]:
    """
    Return the median milliseconds of each stage of the node, as its diagnostics say.

    :raises NodeError: they do not say it.
    """
    from diagnostic_msgs.msg import DiagnosticArray

    diagnostics = client.next_message('/diagnostics', DiagnosticArray)
    found = ((re.fullmatch(r'latency_(\w+)_ms', item.key), item.value)
             for status in diagnostics.status if status.name.endswith(f': {topic}')
             for item in status.values)
    stages = {key[1]: float(value.split()[1]) for key, value in found if key}
    if 'total' not in stages:
        raise NodeError(f'the diagnostics have no latencies of {topic}')
    return stages


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median, p95 and count of what was measured; empty for no values."""
    if not values:
        return {}
    median, p95 = np.percentile(values, (50, 95))
    return {'median': round(median, 2), 'p95': round(p95, 2), 'count': len(values)}


def size_name(size: tuple[int, int]) -> str:
    """Return '480x360' from (360, 480)."""
    return f'{size[1]}x{size[0]}'


def peak_memory_mb(pid: int) -> float | None:
    """Return the most memory a process ever held, None where the system does not say."""
    try:
        return round(system.peak_memory_mb(pid) * 2**20 / 1e6, 1)
    except OSError:
        return None
