"""What LabelMe saves: one JSON file a picture, beside it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from roadseg_ros.labels import UNLABELLED
from training.datasets.class_map import Classes, ClassMap
from training.datasets.frames import DatasetError
from training.datasets.paired import own_labels, PairedFiles
from training.datasets.parts import choose, SHARES

IGNORED = '__ignore__'  # LabelMe's own word for what counts as nothing
POINTS = {'polygon': 3, 'rectangle': 2, 'circle': 2}  # at least so many


class LabelMe(PairedFiles):
    """
    Polygons, rectangles and circles, drawn one over the other as they are listed.

    Without `classes` each label must be a class, so that a misspelt one is noticed. The label
    `__ignore__` is unlabelled.

    :param root: folder of the JSON files; a picture lies where its file's imagePath says, or in
        its imageData.
    :param labels: label space to map to, a name or a YAML file (default: `root/labels.yaml`).
    :param classes: the labels that each class takes (default: its own).
    :param rest: the class of all other labels and of what no shape covers (default: unlabelled).
    :param part: draw 'train', 'val' or 'test' of the pictures (default: all).
    :param shares: of these parts.
    :param seed: of the draw.
    :param samples: take so many of the part (default: all).
    :raises DatasetError: nothing found, a missing picture, a file or shape that does not fit, or
        an argument that does not.
    :raises LabelSpaceError: the label space cannot be read.
    """

    # people drew on the picture as LabelMe shows it, the way its EXIF turns it
    picture_flags = cv2.IMREAD_COLOR

    def __init__(self, root: str | Path, labels: str | Path | None = None,
                 classes: Classes | None = None, rest: str | None = None,
                 part: str | None = None, shares: Sequence[float] = SHARES, seed: int = 0,
                 samples: int | None = None) -> None:
        root = Path(root)
        self.classes = ClassMap(own_labels(root, labels), classes, rest)
        self._all_named = classes is None
        files = choose(sorted(root.glob('*.json')), part, shares, seed, samples, str)
        documents = [self._read(path) for path in files]
        self.shapes = [document['shapes'] for document in documents]
        self.sizes = [(document['imageHeight'], document['imageWidth'])
                      for document in documents]
        super().__init__([(_picture(path, document), path)
                          for path, document in zip(files, documents)], self.classes.labels,
                         f'that {root}/*.json describe')

    def image(self, index: int) -> np.ndarray:
        """Return the (H, W, 3) uint8 BGR picture."""
        path = self.images[index]
        if path != self.masks[index]:
            return super().image(index)
        try:
            data = base64.b64decode(json.loads(path.read_bytes())['imageData'])
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), self.picture_flags)
        except (TypeError, ValueError, binascii.Error, cv2.error):
            picture = None
        if picture is None:
            raise DatasetError(f'{path}: its imageData is no picture')
        return picture

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids, 255 = unlabelled."""
        mask = np.full(self.sizes[index], self.classes.rest, np.uint8)
        for shape in self.shapes[index]:
            ignored = shape['label'] == IGNORED
            _draw(mask, shape, UNLABELLED if ignored else self.classes[shape['label']])
        return mask

    def _read(self, path: Path) -> dict[str, Any]:
        """Read a file without the picture in it, and refuse what cannot be drawn."""
        try:
            document = json.loads(path.read_bytes())
            embedded = bool(document.pop('imageData', None))
            document = {key: document[key] for key in ('imageHeight', 'imageWidth', 'imagePath',
                                                       'shapes')}
            if not all(type(document[key]) is int for key in ('imageHeight', 'imageWidth')):
                raise ValueError('imageHeight and imageWidth must be whole numbers')
            if not isinstance(document['imagePath'], str):
                raise ValueError('imagePath must be text')
            for shape in document['shapes']:
                self._check(shape)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f'{path} is not as LabelMe writes it: {error}') from error
        return {**document, 'embedded': embedded}

    def _check(self, shape: dict[str, Any]) -> None:
        """Refuse a shape that cannot be drawn or that no class takes."""
        label, kind = shape['label'], shape.get('shape_type') or 'polygon'
        if not isinstance(label, str):
            raise ValueError(f'a label must be text, not {label!r}')
        if kind not in POINTS:
            raise ValueError(f'{label!r} is a {kind}; masks are made of {", ".join(POINTS)}')
        points = np.array(shape['points'], float)
        if points.ndim != 2 or len(points) < POINTS[kind] or points.shape[1] != 2:
            raise ValueError(f'the {kind} {label!r} has the points {shape["points"]}')
        if self._all_named and label not in self.classes and label != IGNORED:
            raise ValueError(f'the label {label!r} is none of the classes '
                             f'{", ".join(self.classes.labels.names)}')


def _picture(path: Path, document: dict[str, Any]) -> Path:
    """Return the picture that a file describes, or the file itself where it holds it."""
    image = path.parent / document['imagePath'].replace('\\', '/')  # as written on Windows
    return path if document['embedded'] and not image.is_file() else image


def _draw(mask: np.ndarray, shape: dict[str, Any], class_id: int) -> None:
    """Fill a shape, its outline with it."""
    points = np.round(shape['points']).astype(np.int32)
    kind = shape.get('shape_type')
    if kind == 'rectangle':
        cv2.rectangle(mask, points.min(0).tolist(), points.max(0).tolist(), class_id, -1)
    elif kind == 'circle':
        centre, edge = np.array(shape['points'][:2], float)
        radius = round(float(np.hypot(*(edge - centre))))
        cv2.circle(mask, points[0].tolist(), radius, class_id, -1)
    else:
        cv2.fillPoly(mask, [points], class_id)
