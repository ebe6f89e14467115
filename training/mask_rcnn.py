"""
Turn torchvision's Mask R-CNN into a checkpoint that the node runs: things of COCO as classes.

    python -m training.mask_rcnn maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth \\
        --background weights/roadseg.safetensors --out runs/mask_rcnn.safetensors
    python -m training.mask_rcnn maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth --labels cityscapes \\
        --out runs/things.safetensors

The file is a state dict of `maskrcnn_resnet50_fpn` or `maskrcnn_resnet50_fpn_v2` with COCO's 91
categories, as `.pth` (of which only tensors are read) or `.safetensors`. torchvision offers
such files at https://download.pytorch.org/models/ under its own licence (BSD-3-Clause), trained on
COCO, whose annotations are CC BY 4.0 and whose pictures are Flickr's users'.

Instances are painted over what the network of --background says, whose label space then counts;
without one, all else is unlabelled. Which category is which class goes by their names; categories
without a class are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
import sys
from typing import Any

from torch import Tensor
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights
import yaml

from roadseg_ros.checkpoint import Checkpoint, load_checkpoint, Preprocessing
from roadseg_ros.labels import LabelSpace, load_label_space
from roadseg_ros.models.mask_rcnn import COCO_CLASSES, MaskRcnn
from roadseg_ros.models.registry import network_from_checkpoint
from training.weight_files import read_tensors

CATEGORIES: list[str] = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta['categories']
# What else a category may be called, the best name first; its own comes before all of them
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    'person': ('pedestrian',),
    'bicycle': ('bicyclist',),
    'motorcycle': ('motorbike', 'bicyclist'),
    'bus': ('truck', 'car'),
    'truck': ('car',),
    'train': ('car',),
    'traffic light': ('sign_symbol',),
    'stop sign': ('traffic sign', 'sign_symbol'),
    'airplane': ('aeroplane',),
    'couch': ('sofa',),
    'dining table': ('diningtable',),
    'potted plant': ('pottedplant',),
    'tv': ('tvmonitor',),
}
LOGITS = 'roi_heads.mask_predictor.mask_fcn_logits.weight'
HEIGHT = 480  # of frames without a network behind that is used to another; COCO's usual one


class AdaptError(ValueError):
    """A file or label space that no Mask R-CNN can be made from."""


def adapt(file: Path, labels: LabelSpace, classes: Mapping[str, Sequence[str]] | None = None,
          background: Checkpoint | None = None, min_score: float = 0.5,
          height: int | None = None) -> Checkpoint:
    """
    Make a checkpoint of torchvision's weights.

    :param file: `.pth` or `.safetensors`.
    :param labels: of the masks; the background's where there is one.
    :param classes: which of COCO's categories each class takes (default: by their names).
    :param background: what is seen where no instance is; None = unlabelled.
    :param min_score: instances below it are left out, 0.5 to 1.
    :param height: pixels that the segmenter works at (default: the background's, or 480).
    :return: the checkpoint, whose tensors are the file's to the bit.
    :raises PretrainedError: the file cannot be read.
    :raises AdaptError: it is none of these, or no category is a class.
    :raises CheckpointError: the background does not fit its network.
    """
    state = read_tensors(file)
    variant = _variant(file, state)
    arguments: dict[str, Any] = {
        'num_classes': len(labels), 'variant': variant, 'min_score': min_score,
        'classes': _ids(labels, by_name(labels) if classes is None else classes)}
    tall = HEIGHT if height is None else height
    size = (tall, round(tall * 4 / 3))
    if background is not None:
        arguments['background'] = _description(background)
        trained = background.preprocessing
        size = (trained.height, trained.width) if height is None else size
    network = MaskRcnn(**arguments)
    _fill(network, file, state)
    if background is not None and network.background is not None:
        network.background.network.load_state_dict(
            network_from_checkpoint(background).state_dict())
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    return Checkpoint('mask_rcnn', arguments, labels,
                      Preprocessing('rgb', 1 / 255, (0.0,) * 3, (1.0,) * 3, *size), tensors,
                      {'source': f'torchvision maskrcnn_{variant}, {file.name}'})


def by_name(labels: LabelSpace) -> dict[str, list[str]]:
    """Return the categories that each class takes by its name, or by what else they are called."""
    taken: dict[str, list[str]] = {}
    for category in dict.fromkeys(CATEGORIES[1:]):
        names = (category, *OTHER_NAMES.get(category, ()))
        found = next((name for name in names if name in labels.names), None)
        if found is not None:
            taken.setdefault(found, []).append(category)
    return taken


def _ids(labels: LabelSpace, classes: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return for COCO's ids, as text, the ids that they become."""
    ids: dict[str, int] = {}
    for name, categories in classes.items():
        if name not in labels.names:
            raise AdaptError(f'{name!r} is none of the classes {", ".join(labels.names)}')
        if not isinstance(categories, (list, tuple)):
            raise AdaptError(f'classes must give a list of categories for each class, such as '
                             f'{{car: [car, truck]}}, not {categories!r} for {name}')
        for category in categories:
            if category not in CATEGORIES[1:] or category == 'N/A':
                known = ', '.join(one for one in CATEGORIES[1:] if one != 'N/A')
                raise AdaptError(f'COCO has no category {category!r}, only {known}')
            coco = str(CATEGORIES.index(category))
            if coco in ids:
                raise AdaptError(f'{category!r} is given to {labels.names[ids[coco]]} and again '
                                 f'to {name}')
            ids[coco] = labels.names.index(name)
    if not ids:
        raise AdaptError(f'no category of COCO is one of the classes {", ".join(labels.names)}: '
                         'say which is which by --classes')
    return ids


def _variant(file: Path, state: Mapping[str, Tensor]) -> str:
    """Return which of torchvision's networks a state is of."""
    if LOGITS not in state:
        raise AdaptError(f"{file} is no Mask R-CNN of torchvision's: it lacks {LOGITS}")
    found = len(state[LOGITS])
    if found != COCO_CLASSES:
        raise AdaptError(f"{file} has {found} categories; only COCO's {COCO_CLASSES} are known "
                         'by their names')
    deeper = any(name.startswith('roi_heads.box_head.0.') for name in state)
    return 'resnet50_fpn_v2' if deeper else 'resnet50_fpn'


def _fill(network: MaskRcnn, file: Path, state: Mapping[str, Tensor]) -> None:
    """Load a state into the detector."""
    try:
        network.detector.load_state_dict(dict(state))
    except RuntimeError as error:
        lines = [' '.join(line.split()) for line in str(error).splitlines()]
        raise AdaptError(f'{file} does not fit {network.detector.__class__.__name__}: '
                         f'{lines[min(1, len(lines) - 1)][:200]}') from error


def _description(background: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint's network as `MaskRcnn` wants it described."""
    prepared = background.preprocessing
    return {'architecture': background.architecture, 'arguments': dict(background.arguments),
            'channel_order': prepared.channel_order, 'scale': prepared.scale,
            'mean': list(prepared.mean), 'std': list(prepared.std)}


def _parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog='python -m training.mask_rcnn', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('file', type=Path, metavar='FILE', help='.pth or .safetensors of torchvision')
    add('--out', type=Path, required=True, help='the .safetensors checkpoint to write')
    add('--background', type=Path, metavar='CHECKPOINT',
        help='network that says what is where no instance is')
    add('--labels', help='label space where there is no background: a name or a .yaml file')
    add('--classes', metavar='MAPPING',
        help="which categories each class takes, such as '{car: [car, truck, bus]}'")
    add('--min-score', type=float, default=0.5, help='least score of an instance (default: 0.5)')
    add('--height', type=int, metavar='PIXELS',
        help=f"height to work at (default: the background's, or {HEIGHT})")
    return parser


def _mapping(text: str) -> Mapping[str, Any]:
    """Read what --classes is given."""
    try:
        classes = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AdaptError(f'--classes is no YAML: {error}') from error
    if not isinstance(classes, Mapping):
        raise AdaptError(f'--classes is a mapping, not {classes!r}')
    return classes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if (options.background is None) == (options.labels is None):
            raise AdaptError('give either --background or --labels')
        if options.out.suffix != '.safetensors' or options.out.exists():
            raise AdaptError(f'--out is a new .safetensors file, not {options.out}')
        classes = None if options.classes is None else _mapping(options.classes)
        background = options.background and load_checkpoint(options.background)
        labels = background.labels if background else load_label_space(options.labels)
        checkpoint = adapt(options.file, labels, classes, background, options.min_score,
                           options.height)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(options.out)
    except (ValueError, OSError) as error:
        print(f'training.mask_rcnn: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    for coco, target in checkpoint.arguments['classes'].items():
        print(f'{CATEGORIES[int(coco)]:>16} -> {labels.names[target]}')
    print(f'{options.out}: {checkpoint.provenance["source"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
