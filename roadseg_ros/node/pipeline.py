"""From the newest frame of each camera to its published masks; runs in the worker's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
import math
import time
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage

from roadseg_ros.inference.ego_mask import EgoMask
from roadseg_ros.inference.segmenter import Segmentation, Segmenter
from roadseg_ros.labels import LabelSpace, UNLABELLED
from roadseg_ros.node.image_messages import decode_compressed, ImageMessageError, to_bgr
from roadseg_ros.node.parameters import Settings
from roadseg_ros.node.stream import Stream

MAX_THREADS = 4


@dataclass(frozen=True)
class _Pending:
    """A decoded frame on its way."""

    stream: Stream
    message: Any
    arrived: float  # perf_counter, s
    frame: np.ndarray  # (H, W, 3) uint8 BGR
    decode_ms: float


class Pipeline:
    """
    Decode, segment and publish what waits in the cameras' slots.

    Beside a GPU, cameras are decoded side by side, and results are published while the next
    frames are decoded and segmented. A CPU that runs the network has no core to spare for that:
    measured on two, it is slower (benchmarks/LOG.md). No frame is decoded ahead of a network that
    is busy: it would wait there while newer ones come.

    :param streams: the cameras.
    :param running: says whether results can still be published.
    :param ego: hides the vehicle's own parts.
    """

    def __init__(self, streams: Sequence[Stream], running: Callable[[], bool],
                 ego: EgoMask | None = None) -> None:
        self._streams = streams
        self._running, self._ego = running, ego
        self._decoders = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix='decode')
        self._publishers = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix='publish')
        self._publishing: list[Future[None]] = []

    def run(self, segmenter: Segmenter, settings: Settings) -> None:
        """
        Serve the newest frame of every camera that has one, together.

        :param segmenter: to run.
        :param settings: as they are now.
        """
        segmenter.set_cache(settings.cache)  # which does nothing unless it has changed
        each = self._decoders.map if _leaves_cores(segmenter) else map
        taken = each(lambda stream: self._take(stream, settings), self._streams)
        pending = [frame for frame in taken if frame is not None]
        if pending:
            self._serve(pending, segmenter, settings)

    def finish(self) -> None:
        """Wait until everything is published."""
        wait(self._publishing)

    def _take(self, stream: Stream, settings: Settings) -> _Pending | None:
        """Return a camera's newest frame, None if there is none to segment."""
        taken = stream.camera.take()
        if taken is None:
            return None
        if not stream.outputs.wanted():
            stream.camera.counts['unheard'] += 1
            return None
        message, arrived = taken
        convert = decode_compressed if isinstance(message, CompressedImage) else to_bgr
        started = time.perf_counter()
        try:
            frame = convert(message, settings.max_image_pixels)
        except ImageMessageError as error:
            stream.camera.fail(str(error))
            return None
        return _Pending(stream, message, arrived, frame, (time.perf_counter() - started) * 1e3)

    def _serve(self, pending: Sequence[_Pending], segmenter: Segmenter, settings: Settings
               ) -> None:
        """Segment and publish frames; where that fails, each alone, so the good ones live."""
        try:
            results = segmenter.segment(
                [item.frame for item in pending],
                [_stream_name(item) for item in pending],
                [_nanoseconds(item) for item in pending])
        except Exception as error:  # whatever an engine raises, the node lives
            if len(pending) == 1:
                self._fail(pending[0], error)
            else:
                for item in pending:
                    self._serve([item], segmenter, settings)
            return
        self.finish()  # a camera's masks leave in order, and no queue grows
        if _leaves_cores(segmenter):
            self._publishing = [
                self._publishers.submit(self._publish, item, result, segmenter.labels, settings)
                for item, result in zip(pending, results)]
            return
        for item, result in zip(pending, results):
            self._publish(item, result, segmenter.labels, settings)

    def _publish(self, item: _Pending, result: Segmentation, labels: LabelSpace,
                 settings: Settings) -> None:
        """Publish one result and note how long it took."""
        started = time.perf_counter()
        try:
            shown = gate(result, settings.min_confidence)
            if self._ego is not None:
                shown = self._ego.hide(shown)
            item.stream.outputs.publish(
                item.message.header, item.frame, shown, labels, settings.overlay_alpha,
                item.stream.camera.info)
        except Exception as error:  # of the middleware: this frame's loss alone
            self._fail(item, error)
            return
        finished = time.perf_counter()
        item.stream.statistics.add(result.made, {
            'decode': item.decode_ms, **result.timing_ms, 'publish': (finished - started) * 1e3,
            'total': (finished - item.arrived) * 1e3})

    def _fail(self, item: _Pending, error: Exception) -> None:
        """Count a frame as failed, unless all that happened is that the node is leaving."""
        if self._running():
            item.stream.camera.fail(f'segmentation failed: {type(error).__name__}: {error}')


def _leaves_cores(segmenter: Segmenter) -> bool:
    """Return whether the network leaves the CPU to us."""
    return segmenter.device != 'cpu'


def gate(result: Segmentation, min_confidence: float) -> Segmentation:
    """
    Make pixels below a confidence unlabelled.

    :param result: of a frame.
    :param min_confidence: lowest probability that stays, in steps of 1/255.
    """
    if min_confidence <= 0 or result.confidence is None:
        return result
    ids = np.where(result.confidence < math.ceil(255 * min_confidence), np.uint8(UNLABELLED),
                   result.class_ids)
    return replace(result, class_ids=ids)


def _stream_name(item: _Pending) -> str:
    """Return a name that is another one wherever frames are not of one picture."""
    message = item.message
    encoding = message.format if isinstance(message, CompressedImage) else message.encoding
    return f'{item.stream.camera.topic} {message.header.frame_id} {encoding}'


def _nanoseconds(item: _Pending) -> int:
    """Return when a frame was taken; where its driver does not say, when it arrived."""
    stamp = item.message.header.stamp
    return stamp.sec * 10 ** 9 + stamp.nanosec or round(item.arrived * 1e9)
