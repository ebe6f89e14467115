"""Fill the demo's folder: pictures, video, page and summary."""

from __future__ import annotations

from functools import partial
from typing import Any

from roadseg_ros.labels import LabelSpace
from roadseg_ros.tools.demo.folder import DemoFolder
from roadseg_ros.tools.demo.log import DrivingLog
from roadseg_ros.tools.demo.pictures import (
    frame_path,
    overlay_path,
    write_pictures,
    write_strip,
    write_video,
)
from roadseg_ros.tools.demo.recording import mask_facts
from roadseg_ros.tools.demo.summary import Play, rows
from roadseg_ros.tools.page import Camera, make_page, Timeline

NOT_FACTS = ('log', 'page')  # of the summary's rows: what the page shows by itself


def write_report(folder: DemoFolder, log: DrivingLog, labels: LabelSpace, play: Play,
                 numbers: dict[str, Any]) -> dict[str, Any]:
    """
    Write everything people look at.

    :param folder: with the recorded bag.
    :param log: that was played.
    :param labels: of the masks.
    :param play: when what was sent and received.
    :param numbers: of `summarize`.
    :return: the whole summary, as stored.
    :raises OSError: something cannot be written.
    """
    count = len(log.frames)
    write_pictures(log, folder.bag, folder.frames)
    write_strip(folder.frames, count, folder.strip)
    video = write_video(folder.frames, count, folder.videos, log.recorded_hz)
    files = [folder.bag, *([video] if video else []), folder.strip, folder.summary]
    summary = {**numbers, 'finished': True, 'page': str(folder.page),
               'files': [path.name for path in files]}
    facts = [row for row in rows(summary) if row[0] not in NOT_FACTS]
    folder.page.write_text(
        make_page('roadseg demo', log.name, facts, labels, [_camera(folder, log, labels, play)],
                  summary['files']), encoding='utf-8')
    return folder.write_summary(summary)


def _camera(folder: DemoFolder, log: DrivingLog, labels: LabelSpace, play: Play) -> Camera:
    """Return what the page shows of the frames, over the time that they were played in."""
    masks, latency_ms = mask_facts(folder.bag, len(labels)), play.latency_ms()
    start = min(play.sent.values())
    timeline = Timeline(len(labels))
    for index, stamp_ns in enumerate(play.sent):
        mask = masks.get(stamp_ns)
        timeline.add(play.sent[stamp_ns] - start, partial(_pictures, folder, index),
                     *((mask.made, latency_ms.get(stamp_ns), mask.shares) if mask else ()))
    return Camera(log.topic, timeline, 'Milliseconds from frame to mask')


def _pictures(folder: DemoFolder, index: int) -> tuple[str, str]:
    """Return where frame and overlay lie, as the page beside them says it."""
    frame, overlay = (path(folder.frames, index) for path in (frame_path, overlay_path))
    return (frame.relative_to(folder.root).as_posix(),
            overlay.relative_to(folder.root).as_posix() if overlay.exists() else '')
