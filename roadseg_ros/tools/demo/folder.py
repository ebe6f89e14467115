"""The folder a demo leaves: what is called how, and what a later demo may remove."""

from __future__ import annotations

from pathlib import Path
import shutil
from typing import Any

from roadseg_ros.tools.bag_file import PARTIAL_PREFIX
from roadseg_ros.tools.results import may_replace, write_marked

MADE_BY = 'roadseg demo'


class DemoError(ValueError):
    """The demo cannot run here; says why and what to do."""


class DemoFolder:
    """
    Every path a demo writes to.

    :param root: the folder itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bag = root / 'drive.mcap'
        self.frames = root / 'frames'
        self.page = root / 'index.html'
        self.strip = root / 'strip.jpg'
        # VP8 first: browsers play it, OpenCV's usual mp4v they do not
        self.videos = {root / 'overlay.webm': 'VP80', root / 'overlay.mp4': 'mp4v'}
        self.summary = root / 'summary.json'
        self.node_log = root / 'node.log'
        self.node_parameters = root / 'node.yaml'
        self.ros_log = root / 'ros_log'

    def check(self, bag: Path | None) -> None:
        """
        Look whether it may be written to.

        :param bag: that will be played.
        :raises DemoError: it holds something that is not an earlier demo's, or the bag.
        """
        if bag is not None and bag.resolve().is_relative_to(self.root.resolve()):
            raise DemoError(f'--bag {bag} lies in {self.root}, where the results of an earlier '
                            'demo are removed: move it or choose another --out')
        if not may_replace(self.root, self.summary, MADE_BY):
            raise DemoError(f'{self.root} exists and is not the output of an earlier demo; '
                            'nothing is overwritten: remove it or choose another --out')

    def clear(self) -> None:
        """Make the folder, without what an earlier demo left, and mark it as a demo's."""
        for path in (self.bag, self.frames, self.page, self.strip, *self.videos, self.summary,
                     self.node_log, self.node_parameters, self.ros_log,
                     *self.root.glob(f'{PARTIAL_PREFIX}*')):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.root.mkdir(parents=True, exist_ok=True)
        self.write_summary({'finished': False})

    def write_summary(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the numbers for scripts, marked as a demo's; return what is written."""
        return write_marked(self.summary, MADE_BY, summary)
