"""The loop of `roadseg segment`: each frame of a source through the network, into a sink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
import signal
import sys
import threading
import time

import cv2
import numpy as np
from tqdm import tqdm

from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.overlay import blend
from roadseg_ros.tools.bag_file import SinkError
from roadseg_ros.tools.frames import Frame, Source, SourceError
from roadseg_ros.tools.progress import Entry, Progress
from roadseg_ros.tools.resume import FRESH_START
from roadseg_ros.tools.segment_report import SegmentReport
from roadseg_ros.tools.sinks import Sink

OVERLAY_ALPHA = 0.5


@dataclass
class Tally:
    """
    What became of the frames; `damage` says why reading ended early.

    `before` is the part of it that earlier runs did, which this one only went on with.
    """

    written: int = 0
    errors: list[Entry] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    before: Tally | None = None
    seconds: float = 0.0
    crf_ms: float = 0.0
    damage: str | None = None

    @classmethod
    def after(cls, entries: Sequence[Entry]) -> Tally:
        """Return what earlier runs noted, as far as it need not be done again."""
        tally = cls()
        for entry in entries:
            tally.take(entry)
        tally.before = deepcopy(tally)
        return tally

    @property
    def resumed(self) -> int:
        """Return how many frames earlier runs wrote."""
        return self.before.written if self.before else 0

    @property
    def fps(self) -> float:
        """Return frames a second of this run, 0 where it had nothing to do."""
        return (self.written - self.resumed) / self.seconds if self.seconds else 0.0

    @property
    def own(self) -> Tally:
        """Return what became of the frames of this run alone."""
        before = self.before or Tally()
        return Tally(self.written - before.written, self.errors[len(before.errors):],
                     self.sizes - before.sizes, self.made - before.made)

    def take(self, entry: Entry) -> None:
        """Count what became of a frame, and say what failed."""
        if 'error' in entry:
            self.errors.append(entry)
            tqdm.write(f'roadseg segment: {entry["frame"]}: {entry["error"]}', file=sys.stderr)
            return
        self.sizes[entry['size']] += 1
        self.made[entry['made']] += 1
        self.crf_ms += float(entry.get('crf_ms', 0))
        self.written += 1


def segment_all(source: Source, segmenter: Segmenter, sink: Sink, overlay: bool,
                progress: Progress, tally: Tally, report: SegmentReport | None = None) -> None:
    """
    Segment each frame of a source; a bad one is reported and the next one taken.

    :param progress: notes what became of them; those it holds are passed over.
    :param tally: counts what becomes of them; those passed over are in it.
    :param report: takes in every frame that is not passed over.
    :raises SinkError: nothing more can be written.
    """
    done, start = len(progress.entries), time.perf_counter()
    # the table is RGB, the frames are BGR
    colors = segmenter.labels.color_table[:, ::-1].copy() if overlay else None
    try:
        for index, frame in enumerate(tqdm(source, total=source.count, unit='frame',
                                           disable=None)):
            if index < done:
                continue
            if index % FRESH_START == 0:
                segmenter.reset_cache()  # and what a recurrent network remembers
            entry = _segment_one(frame, segmenter, sink, colors, report)
            progress.add(entry)
            tally.take(entry)
    except SourceError as error:
        tally.damage = str(error)
    tally.seconds = time.perf_counter() - start


def _segment_one(frame: Frame, segmenter: Segmenter, sink: Sink, colors: np.ndarray | None,
                 report: SegmentReport | None) -> Entry:
    """Segment and write a frame; return what became of it."""
    try:
        picture = frame.decode()
        result = segmenter.segment([picture], [frame.stream], [frame.stamp_ns])[0]
        mask = result.class_ids
        overlay = None if colors is None else blend(picture, mask, colors, OVERLAY_ALPHA)
        with unbroken():
            file = sink.write(frame, mask, overlay)
        if report:
            report.add(frame, picture, result)
    except SinkError:
        raise
    except (ValueError, cv2.error) as error:
        return {'frame': frame.label, 'error': str(error)}
    entry = {'file': file, 'size': f'{mask.shape[1]}x{mask.shape[0]}', 'made': result.made}
    if 'crf' in result.timing_ms:
        entry['crf_ms'] = f'{result.timing_ms["crf"]:.1f}'
    return entry


@contextmanager
def told_when_interrupted(out: Path, source: Source, tally: Tally) -> Iterator[None]:
    """Say what there is and how to go on where Ctrl-C or SIGTERM ends the work."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        of_all = f' of {source.count}' if source.count else ''
        tqdm.write(f'roadseg segment: interrupted: {tally.written}{of_all} frames are in {out}; '
                   'go on with --resume', file=sys.stderr)
        raise


@contextmanager
def unbroken() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait: half a message would spoil the bag that it is in."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {number: signal.signal(number, lambda number, _: waiting.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])
