"""Rates, drops and latencies of one camera, and the diagnostics made of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np

WINDOW = 300  # frames the latency percentiles look back on


class FrameStatistics:
    """Count frames and keep the latencies of the latest; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, deque[float]] = {}
        self._published = 0
        self._seen: Counter[str] = Counter()
        self._since = time.perf_counter()

    def add(self, timing_ms: Mapping[str, float]) -> None:
        """
        Take in one published frame.

        :param timing_ms: milliseconds per stage; 'total' is from arrival to published.
        """
        with self._lock:
            self._published += 1
            for stage, milliseconds in timing_ms.items():
                self._stages.setdefault(stage, deque(maxlen=WINDOW)).append(milliseconds)

    def summary(self, counts: Mapping[str, int]) -> dict[str, str]:
        """
        Return what to show, rates over the time since the last call.

        :param counts: the camera's counters.
        """
        with self._lock:
            now = time.perf_counter()
            current = Counter(counts, published=self._published)
            seconds, new = max(now - self._since, 1e-6), current - self._seen
            self._since, self._seen = now, current
            values = {'in_hz': f'{new["received"] / seconds:.1f}',
                      'out_hz': f'{new["published"] / seconds:.1f}'}
            values.update({name: str(current[name]) for name in (
                'received', 'published', 'dropped', 'failed', 'unheard', 'disabled')})
            for stage, latencies in self._stages.items():
                p50, p95 = np.percentile(latencies, (50, 95))
                values[f'latency_{stage}_ms'] = (
                    f'p50 {p50:.1f} p95 {p95:.1f} max {max(latencies):.1f}')
        return values


def camera_status(node_name: str, topic: str, values: Mapping[str, str], publishers: int,
                  last_error: str, new_failures: bool) -> DiagnosticStatus:
    """
    Say in one status how a camera does.

    :param node_name: of the segmentation node.
    :param topic: the image topic.
    :param values: of `FrameStatistics.summary`.
    :param publishers: how many publish the topic.
    :param last_error: the last thing that went wrong, may be empty.
    :param new_failures: whether frames failed since the last status.
    """
    level, message = DiagnosticStatus.OK, 'segmenting'
    if new_failures:
        level, message = DiagnosticStatus.ERROR, last_error
    elif not publishers:
        level, message = DiagnosticStatus.WARN, 'nobody publishes this topic'
    elif values['in_hz'] == '0.0':
        level, message = DiagnosticStatus.WARN, last_error or 'no frame arrives'
    elif values['out_hz'] == '0.0':
        message = 'nobody listens to the outputs'
    shown = {**values, 'publishers': str(publishers), 'last_error': last_error}
    return status(level, f'{node_name}: {topic}', message, shown)


def status(level: bytes, name: str, message: str,
           values: Mapping[str, str]) -> DiagnosticStatus:
    """Return a DiagnosticStatus from plain values."""
    return DiagnosticStatus(level=level, name=name, message=message,
                            values=[KeyValue(key=key, value=str(value))
                                    for key, value in values.items()])
