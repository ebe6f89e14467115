"""One camera's way through the node: what comes in, what goes out, what is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from roadseg_ros.node.camera import Camera
from roadseg_ros.node.diagnostics import FrameStatistics
from roadseg_ros.node.outputs import Outputs


@dataclass(frozen=True)
class Stream:
    """A camera, what is published beside it, and how its frames fare."""

    camera: Camera
    outputs: Outputs
    statistics: FrameStatistics = field(default_factory=FrameStatistics)

    def totals(self) -> Counter[str]:
        """Return how many frames came in, went out and were lost where, ever since."""
        return self.statistics.totals(self.camera.counts)
