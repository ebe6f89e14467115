"""Class groups: what the classes of any label space are to a planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from roadseg_ros.labels import LabelSpace
from roadseg_ros.share import share_file

GROUPS = ('drivable', 'sidewalk', 'obstacle', 'dynamic', 'sky')


class ClassGroupsError(ValueError):
    """Class groups that cannot be read or contradict themselves."""


@dataclass(frozen=True)
class ClassGroups:
    """
    Which class belongs to which group.

    :param group_of: one of `GROUPS` by class name, over any number of label spaces.
    """

    group_of: Mapping[str, str]

    @classmethod
    def from_yaml(cls, content: Any) -> ClassGroups:
        """
        Build from what a YAML file holds.

        :param content: lists of class names by group, every group once.
        :raises ClassGroupsError: a group is unknown or missing, or a class is in two.
        """
        supported = f'the groups are {", ".join(GROUPS)}'
        if not isinstance(content, dict):
            raise ClassGroupsError(f'class groups are lists of class names by group; {supported}')
        unknown = [str(group) for group in content if group not in GROUPS]
        if unknown:
            raise ClassGroupsError(f'unknown group {", ".join(unknown)}; {supported}')
        missing = [group for group in GROUPS if group not in content]
        if missing:
            raise ClassGroupsError(f'no group {", ".join(missing)}; {supported}')
        group_of: dict[str, str] = {}
        for group, names in content.items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ClassGroupsError(f'group {group} must be a list of class names')
            for name in names:
                if name in group_of:
                    raise ClassGroupsError(f'class {name!r} is listed twice: in '
                                           f'{group_of[name]} and in {group}')
                group_of[name] = group
        return cls(group_of)

    def table(self, labels: LabelSpace, values: Mapping[str, int], other: int,
              no_class: int) -> np.ndarray:
        """
        Make the table that turns class ids into what a planner reads.

        :param labels: the label space of the ids.
        :param values: in [0, 255] by group.
        :param other: for classes whose group is not among `values`, and classes without a group.
        :param no_class: for ids without a class, unlabelled among them.
        :return: (256,) uint8.
        """
        table = np.full(256, no_class, np.uint8)
        table[:len(labels)] = [values.get(self.group_of.get(name, ''), other)
                               for name in labels.names]
        return table

    def gaps(self, labels: LabelSpace) -> list[str]:
        """Return a line for each thing that a planner misses with these labels, may be none."""
        lines = []
        without = [name for name in labels.names if name not in self.group_of]
        if without:
            lines.append(f'class_groups: no group holds {", ".join(without)}: taken for obstacles')
        if not any(self.group_of.get(name) == 'drivable' for name in labels.names):
            lines.append('class_groups: no class is drivable: drivable and road_grid show no road')
        return lines


def load_class_groups(path: str | Path = '') -> ClassGroups:
    """
    Read class groups from a YAML file.

    :param path: of the file; empty = the packaged one.
    :raises ClassGroupsError: no such file, or its content does not fit.
    """
    path = Path(path).expanduser() if path else share_file('config/class_groups.yaml')
    try:
        return ClassGroups.from_yaml(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise ClassGroupsError(f'class_groups: cannot read {path}: {error.strerror}') from error
    except (yaml.YAMLError, ClassGroupsError) as error:
        raise ClassGroupsError(f'class_groups: {path}: {" ".join(str(error).split())}') from error
