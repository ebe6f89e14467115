"""Rates, drops and latencies of one camera, and the diagnostics made of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.node.camera import Camera
from roadseg_ros.node.parameters import Settings

WINDOW = 300  # frames the latency percentiles look back on
SILENCE_SEC = 5.0  # without a frame, after which a camera counts as silent
COUNTS = ('received', 'published', 'dropped', 'failed', 'unheard', 'disabled')
MADE = ('full', 'warped', 'cached', 'none')


class FrameStatistics:
    """Count frames and keep the latencies of the latest; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[Mapping[str, float]] = deque(maxlen=WINDOW)
        self._made: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()
        self._since = self._heard = time.perf_counter()

    def add(self, made: str, timing_ms: Mapping[str, float]) -> None:
        """
        Take in one published frame.

        :param made: how its mask was made, one of `MADE`.
        :param timing_ms: milliseconds per stage; 'total' is from arrival to published.
        """
        with self._lock:
            self._made[made] += 1
            self._recent.append(timing_ms)

    def since_last(self, counts: Mapping[str, int]) -> tuple[dict[str, str], Counter[str], float]:
        """
        Close the time since the last call.

        :param counts: the camera's counters.
        :return: what to show (rates of that time, totals, latencies), what was counted in that
            time, and for how many seconds no frame has been received.
        """
        with self._lock:
            now = time.perf_counter()
            total = Counter(counts, published=self._made.total())
            new = total - self._reported
            seconds = max(now - self._since, 1e-6)
            self._since, self._reported = now, total
            if new['received']:
                self._heard = now
            shown = {'in_hz': f'{new["received"] / seconds:.1f}',
                     'out_hz': f'{new["published"] / seconds:.1f}'}
            shown.update({name: str(total[name]) for name in COUNTS})
            shown.update({f'made_{name}': str(self._made[name]) for name in MADE})
            shown.update(_latencies(self._recent))
        return shown, new, now - self._heard


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


def camera_status(node_name: str, camera: Camera, statistics: FrameStatistics
                  ) -> DiagnosticStatus:
    """
    Say in one status how a camera has done since the last one.

    :param node_name: of the segmentation node, with its namespace.
    :param camera: the camera.
    :param statistics: of its frames.
    """
    shown, new, silence_sec = statistics.since_last(camera.counts)
    publishers = camera.publisher_count()
    level, message = judge(new, silence_sec, publishers, camera.last_error, camera.obstacle)
    return status(level, f'{node_name}: {camera.topic}', message, {
        **shown, 'publishers': publishers, 'last_error': camera.last_error})


def judge(new: Counter[str], silence_sec: float, publishers: int, last_error: str,
          obstacle: str) -> tuple[bytes, str]:
    """
    Return level and message of a camera.

    :param new: what was counted since the last status.
    :param silence_sec: seconds without a frame.
    :param publishers: how many publish the topic.
    :param last_error: of the last frame that failed.
    :param obstacle: what keeps frames from arriving, may be empty.
    """
    if new['failed']:
        return DiagnosticStatus.ERROR, last_error
    if not publishers:
        return DiagnosticStatus.WARN, 'nobody publishes this topic'
    if obstacle:
        return DiagnosticStatus.WARN, obstacle
    if silence_sec > SILENCE_SEC:
        return DiagnosticStatus.WARN, 'no frame arrives'
    if new['disabled']:
        return DiagnosticStatus.OK, 'paused by ~/enable'
    if new['unheard'] and not new['published']:
        return DiagnosticStatus.OK, 'nobody listens to the outputs'
    return DiagnosticStatus.OK, 'segmenting'


def node_status(node_name: str, segmenter: Segmenter, settings: Settings,
                others: Mapping[str, object]) -> DiagnosticStatus:
    """
    Say in one status what runs.

    :param node_name: with its namespace.
    :param segmenter: that runs.
    :param settings: as they are now.
    :param others: what else to show.
    """
    return status(DiagnosticStatus.OK, node_name, segmenter.fallback or 'running', {
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
