"""`roadseg segment --compare-cache`: every policy on one's own drive, as a table and a picture."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
import csv
import json
from pathlib import Path
import sys
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.comparison import (
    clips,
    compare,
    Contestant,
    contestants,
    listed,
    Shot,
)
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.tools.arguments import new_folder
from roadseg_ros.tools.frames import Source, SourceError
from roadseg_ros.tools.sources import open_source

DEFAULT_FRAMES = 300
ROUNDS = 3  # of the clock's phases as many; two minutes for the default frames on two cores
DEFAULT_FOLDER = Path('cache_comparison')
FIELDS = ('policy', 'interval', 'frames_per_second', 'speed_up', 'mean_iou', 'pixels',
          'full_share', 'not_possible')


def compare_cache(options: argparse.Namespace) -> int:
    """
    Run every policy against every-frame inference on the first frames of an input.

    :param options: of `roadseg segment`.
    :return: exit status, 1 if a frame could not be read.
    :raises ValueError: input, output or checkpoint cannot be used.
    """
    wanted = DEFAULT_FRAMES if options.first is None else options.first
    if wanted < 2:
        raise ValueError(f'--first {wanted} leaves nothing to reuse; 2 or more')
    folder = new_folder(options.out or DEFAULT_FOLDER)
    errors: list[str] = []
    with open_source(options.input, options.topic, options.rate) as source:
        segmenter = Segmenter(options.checkpoint or default_checkpoint_path(),
                              device=options.device, engine=options.engine)
        entered = contestants()
        count = min(wanted, source.count or wanted)
        with tqdm(total=count * ROUNDS * len(entered), unit='frame', disable=None) as bar:
            compare(segmenter, clips(_shots(source, wanted, errors)), entered, ROUNDS,
                    progress=bar.update)
    if not entered[0].seconds:
        raise SourceError(f'{options.input}: no frame could be read')
    rows = [_row(contestant, entered[0]) for contestant in listed(entered)]
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(folder / 'comparison.csv', rows)
    _draw(folder / 'comparison.png', rows)
    frames = sum(entered[0].made.values()) // ROUNDS
    if options.json:
        print(json.dumps({
            'input': str(options.input), 'out': str(folder), 'frames': frames,
            'failed': len(errors), 'device': segmenter.device, 'engine': segmenter.engine,
            'policies': rows}, indent=2))
    else:
        print(_table(rows))
        print(f'{frames} frames, {segmenter.device} ({segmenter.engine}); agreement is with '
              f'every-frame masks, time the segmenter\'s alone, and how much faster the median of '
              f'{ROUNDS} rounds; written to {folder}')
    return 1 if errors else 0


def _shots(source: Source, wanted: int, errors: list[str]) -> Iterator[Shot]:
    """Yield the first frames that can be decoded; say which cannot."""
    taken = 0
    try:
        for frame in source:
            try:
                picture = frame.decode()
            except (ValueError, cv2.error) as error:
                errors.append(frame.label)
                tqdm.write(f'roadseg segment: {frame.label}: {error}', file=sys.stderr)
                continue
            # a copy: pictures are views of messages that go
            yield Shot(np.array(picture), frame.stamp_ns, frame.topic)
            taken += 1
            if taken == wanted:
                return
    except SourceError as error:
        errors.append(str(error))
        tqdm.write(f'roadseg segment: {error}', file=sys.stderr)


def _row(contestant: Contestant, off: Contestant) -> dict[str, Any]:
    """Return a line of the table."""
    named = {'policy': contestant.settings.policy, 'interval': contestant.interval}
    if contestant.refused:
        return {**dict.fromkeys(FIELDS), **named, 'not_possible': contestant.refused}
    return {**named, 'frames_per_second': round(1e3 / contestant.ms, 2),
            'speed_up': round(contestant.speed_up(off), 2),
            'mean_iou': round(contestant.mean_iou(), 4),
            'pixels': round(contestant.pixel_accuracy(), 4),
            'full_share': round(contestant.share(), 3), 'not_possible': None}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as aligned lines."""
    lines = [f'{"policy":14} {"frames/s":>9} {"faster":>8} {"mIoU":>8} {"pixels":>8} '
             f'{"by the network":>15}']
    for row in rows:
        name = f'{row["policy"]} {row["interval"] or ""}'
        lines.append(
            f'{name:14} not possible here: {row["not_possible"]}' if row['not_possible'] else
            f'{name:14} {row["frames_per_second"]:9.1f} {row["speed_up"]:7.2f}x '
            f'{row["mean_iou"]:8.4f} {row["pixels"]:8.2%} {row["full_share"]:15.0%}')
    return '\n'.join(lines)


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the table as CSV."""
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def _draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw agreement over frames per second, a line for each policy."""
    # takes a second to import; no display is asked for
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    possible = [row for row in rows if not row['not_possible']]
    quantities = {'mean_iou': 'mean IoU with every-frame masks',
                  'pixels': 'share of pixels equal to every-frame masks'}
    for axes, (quantity, title) in zip(figure.subplots(1, 2), quantities.items()):
        for policy in dict.fromkeys(row['policy'] for row in possible):
            own = [row for row in possible if row['policy'] == policy]
            axes.plot([row['frames_per_second'] for row in own],
                      [row[quantity] for row in own], marker='o', label=policy)
            for row in own:
                axes.annotate(str(row['interval'] or ''),
                              (row['frames_per_second'], row[quantity]),
                              textcoords='offset points', xytext=(5, 4), fontsize=8)
        axes.set_xlabel('frames per second of the segmenter')
        axes.set_title(title, fontsize=10)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.legend(title='policy (points: interval)', fontsize=8)
    figure.savefig(path, dpi=110)
