"""Values on the command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def positive(text: str) -> float:
    """
    Read a number above zero, for argparse.

    :raises ArgumentTypeError: it is none.
    """
    value = float(text)
    if not 0 < value < float('inf'):
        raise ArgumentTypeError(f'must be positive, not {text}')
    return value


def new_folder(folder: Path) -> Path:
    """
    Return the folder to write to, which is new or empty.

    :raises ValueError: it is taken.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f'{folder} exists and is not an empty folder; nothing is overwritten: '
                         'remove it or choose another --out')
    return folder
