"""Set-up shared by the tests of training: miniature data sets in their true layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from roadseg_ros.labels import load_label_space, UNLABELLED
from roadseg_ros.scenes import Drive

SIZE = (96, 160)
FRAMES = 12
NAMES = load_label_space('camvid').names
CITYSCAPES = {'sky': 23, 'building': 11, 'pole': 17, 'road': 7, 'pavement': 8, 'tree': 21,
              'sign_symbol': 20, 'fence': 13, 'car': 26, 'pedestrian': 24, 'bicyclist': 25}
TRAIN_IDS = {'sky': 10, 'building': 2, 'pole': 5, 'road': 0, 'pavement': 1, 'tree': 8,
             'sign_symbol': 7, 'fence': 4, 'car': 13, 'pedestrian': 11, 'bicyclist': 12}


def frame(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture, (96, 160, 3) uint8 BGR, and its mask of CamVid's ids."""
    return Drive(900 + index, *SIZE).frame(0)


@pytest.fixture(scope='session')
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with generated drives in the layout of each data set, under its name."""
    folder = tmp_path_factory.mktemp('data')
    for fill in (cityscapes, kitti_road, bdd100k, car_boxes, camvid, pascal_voc):
        fill(folder / fill.__name__)
    return folder


def cityscapes(root: Path) -> None:
    """Write pictures and label ids of two splits."""
    for index in range(FRAMES):
        picture, mask = frame(index)
        split, name = ('val', 'ulm') if index % 4 == 3 else ('train', 'bonn')
        stem = f'{split}/{name}/{name}_000000_{index:06d}'
        write(root / 'leftImg8bit' / f'{stem}_leftImg8bit.png', picture)
        write(root / 'gtFine' / f'{stem}_gtFine_labelIds.png', translated(mask, CITYSCAPES, 0))


def kitti_road(root: Path) -> None:
    """Write pictures, and roads in magenta on red."""
    for index in range(FRAMES):
        picture, mask = frame(index)
        colors = np.zeros((*mask.shape, 3), np.uint8)
        colors[..., 2] = 255
        colors[mask == NAMES.index('road')] = (255, 0, 255)
        write(root / 'training' / 'image_2' / f'um_{index:06d}.png', picture)
        write(root / 'training' / 'gt_image_2' / f'um_road_{index:06d}.png', colors)


def bdd100k(root: Path) -> None:
    """Write pictures of as many videos, and training ids."""
    for index in range(FRAMES):
        picture, mask = frame(index)
        stem = f'train/{index:08x}-00000000'
        write(root / 'images' / '10k' / f'{stem}.jpg', picture)
        write(root / 'labels' / 'sem_seg' / 'masks' / f'{stem}.png',
              translated(mask, TRAIN_IDS, UNLABELLED))


def car_boxes(root: Path) -> None:
    """Write pictures and the boxes around their cars."""
    lines = ['xmin,xmax,ymin,ymax,Frame,Label,Preview URL']
    for index in range(FRAMES):
        picture, mask = frame(index)
        write(root / f'{index}.jpg', picture)
        left, top, width, height = cv2.boundingRect(np.uint8(mask == NAMES.index('car')))
        right, bottom = left + max(width, 9), top + max(height, 9)
        lines.append(f'{left},{top},{right},{bottom},{index}.jpg,Car,')
    (root / 'labels.csv').write_text('\n'.join(lines))


def camvid(root: Path) -> None:
    """Write pictures and ids of two splits and three drives."""
    for index in range(FRAMES):
        picture, mask = frame(index)
        split = 'val' if index % 4 == 3 else 'train'
        name = f'{("0016E5", "0001TP", "0006R0")[index % 3]}_{index:05d}.png'
        write(root / split / name, picture)
        write(root / f'{split}annot' / name, np.where(mask == UNLABELLED, 11, mask))


def pascal_voc(root: Path) -> None:
    """Write pictures, ids of cars and people, and the lists of two splits."""
    names = load_label_space('pascal_voc').names
    table = np.zeros(256, np.uint8)
    table[[NAMES.index('car'), NAMES.index('pedestrian')]] = [names.index('car'),
                                                              names.index('person')]
    for index in range(FRAMES):
        picture, mask = frame(index)
        name = f'2007_{index:06d}'
        write(root / 'JPEGImages' / f'{name}.jpg', picture)
        write(root / 'SegmentationClass' / f'{name}.png', table[mask])
        split = root / 'ImageSets' / 'Segmentation' / f'{"val" if index % 4 == 3 else "train"}.txt'
        split.parent.mkdir(parents=True, exist_ok=True)
        with split.open('a') as listing:
            listing.write(f'{name}\n')


def translated(mask: np.ndarray, ids: dict[str, int], other: int) -> np.ndarray:
    """Return a mask of CamVid's ids as another data set has them."""
    table = np.full(256, other, np.uint8)
    table[:len(NAMES)] = [ids[name] for name in NAMES]
    return table[mask]


def write(path: Path, picture: np.ndarray) -> None:
    """Write a picture and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture.astype(np.uint8))
