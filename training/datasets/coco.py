"""COCO's instances as semantic masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from training.datasets.class_map import Classes, ClassMap
from training.datasets.frames import DatasetError
from training.datasets.paired import PairedFiles


class Coco(PairedFiles):
    """
    Pictures of a split; where instances overlap, the smaller one lies on top.

    :param root: folder that holds `SPLIT/` with the pictures and
        `annotations/instances_SPLIT.json`.
    :param split: such as 'train2017' or 'val2017'.
    :param labels: label space to map to, a name or a YAML file.
    :param classes: the categories that each class takes (default: its own).
    :param rest: the class of all other categories and of what no instance covers
        (default: unlabelled).
    :raises DatasetError: nothing found, a missing picture, an annotation that does not fit, or
        an argument that does not.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, root: str | Path, split: str, labels: str | Path,
                 classes: Classes | None = None, rest: str | None = None) -> None:
        path = Path(root) / 'annotations' / f'instances_{split}.json'
        try:
            document = json.loads(path.read_bytes())
            names = {entry['id']: entry['name'] for entry in document['categories']}
            self.pictures = sorted(document['images'], key=lambda entry: entry['file_name'])
            self.classes = ClassMap(labels, classes, rest, names.values())
            self.instances = self._sort(document['annotations'], names, path)
            pairs = [(Path(root) / split / entry['file_name'], path) for entry in self.pictures]
            self.sizes = [(entry['height'], entry['width']) for entry in self.pictures]
            self.ids = [entry['id'] for entry in self.pictures]
        except OSError as error:
            raise DatasetError(f'cannot read {path}: {error}') from error
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DatasetError(f'{path} is not as COCO has it: {error!r}') from error
        super().__init__(pairs, self.classes.labels, f'named in {path}')

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids, 255 = unlabelled."""
        mask = np.full(self.sizes[index], self.classes.rest, np.uint8)
        instances = self.instances.get(self.ids[index], [])
        shapes = [(self._encode(index, instance), class_id)
                  for instance, class_id in instances]
        shapes.sort(key=lambda item: int(run_lengths.area(item[0])), reverse=True)
        for shape, class_id in shapes:
            mask[run_lengths.decode(shape) > 0] = class_id
        return mask

    def _sort(self, annotations: Sequence[dict[str, Any]], names: dict[int, str], path: Path
              ) -> dict[int, list[tuple[Any, int]]]:
        """Return each picture's outlines with their classes, by the picture's id."""
        instances = defaultdict(list)
        for entry in annotations:
            if entry['category_id'] not in names:
                raise DatasetError(f'{path}: annotation {entry["id"]} is of the unknown category '
                                   f'{entry["category_id"]}')
            class_id = self.classes[names[entry['category_id']]]
            instances[entry['image_id']].append((entry['segmentation'], class_id))
        return instances

    def _encode(self, index: int, outline: Any) -> Any:
        """Return an outline (polygons or run lengths) as compressed run lengths."""
        height, width = self.sizes[index]
        try:
            if isinstance(outline, list):
                # the library takes four numbers for a box
                if not outline or any(len(polygon) < 6 for polygon in outline):
                    raise ValueError('a polygon has fewer than three points')
                return run_lengths.merge(run_lengths.frPyObjects(outline, height, width))
            if isinstance(outline['counts'], list):
                outline = run_lengths.frPyObjects(outline, height, width)
            if list(outline['size']) != [height, width]:
                raise ValueError(f'run lengths of size {outline["size"]}')
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f'{self.masks[index]}: an instance on '
                               f'{self.images[index].name} does not fit: {error}') from error
        return outline
