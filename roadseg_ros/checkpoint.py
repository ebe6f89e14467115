"""
The one file between training and node: tensors and everything needed to run them.

A checkpoint is a `.safetensors` file whose header carries one JSON document. It is never
pickled: a weight file from a stranger must not run code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
import json
import math
from numbers import Real
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.numpy import save

from roadseg_ros.labels import LabelSpace
from roadseg_ros.share import share_file

FORMAT_VERSION = 1
METADATA_KEY = 'roadseg'
MAX_SIDE = 16384
MAX_PIXELS = 2 ** 25  # of a frame, unless the user says otherwise, and of a network's input
MAX_FILE_BYTES = 2 ** 32  # all of a file comes into memory; FCN-8s, the largest here, has 0.6 GB
MAX_HEADER_BYTES = 2 ** 24  # parsed as JSON


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, foreign or does not fit its network."""


@dataclass(frozen=True)
class Preprocessing:
    """
    How a uint8 frame becomes network input: `(x * scale - mean) / std` per channel.

    :param channel_order: 'rgb' or 'bgr', the order the network wants.
    :param scale: factor on uint8 values, such as 1/255; positive.
    :param mean: per channel, in `channel_order`.
    :param std: per channel, in `channel_order`, positive.
    :param height: of the frames trained at, pixels.
    :param width: of the frames trained at, pixels.
    """

    channel_order: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse values that no frame could be prepared with."""
        if self.channel_order not in ('rgb', 'bgr'):
            raise CheckpointError(f'channel order is rgb or bgr, not {self.channel_order!r}')
        sides = (self.height, self.width)
        if not (all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides)
                and self.height * self.width <= MAX_PIXELS):
            raise CheckpointError(f'frame size must be whole pixels, 1..{MAX_SIDE} a side and '
                                  f'{MAX_PIXELS} in all, not {self.width}x{self.height}')
        if not (_are_finite((self.scale,)) and self.scale > 0):
            raise CheckpointError(f'scale is a positive number, not {self.scale!r}')
        if not (len(self.mean) == len(self.std) == 3 and _are_finite(self.mean + self.std)
                and min(self.std) > 0):
            raise CheckpointError('mean and std are three numbers each, std positive')


@dataclass(frozen=True)
class Checkpoint:
    """
    A trained network and all that is needed to run it.

    :param architecture: name in the registry of networks.
    :param arguments: keyword arguments of that network's constructor.
    :param labels: the label space; as many classes as the network has outputs.
    :param preprocessing: how frames are prepared.
    :param tensors: the network's state by name, numpy arrays.
    :param provenance: data set, recipe, commit, metrics per class; plain JSON.
    """

    architecture: str
    arguments: Mapping[str, Any]
    labels: LabelSpace
    preprocessing: Preprocessing
    tensors: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """
        Write the file, all or nothing: an interrupted save leaves the old one in place.

        :param path: ends in `.safetensors`.
        """
        document = {
            'format_version': FORMAT_VERSION,
            'architecture': self.architecture,
            'arguments': dict(self.arguments),
            'labels': self.labels.to_json(),
            'preprocessing': asdict(self.preprocessing),
            'provenance': dict(self.provenance),
        }
        path = Path(path)
        partial = path.with_name(path.name + '.partial')
        try:
            # not save_file: the file it makes is readable by its owner alone
            partial.write_bytes(save(
                {name: np.asarray(value, order='C') for name, value in self.tensors.items()},
                metadata={METADATA_KEY: json.dumps(document)}))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def default_checkpoint_path() -> Path:
    """Return the path of the weights that come with the package."""
    return share_file('weights/roadseg.safetensors')


def load_checkpoint(path: str | Path) -> Checkpoint:
    """
    Read a checkpoint.

    :param path: a `.safetensors` file written by `Checkpoint.save`.
    :return: the checkpoint, its tensors in memory.
    :raises CheckpointError: missing, unreadable, too large, pickled, truncated, foreign, or of a
        newer format; the message names the file and which of these it is.
    """
    path = Path(path).expanduser()
    try:
        with path.open('rb') as file:
            start, size = file.read(8), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CheckpointError(f'cannot read checkpoint {path}: {error.strerror}') from error
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f'{path} has {size} bytes, more than the limit of {MAX_FILE_BYTES}')
    try:
        # a length of the header comes first; one beyond the file's is an error of its own
        if MAX_HEADER_BYTES < int.from_bytes(start, 'little') <= size:
            raise ValueError(f'its header has more than {MAX_HEADER_BYTES} bytes')
        with safe_open(path, framework='numpy') as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, ValueError) as error:
        # asked last: the length that a good file begins with may look like a pickle's first byte
        if start.startswith(b'PK\x03\x04') or start[:1] == b'\x80':
            raise CheckpointError(
                f'{path} is a pickled PyTorch file; only .safetensors checkpoints are loaded, '
                'because a pickle can run code. Export one with training.train') from error
        raise CheckpointError(
            f'{path} is not a whole .safetensors file of floats and integers (truncated, or '
            f'another format): {error}') from error
    if text is None:
        raise CheckpointError(f'{path} is a safetensors file without roadseg metadata; '
                              'use one written by training.train')
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise CheckpointError(f'{path}: tensor {name} holds values that are not finite')
    return _from_document(path, text, tensors)


def _from_document(path: Path, text: str, tensors: dict[str, np.ndarray]) -> Checkpoint:
    """Check the JSON document field by field and build the checkpoint."""
    try:
        document = json.loads(text)
        version = document['format_version']
        if version != FORMAT_VERSION:
            raise CheckpointError(f'format version {version}, this release reads {FORMAT_VERSION}')
        fields = dict(document['preprocessing'])
        fields.update(mean=tuple(fields['mean']), std=tuple(fields['std']))
        return Checkpoint(
            architecture=str(document['architecture']), arguments=dict(document['arguments']),
            labels=LabelSpace.from_json(document['labels']),
            preprocessing=Preprocessing(**fields), tensors=tensors,
            provenance=dict(document['provenance']))
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        reason = f'{error.args[0]!r} is missing' if isinstance(error, KeyError) else error
        raise CheckpointError(f'{path}: its metadata does not fit: {reason}') from error


def _are_finite(values: Sequence[object]) -> bool:
    """Return whether all are numbers that a float can hold; JSON has others, and true."""
    try:
        return all(isinstance(value, Real) and not isinstance(value, bool)
                   and math.isfinite(value) for value in values)
    except OverflowError:
        return False
