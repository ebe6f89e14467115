"""
Judge a checkpoint on labelled frames with the segmenter that the node runs.

    python -m training.evaluate --checkpoint weights/roadseg.safetensors \\
        --dataset camvid --root data/camvid --split val
    python -m training.evaluate --checkpoint weights/roadseg.safetensors \\
        --dataset synthetic --samples 40 --seed 0 --drive
    python -m training.evaluate --cache warp --cache-interval 3

With --cache the frames are those of one drive, played with the policy and without: the loss by
class is the mean over all phases of the key clock; temporal consistency is the mean IoU of each
mask with the one before carried along the flow; frames per second are the segmenter's, measured
in turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
import json
import math
import sys
from typing import Any

from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix
from roadseg_ros.scenes import Drive
from training.cache_report import cache_report, cache_table
from training.datasets import DATASETS, make_dataset
from training.datasets.frames import Frame


def evaluate(segmenter: Segmenter, frames: Iterable[Frame]) -> ConfusionMatrix:
    """
    Segment every frame and count its pixels.

    :param segmenter: what to judge.
    :param frames: pictures (H, W, 3) uint8 BGR with their masks (H, W) uint8, 255 = unlabelled.
    :return: the counts over all frames.
    :raises ValueError: a mask has another size than its picture, or ids that the checkpoint
        has no class for.
    """
    confusion = ConfusionMatrix(len(segmenter.labels))
    for image, truth in frames:
        confusion.update(truth, segmenter.segment([image])[0].class_ids)
    return confusion


def table(result: dict[str, Any]) -> str:
    """Return a confusion matrix's summary as aligned lines of text, the totals last."""
    rows = {**result['iou'], 'mean IoU': result['mean_iou'],
            'pixel accuracy': result['pixel_accuracy']}
    width = max(map(len, rows))
    return '\n'.join(f'{name:{width}}  ' + ('   absent' if value is None else f'{value:9.4f}')
                     for name, value in rows.items())


def _open_frames(options: argparse.Namespace, labels: LabelSpace) -> tuple[Iterator[Frame], int]:
    """Return the frames that the command line asks for, and how many."""
    if options.drive and options.dataset != 'synthetic':
        raise ValueError('--drive goes with --dataset synthetic; other data sets already '
                         'come in the order of their names')
    arguments: dict[str, Any] = (
        {'samples': options.samples, 'seed': options.seed} if options.dataset == 'synthetic'
        else {'root': options.root, 'split': options.split})
    if options.unlabelled_id is not None:
        arguments['unlabelled_id'] = options.unlabelled_id
    data = make_dataset([{'dataset': options.dataset, **arguments}])
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
    add('--samples', type=int, default=40, help='synthetic: how many frames (default: 40)')
    add('--seed', type=int, default=0, help='synthetic: first seed (default: 0)')
    add('--drive', action='store_true', help='synthetic: consecutive frames of one drive')
    add('--device', default='auto', help='auto, cpu, cuda or cuda:N (default: auto)')
    add('--engine', default='auto', help='default: auto')
    add('--inference-height', type=int, default=0, metavar='PIXELS',
        help="height the network works at; 0 = the checkpoint's, -1 = the frame's own")
    add('--cache', metavar='POLICY', help=f'what a policy loses: {", ".join(POLICIES)}')
    add('--cache-interval', type=int, default=CacheSettings.interval, metavar='N',
        help=f'every how many frames the network runs (default: {CacheSettings.interval})')
    add('--rate', type=float, default=15.0, metavar='HZ',
        help='frames a second of a drive (default: 15, as CamVid val)')
    add('--json', action='store_true', help='print one JSON document instead of a table')
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        segmenter = Segmenter(options.checkpoint, device=options.device, engine=options.engine,
                              inference_height=options.inference_height)
        frames, count = _open_frames(options, segmenter.labels)
        # disable=None: no bar where nobody watches
        progress = tqdm(frames, total=count, unit='frame', disable=None)
        result = _judge(options, segmenter, progress)
    except (ValueError, EngineError) as error:
        print(f'training.evaluate: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({'checkpoint': str(options.checkpoint), 'dataset': options.dataset,
                          'frames': count, 'device': segmenter.device,
                          'engine': segmenter.engine, **result}, indent=2))
    else:
        print(cache_table(result) if options.cache else table(result))
    return 0


def _judge(options: argparse.Namespace, segmenter: Segmenter, frames: Iterable[Frame]
           ) -> dict[str, Any]:
    """Return the figures that the command line asks for."""
    if options.cache:
        if not 0 < options.rate < math.inf:
            raise ValueError(f'--rate is above 0, not {options.rate:g}')
        settings = CacheSettings(options.cache, options.cache_interval)
        return cache_report(segmenter, frames, options.rate, settings)
    return evaluate(segmenter, frames).summary(segmenter.labels.names)


if __name__ == '__main__':
    sys.exit(main())
