"""Watch over one camera: what became of its latest frames, and a line of log on silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
import logging
from logging.handlers import BufferingHandler
import threading
import time

from rclpy.node import Node

from roadseg_ros.node.graph import survey
from roadseg_ros.node.silence import (
    BLANK,
    explain,
    Finding,
    LOADING,
    Recent,
    SEGMENTING,
    SILENCE_SEC,
)
from roadseg_ros.node.stream import Stream

LOG = logging.getLogger(__name__)  # which the node passes on to its own (node/log.py)
LASTING_STEPS = 3  # from look to look, that each brought a blank mask
LEVELS = {'ok': logging.INFO, 'warn': logging.WARNING, 'error': logging.ERROR}


class Watch:
    """
    Find out why no mask comes of a camera's frames, and log it once for each cause.

    To be asked about once a second, from when the camera is subscribed on.

    :param node: the segmentation node.
    :param stream: the camera.
    """

    def __init__(self, node: Node, stream: Stream) -> None:
        self.stream = stream
        self._node = node
        self._looks = deque([(time.monotonic(), stream.totals())])
        self._last = self._said = SEGMENTING

    def look(self) -> Finding:
        """Return what keeps masks away now; log it where it is news and `SILENCE_SEC` old."""
        recent = self._recent()
        camera, outputs = self.stream.camera, self.stream.outputs
        finding = explain(survey(
            self._node, camera.topic, self._node.get_fully_qualified_name(),
            outputs.topics() if recent.counts['unheard'] else ()), recent)
        # Seen twice: a look may fall between a publisher's coming and our adapting to it
        lasting, self._last = finding.cause == self._last.cause, finding
        masks = recent.counts['published'] - recent.counts['blank']
        if masks and not recent.keeps_blank:
            # a mask now and then, of a slow camera, is no news
            if masks > 1:
                self._welcome()
        elif recent.seconds >= SILENCE_SEC and lasting and finding.cause:
            self._tell(finding, recent)
        return finding

    def _recent(self) -> Recent:
        """Return what was counted in the last `SILENCE_SEC`, or since the beginning."""
        now, totals = time.monotonic(), self.stream.totals()
        self._looks.append((now, totals))
        while now - self._looks[1][0] >= SILENCE_SEC:
            self._looks.popleft()
        since, before = self._looks[0]
        steps = [later - earlier for (_, earlier), (_, later) in pairwise(self._looks)]
        served = [step for step in steps if step['published']]
        return Recent(totals - before, now - since, self.stream.camera.last_error,
                      len(served) >= LASTING_STEPS and all(step['blank'] for step in served))

    def _tell(self, finding: Finding, recent: Recent) -> None:
        """Log a finding unless that is what was said last."""
        if finding.cause == self._said.cause:
            return
        self._said = finding
        frames = ', '.join(f'{count} {name}' for name, count in recent.counts.items())
        LOG.log(LEVELS[finding.level], '%s: %s for %.0f s%s: %s', self.stream.camera.topic,
                'blank masks' if finding.cause == BLANK else 'no mask', recent.seconds,
                f' ({frames})' if frames else '', finding)

    def _welcome(self) -> None:
        """Log that masks come again where something was wrong."""
        if self._said.level != 'ok':
            LOG.info('%s: masks come', self.stream.camera.topic)
        self._said = SEGMENTING


@contextmanager
def told_when_slow() -> Iterator[None]:
    """Log that weights are still loading, after `SILENCE_SEC` in which no engine said why."""
    heard = BufferingHandler(capacity=100)

    def tell() -> None:
        if not heard.buffer:
            LOG.info(LOADING.message)

    timer = threading.Timer(SILENCE_SEC, tell)
    timer.daemon = True
    engines = logging.getLogger('roadseg_ros.inference.engines')
    engines.addHandler(heard)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        engines.removeHandler(heard)
