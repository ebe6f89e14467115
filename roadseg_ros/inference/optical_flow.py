"""Where each pixel was a frame ago, by dense optical flow, and what is carried along it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

SHARE = 0.5  # of the network's size is enough for the flow, and is a quarter of the work
MAX_HEIGHT = 180  # rows; more cost time and bring nothing
PATCH_STRIDE = 5  # pixels; OpenCV's 4 is no better for a search that begins at the last flow
CHECK_STEP = 4  # of the pixels in each direction are checked
TOLERANCE, RELATIVE_TOLERANCE = 4.0, 0.2  # square pixels, and of the squared flows
# Another scene: the share of the picture that is unsure, and of its contrast that the motion does
# not explain. Drives stay below 0.20, cuts lie above 0.28 (benchmarks/LOG.md)
CUT_UNSURE, CUT_RESIDUAL = 0.15, 0.25
NOISE = 10.0  # grey levels; a picture of less contrast is judged as if it had that much
_NO_MAP: Any = None  # what OpenCV's stubs ask for and OpenCV does not
_NO_FLOW = _NO_MAP
MIN_SIDE = 32  # pixels; OpenCV reads outside of smaller pictures


@dataclass(frozen=True)
class Motion:
    """
    How a picture follows from the one before.

    :param flow: (h, w, 2) float32, from each pixel back to where it was: x, y in pixels.
    :param unsure: (h', w') uint8, 1 where the flow there and the flow back disagree; coarser.
    :param residual: grey levels that differ after the motion, a change of exposure left out.
    :param contrast: of the picture: mean distance from its median, grey levels.
    """

    flow: np.ndarray
    unsure: np.ndarray
    residual: float
    contrast: float

    @property
    def is_cut(self) -> bool:
        """Return whether this is another scene."""
        unexplained = self.residual / max(self.contrast, NOISE)
        return unexplained > 1 or (
            unexplained > CUT_RESIDUAL and float(self.unsure.mean()) > CUT_UNSURE)


class FlowEstimator:
    """
    Dense inverse search (Kroeger et al., 2016) that begins where the last motion leads.

    Without mean normalisation: consecutive frames share their exposure, and thin things are
    followed better. Not safe between threads.
    """

    def __init__(self) -> None:
        self._flow = _inverse_search()
        self._flow.setFinestScale(0)
        self._flow.setPatchStride(PATCH_STRIDE)
        self._check = _inverse_search()

    def estimate(self, before: np.ndarray, now: np.ndarray, last: Motion | None = None) -> Motion:
        """
        Estimate the motion between two pictures and check it (Sundaram et al., 2010).

        :param before: (h, w) uint8 of `flow_picture`.
        :param now: the next one, of the same size.
        :param last: the motion before, of the same size, if there was one.
        """
        # OpenCV writes the flow over the guess
        back = self._flow.calc(now, before, _NO_FLOW if last is None else last.flow.copy())
        forth = self._check.calc(before, now, _NO_FLOW if last is None else -last.flow)
        coarse = grid(*now.shape)[::CHECK_STEP, ::CHECK_STEP]
        back_there = cv2.resize(back, coarse.shape[1::-1], interpolation=cv2.INTER_AREA)
        origins = cv2.add(coarse, back_there)
        forth_there, came_from = (
            cv2.remap(picture, origins, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for picture in (forth, before))
        sampled = now[::CHECK_STEP, ::CHECK_STEP]
        return Motion(back, _disagree(back_there, forth_there),
                      _spread(came_from.astype(np.int16) - sampled), _spread(sampled))


def flow_picture(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """
    Return what flow is estimated on.

    :param frame: (H, W, 3) uint8 BGR.
    :param size: (height, width) the network works at.
    :return: (h, w) uint8 grey, of `SHARE` of that size or of `MAX_HEIGHT` rows.
    """
    scale = min(SHARE, MAX_HEIGHT / size[0])
    height, width = (max(MIN_SIDE, round(side * scale)) for side in size)
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    if grey.shape == (height, width):
        return grey
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def network_flow(motion: Motion, size: tuple[int, int], padded: tuple[int, int]) -> np.ndarray:
    """
    Return a motion as a network takes it that warps features of its own.

    :param motion: between two frames.
    :param size: (height, width) the frames are resized to.
    :param padded: (height, width) they are padded to, right and below.
    :return: (2, padded height, padded width) float32, x and y in pixels of that size; the padding
        moves as the edge does.
    """
    height, width = size
    scale = width / motion.flow.shape[1], height / motion.flow.shape[0], 0, 0
    flow = cv2.resize(cv2.multiply(motion.flow, np.array(scale)), (width, height))
    flow = cv2.copyMakeBorder(flow, 0, padded[0] - height, 0, padded[1] - width,
                              cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


@lru_cache(maxsize=8)
def grid(height: int, width: int) -> np.ndarray:
    """Return (height, width, 2) float32: each pixel's own x and y. Do not write to it."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.dstack((columns, rows))


class Path:
    """
    Where the pixels of the newest picture were in an older one, frame to frame.

    Chained steps lose less than one flow over the whole time: 84.0 against 82.4 points for
    labels five frames apart. `steps` counts the pictures.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._flow: np.ndarray | None = None
        self._trust: np.ndarray | None = None  # (h, w) uint8, 255 or 0

    def extend(self, motion: Motion) -> None:
        """Go one picture further."""
        self.steps += 1
        size = motion.flow.shape[1::-1]
        trust = cv2.resize((motion.unsure == 0) * np.uint8(255), size,
                           interpolation=cv2.INTER_NEAREST)
        if self._flow is None or self._trust is None:
            self._flow, self._trust = motion.flow, trust
            return
        origins = cv2.add(grid(*size[::-1]), motion.flow)
        # what comes from outside goes on as the edge did, so that it stays outside
        before = cv2.remap(self._flow, origins, _NO_MAP, cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE)
        self._flow = cv2.add(before, motion.flow)
        carried = cv2.remap(self._trust, origins, _NO_MAP, cv2.INTER_NEAREST,
                            borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        self._trust = cv2.bitwise_and(trust, carried)

    def moved(self, step: int) -> np.ndarray:
        """
        Return how far pixels have come.

        :param step: of so many only one, in both directions.
        :return: (ceil(h / step), ceil(w / step)) float32, |x| + |y| in pixels of the flow; one
            zero before the first step.
        """
        if self._flow is None:
            return np.zeros((1, 1), np.float32)
        return np.abs(self._flow[::step, ::step]).sum(2)

    def carry(self, ids: np.ndarray, confidence: np.ndarray, outside: int
              ) -> tuple[np.ndarray, np.ndarray]:
        """
        Bring the labels of the older picture to the newest.

        :param ids: (H, W) uint8, of any size.
        :param confidence: likewise.
        :param outside: the id of pixels that come from outside the picture.
        :return: ids and confidence, (H, W) uint8; the confidence is 0 where the motion is not
            to be trusted.
        """
        if self._flow is None or self._trust is None:
            return ids, confidence
        flow, trust = self._flow, self._trust
        height, width = ids.shape
        if trust.shape != ids.shape:
            scale = np.array((width / trust.shape[1], height / trust.shape[0], 0, 0))
            # numpy takes ten times as long to multiply by two numbers
            flow = cv2.resize(cv2.multiply(flow, scale), (width, height))
            trust = cv2.resize(trust, (width, height), interpolation=cv2.INTER_NEAREST)
        # once to fixed point, as two pictures go along it
        origins, _ = cv2.convertMaps(cv2.add(grid(height, width), flow), _NO_MAP, cv2.CV_16SC2,
                                     nninterpolation=True)
        ids, confidence = (
            cv2.remap(picture, origins, _NO_MAP, cv2.INTER_NEAREST,
                      borderMode=cv2.BORDER_CONSTANT, borderValue=border)
            for picture, border in ((ids, outside), (confidence, 0)))
        return ids, cv2.bitwise_and(confidence, trust)


def _inverse_search() -> cv2.DISOpticalFlow:
    """Return OpenCV's fastest flow, as it is tuned here."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setUseMeanNormalization(False)
    return flow


def _disagree(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """Return 1 where going there and back does not lead home, uint8."""
    error = np.square(back + forth).sum(2)
    flow = np.square(back).sum(2) + np.square(forth).sum(2)
    return (error > RELATIVE_TOLERANCE * flow + TOLERANCE).astype(np.uint8)


def _spread(values: np.ndarray) -> float:
    """Return the mean distance from the median."""
    return float(np.abs(values - np.median(values)).mean())
