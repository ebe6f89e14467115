"""The folder of a run: who may write into it, and the recipe it was begun with."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import yaml

from training.config import load_recipe, Recipe


class RunError(ValueError):
    """A run that cannot start as asked; the message says what to change."""


def check_folder(recipe: Recipe, folder: Path, resume: bool) -> None:
    """
    Refuse to write over another run, and to resume with another recipe.

    :raises RunError: either would happen, or there is nothing to resume.
    """
    if not resume:
        if any((folder / f'last.{suffix}').exists() for suffix in ('ckpt', 'safetensors')):
            raise RunError(f'{folder} holds a run already: go on with it (--resume) or name '
                           'another folder (--out)')
        return
    if not (folder / 'recipe.yaml').is_file():
        raise RunError(f'nothing to resume: {folder / "recipe.yaml"} does not exist')
    begun = load_recipe(folder / 'recipe.yaml')
    differ = [item.name for item in fields(Recipe)
              if getattr(recipe, item.name) != getattr(begun, item.name)]
    if recipe.epochs > begun.epochs:
        differ.remove('epochs')
    if differ:
        raise RunError(f'--resume needs the recipe that {folder} was begun with (epochs may '
                       f'grow); these differ: {", ".join(differ)}')


def open_folder(recipe: Recipe, folder: Path, resume: bool) -> None:
    """
    Make the folder of a new run and write its recipe as resolved; a resumed one keeps its own.

    :raises RunError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            text = yaml.safe_dump(asdict(recipe), sort_keys=False)
            (folder / 'recipe.yaml').write_text(text)
    except OSError as error:
        raise RunError(f'cannot write the run folder {folder}: {error.strerror}') from error
