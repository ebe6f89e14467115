"""Pictures as files: class ids as PNG, pictures for people as JPEG, each whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

# class ids lie in runs: smaller and no slower than zlib's own strategy
PNG_FLAGS = (cv2.IMWRITE_PNG_COMPRESSION, 1,
             cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
JPEG_FLAGS = (cv2.IMWRITE_JPEG_QUALITY, 90)
# what these files end with
LAST_BYTES = {'.png': b'\0\0\0\0IEND\xaeB`\x82', '.jpg': b'\xff\xd9'}


class UnwritableFrame(ValueError):
    """A frame that this output cannot hold; others may fit."""


def encode(suffix: str, picture: np.ndarray) -> np.ndarray:
    """
    Return a picture as the bytes of a file.

    :param suffix: '.png' or '.jpg'.
    :param picture: (H, W) uint8 or (H, W, 3) uint8 BGR.
    :return: (N,) uint8.
    :raises UnwritableFrame: the format cannot hold it.
    """
    good, data = cv2.imencode(suffix, picture, PNG_FLAGS if suffix == '.png' else JPEG_FLAGS)
    if not good:
        raise UnwritableFrame(f'{picture.shape[1]}x{picture.shape[0]} pixels do not fit {suffix}')
    return data


def write_whole(path: Path, data: np.ndarray) -> None:
    """
    Write a file that appears only when it is complete.

    :param path: of the file; its folder is made.
    :param data: (N,) uint8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # short: a name may have 255 bytes, and the file's own may need them all
    partial = path.with_name('.partial')
    try:
        partial.write_bytes(data.tobytes())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Return whether a PNG or JPEG file is there to its last byte."""
    last = LAST_BYTES[path.suffix]
    try:
        with path.open('rb') as file:
            file.seek(-len(last), os.SEEK_END)
            return file.read() == last
    except OSError:  # missing, or shorter than that
        return False
