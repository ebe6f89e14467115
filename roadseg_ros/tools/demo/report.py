"""Fill the demo's folder: pictures, video, page and summary."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadseg_ros.labels import LabelSpace
from roadseg_ros.tools.demo.folder import DemoFolder
from roadseg_ros.tools.demo.log import DrivingLog
from roadseg_ros.tools.demo.page import make_page
from roadseg_ros.tools.demo.pictures import (
    overlay_path,
    write_pictures,
    write_strip,
    write_video,
)
from roadseg_ros.tools.demo.summary import Play, rows


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
    start = min(play.sent.values())
    counted = {'frames sent': _per_second(list(play.sent.values()), start),
               'masks received': _per_second(list(play.received.values()), start)}
    overlays = [overlay_path(folder.frames, index).exists() for index in range(count)]
    folder.page.write_text(make_page(summary, rows(summary), labels, overlays,
                                     play.latencies_ms(), counted), encoding='utf-8')
    return folder.write_summary(summary)


def _per_second(times: list[float], start: float) -> list[tuple[float, float]]:
    """Return (seconds, count) of the whole seconds, each at its middle."""
    whole = int(max(times, default=start) - start)
    counts, _ = np.histogram(np.array(times) - start, bins=whole or 1, range=(0, whole or 1))
    return [(second + 0.5, float(count)) for second, count in enumerate(counts)]
