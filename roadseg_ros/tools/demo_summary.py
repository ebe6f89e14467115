"""The demo in numbers: rates, counts and latencies, for the page, for people, for scripts."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import numpy as np

from roadseg_ros.labels import LabelSpace, load_label_space
from roadseg_ros.tools import demo_page, demo_report
from roadseg_ros.tools.demo_log import DrivingLog

MADE_BY = 'roadseg demo'


@dataclass(frozen=True)
class Rates:
    """
    Frames per second.

    :param recorded_hz: of the log.
    :param sustained_hz: what the machine keeps up with.
    :param asked_hz: by the user, or None.
    """

    recorded_hz: float
    sustained_hz: float
    asked_hz: float | None = None

    @property
    def choice(self) -> str:
        """Return which of them is played: 'recorded', 'sustained' or 'asked'."""
        if self.asked_hz is not None:
            return 'asked'
        return 'recorded' if self.recorded_hz <= self.sustained_hz else 'sustained'

    @property
    def played_hz(self) -> float:
        """Return the one that is played."""
        return float(getattr(self, f'{self.choice}_hz'))


def report(log: DrivingLog, labels: LabelSpace, out: Path, play: Any, rates: Rates
           ) -> dict[str, Any]:
    """
    Write pictures, page and summary.

    :param log: that was played.
    :param labels: of the masks.
    :param out: folder with the bag `drive.mcap`.
    :param play: a `demo_player.Play`.
    :param rates: of the play.
    :return: the summary.
    """
    bag, frames = out / 'drive.mcap', out / 'frames'
    demo_report.write_pictures(log, bag, frames)
    demo_report.write_strip(frames, out / 'strip.jpg')
    video = demo_report.write_video(frames, out, rates.played_hz)
    start = min(play.sent.values())
    latency_ms = [(play.sent[stamp] - start, (came - play.sent[stamp]) * 1e3)
                  for stamp, came in play.received.items()]
    truth_known = labels.names == load_label_space('camvid').names
    summary = {
        'made_by': MADE_BY, 'finished': True, 'log': log.name, 'page': str(out / 'index.html'),
        'frames_sent': len(play.sent), 'masks_received': len(play.received),
        'dropped': len(play.sent) - len(play.received),
        'recorded_hz': round(rates.recorded_hz, 2), 'sustained_hz': round(rates.sustained_hz, 2),
        'played_hz': round(rates.played_hz, 2), 'rate_choice': rates.choice,
        'latency_ms': _percentiles([value for _, value in latency_ms]),
        **(demo_report.accuracy(log, bag, labels) if truth_known else {}),
        'node': demo_report.node_facts(bag),
        'files': ['drive.mcap', *([video] if video else []), 'strip.jpg', 'summary.json'],
    }
    overlays = [(frames / f'{index:05}_overlay.jpg').exists() for index in range(len(log.frames))]
    counted = {'frames sent': _per_second(list(play.sent.values()), start),
               'masks received': _per_second(list(play.received.values()), start)}
    (out / 'index.html').write_text(demo_page.make_page(
        summary, rows(summary), labels, overlays, latency_ms, counted), encoding='utf-8')
    write_summary(out, summary)
    return summary


def rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of what the summary says, for people."""
    why = {'recorded': 'the rate it was recorded at',
           'sustained': 'the highest this machine sustains', 'asked': 'as asked'}
    latency = summary['latency_ms']
    lines = [
        ('log', summary['log']), ('frames in', str(summary['frames_sent'])),
        ('masks out', str(summary['masks_received'])), ('dropped', str(summary['dropped'])),
        ('rate', f'played at {summary["played_hz"]:.1f} Hz, {why[summary["rate_choice"]]} '
                 f'(recorded {summary["recorded_hz"]:.1f}, '
                 f'sustained {summary["sustained_hz"]:.1f})')]
    if latency:
        lines.append(('latency', f'p50 {latency["p50"]:.1f} ms, p95 {latency["p95"]:.1f} ms'))
    if summary.get('mean_iou') is not None:
        lines.append(('mIoU', f'{summary["mean_iou"]:.3f} (pixel accuracy '
                             f'{summary["pixel_accuracy"]:.3f})'))
    if summary['node']:
        lines.append(('node', ', '.join(f'{k} {v}' for k, v in summary['node'].items())))
    return [*lines, ('page', summary['page'])]


def _percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p95 and the maximum; empty for no values."""
    if not values:
        return {}
    p50, p95 = np.percentile(values, (50, 95))
    return {'p50': round(p50, 2), 'p95': round(p95, 2), 'max': round(max(values), 2)}


def _per_second(times: list[float], start: float) -> list[tuple[float, float]]:
    """Return (seconds, count) of the whole seconds, each at its middle."""
    whole = int(max(times, default=start) - start)
    counts, _ = np.histogram(np.array(times) - start, bins=whole or 1, range=(0, whole or 1))
    return [(second + 0.5, float(count)) for second, count in enumerate(counts)]


def write_summary(out: Path, summary: dict[str, Any]) -> None:
    """Write the numbers for scripts."""
    (out / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n', encoding='utf-8')
