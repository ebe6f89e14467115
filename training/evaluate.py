"""
Judge a checkpoint on labelled frames with the segmenter that the node runs.

    python -m training.evaluate --checkpoint weights/roadseg.safetensors \\
        --dataset camvid --root data/camvid --split val
    python -m training.evaluate --checkpoint weights/roadseg.safetensors \\
        --dataset synthetic --samples 40 --seed 0 --drive
    python -m training.evaluate --data '{dataset: kitti_road, root: data/kitti_road,
        part: val, shares: [80, 20, 0]}' \\
        --checkpoint runs/fcn8s_kitti_road/last.safetensors --metrics all --report report
    python -m training.evaluate --cache warp --cache-interval 3
    python -m training.evaluate --conditions

With --metrics more is measured by class: pixels (precision, recall, F1; frequency-weighted IoU),
baseline (the mean share of a frame that is the class: the IoU of saying that class everywhere),
boundary_f1, hausdorff (pixels, lower is better) and instances (average precision of connected
regions); a mean is over the classes that have a value.

With --cache the frames are those of one drive, played with the policy and without: the loss by
class is the mean over all phases of the key clock; temporal consistency is the mean IoU of each
mask with the one before carried along the flow; frames per second are the segmenter's, measured
in turns.

With --conditions every frame is judged also at dusk, in rain, at half and at double size, mirrored
and with a bonnet in view, all of them made from the frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
import json
import math
from pathlib import Path
import sys
from typing import Any

import numpy as np
from tqdm import tqdm
import yaml

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.crf import CrfSettings
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix, rounded
from roadseg_ros.scenes import Drive
from training.cache_report import cache_report, cache_table
from training.conditions import compare_conditions, conditions_table
from training.datasets import DATASETS, make_dataset
from training.datasets.frames import Frame
from training.metrics import METRICS, Metrics
from training.report import BestAndWorst, Sample, write_report


def evaluate(segmenter: Segmenter, frames: Iterable[Frame], metrics: Metrics | None = None,
             pictures: BestAndWorst | None = None) -> ConfusionMatrix:
    """
    Segment every frame and count its pixels.

    :param segmenter: what to judge.
    :param frames: pictures (H, W, 3) uint8 BGR with their masks (H, W) uint8, 255 = unlabelled.
    :param metrics: told of every mask, where given.
    :param pictures: likewise; the score is the frame's mean IoU.
    :return: the counts over all frames.
    :raises ValueError: a mask has another size than its picture, or ids that the checkpoint
        has no class for.
    """
    confusion = ConfusionMatrix(len(segmenter.labels))
    for number, (image, truth) in enumerate(frames):
        found = segmenter.segment([image])[0]
        own = ConfusionMatrix(len(segmenter.labels))
        own.update(truth, found.class_ids)
        confusion.matrix += own.matrix
        if metrics is not None:
            sure = np.full_like(truth, 255) if found.confidence is None else found.confidence
            metrics.update(truth, found.class_ids, sure)
        if pictures is not None:
            pictures.add(Sample(f'frame {number}', image, truth, found.class_ids,
                                own.mean_iou()))
    return confusion


def table(result: dict[str, Any]) -> str:
    """Return what was found as aligned lines of text, a column for each measure by class."""
    columns = [name for name, values in result.items() if isinstance(values, dict)]
    rows = {name: [result[column][name] for column in columns] for name in result['iou']}
    rows['mean IoU' if len(columns) == 1 else 'mean'] = [
        result[f'mean_{column}'] for column in columns]
    rows['pixel accuracy'] = [result['pixel_accuracy']]
    if 'frequency_weighted_iou' in result:
        rows['frequency-weighted IoU'] = [result['frequency_weighted_iou']]
    width = max(map(len, rows))
    heads = [] if len(columns) == 1 else [column.split('_') for column in columns]
    depth = max(map(len, heads), default=0)
    lines = [' ' * width + ''.join(f'{([""] * depth + words)[line - depth]:>11}'
                                   for words in heads) for line in range(depth)]
    lines += [f'{name:{width}}' + ''.join(
        '     absent' if value is None else f'{value:11.4f}' for value in values)
              for name, values in rows.items()]
    return '\n'.join(lines)


def _entries(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the data sets that the command line asks for, as a recipe lists them."""
    if options.data:
        return [_mapping('--data', text, "{dataset: camvid, root: data/camvid, split: val}")
                for text in options.data]
    entry: dict[str, Any] = {'dataset': options.dataset}
    if options.dataset == 'synthetic':
        entry.update(samples=options.samples, seed=options.seed)
    else:
        entry.update(root=options.root, split=options.split)
    for name in ('unlabelled_id', 'drives', 'leave_out'):
        if getattr(options, name) is not None:
            entry[name] = getattr(options, name)
    return [entry]


def _crf(text: str | None) -> CrfSettings | None:
    """Return the CRF that the command line asks for."""
    if text is None:
        return None
    values = _mapping('--crf', text, '{iterations: 10}')
    known = [field.name for field in fields(CrfSettings)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f'--crf has no {unknown[0]!r}; known: {", ".join(known)}')
    return CrfSettings(**values)


def _mapping(option: str, text: str, example: str) -> dict[str, Any]:
    """Read a mapping as a recipe writes it."""
    try:
        entry = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f'{option} {text!r}: {error}') from error
    if not isinstance(entry, Mapping):
        raise ValueError(f"{option} is a mapping such as '{example}', not {text!r}")
    return dict(entry)


def _open_frames(options: argparse.Namespace, labels: LabelSpace) -> tuple[Iterator[Frame], int]:
    """Return the frames that the command line asks for, and how many."""
    if options.drive and (options.data or options.dataset != 'synthetic'):
        raise ValueError('--drive goes with --dataset synthetic; other data sets already '
                         'come in the order of their names')
    data = make_dataset(_entries(options))
    data.require(labels, f'the checkpoint {options.checkpoint}')
    if options.drive:
        drive = Drive(options.seed, rate_hz=options.rate)
        return (drive.frame(index) for index in range(options.samples)), options.samples
    return (data[index] for index in range(len(data))), len(data)


def _parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog='python -m training.evaluate', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--checkpoint', default=default_checkpoint_path(), help='default: the packaged one')
    add('--dataset', default='camvid', help=f'one of {", ".join(DATASETS)} (default: camvid)')
    add('--root', default='data/camvid', help='folder of the data set (default: data/camvid)')
    add('--split', default='val', help='default: val')
    add('--unlabelled-id', type=int, metavar='ID',
        help='id that means unlabelled in the files, beside 255 (default: 11 for camvid)')
    add('--drives', nargs='+', metavar='PREFIX', help='only pictures whose names start so')
    add('--leave-out', nargs='+', metavar='PREFIX', help='no pictures whose names start so')
    add('--data', action='append', metavar='MAPPING',
        help='any data set, written as in a recipe, instead of the options above; may be repeated')
    add('--samples', type=int, default=40, help='synthetic: how many frames (default: 40)')
    add('--seed', type=int, default=0, help='synthetic: first seed (default: 0)')
    add('--drive', action='store_true', help='synthetic: consecutive frames of one drive')
    add('--device', default='auto', help='auto, cpu, cuda or cuda:N (default: auto)')
    add('--engine', default='auto', help='default: auto')
    add('--inference-height', type=int, default=0, metavar='PIXELS',
        help="height the network works at; 0 = the checkpoint's, -1 = the frame's own")
    add('--crf', nargs='?', const='{}', metavar='MAPPING',
        help='judge with a fully connected CRF after the network (engine torch); its settings '
             "where they are to differ, such as '{iterations: 10}'")
    add('--cache', metavar='POLICY', help=f'what a policy loses: {", ".join(POLICIES)}')
    add('--cache-interval', type=int, default=CacheSettings.interval, metavar='N',
        help=f'every how many frames the network runs (default: {CacheSettings.interval})')
    add('--rate', type=float, default=15.0, metavar='HZ',
        help='frames a second of a drive (default: 15, as CamVid val)')
    add('--conditions', action='store_true', help='what dusk, rain and other conditions cost')
    add('--metrics', nargs='+', default=[], metavar='NAME',
        help=f'measure more by class: all, {", ".join(METRICS)}')
    add('--report', type=Path, metavar='FOLDER',
        help='write classes.json, classes.png, confusion.png and sheet.jpg')
    add('--json', action='store_true', help='print one JSON document instead of a table')
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        segmenter = Segmenter(options.checkpoint, device=options.device, engine=options.engine,
                              inference_height=options.inference_height, crf=_crf(options.crf))
        frames, count = _open_frames(options, segmenter.labels)
        # disable=None: no bar where nobody watches
        progress = tqdm(frames, total=count, unit='frame', disable=None)
        result = _judge(options, segmenter, progress)
    except (ValueError, OSError, EngineError) as error:
        print(f'training.evaluate: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({'checkpoint': str(options.checkpoint),
                          'dataset': options.data or options.dataset,
                          'frames': count, 'device': segmenter.device,
                          'engine': segmenter.engine, **result}, indent=2))
    elif options.conditions:
        print(conditions_table(result, segmenter.labels))
    else:
        print(cache_table(result) if options.cache else table(result))
    return 0


def _judge(options: argparse.Namespace, segmenter: Segmenter, frames: Iterable[Frame]
           ) -> dict[str, Any]:
    """Return the figures that the command line asks for."""
    if (options.cache or options.conditions) and (options.metrics or options.report):
        raise ValueError('--metrics and --report do not go with --cache or --conditions')
    if options.cache and options.conditions:
        raise ValueError('--conditions does not go with --cache')
    if options.conditions:
        return compare_conditions(segmenter, frames)
    if options.cache:
        if not 0 < options.rate < math.inf:
            raise ValueError(f'--rate is above 0, not {options.rate:g}')
        settings = CacheSettings(options.cache, options.cache_interval)
        return cache_report(segmenter, frames, options.rate, settings)
    if options.report:
        options.report.mkdir(parents=True, exist_ok=True)  # refused now rather than at the end
    labels = segmenter.labels
    metrics, pictures = Metrics(options.metrics, len(labels)), BestAndWorst()
    confusion = evaluate(segmenter, frames, metrics, pictures if options.report else None)
    if options.report:
        write_report(options.report, labels, confusion, pictures.samples())
    result = confusion.summary(labels.names)
    if options.metrics:
        result['frequency_weighted_iou'] = rounded(confusion.frequency_weighted_iou())
    return {**result, **metrics.summary(labels.names)}


if __name__ == '__main__':
    sys.exit(main())
