"""What a cache policy loses on labelled frames, class by class, and what it gains."""

from __future__ import annotations

from collections.abc import Iterable
import math
from typing import Any

from roadseg_ros.inference.comparison import clips, compare, Contestant, Shot
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from training.datasets.frames import Frame

MIN_ROUNDS = 4  # for a median of the time
MAX_PHASES = 12  # of a longer clock, so many spread over it


def cache_report(segmenter: Segmenter, frames: Iterable[Frame], rate_hz: float,
                 settings: CacheSettings) -> dict[str, Any]:
    """
    Play consecutive labelled frames with a policy and without, in turns.

    :param segmenter: its policy is changed.
    :param frames: of one drive, in order.
    :param rate_hz: at which they were taken.
    :param settings: the policy.
    :return: `every_frame` and `cached`, each a confusion matrix's summary (the mean over all
        phases of the key clock) with `temporal_consistency` and `frames_per_second`; `loss` in
        points of mean IoU and by class; `speed_up`; `full_share`.
    :raises ValueError: the checkpoint cannot do what the policy asks for.
    """
    off, cached = Contestant(CacheSettings()), Contestant(settings)
    shots = (Shot(image, round(index * 1e9 / rate_hz), truth=truth)
             for index, (image, truth) in enumerate(frames))
    rounds = min(max(MIN_ROUNDS, settings.interval), MAX_PHASES)
    compare(segmenter, clips(shots), [off, cached], rounds, consistency=True)
    if cached.refused:
        raise ValueError(cached.refused)
    names = segmenter.labels.names
    points = {name: _number(100 * value, 2)
              for name, value in zip(names, off.iou() - cached.iou())}
    return {'policy': settings.policy, 'interval': cached.interval,
            'every_frame': _summary(off, names), 'cached': _summary(cached, names),
            'loss': {'mean_iou': _number(100 * (off.mean_iou() - cached.mean_iou()), 2),
                     'iou': points},
            'speed_up': round(cached.speed_up(off), 2), 'full_share': round(cached.share(), 3)}


def cache_table(report: dict[str, Any]) -> str:
    """Return a report as aligned lines of text."""
    every, cached = report['every_frame'], report['cached']
    name = f'{report["policy"]} {report["interval"] or ""}'.rstrip()
    lines: list[tuple[str, ...]] = [('', 'every frame', name, 'loss, points')]
    for label, loss in report['loss']['iou'].items():
        lines.append((label, *_cells(every['iou'][label], cached['iou'][label], loss)))
    lines.append(('mean IoU', *_cells(every['mean_iou'], cached['mean_iou'],
                                      report['loss']['mean_iou'])))
    for title, key in (('pixel accuracy', 'pixel_accuracy'),
                       ('temporal consistency', 'temporal_consistency')):
        loss = None if every[key] is None else 100 * (every[key] - cached[key])
        lines.append((title, *_cells(every[key], cached[key], loss)))
    lines.append(('frames per second', f'{every["frames_per_second"]:.1f}',
                  f'{cached["frames_per_second"]:.1f}', f'{report["speed_up"]:.2f} times'))
    lines.append(('by the network', '100 %', f'{report["full_share"]:.0%}'.replace('%', ' %'), ''))
    return '\n'.join(f'{first:20} {second:>12} {third:>12} {fourth:>12}'.rstrip()
                     for first, second, third, fourth in lines)


def _summary(contestant: Contestant, names: tuple[str, ...]) -> dict[str, Any]:
    """Return a contestant's figures, ready for JSON."""
    return {'mean_iou': _number(contestant.mean_iou()),
            'pixel_accuracy': _number(contestant.pixel_accuracy()),
            'iou': {name: _number(value) for name, value in zip(names, contestant.iou())},
            'temporal_consistency': _number(contestant.consistency()),
            'frames_per_second': round(1e3 / contestant.ms, 2)}


def _number(value: float, digits: int = 4) -> float | None:
    """Return a number JSON can hold."""
    return None if math.isnan(value) else round(float(value), digits)


def _cells(every: float | None, cached: float | None, loss: float | None) -> tuple[str, ...]:
    """Return three numbers as text."""
    return tuple('absent' if value is None else form.format(value)
                 for value, form in ((every, '{:.4f}'), (cached, '{:.4f}'), (loss, '{:.2f}')))
