"""Weights for encoders of timm: from its hub, or from a file of timm's or torchvision's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import logging

import timm
from torch import nn, Tensor

from training.weight_files import PretrainedError


def download(name: str) -> dict[str, Tensor]:
    """
    Return the weights that timm has for an encoder, from the hub's cache or the hub.

    :param name: timm's.
    :raises PretrainedError: they cannot be had; says from where, and what to do instead.
    """
    try:
        with _quiet('huggingface_hub'):  # which tells of each of its attempts
            return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the hub's client raises
        reason = ' '.join(str(error).split()).partition('. ')[0]
        config = timm.get_pretrained_cfg(name)
        place = (f'either connect to the Hugging Face hub ({config.hf_hub_id}), or '
                 if config and config.hf_hub_id else '')
        raise PretrainedError(
            f'ImageNet weights for the encoder {name} cannot be downloaded ({reason}); {place}'
            'bring a file of them and set pretrained: /path/model.safetensors or .pth') from error


def fill_encoder(encoder: nn.Module, name: str, state: Mapping[str, Tensor], origin: str) -> None:
    """
    Copy weights into an encoder of timm by their names; what else they hold is left out.

    :param encoder: its tensors are written.
    :param name: timm's.
    :param state: of the whole classifier, in timm's or torchvision's names.
    :param origin: where it is from, for the message.
    :raises PretrainedError: a tensor is missing or of another shape.
    """
    own = encoder.state_dict()
    # timm renames what it takes apart: features.0.weight becomes features_0.weight
    known = {_plain(key): value for key, value in state.items()}
    wanted = {key: _plain(key) for key in own if not key.endswith('num_batches_tracked')}
    missing = [key for key, plain in wanted.items() if plain not in known]
    if missing:
        raise PretrainedError(f'{origin} does not fit the encoder {name}: {len(missing)} of '
                              f'{len(wanted)} tensors are missing, such as {missing[0]}')
    for key, plain in wanted.items():
        if known[plain].shape != own[key].shape:
            raise PretrainedError(f'{origin} does not fit the encoder {name}: {key} is '
                                  f'{tuple(known[plain].shape)}, wanted {tuple(own[key].shape)}')
    encoder.load_state_dict(own | {key: known[plain] for key, plain in wanted.items()})


def _plain(key: str) -> str:
    """Return a tensor's name without what timm may change of it."""
    return key.replace('.', '_')


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hold a library's warnings back."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
