"""The driving log of the demo, in memory: generated with truth, or read from a bag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
import re
import sys

import cv2
import numpy as np
from tqdm import tqdm

from roadseg_ros.node.topics import base_topic
from roadseg_ros.scenes import Drive
from roadseg_ros.tools.bag_source import BagSource
from roadseg_ros.tools.frames import Frame, SourceError

SEED, RATE_HZ = 7, 15.0
START_NS = 1_700_000_000 * 10**9
LATEST_NS = (2**31 - 10**6) * 10**9  # ROS counts seconds in 31 bits; days are left for the log
JUMP_NS = 10**9  # a stamp this far ahead of the recording's clock is of a clock that was set
MEMORY_LIMIT = 1 << 30
TOPIC_LENGTH = 180  # ROS allows 247 with the names of the outputs


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
    Make the log ready to play, as much of it as the memory may hold.

    :param bag: to read, or None for the generated drive.
    :param topic: image topic of the bag, or None for its first camera.
    :param seconds: how much of the log, from its start.
    :raises SourceError: the bag cannot be read or holds fewer than two frames.
    """
    if bag is not None:
        return _read_bag(bag, topic, seconds)
    return DrivingLog(f'generated drive (seed {SEED})', Frame.topic,
                      _within_memory(_generate(seconds)))


def _generate(seconds: float) -> Iterator[LogFrame]:
    """Render the drive that the repository's pictures show."""
    drive = Drive(seed=SEED, rate_hz=RATE_HZ)
    for index in tqdm(range(max(round(seconds * RATE_HZ), 2)), 'rendering', disable=None):
        picture, truth = drive.frame(index)
        yield LogFrame(START_NS + round(index * 1e9 / RATE_HZ), 'camera', picture, truth)


def _read_bag(bag: Path, topic: str | None, seconds: float) -> DrivingLog:
    """Decode the frames of one camera."""
    if not bag.exists():
        raise SourceError(f'there is no bag {bag}')
    if topic is None:
        with BagSource(bag) as source:
            topic = source.topics[0]
            if source.note:
                print(f'roadseg demo: {source.note}', file=sys.stderr)
    with BagSource(bag, [topic]) as source:
        frames = _within_memory(_bag_frames(source, seconds))
    if len(frames) < 2:
        raise SourceError(f'{bag} has {len(frames)} readable frames on {topic} in the first '
                          f'{seconds:g} s; the demo needs two')
    return DrivingLog(f'{bag} {topic}', playable_topic(source.topics[0]), frames)


def _bag_frames(source: BagSource, seconds: float) -> Iterator[LogFrame]:
    """Decode frames; what cannot be decoded is reported and left out."""
    start_ns = last_bag_ns = last_ns = None
    for frame in tqdm(source, 'reading', source.count, disable=None):
        bag_ns = frame.bag_time_ns or 0
        start_ns = bag_ns if start_ns is None else start_ns
        if bag_ns - start_ns >= seconds * 1e9:
            return
        try:
            picture = np.array(frame.decode())
        except (ValueError, cv2.error) as error:
            tqdm.write(f'roadseg demo: left out {frame.label}: {error}', file=sys.stderr)
            continue
        passed_ns = 0 if last_bag_ns is None else bag_ns - last_bag_ns
        last_ns, last_bag_ns = _stamp(frame.stamp_ns, last_ns, passed_ns), bag_ns
        yield LogFrame(last_ns, frame.frame_id, picture)


def _stamp(stamp_ns: int, last_ns: int | None, passed_ns: int) -> int:
    """
    Return the stamp to play a frame with: its own, where time goes on with it.

    Some drivers repeat stamps, and clocks are set while they run: such a frame follows the last
    one as it did in the recording.

    :param last_ns: what the last frame is played with, None for the first.
    :param passed_ns: between the two, on the clock of the recording.
    """
    if last_ns is None:
        return stamp_ns if 0 <= stamp_ns <= LATEST_NS else START_NS
    if 0 < stamp_ns - last_ns <= passed_ns + JUMP_NS:
        return stamp_ns
    return last_ns + max(passed_ns, 1)


def _within_memory(frames: Iterable[LogFrame]) -> list[LogFrame]:
    """Take frames as long as they fit."""
    held: list[LogFrame] = []
    used = 0
    for frame in frames:
        used += frame.picture.nbytes + (0 if frame.truth is None else frame.truth.nbytes)
        if used > MEMORY_LIMIT:
            tqdm.write(f'roadseg demo: plays the first {len(held)} frames, which is what '
                       f'{MEMORY_LIMIT >> 20} MiB hold', file=sys.stderr)
            break
        held.append(frame)
    return held


def playable_topic(topic: str) -> str:
    """
    Return a name that ROS allows; MCAP allows any.

    :param topic: image topic of a bag, raw or compressed.
    :return: absolute, of letters, digits and underscores between the slashes.
    """
    names = [re.sub(r'[^A-Za-z0-9_]', '_', name) for name in base_topic(topic).split('/') if name]
    valid = ''.join(f'/_{name}' if name[0].isdigit() else f'/{name}' for name in names)
    return valid if 0 < len(valid) <= TOPIC_LENGTH else Frame.topic
