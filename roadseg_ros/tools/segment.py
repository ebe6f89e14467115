"""`roadseg segment`: every frame of images, a video or a bag, once, in order."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any

import cv2

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.crf import CrfSettings
from roadseg_ros.inference.engines import ENGINES
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.tools.arguments import positive
from roadseg_ros.tools.compare_cache import compare_cache, DEFAULT_FRAMES
from roadseg_ros.tools.frames import Source, SourceError
from roadseg_ros.tools.progress import Progress, recorded
from roadseg_ros.tools.propose import propose
from roadseg_ros.tools.resume import described, go_on
from roadseg_ros.tools.segment_frames import segment_all, Tally, told_when_interrupted
from roadseg_ros.tools.segment_report import SegmentReport
from roadseg_ros.tools.sinks import make_sink, output_path
from roadseg_ros.tools.sources import DEFAULT_RATE_HZ, open_source, SUPPORTED


def add_parser(subparsers: Any) -> None:
    """Add the command's arguments."""
    parser = subparsers.add_parser(
        'segment', help='segment images, a video or a bag',
        description='Segment every frame once, in order, as the node does. Exit status: 0 all '
                    'done, 1 some frames failed (the others are done), 2 nothing more could be '
                    'done, 130 interrupted, 143 ended by SIGTERM; finished frames remain, and '
                    '--resume goes on after them, or says that nothing is left.')
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
    parser.add_argument('--report', type=Path, metavar='PAGE.html',
                        help='also write a page to look at: frames with their overlays, class '
                             'shares and milliseconds over time, of the frames of this run; one '
                             'file, which needs no other')
    parser.add_argument('--frames', type=int, metavar='N',
                        help='choose the N frames most worth a label, uncertain ones and each '
                             'another, and write them to the folder OUT with proposed masks '
                             'that LabelMe and CVAT open and training reads')
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
    parser.add_argument('--crf', action='store_true',
                        help='draw borders to those of the frame with a fully connected CRF '
                             'after the network: on engine torch, at many times its cost, which '
                             'the summary names')
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
    parser.add_argument('--first', type=int, metavar='N',
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
    if options.frames is not None:
        return propose(options)
    options.out = output_path(options.out)
    with open_source(options.input, options.topic, options.rate) as source:
        if source.note:
            print(f'roadseg segment: {source.note}', file=sys.stderr)
        checkpoint = options.checkpoint or default_checkpoint_path()
        resume = options.resume and recorded(options.out) is not None
        sink = make_sink(options.out, source, options.overlay, resume)
        segmenter = Segmenter(checkpoint, device=options.device, engine=options.engine,
                              cache=cache, crf=CrfSettings() if options.crf else None)
        report = options.report and SegmentReport(options.report, options.out, source.topics,
                                                  segmenter.labels)
        progress = Progress(options.out, described(options, source, segmenter, checkpoint))
        complete = resume and go_on(progress, options.out, sink, cache.policy != 'off')
        tally = Tally.after(progress.entries)
        if not complete:
            with told_when_interrupted(options.out, source, tally), progress, sink:
                segment_all(source, segmenter, sink, options.overlay, progress, tally, report)
            progress.finish(complete=tally.damage is None)
    _print_summary(options, source, segmenter, tally, complete)
    if report:
        report.write(str(options.input), _facts(segmenter, tally))
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
    if options.first is not None and not options.compare_cache:
        raise ValueError('--first goes with --compare-cache')
    masks = {'--cache': options.cache, '--cache-interval': options.cache_interval,
             '--overlay': options.overlay or None, '--resume': options.resume or None,
             '--report': options.report, '--crf': options.crf or None}
    asked = ', '.join(name for name, value in masks.items() if value is not None)
    if options.compare_cache and (asked or options.frames is not None):
        raise ValueError('--compare-cache runs every policy and writes no pictures of frames: '
                         f'leave {asked or "--frames"} out')
    if options.frames is not None and asked:
        raise ValueError(f'--frames writes frames to label, each as the network sees it: '
                         f'leave {asked} out')
    if options.cache is None and options.cache_interval is not None:
        raise ValueError('--cache-interval goes with --cache POLICY')
    interval = options.cache_interval
    return CacheSettings(options.cache or 'off',
                         CacheSettings.interval if interval is None else interval)


def _facts(segmenter: Segmenter, tally: Tally) -> list[tuple[str, str]]:
    """Return name and value of what the page says of the run, which are of its frames alone."""
    own = tally.own
    facts = [('frames', f'{own.written}, {len(own.errors)} failed'),
             ('sizes', ', '.join(own.sizes)),
             ('masks', ', '.join(f'{count} {how}' for how, count in own.made.items())),
             ('cache', segmenter.cache.policy),
             ('speed', f'{tally.fps:.1f} frames/s in all'),
             ('network', f'{segmenter.checkpoint.architecture} on {segmenter.device} '
                         f'({segmenter.engine})')]
    if tally.resumed:
        facts.insert(1, ('not on this page', f'{tally.resumed} frames, done before '
                         '--resume'))
    return facts


def _print_summary(options: argparse.Namespace, source: Source, segmenter: Segmenter,
                   tally: Tally, complete: bool) -> None:
    """Print what was done, for people or for scripts; `complete` before this run."""
    if options.json:
        print(json.dumps({
            'input': str(options.input), 'kind': source.kind, 'out': str(options.out),
            'frames': tally.written, 'resumed': tally.resumed, 'failed': len(tally.errors),
            'errors': tally.errors, 'announced': source.count, 'damage': tally.damage,
            'sizes': tally.sizes, 'cache': segmenter.cache.policy, 'made': tally.made,
            'topics': list(source.topics) if source.kind == 'bag' else [],
            'seconds': round(tally.seconds, 3), 'fps': round(tally.fps, 2),
            'crf_ms': round(tally.crf_ms / tally.written, 1) if tally.crf_ms else None,
            'device': segmenter.device, 'engine': segmenter.engine}, indent=2))
        return
    found = tally.written + len(tally.errors)
    if complete:
        failed = f', {len(tally.errors)} failed' if tally.errors else ''
        print(f'complete: {tally.written} of {found} done in {options.out}{failed}')
        return
    fewer = f' (the input announces {source.count})' if found < (source.count or 0) else ''
    made = '' if segmenter.cache.policy == 'off' else ''.join(
        f', {count} {how}' for how, count in tally.made.items())
    before = f' ({tally.resumed} of them before)' if tally.resumed else ''
    crf = f', CRF {tally.crf_ms / tally.written:.0f} ms a frame' if tally.crf_ms else ''
    print(f'{tally.written} written to {options.out}{before}{made}, '
          f'{len(tally.errors)} failed{fewer}; {tally.seconds:.1f} s, {tally.fps:.1f} frames/s on '
          f'{segmenter.device} ({segmenter.engine}){crf}')
