"""Going on with an interrupted run of `roadseg segment`: is it the same, and where to begin."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import hashlib
from pathlib import Path

from roadseg_ros.inference.refresh import EVERY_FRAME
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.tools.bag_source import BAG_SUFFIXES
from roadseg_ros.tools.frames import Source
from roadseg_ros.tools.progress import ABSENT, complete_path, Entry, Progress, recorded
from roadseg_ros.tools.sinks import Sink
from roadseg_ros.tools.sources import DEFAULT_RATE_HZ, image_files

# Frames after which streams begin anew with a cache policy, in runs that nobody interrupts as
# well: what is kept of a stream follows from all its frames, so that only here can a run go on
# exactly. One key frame in so many costs nothing; with `recurrent` the network forgets its past.
FRESH_START = 300
DIGITS = 12  # of a hash, enough to tell two runs apart


def described(options: argparse.Namespace, source: Source, segmenter: Segmenter,
              checkpoint: Path) -> dict[str, str]:
    """
    Say what a run's results follow from.

    :param options: of `roadseg segment`.
    :param source: its input.
    :param segmenter: what segments it.
    :param checkpoint: path of its weights.
    :return: by the names that users know.
    """
    run = {'input': _files(options.input, options.out),
           'weights': f'sha256 {_hash(checkpoint.expanduser().read_bytes())}',
           '--overlay': 'given' if options.overlay else ABSENT, '--device': segmenter.device,
           '--engine': segmenter.engine, '--cache': segmenter.cache.policy}
    if segmenter.crf is not None:
        run['--crf'] = str(segmenter.crf)
    if segmenter.cache.policy not in EVERY_FRAME:
        run['--cache-interval'] = str(segmenter.cache.interval)
    if source.kind == 'bag':
        run['--topic'] = ', '.join(source.topics)
    if source.kind == 'images':
        run['--rate'] = f'{options.rate or DEFAULT_RATE_HZ:g}'
    return run


def go_on(progress: Progress, out: Path, sink: Sink, cached: bool) -> bool:
    """
    Take up what an earlier run has done, if there was one.

    :param progress: of the run; gets the entries of what need not be done again.
    :param out: its output.
    :param sink: with what the earlier one wrote.
    :param cached: frames follow from others before them.
    :return: whether nothing is left to do.
    :raises SinkError: the earlier run was another one, or cannot be read.
    """
    record = recorded(out)
    if record is None:
        return False
    progress.load(record)
    files = _written(progress.entries)
    if record == complete_path(out) and sink.whole(files) == len(files):
        return True
    progress.entries = trusted(progress.entries, sink, cached)
    return False


def trusted(entries: Sequence[Entry], sink: Sink, cached: bool) -> list[Entry]:
    """
    Return what need not be done again, and let the sink go on after it.

    :param entries: what an interrupted run noted.
    :param sink: with what it wrote.
    :param cached: frames follow from others before them.
    :raises SinkError: the output cannot be read.
    """
    whole = sink.whole(_written(entries))
    kept: list[Entry] = []
    for entry in entries:
        whole -= 'error' not in entry
        if whole < 0:
            break
        kept.append(entry)
    if cached:
        del kept[len(kept) - len(kept) % FRESH_START:]
    sink.keep(_written(kept))
    return kept


def _written(entries: Sequence[Entry]) -> list[str]:
    """Return the files of the frames that did not fail."""
    return [entry['file'] for entry in entries if 'error' not in entry]


def _files(path: Path, out: Path) -> str:
    """Say which files an input is, by their names, sizes and times of change."""
    if not path.is_dir():
        files = [path]
    elif (path / 'metadata.yaml').is_file():
        # the output may lie beside
        files = sorted(file for file in path.iterdir() if file != out
                       and file.suffix in (*BAG_SUFFIXES, '.yaml'))
    else:
        files = image_files(path)
    listed = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    size = sum(size for _, size, _ in listed)
    return f'{len(listed)} files, {size} bytes, names and times {_hash(repr(listed).encode())}'


def _hash(data: bytes) -> str:
    """Return the beginning of a hash."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]
