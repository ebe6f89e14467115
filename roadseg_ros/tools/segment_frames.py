"""The loop of `roadseg segment`: each frame of a source through the network, into a sink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    """What became of the frames; `damage` says why reading ended early."""

    written: int = 0
    errors: list[Entry] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    seconds: float = 0.0
    crf_ms: float = 0.0
    damage: str | None = None

    def take(self, entry: Entry) -> None:
        """Count what became of a frame, and say what failed."""
        if 'error' in entry:
            self.errors.append(entry)
            tqdm.write(f'roadseg segment: {entry["frame"]}: {entry["error"]}', file=sys.stderr)
            return
        self.sizes[entry['size']] = self.sizes.get(entry['size'], 0) + 1
        self.made[entry['made']] += 1
        self.crf_ms += float(entry.get('crf_ms', 0))
        self.written += 1


def segment_all(source: Source, segmenter: Segmenter, sink: Sink, overlay: bool,
                progress: Progress, report: SegmentReport | None = None) -> Tally:
    """
    Segment each frame of a source; a bad one is reported and the next one taken.

    :param progress: notes what became of them; those it holds are passed over.
    :param report: takes in every frame that is not passed over.
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
            entry = _segment_one(frame, segmenter, sink, colors, report)
            progress.add(entry)
            tally.take(entry)
    except SourceError as error:
        tally.damage = str(error)
    tally.seconds = time.perf_counter() - start
    return tally


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
