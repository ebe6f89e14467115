"""Frames in, class ids out: what the node, the command line and training.evaluate run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import time

import numpy as np

from roadseg_ros.checkpoint import Checkpoint, load_checkpoint
from roadseg_ros.inference.engines import make_engine
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.preprocessing import (
    check_frame,
    CHECKPOINT_HEIGHT,
    network_size,
    padded_size,
    prepare_frame,
    restore,
)
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.reuse import Reuse


@dataclass(frozen=True)
class Segmentation:
    """
    What is known of one frame.

    :param class_ids: (H, W) uint8 of the frame's size, 255 = unlabelled.
    :param confidence: (H, W) uint8, round(255 * probability of the winner), or None.
    :param made: 'full' (the network saw this frame), 'warped' (carried along the flow from one
        it saw), or 'none' (nothing to show yet: all unlabelled).
    :param age_ms: of what it was made from.
    :param change: grey levels by which the frame differs from the one before after its motion.
    :param timing_ms: milliseconds per stage; a batch's network time is shared out evenly.
    """

    class_ids: np.ndarray
    confidence: np.ndarray | None
    made: str = 'full'
    age_ms: float = 0.0
    change: float = 0.0
    timing_ms: Mapping[str, float] = field(default_factory=dict)


class Segmenter:
    """
    Segment frames of any size from one or more streams.

    Each frame is resized, aspect kept, to the height the network was trained at, padded right
    and below, and its ids come back to the frame's size by nearest neighbour.

    :param checkpoint: path of a `.safetensors` file, or a checkpoint.
    :param device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
    :param engine: 'auto', 'torch' or 'openvino'.
    :param cache: a policy's name or its settings; 'off' computes every frame.
    :param inference_height: pixels the network works at; 0 = the checkpoint's, -1 = the
        frame's own.
    :raises CheckpointError: the checkpoint cannot be read or does not fit.
    :raises EngineError: the engine or device is unknown or absent.
    :raises ValueError: unknown cache policy or height.
    """

    def __init__(self, checkpoint: str | Path | Checkpoint, *, device: str = 'auto',
                 engine: str = 'auto', cache: str | CacheSettings = 'off',
                 inference_height: int = 0) -> None:
        settings = cache if isinstance(cache, CacheSettings) else CacheSettings(cache)
        if inference_height < -1:
            raise ValueError(f'inference_height is -1, 0 or pixels, not {inference_height}')
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.labels = checkpoint.labels
        self._engine = make_engine(checkpoint, device, engine)
        self._height = (checkpoint.preprocessing.height
                        if inference_height == CHECKPOINT_HEIGHT else inference_height)
        self._reuse: Reuse | None = None
        self.set_cache(settings)

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

    @property
    def cache(self) -> CacheSettings:
        """Return the policy in use."""
        return CacheSettings() if self._reuse is None else self._reuse.settings

    @property
    def cache_resets(self) -> Mapping[str, int]:
        """Return how often streams began anew, by reason."""
        return {} if self._reuse is None else self._reuse.cache.resets

    def set_cache(self, settings: CacheSettings) -> None:
        """
        Change the policy; what is kept of the streams is forgotten if it is another one.

        :param settings: from now on.
        """
        if settings == self.cache:
            return
        if self._reuse is not None:
            self._reuse.close()
        self._reuse = None
        if settings.policy != 'off':
            self._reuse = Reuse(self._predict, self._network_size, settings)

    def reset_cache(self) -> None:
        """Forget what is kept of all streams."""
        if self._reuse is not None:
            self._reuse.cache.reset()

    def warm_up(self, height: int = 0, width: int = 0) -> None:
        """
        Run a frame, so that the first real one is not slow.

        :param height: of the frames to come, pixels; 0 = as trained.
        :param width: likewise.
        """
        trained = self.checkpoint.preprocessing
        frame = np.zeros((height or trained.height, width or trained.width, 3), np.uint8)
        for _ in range(2):
            self._predict([frame])

    def close(self) -> None:
        """Give the device's memory back; nothing can be segmented afterwards."""
        self.set_cache(CacheSettings())
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
        for frame in frames:
            check_frame(frame)
        if self._reuse is None:
            predictions = self._predict(frames)
        else:
            predictions = self._reuse.predict(
                frames, streams or [''] * len(frames),
                stamps or [time.monotonic_ns()] * len(frames))
        return [_restored(prediction) for prediction in predictions]

    def _network_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) that frames of a size are resized to."""
        return network_size(frame_size, self._height)

    def _predict(self, frames: Sequence[np.ndarray]) -> list[Prediction]:
        """Run the network; frames of one size go through it together."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, frame in enumerate(frames):
            groups.setdefault(frame.shape[:2], []).append(index)
        results: dict[int, Prediction] = {}
        for indices in groups.values():
            batch = self._predict_batch([frames[index] for index in indices])
            results.update(zip(indices, batch))
        return [results[index] for index in range(len(frames))]

    def _predict_batch(self, frames: Sequence[np.ndarray]) -> list[Prediction]:
        """Run the network on frames of one size."""
        start = time.perf_counter()
        frame_size = frames[0].shape[:2]
        size = self._network_size(frame_size)
        batch = np.empty((len(frames), *padded_size(size, self._engine.input_stride), 3),
                         np.uint8)
        for frame, out in zip(frames, batch):
            prepare_frame(frame, size, out)
        prepared = time.perf_counter()
        ids, confidence = self._engine.run(batch)
        share = 1e3 / len(frames)
        timing = {'preprocess': (prepared - start) * share,
                  'network': (time.perf_counter() - prepared) * share}
        return [Prediction(mask[:size[0], :size[1]], certainty[:size[0], :size[1]], frame_size,
                           timing_ms=timing) for mask, certainty in zip(ids, confidence)]


def _restored(prediction: Prediction) -> Segmentation:
    """Bring a prediction to its frame's size."""
    start = time.perf_counter()
    ids, confidence = (restore(labels, prediction.frame_size)
                       for labels in (prediction.class_ids, prediction.confidence))
    timing = {**prediction.timing_ms, 'postprocess': (time.perf_counter() - start) * 1e3}
    return Segmentation(ids, confidence, prediction.made, prediction.age_ms, prediction.change,
                        timing)
