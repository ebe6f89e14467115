"""A half-size look at the frames between keys, and a learned choice between it and the warp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import time
from typing import Protocol

import numpy as np

from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.preprocessing import restore
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.reuse import Predict, Reuse
from roadseg_ros.labels import UNLABELLED

Labels = tuple[np.ndarray, np.ndarray]  # class ids and confidence, (h, w) uint8
LEAST, MOST = 0.02, 0.995  # probabilities are taken to lie between, for finite log-odds


class Choice(Protocol):
    """What decides between two labels of a pixel."""

    def choose(self, carried: Labels, seen: Labels) -> Labels:
        """
        Return labels that are one or the other in every pixel, and how sure they are.

        :param carried: along the flow from a key frame; confidence has fallen with its age.
        :param seen: by the network in this frame at half its size, enlarged.
        """


@dataclass(frozen=True)
class GateWeights:
    """
    The numbers of a logistic model: the log-odds that the newly seen label is the better one.

    :param bias: of every pixel.
    :param carried: for each unit of log-odds of the carried label's confidence.
    :param seen: likewise of the new label's.
    :param doubt: where the flow is not to be trusted.
    """

    bias: float
    carried: float
    seen: float
    doubt: float


# python -m training.gate --root data/camvid
WEIGHTS = GateWeights(bias=-1.319, carried=-1.005, seen=0.188, doubt=0.764)


class Gate:
    """
    Choose by a logistic model; it knows no classes, so that it is for every label space.

    :param weights: of the model.
    """

    def __init__(self, weights: GateWeights = WEIGHTS) -> None:
        self._carried = weights.bias + weights.carried * log_odds()
        self._carried[0] = weights.bias + weights.doubt
        self._seen = weights.seen * log_odds()

    def choose(self, carried: Labels, seen: Labels) -> Labels:
        """
        Return the likelier label of each pixel; where both agree, the higher confidence.

        :param carried: class ids and confidence, (h, w) uint8; confidence 0 = doubtful flow.
        :param seen: likewise.
        """
        ids, confidence = carried[0].copy(), np.maximum(carried[1], seen[1])
        pixels = np.flatnonzero(ids != seen[0])
        old, sure, new, new_sure = (labels.ravel()[pixels] for labels in (*carried, *seen))
        better = self._carried[sure] + self._seen[new_sure] > 0
        better |= old == UNLABELLED  # it comes from outside the picture: there is no other label
        ids.ravel()[pixels] = np.where(better, new, old)
        confidence.ravel()[pixels] = np.where(better, new_sure, sure)
        return ids, confidence


class Corrected(Reuse):
    """
    Carry masks along the flow, and look at each frame at half the size to correct them.

    :param predict: runs the network on frames of any sizes.
    :param look: runs it on one frame at half its size.
    :param network_size: (height, width) of a frame's to the network's.
    :param settings: the policy; without `background`, as the look would wait for the key.
    :param gate: chooses between what is carried and what is seen (default: the fitted one).
    """

    def __init__(self, predict: Predict, look: Callable[[np.ndarray], Prediction],
                 network_size: Callable[[tuple[int, int]], tuple[int, int]],
                 settings: CacheSettings, gate: Choice | None = None) -> None:
        super().__init__(predict, network_size, settings)
        self._look, self._gate = look, gate or Gate()

    def _without_network(self, frame: np.ndarray, stream: str, stamp_ns: int
                         ) -> Prediction | None:
        """Return a corrected prediction, None for a key."""
        carried = super()._without_network(frame, stream, stamp_ns)
        return None if carried is None else self._correct(frame, carried)

    def _correct(self, frame: np.ndarray, carried: Prediction) -> Prediction:
        """Put what is carried together with what is seen."""
        seen = self._look(frame)
        started = time.perf_counter()
        size = carried.class_ids.shape
        ids, confidence = self._gate.choose(
            (carried.class_ids, carried.confidence),
            (restore(seen.class_ids, size), restore(seen.confidence, size)))
        timing = {**carried.timing_ms, **seen.timing_ms,
                  'gate': (time.perf_counter() - started) * 1e3}
        return replace(carried, class_ids=ids, confidence=confidence, timing_ms=timing)


def log_odds() -> np.ndarray:
    """Return (256,) float32, the log-odds of each uint8 confidence."""
    probability = np.clip(np.arange(256) / 255, LEAST, MOST)
    return np.log(probability / (1 - probability)).astype(np.float32)
