"""Folders of results, which a command marks as its own and replaces the next time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def may_replace(folder: Path, summary: Path, made_by: str) -> bool:
    """
    Return whether a folder is new, empty, or holds what the same command left.

    :param folder: to write to.
    :param summary: the marked file in it.
    :param made_by: the command.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return True
    try:
        earlier = json.loads(summary.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    return isinstance(earlier, dict) and earlier.get('made_by') == made_by


def write_marked(summary: Path, made_by: str, content: dict[str, Any]) -> dict[str, Any]:
    """Write JSON that says which command made it; return what is written."""
    marked = {'made_by': made_by, **content}
    summary.write_text(json.dumps(marked, indent=2) + '\n', encoding='utf-8')
    return marked
