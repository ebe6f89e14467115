"""Where each pixel was a frame ago, by dense optical flow, and what is carried along it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

MAX_HEIGHT = 360  # rows the flow is computed at; more cost time and bring nothing
CHECK_SCALE, CHECK_STEP = 2, 4  # checked at half size on every fourth pixel: 0.6 ms, not 4
TOLERANCE, RELATIVE_TOLERANCE = 4.0, 0.2  # square pixels, and of the squared flows
CUT_SHARE, CUT_RESIDUAL = 0.25, 8.0  # of the picture, grey levels; measured in benchmarks/LOG.md
OUTSIDE = -1e4  # a coordinate outside of every picture
_NO_MAP: Any = None  # what OpenCV's stubs ask for and OpenCV does not
_NO_FLOW = _NO_MAP
MIN_SIDE = 32  # pixels; inverse search needs room for its patches


@dataclass(frozen=True)
class Motion:
    """
    How a picture follows from the one before.

    :param origins: (h, w, 2) float32, where each pixel was: x, y in pixels of the one before.
    :param unsure: (h', w') uint8, 1 where the flow there and the flow back disagree; coarser.
    :param residual: grey levels that differ after the motion, a change of exposure left out.
    """

    origins: np.ndarray
    unsure: np.ndarray
    residual: float

    @property
    def is_cut(self) -> bool:
        """Return whether this is another scene."""
        return self.residual > CUT_RESIDUAL and float(self.unsure.mean()) > CUT_SHARE


class FlowEstimator:
    """
    Dense inverse search (Kroeger et al., 2016), one scale finer than OpenCV's ultrafast preset.

    Without mean normalisation: consecutive frames share their exposure, and thin things are
    followed better. Not safe between threads.
    """

    def __init__(self) -> None:
        self._flow = _inverse_search()
        self._flow.setFinestScale(1)
        self._check = _inverse_search()

    def estimate(self, before: np.ndarray, now: np.ndarray) -> Motion:
        """
        Estimate the motion between two pictures and check it (Sundaram et al., 2010).

        :param before: (h, w) uint8 of `flow_picture`.
        :param now: the next one, of the same size.
        """
        back = self._flow.calc(now, before, _NO_FLOW)
        height, width = now.shape
        size = (max(width // CHECK_SCALE, 1), max(height // CHECK_SCALE, 1))
        small_before, small_now = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                                   for picture in (before, now))
        forth = self._check.calc(small_before, small_now, _NO_FLOW)
        coarse = grid(size[1], size[0])[::CHECK_STEP, ::CHECK_STEP]
        back_there = cv2.resize(back, coarse.shape[1::-1], interpolation=cv2.INTER_AREA)
        back_there = back_there * np.float32(1 / CHECK_SCALE)
        origins = coarse + back_there
        forth_there, came_from = (
            cv2.remap(picture, origins, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for picture in (forth, small_before))
        difference = came_from.astype(np.int16) - small_now[::CHECK_STEP, ::CHECK_STEP]
        residual = float(np.abs(difference - np.median(difference)).mean())
        return Motion(grid(height, width) + back, _disagree(back_there, forth_there), residual)


def flow_picture(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """
    Return what flow is estimated on.

    :param frame: (H, W, 3) uint8 BGR.
    :param size: (height, width) the network works at.
    :return: (h, w) uint8 grey, of that size or of `MAX_HEIGHT` rows.
    """
    scale = min(1.0, MAX_HEIGHT / size[0])
    height, width = (max(MIN_SIDE, round(side * scale)) for side in size)
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    if grey.shape == (height, width):
        return grey
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


@cache
def grid(height: int, width: int) -> np.ndarray:
    """Return (height, width, 2) float32: each pixel's own x and y. Do not write to it."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.dstack((columns, rows))


class Path:
    """
    Where the pixels of the newest picture were in an older one, frame to frame.

    Chained steps lose less than one flow over the whole time: 84.0 against 82.4 points for
    labels five frames apart.

    :param shape: (h, w) of the flow pictures.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._origins = grid(*shape)
        self._doubt: np.ndarray | None = None

    def extend(self, motion: Motion) -> None:
        """Go one picture further."""
        self._origins = cv2.remap(
            self._origins, motion.origins, _NO_MAP, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(OUTSIDE, OUTSIDE))
        doubt = cv2.resize(motion.unsure, motion.origins.shape[1::-1],
                           interpolation=cv2.INTER_NEAREST)
        if self._doubt is not None:
            carried = cv2.remap(self._doubt, motion.origins, _NO_MAP, cv2.INTER_NEAREST,
                                borderMode=cv2.BORDER_CONSTANT, borderValue=1)
            doubt = cv2.bitwise_or(doubt, carried)
        self._doubt = doubt

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
        height, width = ids.shape
        origins = self._origins
        if origins.shape[:2] != ids.shape:
            scale = np.array((width / origins.shape[1], height / origins.shape[0]), np.float32)
            origins = cv2.resize((origins + 0.5) * scale - 0.5, (width, height))
        # once to fixed point, as two pictures go along it
        nearest, _ = cv2.convertMaps(origins, _NO_MAP, cv2.CV_16SC2, nninterpolation=True)
        ids = cv2.remap(ids, nearest, _NO_MAP, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
                        borderValue=outside)
        confidence = cv2.remap(confidence, nearest, _NO_MAP, cv2.INTER_NEAREST,
                               borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        if self._doubt is not None:
            doubt = self._doubt
            if doubt.shape != ids.shape:
                doubt = cv2.resize(doubt, (width, height), interpolation=cv2.INTER_NEAREST)
            confidence[doubt.view(bool)] = 0
        return ids, confidence


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
