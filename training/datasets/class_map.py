"""Which class of the target label space each name in a data set becomes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from roadseg_ros.labels import LabelSpace, load_label_space, UNLABELLED
from training.datasets.frames import DatasetError

Classes = Mapping[str, Sequence[str]]


class ClassMap:
    """
    Names of a data set as ids of a label space.

    :param labels: the target, a name or a YAML file.
    :param classes: which names each class takes, such as `{car: [car, truck]}`
        (default: the one that it is called itself).
    :param rest: the class of all other names (default: unlabelled).
    :param names: what the data set names, or None where any name may come up.
    :raises DatasetError: an unknown class or name, a name taken twice, or nothing in common.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, labels: str | Path, classes: Classes | None = None,
                 rest: str | None = None, names: Collection[str] | None = None) -> None:
        self.labels: LabelSpace = load_label_space(labels)
        self.rest = UNLABELLED if rest is None else self._target(rest, 'rest')
        if classes is None:
            classes = {name: [name] for name in self.labels.names
                       if names is None or name in names}
            if not classes:
                raise DatasetError(f'no class of {labels} is called as in the data '
                                   f'({", ".join(names or ())}): say which is which by `classes`')
        elif not isinstance(classes, Mapping) or not all(
                isinstance(taken, (list, tuple)) for taken in classes.values()):
            raise DatasetError('classes must give a list of names for each class, such as '
                               f'{{car: [car, truck]}}, not {classes!r}')
        self._ids: dict[str, int] = {}
        for target, taken in classes.items():
            class_id = self._target(target, 'classes')
            for name in taken:
                self._take(name, class_id, names)

    def __contains__(self, name: str) -> bool:
        """Say whether a class takes this very name."""
        return name in self._ids

    def __getitem__(self, name: str) -> int:
        """Return the id that a name becomes, 255 = unlabelled."""
        return self._ids.get(name, self.rest)

    def _take(self, name: str, class_id: int, names: Collection[str] | None) -> None:
        """Let a class take a name of the data set."""
        if names is not None and name not in names:
            raise DatasetError(f'classes: the data set has no {name!r}, only '
                               f'{", ".join(names)}')
        if name in self._ids:
            raise DatasetError(f'classes: {name!r} stands twice')
        self._ids[name] = class_id

    def _target(self, name: str, argument: str) -> int:
        """Return the id of a class of the target."""
        if name not in self.labels.names:
            raise DatasetError(f'{argument}: {name!r} is none of the classes '
                               f'{", ".join(self.labels.names)}')
        return self.labels.names.index(name)
