"""`roadseg segment`: every frame of images, a video or a bag, once, in order."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
import json
from pathlib import Path
import sys
import time
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.engines import ENGINES
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.overlay import blend
from roadseg_ros.tools.arguments import positive
from roadseg_ros.tools.bag_file import SinkError
from roadseg_ros.tools.compare_cache import compare_cache, DEFAULT_FRAMES
from roadseg_ros.tools.frames import Frame, Source, SourceError
from roadseg_ros.tools.progress import Entry, Progress, progress_path
from roadseg_ros.tools.resume import described, FRESH_START, trusted
from roadseg_ros.tools.sinks import make_sink, output_path, Sink
from roadseg_ros.tools.sources import DEFAULT_RATE_HZ, open_source, SUPPORTED

OVERLAY_ALPHA = 0.5


@dataclass
class Tally:
    """What became of the frames; `damage` says why reading ended early."""

    written: int = 0
    errors: list[Entry] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    seconds: float = 0.0
    damage: str | None = None

    def take(self, entry: Entry) -> None:
        """Count what became of a frame, and say what failed."""
        if 'error' in entry:
            self.errors.append(entry)
            tqdm.write(f'roadseg segment: {entry["frame"]}: {entry["error"]}', file=sys.stderr)
            return
        self.sizes[entry['size']] = self.sizes.get(entry['size'], 0) + 1
        self.made[entry['made']] += 1
        self.written += 1


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'segment', help='segment images, a video or a bag',
        description='Segment every frame once, in order, as the node does. Exit status: 0 all '
                    'done, 1 some frames failed (the others are done), 2 nothing more could be '
                    'done, 130 interrupted, 143 ended by SIGTERM; finished frames remain, and '
                    '--resume goes on after them.')
    parser.add_argument('input', type=Path, metavar='INPUT', help=SUPPORTED)
    parser.add_argument(
        '--out', type=Path,
        help='new or empty folder for one PNG of class ids a frame (images keep their names; '
             'videos and bags get a frames.csv with the stamps, bags a sub folder a topic), or '
             'a bag file that does not exist yet, ending in .mcap or .db3, with the topics and '
             'stamps the node would give; the file plays alone with `ros2 bag play`')
    parser.add_argument('--overlay', action='store_true',
                        help='add pictures with the classes in colour: in the folder OUT_overlay '
                             'beside OUT, or on the topics .../overlay/compressed of the bag')
    parser.add_argument('--resume', action='store_true',
                        help='go on with the interrupted run that left OUT, also one that was '
                             'killed; input, options and weights must be the same')
    parser.add_argument('--checkpoint', type=Path,
                        help='.safetensors file to use instead of the packaged one')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda or cuda:N')
    parser.add_argument('--engine', default='auto', help=f'{", ".join(ENGINES)} (default: auto)')
    parser.add_argument('--topic', action='append', default=[], metavar='T',
                        help='image topic of a bag, may be repeated (default: every camera; no '
                             'depth, and no output of the node)')
    parser.add_argument('--rate', type=positive, metavar='HZ',
                        help='frames a second of a folder of images, for the stamps in a bag '
                             f'(default: {DEFAULT_RATE_HZ:g})')
    _add_cache_arguments(parser)
    parser.add_argument('--json', action='store_true', help='print the summary as JSON')


def _add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is about reuse between frames."""
    parser.add_argument('--cache', metavar='POLICY',
                        help=f'reuse results between frames: {", ".join(POLICIES)} (default: off)')
    parser.add_argument('--cache-interval', type=int, metavar='N',
                        help='every how many frames the network runs '
                             f'(default: {CacheSettings.interval})')
    parser.add_argument('--compare-cache', action='store_true',
                        help='write no masks: run every policy on the first frames and write how '
                             'fast each is and how far its masks agree with every-frame ones, as '
                             'comparison.csv and comparison.png, to the folder --out (default: '
                             'cache_comparison)')
    parser.add_argument('--frames', type=int, metavar='N',
                        help='how many frames to compare on, from the beginning '
                             f'(default: {DEFAULT_FRAMES})')


def run(options: argparse.Namespace) -> int:
    """
    Run the command.

    :param options: as parsed.
    :return: exit status, 1 if a frame failed.
    :raises ValueError: input, output or checkpoint cannot be used, or the input is damaged.
    :raises EngineError: engine or device are not there.
    """
    # OpenCV's own lines about broken pictures would stand between ours
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cache = _cache_settings(options)
    if options.compare_cache:
        return compare_cache(options)
    options.out = output_path(options.out)
    with open_source(options.input, options.topic, options.rate) as source:
        if source.note:
            print(f'roadseg segment: {source.note}', file=sys.stderr)
        checkpoint = options.checkpoint or default_checkpoint_path()
        resume = options.resume and progress_path(options.out).is_file()
        sink = make_sink(options.out, source, options.overlay, resume)
        segmenter = Segmenter(checkpoint, device=options.device, engine=options.engine,
                              cache=cache)
        progress = Progress(options.out, described(options, source, segmenter, checkpoint))
        if resume:
            progress.load()
            progress.entries = trusted(progress.entries, sink, cache.policy != 'off')
        with progress, sink:
            tally = segment_all(source, segmenter, sink, options.overlay, progress)
        progress.finish()
    _print_summary(options, source, segmenter, tally)
    if tally.damage:
        raise SourceError(tally.damage)
    return 1 if tally.errors else 0


def _cache_settings(options: argparse.Namespace) -> CacheSettings:
    """
    Return the policy that the command line asks for.

    :raises ValueError: options that do not go together, or an unknown policy.
    """
    if options.out is None and not options.compare_cache:
        raise ValueError('--out is needed, the folder or bag to write to')
    if options.resume and options.compare_cache:
        raise ValueError('--resume goes on with writing masks, --compare-cache writes none')
    if options.frames is not None and not options.compare_cache:
        raise ValueError('--frames goes with --compare-cache')
    asked = options.cache is not None or options.cache_interval is not None or options.overlay
    if options.compare_cache and asked:
        raise ValueError('--compare-cache runs every policy and writes no pictures of frames: '
                         'leave --cache, --cache-interval and --overlay out')
    if options.cache is None and options.cache_interval is not None:
        raise ValueError('--cache-interval goes with --cache POLICY')
    interval = options.cache_interval
    return CacheSettings(options.cache or 'off',
                         CacheSettings.interval if interval is None else interval)


def segment_all(source: Source, segmenter: Segmenter, sink: Sink, overlay: bool,
                progress: Progress) -> Tally:
    """
    Segment each frame of a source; a bad one is reported and the next one taken.

    :param progress: notes what became of them; those it holds are passed over.
    :return: what became of them, those passed over among them.
    :raises SinkError: nothing more can be written.
    """
    tally, done, start = Tally(), len(progress.entries), time.perf_counter()
    for entry in progress.entries:
        tally.take(entry)
    tally.resumed = tally.written
    # the table is RGB, the frames are BGR
    colors = segmenter.labels.color_table[:, ::-1].copy() if overlay else None
    try:
        for index, frame in enumerate(tqdm(source, total=source.count, unit='frame',
                                           disable=None)):
            if index < done:
                continue
            if index % FRESH_START == 0:
                segmenter.reset_cache()
            entry = _segment_one(frame, segmenter, sink, colors)
            progress.add(entry)
            tally.take(entry)
    except SourceError as error:
        tally.damage = str(error)
    tally.seconds = time.perf_counter() - start
    return tally


def _segment_one(frame: Frame, segmenter: Segmenter, sink: Sink, colors: np.ndarray | None
                 ) -> Entry:
    """Segment and write a frame; return what became of it."""
    try:
        picture = frame.decode()
        result = segmenter.segment([picture], [frame.stream], [frame.stamp_ns])[0]
        mask = result.class_ids
        file = sink.write(frame, mask, None if colors is None else
                          blend(picture, mask, colors, OVERLAY_ALPHA))
    except SinkError:
        raise
    except (ValueError, cv2.error) as error:
        return {'frame': frame.label, 'error': str(error)}
    return {'file': file, 'size': f'{mask.shape[1]}x{mask.shape[0]}', 'made': result.made}


def _print_summary(options: argparse.Namespace, source: Source, segmenter: Segmenter,
                   tally: Tally) -> None:
    """Print what was done, for people or for scripts."""
    fps = (tally.written - tally.resumed) / tally.seconds if tally.seconds else 0.0
    if options.json:
        print(json.dumps({
            'input': str(options.input), 'kind': source.kind, 'out': str(options.out),
            'frames': tally.written, 'resumed': tally.resumed, 'failed': len(tally.errors),
            'errors': tally.errors, 'announced': source.count, 'damage': tally.damage,
            'sizes': tally.sizes, 'cache': segmenter.cache.policy, 'made': tally.made,
            'topics': list(source.topics) if source.kind == 'bag' else [],
            'seconds': round(tally.seconds, 3), 'fps': round(fps, 2),
            'device': segmenter.device, 'engine': segmenter.engine}, indent=2))
        return
    found = tally.written + len(tally.errors)
    fewer = f' (the input announces {source.count})' if found < (source.count or 0) else ''
    made = '' if segmenter.cache.policy == 'off' else ''.join(
        f', {count} {how}' for how, count in tally.made.items())
    before = f' ({tally.resumed} of them before)' if tally.resumed else ''
    print(f'{tally.written} written to {options.out}{before}{made}, '
          f'{len(tally.errors)} failed{fewer}; {tally.seconds:.1f} s, {fps:.1f} frames/s on '
          f'{segmenter.device} ({segmenter.engine})')
