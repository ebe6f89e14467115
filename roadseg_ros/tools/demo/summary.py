"""The demo in numbers: rates, counts and latencies, for the page, for people, for scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from roadseg_ros.labels import LabelSpace, load_label_space
from roadseg_ros.tools.demo.log import DrivingLog
from roadseg_ros.tools.demo.recording import accuracy, node_facts


@dataclass(frozen=True)
class Rates:
    """
    Frames per second that may be played.

    :param recorded_hz: of the log.
    :param calibrated_hz: what single frames, one after the other, say the machine sustains.
    :param asked_hz: by the user, or None.
    :param slowed_hz: because masks went missing at another one, or None.
    """

    recorded_hz: float
    calibrated_hz: float
    asked_hz: float | None = None
    slowed_hz: float | None = None

    @property
    def choice(self) -> str:
        """Return which of them is aimed at: 'asked', 'slowed', 'recorded' or 'calibrated'."""
        if self.asked_hz is not None:
            return 'asked'
        if self.slowed_hz is not None:
            return 'slowed'
        return 'recorded' if self.recorded_hz <= self.calibrated_hz else 'calibrated'

    @property
    def target_hz(self) -> float:
        """Return the one that is aimed at; what is played may be less."""
        return float(getattr(self, f'{self.choice}_hz'))

    def slower(self, factor: float) -> Rates:
        """Return the rates with this part of the target as the new one."""
        return replace(self, slowed_hz=self.target_hz * factor)


@dataclass(frozen=True)
class Play:
    """Times (perf_counter, s) by stamp (ns): of the two or more frames sent, of the masks."""

    sent: dict[int, float]
    received: dict[int, float]

    @property
    def rate_hz(self) -> float:
        """Return the mean rate the frames were sent at, as measured."""
        times = list(self.sent.values())
        return (len(times) - 1) / (times[-1] - times[0])

    def latency_ms(self) -> dict[int, float]:
        """Return the milliseconds from frame to mask by stamp, of each mask."""
        return {stamp: (came - self.sent[stamp]) * 1e3 for stamp, came in self.received.items()}


def summarize(log: DrivingLog, labels: LabelSpace, bag: Path, play: Play, rates: Rates
              ) -> dict[str, Any]:
    """
    Put the numbers together.

    :param log: that was played.
    :param labels: of the masks.
    :param bag: that was recorded.
    :param play: when what was sent and received.
    :param rates: of the play.
    :return: plain JSON.
    """
    truth_known = labels.names == load_label_space('camvid').names
    return {
        'log': log.name, 'frames_sent': len(play.sent), 'masks_received': len(play.received),
        'dropped': len(play.sent) - len(play.received),
        'recorded_hz': round(rates.recorded_hz, 2),
        'calibrated_hz': round(rates.calibrated_hz, 2),
        'target_hz': round(rates.target_hz, 2), 'rate_choice': rates.choice,
        'played_hz': round(play.rate_hz, 2),
        'latency_ms': _percentiles(list(play.latency_ms().values())),
        **(accuracy(log, bag, labels) if truth_known else {}),
        'node': node_facts(bag),
    }


def rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of what the summary says, for people."""
    aim = {'recorded': 'the rate it was recorded at',
           'calibrated': 'what this machine sustains by calibration',
           'slowed': 'less, as masks went missing at more', 'asked': 'the rate asked for'}
    latency = summary['latency_ms']
    lines = [
        ('log', summary['log']), ('frames in', str(summary['frames_sent'])),
        ('masks out', str(summary['masks_received'])), ('dropped', str(summary['dropped'])),
        ('rate', f'played at {summary["played_hz"]:.1f} Hz; the aim was '
                 f'{summary["target_hz"]:.1f}, {aim[summary["rate_choice"]]} '
                 f'(recorded {summary["recorded_hz"]:.1f}, '
                 f'calibration {summary["calibrated_hz"]:.1f})')]
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
