"""Frames to the size a network works at, and masks back to the frame's."""

from __future__ import annotations

import math

import cv2
import numpy as np

from roadseg_ros.checkpoint import MAX_PIXELS

FRAME_HEIGHT = -1
CHECKPOINT_HEIGHT = 0
MAX_ASPECT = 16


class FrameError(ValueError):
    """A frame that cannot be segmented; the message names what is wrong with it."""


def check_frame(frame: np.ndarray) -> None:
    """
    Refuse what is not a picture.

    :raises FrameError: not (H, W, 3) uint8 with positive sides.
    """
    if (not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3
            or frame.dtype != np.uint8 or 0 in frame.shape):
        found = (f'{frame.dtype} {frame.shape}' if isinstance(frame, np.ndarray)
                 else type(frame).__name__)
        raise FrameError(f'a frame is (H, W, 3) uint8 BGR with positive sides, not {found}')


def network_size(frame_size: tuple[int, int], height: int) -> tuple[int, int]:
    """
    Return the (height, width) a frame is resized to, aspect kept.

    Very wide frames are limited by width instead, and all by `MAX_PIXELS`, so that no frame
    costs without bound.

    :param frame_size: (height, width) of the frame.
    :param height: to work at, or -1 for the frame's own.
    """
    own_height, own_width = frame_size
    if height == FRAME_HEIGHT:
        return own_height, own_width
    scale = min(height / own_height, height * MAX_ASPECT / own_width,
                math.sqrt(MAX_PIXELS / (own_height * own_width)))
    return max(1, round(own_height * scale)), max(1, round(own_width * scale))


def prepare_frame(frame: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """
    Resize a frame and pad it right and below to the size of `out`, repeating the edge.

    :param frame: (H, W, 3) uint8 BGR.
    :param size: (height, width) to resize to.
    :param out: (padded height, padded width, 3) uint8, written.
    """
    height, width = size
    if frame.shape[:2] != size:
        # area averaging only where it shrinks: it is the one that does not alias
        shrinks = frame.shape[0] > height
        frame = cv2.resize(frame, (width, height),
                           interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    out[:height, :width] = frame
    out[height:, :width] = frame[-1:]
    out[:, width:] = out[:, width - 1:width]


def padded_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return (height, width) rounded up to multiples of the stride."""
    return -(-size[0] // stride) * stride, -(-size[1] // stride) * stride


def restore(labels: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """
    Bring labels to the frame's size, nearest neighbour.

    :param labels: (h, w) uint8 ids or confidence.
    :param frame_size: (height, width) of the frame.
    :return: contiguous uint8 of the frame's size.
    """
    if labels.shape == frame_size:
        return np.ascontiguousarray(labels)
    return cv2.resize(labels, frame_size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
