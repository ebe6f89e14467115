"""Recipe files: YAML read once at the door into frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, MISSING
from pathlib import Path
from typing import Any

import yaml

from training.checks import (
    ascending_pair,
    check_fields,
    DATASETS,
    LOSSES,
    MAPPING,
    number,
    one_of,
    optional,
    pair,
    TEXT,
    whole,
)

# mean and standard deviation of each channel of RGB in [0, 1]
NORMALIZATIONS = {
    'symmetric': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # to [-1, 1]
    'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # as torchvision's weights want
}
AUGMENTATION_CHECKS = {
    'crop': pair(whole(1)), 'scale': ascending_pair(number(0.01)), 'flip': number(0, 1),
    'shift': whole(0), 'rotation': number(0, 180), 'elastic': number(0),
    'brightness': number(0), 'contrast': number(0), 'saturation': number(0),
    'hue': number(0, 0.5), 'linear_contrast': ascending_pair(number(0)),
    'offset': ascending_pair(number(-255, 255)), 'noise': ascending_pair(number(0)),
    'class_mix': number(0, 1),
}
RECIPE_CHECKS = {
    'architecture': TEXT, 'arguments': MAPPING, 'labels': TEXT, 'train': DATASETS,
    'val': DATASETS, 'frame_size': pair(whole(1)), 'normalization': one_of(*NORMALIZATIONS),
    'pretrained': optional(TEXT), 'initial_std': optional(number(0)), 'loss': LOSSES,
    'l1': number(0), 'optimizer': one_of('adamw', 'adam', 'rmsprop', 'sgd'),
    'schedule': one_of('cosine', 'constant', 'poly'), 'epochs': whole(1), 'batch_size': whole(1),
    'clip': whole(1),
    'learning_rate': number(0), 'encoder_learning_rate': number(0),
    'weight_decay': number(0), 'warmup_epochs': number(0), 'ema_decay': number(0, 1),
    'start_share': number(0, 1),
    'early_stopping_patience': optional(whole(1)), 'validate_every': whole(1),
    'precision': one_of('32-true', '16-mixed', 'bf16-mixed'), 'workers': whole(0),
    'seed': whole(0),
}


class ConfigError(ValueError):
    """A recipe that cannot be read; the message names the file and the field."""


@dataclass(frozen=True)
class Augmentation:
    """
    What happens to each training picture and its mask, together.

    :param crop: (height, width) in pixels, multiples of the network's input stride.
    :param scale: the picture is scaled to fit `frame_size` times a factor from this range.
    :param flip: probability of left for right.
    :param shift: pixels, at most, in each direction.
    :param rotation: degrees, at most, to either side.
    :param elastic: strength of an elastic deformation (Simard et al., 2003), pixels.
    :param brightness: of `torchvision.transforms.v2.ColorJitter`, as are the next three.
    :param linear_contrast: factor of the distance from the middle grey.
    :param offset: grey levels added to all channels.
    :param noise: range of the standard deviation of Gaussian noise, grey levels.
    :param class_mix: probability that half of the classes of a picture drawn at random are laid
        over it (ClassMix, Olsson et al., 2021); single pictures alone.
    """

    crop: tuple[int, int] = (352, 480)
    scale: tuple[float, float] = (0.6, 2.0)
    flip: float = 0.5
    shift: int = 0
    rotation: float = 0.0
    elastic: float = 0.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.02
    linear_contrast: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)
    class_mix: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no number or lies out of range."""
        check_fields(self, AUGMENTATION_CHECKS, 'augmentation.')


@dataclass(frozen=True)
class Recipe:
    """
    One training run, everything that decides its result.

    `train` and `val` list data sets, each a mapping with `dataset` (a name in
    `training.datasets.DATASETS`) and that data set's arguments; `loss` lists losses likewise,
    each with `loss` (a name in `training.losses.LOSSES`), its `weight` in the sum and arguments.

    :param frame_size: (height, width) the node works at, pixels.
    :param normalization: what the network is given, a name in `NORMALIZATIONS`.
    :param pretrained: 'imagenet' or a file; what it does not fill starts at random.
    :param initial_std: convolutions start from a normal distribution of this width.
    :param l1: times the sum of the absolute weights of all convolutions, added to the loss.
    :param optimizer: 'sgd' has momentum 0.9, the others torch's defaults.
    :param schedule: of the rates after `warmup_epochs`: 'cosine' and 'poly' (power 0.9) end at 0.
    :param batch_size: pictures, or clips, in a step of each process.
    :param clip: consecutive frames of a drive that a recurrent network is trained on together,
        with the statistics that batch norm has: first come single pictures, clip 1, and
        `pretrained` is what they made.
    :param encoder_learning_rate: of a pretrained network's `encoder`, where it has one.
    :param weight_decay: decoupled with 'adamw', else the L2 penalty's factor.
    :param ema_decay: of the average of the weights that is validated and exported; 0 = none.
    :param start_share: of the weights that the run starts from in those that are validated and
        exported, the rest being that average (WiSE-FT, Wortsman et al., 2022); for a run that
        goes on from another, `pretrained` a file of it.
    :param early_stopping_patience: validations without a better mean IoU.
    :param validate_every: epochs.
    :raises ValueError: a field is of another type or out of range, or two do not go together;
        the message names them.
    """

    architecture: str
    arguments: Mapping[str, Any]
    labels: str
    train: tuple[Mapping[str, Any], ...]
    val: tuple[Mapping[str, Any], ...]
    frame_size: tuple[int, int] = (360, 480)
    normalization: str = 'symmetric'
    pretrained: str | None = None
    initial_std: float | None = None
    loss: tuple[Mapping[str, Any], ...] = ({'loss': 'cross_entropy'},)
    l1: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: str = 'adamw'
    schedule: str = 'cosine'
    epochs: int = 60
    batch_size: int = 8
    clip: int = 1
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 5e-4
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    ema_decay: float = 0.998
    start_share: float = 0.0
    early_stopping_patience: int | None = None
    validate_every: int = 1
    precision: str = 'bf16-mixed'
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is of another type or out of range, or does not go together."""
        check_fields(self, RECIPE_CHECKS)
        if self.clip > 1 and self.augmentation.class_mix:
            raise ValueError(f'augmentation.class_mix is for single pictures, not for clip: '
                             f'{self.clip}')
        if self.start_share and self.pretrained in (None, 'imagenet'):
            raise ValueError('start_share is for a run that goes on from another: pretrained must '
                             f'be a .safetensors file of it, not {self.pretrained!r}')


def load_recipe(path: str | Path) -> Recipe:
    """
    Read a recipe.

    :param path: a YAML file with the fields of `Recipe`.
    :raises ConfigError: missing file, bad YAML, an unknown or missing field, or one that holds
        what it cannot.
    """
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(f'cannot read recipe {path}: {reason}') from error
    try:
        recipe: Recipe = _build(Recipe, document, 'a recipe')
    except ValueError as error:
        raise ConfigError(f'{path}: {error}') from error
    return recipe


def _build(kind: type, values: Any, name: str) -> Any:
    """Build a dataclass from a mapping, lists as tuples; name fields that do not fit it."""
    if not isinstance(values, Mapping):
        raise ValueError(f'{name} must be a mapping of fields, not {values!r}')
    values = {key: tuple(value) if isinstance(value, list) else value
              for key, value in values.items()}
    known = {item.name: item for item in fields(kind)}
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise ValueError(f'unknown field {", ".join(unknown)}; known: {", ".join(known)}')
    missing = [key for key, item in known.items() if key not in values
               and item.default is MISSING and item.default_factory is MISSING]
    if missing:
        raise ValueError(f'missing field {", ".join(missing)}')
    if 'augmentation' in values:
        values['augmentation'] = _build(Augmentation, values['augmentation'], 'augmentation')
    return kind(**values)
