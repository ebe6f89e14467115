"""The label space: which ids a mask may hold, their names and their colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from roadseg_ros.share import share_file

UNLABELLED = 255
MAX_CLASSES = 255


class LabelSpaceError(ValueError):
    """A label space that cannot be read or contradicts itself."""


@dataclass(frozen=True)
class LabelSpace:
    """
    Classes in id order.

    :param names: unique, non-empty class names; the index is the id.
    :param colors: an RGB colour in [0, 255] for each class.
    :raises LabelSpaceError: names and colours do not fit each other or an 8-bit mask.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        """Refuse what an 8-bit mask cannot hold or a planner could not key on."""
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise LabelSpaceError(
                f'a label space has 1 to {MAX_CLASSES} classes (255 means unlabelled), '
                f'this one {len(self.names)}')
        if any(not isinstance(name, str) or not name for name in self.names):
            raise LabelSpaceError('class names must be non-empty text')
        if len(set(self.names)) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise LabelSpaceError(f'class names must be unique, these are not: {twice}')
        if len(self.colors) != len(self.names):
            raise LabelSpaceError(f'{len(self.names)} classes but {len(self.colors)} colours')
        for name, color in zip(self.names, self.colors):
            if len(color) != 3 or any(
                    not isinstance(value, int) or not 0 <= value <= 255 for value in color):
                raise LabelSpaceError(
                    f'the colour of {name!r} must be three integers in 0..255, not {color!r}')

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @cached_property
    def color_table(self) -> np.ndarray:
        """Return the (256, 3) uint8 RGB look-up table; ids without a class are black."""
        table = np.zeros((256, 3), np.uint8)
        table[:len(self.colors)] = self.colors
        return table

    def to_json(self) -> list[dict[str, Any]]:
        """Return the classes as plain lists and dicts, the form the YAML files have."""
        return [{'name': name, 'color': list(color)}
                for name, color in zip(self.names, self.colors)]

    @classmethod
    def from_json(cls, entries: Sequence[dict[str, Any]]) -> LabelSpace:
        """
        Build from a list of `{name, color}`.

        :param entries: one mapping a class, in id order.
        :raises LabelSpaceError: an entry lacks a field or the classes do not fit.
        """
        if not isinstance(entries, list):
            raise LabelSpaceError('a label space is a list of {name, color}')
        try:
            return cls(tuple(entry['name'] for entry in entries),
                       tuple(tuple(entry['color']) for entry in entries))
        except (TypeError, KeyError) as error:
            raise LabelSpaceError(
                f'every class needs a name and a color [r, g, b]: {error!r}') from error


def load_label_space(name_or_path: str | Path) -> LabelSpace:
    """
    Read a label space by the name of a packaged one or from a YAML file.

    :param name_or_path: 'camvid', or the path of a list of `{name, color}`.
    :return: the label space.
    :raises LabelSpaceError: no such file, or its content does not fit.
    """
    packaged = share_file('config/label_spaces')
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = packaged / f'{name_or_path}.yaml'
    try:
        content = path.read_bytes()
    except OSError as error:
        known = ', '.join(sorted(file.stem for file in packaged.glob('*.yaml')))
        raise LabelSpaceError(
            f'no label space {str(name_or_path)!r}: give a .yaml file or one of {known}'
        ) from error
    try:
        return LabelSpace.from_json(yaml.safe_load(content))
    except (yaml.YAMLError, LabelSpaceError) as error:
        raise LabelSpaceError(f'{path}: {" ".join(str(error).split())}') from error
