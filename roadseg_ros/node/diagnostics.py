"""Rates, drops and latencies of one camera, and the diagnostics made of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.node.camera import Camera
from roadseg_ros.node.parameters import Settings
from roadseg_ros.node.silence import Finding

WINDOW = 300  # frames the latency percentiles look back on
COUNTS = ('received', 'published', 'dropped', 'failed', 'unheard', 'disabled')
MADE = ('full', 'warped', 'cached', 'none')
LEVELS = {'ok': DiagnosticStatus.OK, 'warn': DiagnosticStatus.WARN,
          'error': DiagnosticStatus.ERROR}


class FrameStatistics:
    """Count frames and keep the latencies of the latest; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[Mapping[str, float]] = deque(maxlen=WINDOW)
        self._made: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()
        self._since = time.perf_counter()

    def add(self, made: str, timing_ms: Mapping[str, float]) -> None:
        """
        Take in one published frame.

        :param made: how its mask was made, one of `MADE`.
        :param timing_ms: milliseconds per stage; 'total' is from arrival to published.
        """
        with self._lock:
            self._made[made] += 1
            self._recent.append(timing_ms)

    def totals(self, counts: Mapping[str, int]) -> Counter[str]:
        """
        Return the camera's counters with the published frames among them, and the blank of those.

        :param counts: the camera's counters.
        """
        with self._lock:
            return Counter(counts, published=self._made.total(), blank=self._made['none'])

    def since_last(self, counts: Mapping[str, int]) -> dict[str, str]:
        """
        Close the time since the last call.

        :param counts: the camera's counters.
        :return: what to show: rates of that time, totals, latencies.
        """
        total = self.totals(counts)
        with self._lock:
            now = time.perf_counter()
            new = total - self._reported
            seconds = max(now - self._since, 1e-6)
            self._since, self._reported = now, total
            shown = {'in_hz': f'{new["received"] / seconds:.1f}',
                     'out_hz': f'{new["published"] / seconds:.1f}'}
            shown.update({name: str(total[name]) for name in COUNTS})
            shown.update({f'made_{name}': str(self._made[name]) for name in MADE})
            shown.update(_latencies(self._recent))
        return shown


def _latencies(recent: Iterable[Mapping[str, float]]) -> dict[str, str]:
    """Return percentiles of each stage over the frames that went through it."""
    stages: dict[str, list[float]] = {}
    for timing_ms in recent:
        for stage, milliseconds in timing_ms.items():
            stages.setdefault(stage, []).append(milliseconds)
    shown = {}
    for stage in sorted(stages):  # else the order is the oldest frame's, and changes
        p50, p95 = np.percentile(stages[stage], (50, 95))
        shown[f'latency_{stage}_ms'] = (
            f'p50 {p50:.1f} p95 {p95:.1f} max {max(stages[stage]):.1f}')
    return shown


def camera_status(node_name: str, camera: Camera, statistics: FrameStatistics,
                  look: Callable[[], Finding], road_grid_problem: str) -> DiagnosticStatus:
    """
    Say in one status how a camera has done since the last one.

    :param node_name: of the segmentation node, with its namespace.
    :param camera: the camera.
    :param statistics: of its frames.
    :param look: finds out what keeps its masks away.
    :param road_grid_problem: why the last one could not be made, '' if it was or nobody listens.
    """
    shown = statistics.since_last(camera.counts)
    finding = look()  # after the counts, so that it knows of each failure among them
    return status(LEVELS[finding.level], f'{node_name}: {camera.topic}', finding.message, {
        **shown, 'publishers': camera.publisher_count(), 'last_error': camera.last_error,
        'road_grid_problem': road_grid_problem, 'fix': finding.fix})


def node_status(node_name: str, segmenter: Segmenter, settings: Settings,
                others: Mapping[str, object]) -> DiagnosticStatus:
    """
    Say in one status what runs.

    :param node_name: with its namespace.
    :param segmenter: that runs.
    :param settings: as they are now.
    :param others: what else to show.
    """
    level = DiagnosticStatus.WARN if segmenter.fallback else DiagnosticStatus.OK
    return status(level, node_name, segmenter.fallback or 'running', {
        'device_asked': settings.device, 'device': segmenter.device,
        'engine_asked': settings.engine, 'engine': segmenter.engine,
        'fell_back': segmenter.fallback is not None,
        'network': segmenter.checkpoint.architecture, 'classes': len(segmenter.labels), **others,
        **{f'cache_{name}': value for name, value in asdict(settings.cache).items()},
        **{f'cache_resets_{reason.replace(" ", "_")}': count
           for reason, count in dict(segmenter.cache_resets).items()}})


def status(level: bytes, name: str, message: str, values: Mapping[str, object]
           ) -> DiagnosticStatus:
    """Return a DiagnosticStatus from plain values."""
    return DiagnosticStatus(level=level, name=name, message=message,
                            values=[KeyValue(key=key, value=str(value))
                                    for key, value in values.items()])
