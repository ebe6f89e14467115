"""The driving log of the demo, in memory: generated with truth, or read from a bag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys

import numpy as np
from tqdm import tqdm

from roadseg_ros.node.topics import base_topic
from roadseg_ros.scenes import Drive
from roadseg_ros.tools.bag_source import BagSource
from roadseg_ros.tools.frames import Frame, SourceError

SEED, RATE_HZ = 7, 15.0
START_NS = 1_700_000_000 * 10**9
MEMORY_LIMIT = 1 << 30


@dataclass(frozen=True)
class LogFrame:
    """
    One frame of the log.

    :param stamp_ns: different in every frame, and increasing.
    :param frame_id: of the header.
    :param picture: (H, W, 3) uint8 BGR.
    :param truth: (H, W) uint8 ids of `camvid`, or None.
    """

    stamp_ns: int
    frame_id: str
    picture: np.ndarray
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class DrivingLog:
    """Frames with the topic they play on; `name` is for people."""

    name: str
    topic: str
    frames: list[LogFrame]

    @property
    def recorded_hz(self) -> float:
        """Return the mean rate the log was recorded at."""
        seconds = (self.frames[-1].stamp_ns - self.frames[0].stamp_ns) / 1e9
        return (len(self.frames) - 1) / seconds


def read_log(bag: Path | None, topic: str | None, seconds: float) -> DrivingLog:
    """
    Make the log ready to play.

    :param bag: to read, or None for the generated drive.
    :param topic: image topic of the bag, or None for its first camera.
    :param seconds: how much of the log, from its start.
    :raises SourceError: the bag cannot be read or holds fewer than two frames.
    """
    return _generate(seconds) if bag is None else _read_bag(bag, topic, seconds)


def _generate(seconds: float) -> DrivingLog:
    """Render the drive that the repository's pictures show."""
    drive, frames = Drive(seed=SEED, rate_hz=RATE_HZ), []
    for index in tqdm(range(max(round(seconds * RATE_HZ), 2)), 'rendering', disable=None):
        picture, truth = drive.frame(index)
        frames.append(LogFrame(START_NS + round(index * 1e9 / RATE_HZ), 'camera', picture, truth))
    return DrivingLog(f'generated drive (seed {SEED})', Frame.topic, frames)


def _read_bag(bag: Path, topic: str | None, seconds: float) -> DrivingLog:
    """Decode the frames of one camera; what cannot be decoded is reported and left out."""
    if not bag.exists():
        raise SourceError(f'there is no bag {bag}')
    if topic is None:
        with BagSource(bag) as source:
            topic = source.topics[0]
    frames: list[LogFrame] = []
    with BagSource(bag, [topic]) as source:
        for frame in tqdm(source, 'reading', source.count, disable=None):
            stamp_ns = _stamp(frame, frames)
            if frames and stamp_ns - frames[0].stamp_ns >= seconds * 1e9:
                break
            try:
                frames.append(LogFrame(stamp_ns, frame.frame_id, np.array(frame.decode())))
            except ValueError as error:
                tqdm.write(f'roadseg demo: left out {frame.label}: {error}', file=sys.stderr)
                continue
            if len(frames) * frames[0].picture.nbytes > MEMORY_LIMIT:
                tqdm.write(f'roadseg demo: plays the first {len(frames)} frames, which is what '
                           f'{MEMORY_LIMIT >> 20} MiB hold', file=sys.stderr)
                break
    if len(frames) < 2:
        raise SourceError(f'{bag} has {len(frames)} readable frames on {topic} in the first '
                          f'{seconds:g} s; the demo needs two')
    return DrivingLog(f'{bag} {topic}', base_topic(source.topics[0]), frames)


def _stamp(frame: Frame, before: list[LogFrame]) -> int:
    """Return the frame's stamp; where it repeats, as some drivers' do, the recording's time."""
    last = before[-1].stamp_ns if before else 0
    for candidate in (frame.stamp_ns, frame.bag_time_ns):
        if candidate is not None and candidate > last:
            return candidate
    return last + 1
