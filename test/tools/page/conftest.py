"""Set-up of the page's tests: a browser without a window."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import subprocess

import cv2
import numpy as np
import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


@dataclass(frozen=True)
class Seen:
    """
    A page as the browser has it.

    :param dom: HTML after the scripts have run.
    :param picture: (H, W, 3) uint8 BGR.
    :param console: what scripts and the browser said, errors among it.
    """

    dom: str
    picture: np.ndarray
    console: list[str]


class Browser:
    """
    Chromium.

    :param program: to start.
    :param folder: it may write to.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def open(self, page: Path, script: str = '', size: tuple[int, int] = (1000, 1000),
             dark: bool = False) -> Seen:
        """
        Look at a page.

        :param script: runs in it last, as a visitor's hands.
        :param size: (width, height) of the window.
        :param dark: what the visitor prefers.
        """
        used = page.with_name(f'used_{page.name}')
        used.write_text(page.read_text(encoding='utf-8').replace(
            '</body>', f'<script>{script}</script></body>'), encoding='utf-8')
        picture = self._folder / 'screenshot.png'
        picture.unlink(missing_ok=True)
        done = subprocess.run(
            [self._program, '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
             '--disable-dev-shm-usage', '--enable-logging=stderr',
             f'--user-data-dir={self._folder / "profile"}', '--virtual-time-budget=550',
             f'--blink-settings=preferredColorScheme={0 if dark else 1}',
             f'--window-size={size[0]},{size[1]}', f'--screenshot={picture}', '--dump-dom',
             used.as_uri()],
            env={**os.environ, 'HOME': str(self._folder)}, capture_output=True, text=True,
            timeout=100, check=False)
        assert picture.exists(), done.stderr
        return Seen(done.stdout, cv2.imread(str(picture)),
                    [line for line in done.stderr.splitlines() if 'CONSOLE' in line])


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Return Chromium; skip where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f'Chromium is not installed: none of {", ".join(NAMES)} is on the PATH')
    return Browser(program, tmp_path_factory.mktemp('browser'))
