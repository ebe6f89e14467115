"""Recipe files: YAML read once at the door into frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml


class ConfigError(ValueError):
    """A recipe that cannot be read; the message names the file and the field."""


@dataclass(frozen=True)
class Augmentation:
    """What happens to each training picture and its mask, together."""

    crop: tuple[int, int] = (352, 480)  # height, width, pixels; multiples of the input stride
    scale: tuple[float, float] = (0.6, 2.0)
    flip: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.02


@dataclass(frozen=True)
class Recipe:
    """
    One training run, everything that decides its result.

    `train` and `val` list data sets, each a mapping with `dataset` (a name in
    `training.datasets.DATASETS`) and that data set's arguments.
    """

    architecture: str
    arguments: Mapping[str, Any]
    labels: str
    train: tuple[Mapping[str, Any], ...]
    val: tuple[Mapping[str, Any], ...]
    frame_size: tuple[int, int] = (360, 480)  # height, width the node works at
    pretrained: str | None = None
    class_weights: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 60
    batch_size: int = 8
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 5e-4
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    ema_decay: float = 0.998
    early_stopping_patience: int | None = None  # validations without a better mean IoU
    validate_every: int = 1  # epochs
    precision: str = 'bf16-mixed'
    workers: int = 1
    seed: int = 0


def load_recipe(path: str | Path) -> Recipe:
    """
    Read a recipe.

    :param path: a YAML file with the fields of `Recipe`.
    :raises ConfigError: missing file, bad YAML, an unknown or a missing field.
    """
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(f'cannot read recipe {path}: {reason}') from error
    try:
        augmentation = _build(Augmentation, document.pop('augmentation', {}))
        return _build(Recipe, {**document, 'augmentation': augmentation})
    except (TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f'{path}: {error}') from error


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    """Build a dataclass from a mapping, lists as tuples; name fields that do not exist."""
    known = [item.name for item in fields(kind)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f'unknown field {", ".join(unknown)}; known: {", ".join(known)}')
    return kind(**{name: tuple(value) if isinstance(value, list) else value
                   for name, value in values.items()})
