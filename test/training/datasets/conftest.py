"""Set-up shared by the tests of data sets: folders that are written picture by picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file below `tmp_path`: a picture, or text."""
    def write_file(name: str, content: np.ndarray | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        else:
            assert cv2.imwrite(str(path), content)
        return path
    return write_file


@pytest.fixture
def sideways(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a 6x8 JPEG, left half white, that asks to be turned."""
    from PIL import Image

    def write_file(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((6, 8, 3), np.uint8)
        pixels[:, :4] = 255
        exif = Image.Exif()
        exif[274] = 6  # orientation: turn by 90 degrees clockwise
        Image.fromarray(pixels).save(path, exif=exif, quality=100)
        return path
    return write_file
