"""Rates, drops and latencies of one camera, and the diagnostics made of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.node.camera import Camera

WINDOW = 300  # frames the latency percentiles look back on
SILENCE_SEC = 5.0  # without a frame, after which a camera counts as silent
COUNTS = ('received', 'published', 'dropped', 'failed', 'unheard', 'disabled')


class FrameStatistics:
    """Count frames and keep the latencies of the latest; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, deque[float]] = {}
        self._published = 0
        self._reported: Counter[str] = Counter()
        self._since = self._heard = time.perf_counter()

    def add(self, timing_ms: Mapping[str, float]) -> None:
        """
        Take in one published frame.

        :param timing_ms: milliseconds per stage; 'total' is from arrival to published.
        """
        with self._lock:
            self._published += 1
            for stage, milliseconds in timing_ms.items():
                self._stages.setdefault(stage, deque(maxlen=WINDOW)).append(milliseconds)

    def since_last(self, counts: Mapping[str, int]) -> tuple[dict[str, str], Counter[str], float]:
        """
        Close the time since the last call.

        :param counts: the camera's counters.
        :return: what to show (rates of that time, totals, latencies), what was counted in that
            time, and for how many seconds no frame has been received.
        """
        with self._lock:
            now = time.perf_counter()
            total = Counter(counts, published=self._published)
            new = total - self._reported
            seconds = max(now - self._since, 1e-6)
            self._since, self._reported = now, total
            if new['received']:
                self._heard = now
            shown = {'in_hz': f'{new["received"] / seconds:.1f}',
                     'out_hz': f'{new["published"] / seconds:.1f}'}
            shown.update({name: str(total[name]) for name in COUNTS})
            for stage, latencies in self._stages.items():
                p50, p95 = np.percentile(latencies, (50, 95))
                shown[f'latency_{stage}_ms'] = (
                    f'p50 {p50:.1f} p95 {p95:.1f} max {max(latencies):.1f}')
        return shown, new, now - self._heard


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


def node_status(node_name: str, segmenter: Segmenter, device_asked: str, engine_asked: str,
                others: Mapping[str, object]) -> DiagnosticStatus:
    """
    Say in one status what runs.

    :param node_name: with its namespace.
    :param segmenter: that runs.
    :param device_asked: the parameter `device`.
    :param engine_asked: the parameter `engine`.
    :param others: what else to show.
    """
    return status(DiagnosticStatus.OK, node_name, segmenter.fallback or 'running', {
        'device_asked': device_asked, 'device': segmenter.device,
        'engine_asked': engine_asked, 'engine': segmenter.engine,
        'fell_back': segmenter.fallback is not None,
        'network': segmenter.checkpoint.architecture, 'classes': len(segmenter.labels), **others})


def status(level: bytes, name: str, message: str, values: Mapping[str, object]
           ) -> DiagnosticStatus:
    """Return a DiagnosticStatus from plain values."""
    return DiagnosticStatus(level=level, name=name, message=message,
                            values=[KeyValue(key=key, value=str(value))
                                    for key, value in values.items()])
