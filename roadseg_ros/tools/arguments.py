"""Values on the command line."""

from __future__ import annotations

from argparse import ArgumentTypeError


def positive(text: str) -> float:
    """
    Read a number above zero, for argparse.

    :raises ArgumentTypeError: it is none.
    """
    value = float(text)
    if not 0 < value < float('inf'):
        raise ArgumentTypeError(f'must be positive, not {text}')
    return value
