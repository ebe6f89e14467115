"""What a field of a recipe may hold, said once for the check and for its message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import math
from typing import Any, NamedTuple


class Check(NamedTuple):
    """What is wanted, in words, and whether a value is that."""

    wanted: str
    fits: Callable[[Any], bool]


def whole(low: int) -> Check:
    """Return the check for whole numbers from `low` on."""
    return Check(f'a whole number from {low}', lambda value: type(value) is int and value >= low)


def number(low: float, high: float = math.inf) -> Check:
    """Return the check for numbers in [low, high]."""
    limits = f'from {low}' if high == math.inf else f'in {low}..{high}'
    # YAML reads 1e-3 as text, so people meet this one
    return Check(f'a number {limits} (YAML wants 1.0e-3 for 1e-3)', lambda value: (
        type(value) in (int, float) and math.isfinite(value) and low <= value <= high))


def ascending_pair(check: Check) -> Check:
    """Return the check for two values of a kind, the first not above the second."""
    both = pair(check)
    return Check(f'{both.wanted}, the lower first',
                 lambda value: both.fits(value) and value[0] <= value[1])


def pair(check: Check) -> Check:
    """Return the check for lists of two values of a kind."""
    return Check(f'a list of two, each {check.wanted}', lambda value: (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(map(check.fits, value))))


def optional(check: Check) -> Check:
    """Return the check that also lets a field be left empty."""
    return Check(f'{check.wanted}, or nothing',
                 lambda value: value is None or check.fits(value))


def one_of(*names: str) -> Check:
    """Return the check for a few words."""
    return Check(f'one of {", ".join(names)}', lambda value: value in names)


def named_list(what: str, key: str) -> Check:
    """Return the check for lists of mappings that each name one thing."""
    return Check(f'a list of {what}, each {{{key}: name, ...}}', lambda value: (
        isinstance(value, (list, tuple)) and len(value) > 0
        and all(isinstance(entry, Mapping) and isinstance(entry.get(key), str)
                for entry in value)))


TEXT = Check('text', lambda value: isinstance(value, str))
MAPPING = Check('a mapping', lambda value: isinstance(value, Mapping))
DATASETS = named_list('data sets', 'dataset')
LOSSES = named_list('losses', 'loss')


def check_fields(fields: object, checks: Mapping[str, Check], prefix: str = '') -> None:
    """
    Check the attributes of an object.

    :param fields: the object.
    :param checks: by the name of the attribute.
    :param prefix: put before the name in the message.
    :raises ValueError: names the first field that does not fit, what is wanted and what it is.
    """
    for name, check in checks.items():
        value = getattr(fields, name)
        if not check.fits(value):
            found = list(value) if isinstance(value, tuple) else value
            raise ValueError(f'{prefix}{name} must be {check.wanted}, not {found!r}')
