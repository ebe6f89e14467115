"""The vehicle's own parts in the picture, such as the bonnet: never labelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.inference.segmenter import Segmentation


class EgoMaskError(ValueError):
    """A picture of the vehicle's own parts that cannot be used."""


class EgoMask:
    """
    Where the vehicle sees itself.

    :param path: a PNG, non-zero where the vehicle is; its alpha does not count.
    :raises EgoMaskError: it cannot be read, or covers nothing or everything.
    """

    def __init__(self, path: str | Path) -> None:
        # read here, as imread complains of a missing file on stderr by itself
        try:
            data = np.frombuffer(Path(path).expanduser().read_bytes(), np.uint8)
        except OSError as error:
            raise EgoMaskError(f'ego_mask: cannot read {path}: {error.strerror}') from error
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if picture is None:
            raise EgoMaskError(f'ego_mask: {path} is no picture; give a PNG that is not zero '
                               'where the vehicle is')
        covered = picture.reshape(*picture.shape[:2], -1)[..., :3].any(axis=2)
        if covered.all() or not covered.any():
            raise EgoMaskError(f'ego_mask: {path} covers {"all" if covered.all() else "none"} of '
                               'the picture; it must be zero but for the vehicle')
        self._full = self._scaled = np.where(covered, np.uint8(255), np.uint8(0))

    def hide(self, result: Segmentation) -> Segmentation:
        """
        Make the vehicle's pixels unlabelled and their confidence 0.

        :param result: of a frame of any size, to which the mask is scaled by nearest neighbour;
            it is not written to.
        """
        height, width = result.class_ids.shape
        ego = self._scaled  # taken once: cameras publish side by side
        if ego.shape != (height, width):
            ego = self._scaled = cv2.resize(
                self._full, (width, height), interpolation=cv2.INTER_NEAREST)
        confidence = result.confidence
        if confidence is not None:
            confidence = confidence & ~ego
        # all bits set is 255, unlabelled
        return replace(result, class_ids=result.class_ids | ego, confidence=confidence)
