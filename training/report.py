"""What a run leaves to look at: classes, confusion matrix, best and worst pictures, curves."""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix, rounded
from training.sheet import BestAndWorst, draw_sheet, Sample

__all__ = ['BestAndWorst', 'Sample', 'write_curves', 'write_report']

CURVES = {'train/loss': 'loss', 'val/mean_iou': 'mean IoU'}  # scalar as logged: axis
GREY = '#555555'
MAX_NUMBERS = 20  # classes whose shares can still be read in the cells


def write_report(folder: Path, labels: LabelSpace, confusion: ConfusionMatrix,
                 samples: Sequence[Sample]) -> None:
    """
    Write classes.json, classes.png, confusion.png and, where there are samples, sheet.jpg.

    :param folder: made if need be; files of those names are replaced.
    :param labels: the label space.
    :param confusion: the counts over all frames.
    :param samples: pictures for the sheet, the best first.
    :raises OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'classes.json').write_text(json.dumps(_classes(labels, confusion), indent=2) + '\n')
    _draw_classes(labels, confusion, folder / 'classes.png')
    _draw_confusion(labels, confusion, folder / 'confusion.png')
    if samples:
        _, jpeg = cv2.imencode('.jpg', draw_sheet(samples, labels))
        (folder / 'sheet.jpg').write_bytes(jpeg.tobytes())


def write_curves(folder: Path) -> None:
    """
    Draw curves.png from the TensorBoard events of a run: loss and mean IoU over epochs.

    :param folder: of the run; its events lie in `folder/tensorboard`.
    :raises OSError: the file cannot be written.
    """
    scalars = _scalars(folder / 'tensorboard')
    epochs = scalars.get('epoch', np.zeros((1, 2)))
    figure = _figure(9, 4)
    for axes, (tag, title) in zip(figure.subplots(1, 2), CURVES.items()):
        steps, values = scalars.get(tag, np.empty((0, 2))).T
        axes.plot(np.interp(steps, *epochs.T) + 1, values, marker='.')
        axes.set(xlabel='epoch', ylabel=title)
        axes.spines[['top', 'right']].set_visible(False)
    _save(figure, folder / 'curves.png')


def _classes(labels: LabelSpace, confusion: ConfusionMatrix) -> dict[str, Any]:
    """Return the totals and a row for each class, ready for JSON."""
    columns = {'iou': confusion.iou(), 'precision': confusion.precision(),
               'recall': confusion.recall(), 'f1': confusion.f1(), 'share': confusion.share()}
    return {'mean_iou': rounded(confusion.mean_iou()),
            'frequency_weighted_iou': rounded(confusion.frequency_weighted_iou()),
            'pixel_accuracy': rounded(confusion.pixel_accuracy()),
            'pixels': int(confusion.matrix.sum()),
            'classes': {name: {column: rounded(values[index])
                               for column, values in columns.items()}
                        for index, name in enumerate(labels.names)}}


def _draw_classes(labels: LabelSpace, confusion: ConfusionMatrix, path: Path) -> None:
    """Draw a bar of the IoU for each class, in its colour, and a line at the mean."""
    iou, places = confusion.iou(), np.arange(len(labels))
    figure = _figure(7, 1.2 + 0.3 * len(labels))
    axes = figure.subplots()
    axes.barh(places, np.nan_to_num(iou), color=np.array(labels.colors) / 255, edgecolor=GREY)
    for place, value in zip(places, iou):
        text = 'absent' if np.isnan(value) else f'{value:.3f}'
        axes.annotate(text, (np.nan_to_num(value), place), (4, 0), textcoords='offset points',
                      va='center', fontsize=8)
    if not np.isnan(confusion.mean_iou()):
        axes.axvline(confusion.mean_iou(), color=GREY, linestyle='--')
        axes.set_title(f'mean IoU {confusion.mean_iou():.4f}, pixel accuracy '
                       f'{confusion.pixel_accuracy():.4f}', fontsize=10)
    axes.set(yticks=places, yticklabels=labels.names, xlim=(0, 1.1), xlabel='IoU')
    axes.invert_yaxis()
    axes.spines[['top', 'right']].set_visible(False)
    _save(figure, path)


def _draw_confusion(labels: LabelSpace, confusion: ConfusionMatrix, path: Path) -> None:
    """Draw which share of each true class (row) is said to be what (column)."""
    counts, columns = confusion.matrix, [*labels.names, 'unlabelled']
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], columns[:-1]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = _figure(2.5 + 0.45 * len(columns), 2 + 0.45 * len(labels))
    axes = figure.subplots()
    figure.colorbar(axes.imshow(shares, cmap='Blues', vmin=0, vmax=1), ax=axes)
    if len(labels) <= MAX_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                axes.text(column, row, f'{share:.2f}', ha='center', va='center', fontsize=7,
                          color='white' if share > 0.5 else 'black')
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(labels)), labels.names)
    axes.set(xlabel='prediction', ylabel='truth')
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    """Return an empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout='constrained')


def _save(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, metadata={'Software': None})


def _scalars(folder: Path) -> dict[str, np.ndarray]:
    """Return (steps and values) of each scalar logged, (n, 2) float64 in the order of steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not folder.is_dir():
        return {}
    # 0 = keep all
    events = EventAccumulator(str(folder), size_guidance={'scalars': 0}).Reload()
    # a resumed run logs some steps again: the later value holds
    return {tag: np.array(sorted({event.step: event.value for event in events.Scalars(tag)}
                                 .items()), np.float64).reshape(-1, 2)
            for tag in events.Tags()['scalars']}
