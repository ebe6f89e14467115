"""`roadseg check`: say what a checkpoint is, and that it runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
import json
from pathlib import Path
import time
from typing import Any

import cv2
import numpy as np

from roadseg_ros.inference.engines import ENGINES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.scenes import Drive
from roadseg_ros.tools.frames import SourceError
from roadseg_ros.tools.sources import read_picture


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'check', help='say what a checkpoint is and run a frame through it',
        description='Load a checkpoint as the node would and run one frame. Exit status 2 if it '
                    'does not fit.')
    parser.add_argument('checkpoint', type=Path, metavar='CHECKPOINT', help='.safetensors file')
    parser.add_argument('--image', type=Path, metavar='IMG',
                        help='picture to run (default: a drawn street)')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda or cuda:N')
    parser.add_argument('--engine', default='auto', help=f'{", ".join(ENGINES)} (default: auto)')
    parser.add_argument('--json', action='store_true', help='print the report as JSON')


def run(options: argparse.Namespace) -> int:
    """
    Run the command.

    :param options: as parsed.
    :return: exit status.
    :raises ValueError: the checkpoint or the picture cannot be used.
    :raises EngineError: engine or device are not there.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    picture = _picture(options.image) if options.image else None
    segmenter = Segmenter(options.checkpoint, device=options.device, engine=options.engine)
    if picture is None:
        picture = Drive().frame(0)[0]
    found = report(segmenter, picture)
    found = {'checkpoint': str(options.checkpoint), **found}
    print(json.dumps(found, indent=2) if options.json else as_text(found))
    return 0


def _picture(path: Path) -> np.ndarray:
    """Read the picture to run."""
    try:
        return read_picture(path)
    except SourceError as error:
        raise SourceError(f'--image {path}: {error}') from error


def report(segmenter: Segmenter, picture: np.ndarray) -> dict[str, Any]:
    """
    Describe a checkpoint and run a frame through it, warmed up.

    :param segmenter: with the checkpoint.
    :param picture: (H, W, 3) uint8 BGR.
    :return: plain JSON; `share` is the part of the picture a class won, `iou` None if unknown.
    """
    segmenter.warm_up(*picture.shape[:2])
    start = time.perf_counter()
    mask = segmenter.segment([picture])[0].class_ids
    milliseconds = 1e3 * (time.perf_counter() - start)
    checkpoint = segmenter.checkpoint
    provenance = dict(checkpoint.provenance)
    metrics = provenance.get('metrics')
    iou = metrics.get('iou') if isinstance(metrics, Mapping) else None
    iou = iou if isinstance(iou, Mapping) else {}
    shares = np.bincount(mask.ravel(), minlength=256) / mask.size
    return {
        'architecture': checkpoint.architecture,
        'arguments': dict(checkpoint.arguments),
        'preprocessing': asdict(checkpoint.preprocessing),
        'provenance': provenance,
        'classes': [{'id': index, **entry, 'iou': iou.get(entry['name']),
                     'share': round(float(shares[index]), 4)}
                    for index, entry in enumerate(checkpoint.labels.to_json())],
        'device': segmenter.device,
        'engine': segmenter.engine,
        'fallback': segmenter.fallback,
        'frame': f'{picture.shape[1]}x{picture.shape[0]}',
        'ms': round(milliseconds, 2),
    }


def as_text(found: Mapping[str, Any]) -> str:
    """Return a report as lines for people."""
    lines = [f'checkpoint     {found["checkpoint"]}',
             f'architecture   {found["architecture"]} {_pairs(found["arguments"])}',
             f'preprocessing  {_pairs(found["preprocessing"])}']
    provenance = dict(found['provenance'])
    metrics = provenance.pop('metrics', {})
    if isinstance(metrics, Mapping):
        provenance.update((name, value) for name, value in metrics.items()
                          if name not in ('iou', 'baseline_iou'))
    lines.append(f'provenance     {_pairs(provenance) or "none"}')
    if any(entry['iou'] is not None for entry in found['classes']):
        lines.append(f'IoU            measured in training, on {_validation(provenance)}')
    lines += [f'{"id":>3}  {"class":<20} {"colour":<14} {"IoU":>6} {"of frame":>9}']
    for entry in found['classes']:
        iou = entry['iou']
        iou = f'{iou:.3f}' if isinstance(iou, (int, float)) else '-'
        color = ' '.join(map(str, entry['color']))
        lines.append(f'{entry["id"]:>3}  {entry["name"]:<20} {color:<14} {iou:>6} '
                     f'{entry["share"]:>9.1%}')
    fallback = f' ({found["fallback"]})' if found['fallback'] else ''
    lines.append(f'runs           {found["frame"]} in {found["ms"]} ms on '
                 f'{found["device"]}{fallback}, engine {found["engine"]}')
    return '\n'.join(lines)


def _validation(provenance: Mapping[str, Any]) -> str:
    """Return what the metrics of a checkpoint are of."""
    sets = provenance.get('val')
    named = [_pairs(one) for one in sets if isinstance(one, Mapping)] if isinstance(
        sets, list) else []
    data = ' and '.join(filter(None, named)) or 'data that the checkpoint does not name'
    frames = provenance.get('validated_on')
    return f'{frames} of {data}' if isinstance(frames, str) else data


def _pairs(values: Mapping[str, Any]) -> str:
    """Return `name=value` for each."""
    return ' '.join(f'{name}={value}' for name, value in values.items())
