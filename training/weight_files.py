"""Files of weights as others write them: torchvision's `.pth` and timm's `.safetensors`."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

from safetensors import safe_open, SafetensorError
from safetensors.torch import load_file
import torch
from torch import Tensor

from roadseg_ros.checkpoint import METADATA_KEY


class PretrainedError(ValueError):
    """Weights that were asked for and cannot be had."""


def holds_checkpoint(file: Path) -> bool:
    """Return whether a `.safetensors` file is a checkpoint of ours, or none that can be read."""
    try:
        with safe_open(file, framework='numpy') as opened:
            return METADATA_KEY in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return True


def read_tensors(file: Path) -> dict[str, Tensor]:
    """
    Return a file's tensors by name; never runs code from it.

    :param file: `.safetensors`, or a state dict that torch saved.
    :raises PretrainedError: it cannot be read, or holds something else.
    """
    try:
        state = (load_file(file) if file.suffix == '.safetensors'
                 else torch.load(file, map_location='cpu', weights_only=True))
    except (OSError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        reason = str(error).partition('\n')[0]
        raise PretrainedError(f'cannot read {file}: {reason}') from error
    except Exception as error:  # whatever damaged bytes make torch's unpickler stumble over
        raise PretrainedError(f'cannot read {file}: it is damaged ({error!r})') from error
    if not isinstance(state, dict):
        raise PretrainedError(f'cannot read {file}: it holds a {type(state).__name__} instead of '
                              'tensors by name')
    others = [f'{name!r} ({type(value).__name__})' for name, value in state.items()
              if not (isinstance(name, str) and isinstance(value, Tensor))]
    if others:
        raise PretrainedError(f'cannot read {file}: it holds {", ".join(others[:3])} instead of '
                              'tensors by name alone')
    return state
