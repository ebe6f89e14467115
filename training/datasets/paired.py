"""Pictures on disk with the files that their masks come from: reading and refusing, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.labels import LabelSpace, UNLABELLED
from training.datasets.class_map import ClassMap
from training.datasets.frames import DatasetError, Frame, LabelledFrames

Pair = tuple[Path, Path]


class PairedFiles(LabelledFrames):
    """
    Pictures, each with the file that its mask comes from.

    :param pairs: the picture and that file.
    :param labels: label space of the masks.
    :param wanted: what was looked for, to say so where nothing was found.
    :raises DatasetError: no pictures, or files that are missing.
    """

    # benchmarks label the pixels as they lie in the file, whatever turn its EXIF asks for
    picture_flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    masks_may_lack = False  # some of them, for pictures on which nothing was drawn

    def __init__(self, pairs: Sequence[Pair], labels: LabelSpace, wanted: str) -> None:
        if not pairs:
            raise DatasetError(f'no pictures {wanted}')
        self.images = [image for image, _ in pairs]
        self.masks = [mask for _, mask in pairs]
        self.labels = labels
        for files, lack in ((self.images, 'labels have no picture'),
                            (self.masks, 'pictures have no mask')):
            missing = [path for path in files if not path.is_file()]
            if files is self.masks and self.masks_may_lack and len(missing) < len(files):
                continue
            if missing:
                raise DatasetError(f'{len(missing)} {lack}; first: {missing[0]}')

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def __getitem__(self, index: int) -> Frame:
        """Return the picture and mask at an index."""
        image, mask = self.image(index), self.mask(index)
        if image.shape[:2] != mask.shape:
            raise DatasetError(f'{self.masks[index]}: the mask is {mask.shape}, its picture '
                               f'{image.shape[:2]}: {self.images[index]}')
        return image, mask

    def image(self, index: int) -> np.ndarray:
        """Return the (H, W, 3) uint8 BGR picture."""
        return read_picture(self.images[index], self.picture_flags)


class IdMasks(PairedFiles):
    """
    Masks that hold ids in one channel, of 8 or 16 bits.

    :param pairs: the picture and its mask.
    :param names: of the ids from 0 on.
    :param classes: what the names become.
    :param wanted: as in `PairedFiles`.
    :param unlabelled_id: an id in the files that means unlabelled; 255 always does.
    :raises DatasetError: as `PairedFiles`.
    """

    def __init__(self, pairs: Sequence[Pair], names: Sequence[str], classes: ClassMap,
                 wanted: str, unlabelled_id: int = UNLABELLED) -> None:
        super().__init__(pairs, classes.labels, wanted)
        self.names, self.unlabelled_id = names, unlabelled_id
        self._table = np.full(256, UNLABELLED, np.uint8)
        self._table[:len(names)] = [classes[name] for name in names]

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids, 255 = unlabelled."""
        path = self.masks[index]
        ids = self.ids(read_picture(path, cv2.IMREAD_UNCHANGED), path)
        if ids.ndim != 2:
            raise DatasetError(f'{path}: ids stand in one channel, found shape {ids.shape}')
        ids[ids == self.unlabelled_id] = UNLABELLED
        foreign = ids[(ids >= len(self.names)) & (ids != UNLABELLED)]
        if foreign.size:
            unlabelled = ' or '.join(map(str, sorted({self.unlabelled_id, UNLABELLED})))
            raise DatasetError(
                f'{path}: id {foreign.max()} is none of the {len(self.names)} classes '
                f'{", ".join(self.names)} (0..{len(self.names) - 1}), nor unlabelled '
                f'({unlabelled})')
        return self._table[ids]

    def ids(self, picture: np.ndarray, path: Path) -> np.ndarray:
        """Return the (H, W) ids that a mask as read holds."""
        return picture


class ColorMasks(IdMasks):
    """
    Masks that hold a colour for each id; ids in one channel are taken as they are.

    :param pairs: the picture and its mask.
    :param names: of the ids from 0 on.
    :param colors: RGB of each name.
    :param unlabelled: RGB of what has no name.
    :param classes: what the names become.
    :param wanted: as in `PairedFiles`.
    :raises DatasetError: as `PairedFiles`.
    """

    def __init__(self, pairs: Sequence[Pair], names: Sequence[str],
                 colors: Sequence[tuple[int, int, int]], classes: ClassMap, wanted: str,
                 unlabelled: Sequence[tuple[int, int, int]] = ()) -> None:
        super().__init__(pairs, names, classes, wanted)
        self.colors = {color: index for index, color in enumerate(colors)}
        self.colors.update(dict.fromkeys(unlabelled, UNLABELLED))

    def ids(self, picture: np.ndarray, path: Path) -> np.ndarray:
        """Return the (H, W) ids of the colours."""
        if picture.ndim != 3:
            return picture
        blue, green, red = (picture[..., channel].astype(np.int32) for channel in range(3))
        codes = red << 16 | green << 8 | blue
        ids = np.full(codes.shape, -1, np.int16)
        for (r, g, b), index in self.colors.items():
            ids[codes == (r << 16 | g << 8 | b)] = index
        if (ids < 0).any():
            foreign = picture[ids < 0][0, 2::-1].tolist()
            raise DatasetError(f'{path}: the colour {foreign} (RGB) stands for none of '
                               f'{", ".join(self.names)}')
        return ids


def own_labels(folder: Path, labels: str | Path | None) -> str | Path:
    """
    Return the label space asked for, or the folder's own.

    :param folder: may hold `labels.yaml`.
    :param labels: a name or a YAML file, None for that one.
    :raises DatasetError: there is no such folder to hold it.
    """
    if labels is not None:
        return labels
    if not folder.is_dir():
        raise DatasetError(f'no pictures {folder}/*: there is no such folder')
    return folder / 'labels.yaml'


def read_picture(path: Path, flags: int) -> np.ndarray:
    """
    Read a picture.

    :param path: the file.
    :param flags: as `cv2.imread` takes them.
    :return: (H, W, 3) BGR or (H, W).
    :raises DatasetError: the file is no picture; the message names it.
    """
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise DatasetError(f'cannot read {path}')
    return picture


def find_picture(folder: Path, stem: str) -> Path:
    """Return the picture of a name that comes without suffix, with one where none exists."""
    candidates = [folder / f'{stem}{suffix}' for suffix in ('.jpg', '.png', '.jpeg', '.bmp')]
    candidates += [path.with_suffix(path.suffix.upper()) for path in candidates]
    return next((path for path in candidates if path.is_file()), candidates[0])


def read_names(path: Path) -> list[str]:
    """
    Read a list of names, one a line.

    :raises DatasetError: the file cannot be read.
    """
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'cannot read {path}: {error}') from error
