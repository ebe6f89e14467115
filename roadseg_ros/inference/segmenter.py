"""Frames in, class ids out: what the node, the command line and training.evaluate run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import time

import numpy as np

from roadseg_ros.checkpoint import Checkpoint, load_checkpoint
from roadseg_ros.inference.engines import make_engine
from roadseg_ros.inference.preprocessing import (
    check_frame,
    CHECKPOINT_HEIGHT,
    network_size,
    padded_size,
    prepare_frame,
    restore,
)

CACHE_POLICIES = ('off',)


@dataclass(frozen=True)
class Segmentation:
    """
    What is known of one frame.

    :param class_ids: (H, W) uint8 of the frame's size, 255 = unlabelled.
    :param confidence: (H, W) uint8, round(255 * probability of the winner), or None.
    :param made: 'full' (the network saw this frame), 'cached' or 'warped'.
    :param age_ms: of the features it was made from.
    :param timing_ms: milliseconds per stage; a batch's network time is shared out evenly.
    """

    class_ids: np.ndarray
    confidence: np.ndarray | None
    made: str = 'full'
    age_ms: float = 0.0
    timing_ms: Mapping[str, float] = field(default_factory=dict)


class Segmenter:
    """
    Segment frames of any size from one or more streams.

    Each frame is resized, aspect kept, to the height the network was trained at, padded right
    and below, and its ids come back to the frame's size by nearest neighbour.

    :param checkpoint: path of a `.safetensors` file, or a checkpoint.
    :param device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
    :param engine: 'auto', 'torch', 'openvino' or 'openvino_int8'.
    :param cache: 'off', every frame is computed.
    :param inference_height: pixels the network works at; 0 = the checkpoint's, -1 = the
        frame's own.
    :raises CheckpointError: the checkpoint cannot be read or does not fit.
    :raises EngineError: the engine or device is unknown or absent.
    :raises ValueError: unknown cache policy or height.
    """

    def __init__(self, checkpoint: str | Path | Checkpoint, *, device: str = 'auto',
                 engine: str = 'auto', cache: str = 'off', inference_height: int = 0) -> None:
        if cache not in CACHE_POLICIES:
            raise ValueError(
                f'unknown cache policy {cache!r}; supported: {", ".join(CACHE_POLICIES)}')
        if inference_height < -1:
            raise ValueError(f'inference_height is -1, 0 or pixels, not {inference_height}')
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.labels = checkpoint.labels
        self._engine = make_engine(checkpoint, device, engine)
        self._height = (checkpoint.preprocessing.height
                        if inference_height == CHECKPOINT_HEIGHT else inference_height)

    @property
    def device(self) -> str:
        """Return the device in use, such as 'cpu' or 'cuda:0'."""
        return self._engine.device

    @property
    def engine(self) -> str:
        """Return the name of the engine in use."""
        return self._engine.name

    @property
    def fallback(self) -> str | None:
        """Return why `auto` did not get its first choice, or None."""
        return self._engine.fallback

    def warm_up(self, height: int = 0, width: int = 0) -> None:
        """
        Run a frame, so that the first real one is not slow.

        :param height: of the frames to come, pixels; 0 = as trained.
        :param width: likewise.
        """
        trained = self.checkpoint.preprocessing
        frame = np.zeros((height or trained.height, width or trained.width, 3), np.uint8)
        for _ in range(2):
            self.segment([frame])

    def close(self) -> None:
        """Give the device's memory back; nothing can be segmented afterwards."""
        self._engine.close()

    def segment(self, frames: Sequence[np.ndarray], streams: Sequence[str] | None = None,
                stamps: Sequence[int] | None = None) -> list[Segmentation]:
        """
        Segment frames; those of one size go through the network together.

        :param frames: (H, W, 3) uint8 BGR each, sizes may differ.
        :param streams: which camera each frame is from (default: all from one).
        :param stamps: when each was taken, integer nanoseconds.
        :return: one result a frame, in order.
        :raises FrameError: a frame is not a picture.
        :raises ValueError: streams or stamps do not number the frames.
        """
        for name, values in (('streams', streams), ('stamps', stamps)):
            if values is not None and len(values) != len(frames):
                raise ValueError(f'{len(frames)} frames but {len(values)} {name}')
        groups: dict[tuple[int, int], list[int]] = {}
        for index, frame in enumerate(frames):
            check_frame(frame)
            groups.setdefault(frame.shape[:2], []).append(index)
        results: dict[int, Segmentation] = {}
        for indices in groups.values():
            batch = self._segment_batch([frames[index] for index in indices])
            results.update(zip(indices, batch))
        return [results[index] for index in range(len(frames))]

    def _segment_batch(self, frames: Sequence[np.ndarray]) -> list[Segmentation]:
        """Segment frames of one size."""
        start = time.perf_counter()
        frame_size = frames[0].shape[:2]
        size = network_size(frame_size, self._height)
        batch = np.empty((len(frames), *padded_size(size, self._engine.input_stride), 3),
                         np.uint8)
        for frame, out in zip(frames, batch):
            prepare_frame(frame, size, out)
        prepared = time.perf_counter()
        ids, confidence = self._engine.run(batch)
        run = time.perf_counter()
        masks = [(restore(mask, size, frame_size), restore(certainty, size, frame_size))
                 for mask, certainty in zip(ids, confidence)]
        share = 1e3 / len(frames)
        timing = {'preprocess': (prepared - start) * share, 'network': (run - prepared) * share,
                  'postprocess': (time.perf_counter() - run) * share}
        return [Segmentation(mask, certainty, timing_ms=timing) for mask, certainty in masks]
