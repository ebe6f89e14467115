"""What the figures were measured on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
import re
from typing import Any

import cv2


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory and versions; what is not known is None."""
    return {
        'processor': _processor(), 'cores': len(os.sched_getaffinity(0)),
        'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9, 1),
        'system': platform.platform(), 'python': platform.python_version(),
        'torch': _version('torch'), 'openvino': _version('openvino'),
        'opencv': cv2.__version__, 'roadseg_ros': _version('roadseg_ros')}


def _processor() -> str:
    """Return the name the processor gives itself."""
    try:
        found = re.search(r'^model name\s*: (.*)$',
                          Path('/proc/cpuinfo').read_text(encoding='utf-8'), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    """Return the version of an installed package, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
