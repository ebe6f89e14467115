"""
Every cache policy beside every-frame inference, in one run.

    .venv/bin/python -m benchmarks.caching
    .venv/bin/python -m benchmarks.caching --engine torch-float32 --drives camvid

CamVid val (15 Hz, from data/camvid, where it is) and generated drives at 30 Hz with truth, each
with every policy at several intervals. Time is the segmenter's alone, the median over rounds of
the mean over a drive; in a round all take turns, so that a machine that drifts drifts for all.
Loss is in points of mean IoU, the mean over all phases of the key clock. `fixed` and `random` are
what a fixed and a random clock lose that cost as much time as the policy, with masks carried
along the flow between their keys. `splice` joins two drives in the middle.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
import json
import os
from typing import Any

import numpy as np

from benchmarks.labelled_drives import CAMVID, camvid, DRIVES, driving, SEED
from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.comparison import (
    CLOCKS,
    compare,
    Contestant,
    contestants,
    listed,
    play,
    Shot,
)
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import ConfusionMatrix

ENGINES = ('openvino', 'torch-float32', 'torch-bfloat16')
NEVER = 10**6  # an interval no drive here is as long as
BEFORE, AFTER = 6, 30  # frames of a splice
CUTS = (0, 20, 40)  # frames of a drive at which it comes after another
SPLICED = (3, 6)  # intervals
# points lost at most, times as many frames per second at least
BARS = {'openvino': ((1.0, 2.5), (0.5, 2.0)), 'torch-float32': ((1.0, 3.5),)}


def make_segmenter(engine: str) -> Segmenter:
    """Return a segmenter of the packaged weights."""
    if engine.startswith('torch-'):
        os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # as make_engine does, before torch
        import torch

        from roadseg_ros.inference.engines import torch_engine
        precision = getattr(torch, engine.removeprefix('torch-'))
        torch_engine._fast_precision = lambda device: precision
    return Segmenter(default_checkpoint_path(), device='cpu', engine=engine.partition('-')[0])


def random(share: float, number: int, frames: int) -> np.ndarray:
    """Return a random clock that makes so large a share of the frames keys."""
    return np.random.default_rng(number).random(frames) < share


def measure(segmenter: Segmenter, drive: Sequence[Shot], policies: Sequence[str] = POLICIES
            ) -> list[dict[str, Any]]:
    """Return a line for every policy and interval; losses in points."""
    entered = contestants(policies)
    by_chance = [Contestant(CacheSettings('warp', NEVER, 1e9), partial(random, 1 / interval))
                 for interval in CLOCKS]
    compare(segmenter, [drive], [*entered, *by_chance])
    off = entered[0]
    fixed = [contestant for contestant in entered if contestant.settings.policy == 'warp']
    rows = []
    for contestant in listed(entered):
        if contestant.refused:
            rows.append({'policy': contestant.name, 'not_possible': contestant.refused})
            continue
        rows.append({
            'policy': contestant.name, 'ms': round(contestant.ms, 2),
            'speed_up': round(contestant.speed_up(off), 2),
            'mean_iou': round(100 * contestant.mean_iou(), 2), 'loss': loss(contestant, off),
            'fixed': at_equal_time(contestant, off, fixed),
            'random': at_equal_time(contestant, off, by_chance),
            'full_share': round(contestant.share(), 3)})
    return rows


def loss(contestant: Contestant, off: Contestant) -> float:
    """Return the points of mean IoU that every-frame inference is ahead."""
    return round(100 * (off.mean_iou() - contestant.mean_iou()), 2)


def at_equal_time(contestant: Contestant, off: Contestant, clocks: Sequence[Contestant]
                  ) -> float | None:
    """Return what clocks lose that cost as much, between those measured; None beyond them."""
    measured = sorted([off, *clocks], key=lambda clock: clock.ms)
    times = [clock.ms for clock in measured]
    if not times[0] <= contestant.ms <= times[-1]:
        return None
    return round(float(np.interp(contestant.ms, times, [loss(clock, off) for clock in measured])),
                 2)


def splice(segmenter: Segmenter, before: Sequence[Shot], after: Sequence[Shot]
           ) -> list[dict[str, Any]]:
    """
    Go over from one drive into another, at several places and phases of the clock.

    :return: a line for each policy: points lost from the first frame after the cut on, in that
        frame, by the same frames without anything before, and how many cuts were not noticed.
    """
    joints = [(before[cut:cut + BEFORE + max(SPLICED)], after[cut:cut + AFTER]) for cut in CUTS]
    segmenter.set_cache(CacheSettings())
    whole = _points(segmenter, [play(segmenter, end).masks for _, end in joints], joints)
    rows = []
    for contestant in contestants():
        policy, interval = contestant.settings.policy, contestant.settings.interval
        if policy == 'off' or interval not in SPLICED:
            continue
        try:
            segmenter.set_cache(contestant.settings)
        except (ValueError, EngineError) as error:
            contestant.refused = str(error)
            rows.append({'policy': contestant.name, 'not_possible': contestant.refused})
            continue
        phases = [phase for phase in range(1, interval + 1)
                  if (BEFORE + phase) % interval]  # a frame that is due anyway proves nothing
        alone = [_points(segmenter, [play(segmenter, end, phase).masks for _, end in joints],
                         joints) for phase in phases]
        lost, missed = [], 0
        for phase in phases:
            passes = [play(segmenter, _joined(start[:BEFORE + phase], end))
                      for start, end in joints]
            missed += sum(done.made[BEFORE + phase] != 'full' for done in passes)
            lost.append(_points(segmenter, [done.masks[BEFORE + phase:] for done in passes],
                                joints))
        loss, first_loss = whole - np.mean(lost, axis=0)
        rows.append({'policy': contestant.name, 'loss': round(float(loss), 2),
                     'first_frame': round(float(first_loss), 2),
                     'without_cut': round(float((whole - np.mean(alone, axis=0))[0]), 2),
                     'missed': missed, 'cuts': len(phases) * len(joints)})
    return rows


def _joined(start: Sequence[Shot], end: Sequence[Shot]) -> list[Shot]:
    """Return two drives as one, at the rate of the second."""
    period_ns = end[1].stamp_ns - end[0].stamp_ns
    return [Shot(shot.picture, index * period_ns, truth=shot.truth)
            for index, shot in enumerate([*start, *end])]


def _points(segmenter: Segmenter, masks: Sequence[Sequence[np.ndarray]],
            joints: Sequence[tuple[Sequence[Shot], Sequence[Shot]]]) -> np.ndarray:
    """Return the mean IoU in points over all frames after the cuts, and over the first ones."""
    every, first = (ConfusionMatrix(len(segmenter.labels)) for _ in range(2))
    for (_, end), own in zip(joints, masks):
        for index, (shot, mask) in enumerate(zip(end, own)):
            for confusion in (every, first)[:1 if index else 2]:
                confusion.update(shot.truth, mask)
    return 100 * np.array([every.mean_iou(), first.mean_iou()])


def bars(engine: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is best within each bar's loss, as lines."""
    lines = []
    for most_lost, least_gained in BARS.get(engine, ()) if rows else ():
        within = [row for row in rows if row.get('loss', most_lost + 1) <= most_lost]
        best = max(within, key=lambda row: row['speed_up'])
        verdict = 'reached' if best['speed_up'] >= least_gained else 'not reached'
        lines.append(f'at most {most_lost} points lost, {least_gained} times as fast: {verdict} '
                     f'({best["policy"]}: {best["loss"]} points, {best["speed_up"]} times)')
    return lines


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return lines as a Markdown table."""
    possible = [row for row in rows if 'not_possible' not in row]
    cells = [list(possible[0]), ['---'] * len(possible[0]),
             *([str(value) for value in row.values()] for row in possible)]
    reasons = {f'{row["policy"]}: not possible here ({row["not_possible"]})': None
               for row in rows if 'not_possible' in row}
    return '\n'.join([*(f'| {" | ".join(line)} |' for line in cells), '', *reasons]).rstrip()


def main() -> None:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.caching', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--engine', choices=ENGINES, default=ENGINES[0])
    parser.add_argument('--drives', nargs='+', choices=(*DRIVES, 'splice'),
                        default=(*DRIVES, 'splice'), help='default: all')
    parser.add_argument('--policies', nargs='+', choices=POLICIES[1:], default=POLICIES[1:],
                        help='default: all; warp stays, the others are compared with it')
    parser.add_argument('--json', action='store_true', help='print JSON')
    options = parser.parse_args()
    asked = [name for name in options.drives if name != 'camvid' or CAMVID.is_dir()]
    segmenter = make_segmenter(options.engine)
    policies = tuple(dict.fromkeys(('warp', *options.policies)))
    results = {name: measure(segmenter, DRIVES[name](), policies)
               for name in asked if name != 'splice'}
    if 'splice' in asked:
        results['splice, generated into generated'] = splice(
            segmenter, driving(SEED + 1), driving())
        if CAMVID.is_dir():
            results['splice, generated into CamVid'] = splice(segmenter, driving(), camvid())
            results['splice, CamVid into generated'] = splice(segmenter, camvid(), driving())
    reached = bars(options.engine, results.get('camvid', ()))
    if options.json:
        print(json.dumps({'engine': options.engine, 'drives': results, 'bars': reached},
                         indent=2))
        return
    for name, rows in results.items():
        print(f'{options.engine}, {name}\n\n{table(rows)}\n')
    print('\n'.join(reached))


if __name__ == '__main__':
    main()
