"""The files that a run leaves to look at."""
import json

import cv2
import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from roadseg_ros.labels import LabelSpace
from roadseg_ros.metrics import ConfusionMatrix
from training import report
from training.report import BestAndWorst, Sample, write_curves, write_report

LABELS = LabelSpace(('road', 'car', 'sky'), ((0, 255, 0), (255, 0, 0), (0, 0, 255)))


@pytest.fixture
def confusion():
    """Return counts: road 6 of 8 right, car 1 of 2, no sky."""
    confusion = ConfusionMatrix(3)
    confusion.matrix[:] = [[6, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
    return confusion


def area(picture, red, green, blue):
    """Return how many pixels have exactly a colour."""
    return int((picture == (blue, green, red)).all(2).sum())


def test_classes_json(tmp_path, confusion):
    """Totals and a row for each class, rounded; None where nothing occurred."""
    write_report(tmp_path / 'new' / 'run', LABELS, confusion, [])
    found = json.loads((tmp_path / 'new' / 'run' / 'classes.json').read_text())
    assert found == {
        # 6 of 8 + 7 - 6 and 1 of 2 + 2 - 1
        'mean_iou': 0.5, 'frequency_weighted_iou': 0.6, 'pixel_accuracy': 0.7, 'pixels': 10,
        'classes': {
            'road': {'iou': 0.6667, 'precision': 0.8571, 'recall': 0.75, 'f1': 0.8,
                     'share': 0.8},
            'car': {'iou': 0.3333, 'precision': 0.5, 'recall': 0.5, 'f1': 0.5, 'share': 0.2},
            'sky': {'iou': None, 'precision': None, 'recall': None, 'f1': None, 'share': 0.0}}}


def test_pictures(tmp_path, confusion):
    """Bars in the classes' colours as long as the IoU, a matrix, and no sheet of nothing."""
    write_report(tmp_path, LABELS, confusion, [])
    assert {path.name for path in tmp_path.iterdir()} == {
        'classes.json', 'classes.png', 'confusion.png'}
    bars = cv2.imread(str(tmp_path / 'classes.png'))
    road, car, sky = (area(bars, *color) for color in LABELS.colors)
    # but for the line at the mean, which crosses the longer one
    assert road / car == pytest.approx(2, rel=0.1)
    assert sky == 0
    matrix = cv2.imread(str(tmp_path / 'confusion.png'))
    assert matrix.std() > 10


def test_empty_counts_and_many_classes(tmp_path):
    """Nothing counted is no reason to fail, nor are many classes."""
    many = LabelSpace(tuple(f'class {index}' for index in range(60)), ((9, 9, 9),) * 60)
    write_report(tmp_path, many, ConfusionMatrix(60), [])
    assert json.loads((tmp_path / 'classes.json').read_text())['mean_iou'] is None


def test_sheet(tmp_path, confusion):
    """The samples' rows are in sheet.jpg."""
    pictures = BestAndWorst(1)
    for score in (0.1, 0.5, 0.9):
        mask = np.zeros((30, 40), np.uint8)
        pictures.add(Sample('x', np.full((30, 40, 3), int(250 * score), np.uint8), mask, mask,
                            score))
    write_report(tmp_path, LABELS, confusion, pictures.samples())
    sheet = cv2.imread(str(tmp_path / 'sheet.jpg'))
    assert sheet.shape[1] == 1280
    assert sheet[150, 100].mean() == pytest.approx(225, abs=4)
    assert sheet[240 + 22 + 150, 100].mean() == pytest.approx(25, abs=4)


def log_run(folder, values, first=0):
    """Log three steps an epoch as Lightning does."""
    with SummaryWriter(str(folder / 'tensorboard')) as writer:
        for epoch, (loss, mean_iou) in enumerate(values, first):
            for step in range(3 * epoch, 3 * epoch + 3):
                writer.add_scalar('epoch', epoch, step)
                writer.add_scalar('train/loss', loss, step)
            writer.add_scalar('val/mean_iou', mean_iou, step)


def test_curves_over_epochs(tmp_path, monkeypatch):
    """What was logged, by epoch; where a resumed run logged again, the later value."""
    log_run(tmp_path, [(2.0, 0.1), (1.0, 0.2)])
    log_run(tmp_path, [(0.9, 0.25), (0.5, 0.5)], first=1)
    drawn = {}
    save = report._save

    def keep(figure, path):
        for axes in figure.axes:
            drawn[axes.get_ylabel()] = axes.lines[0].get_xydata().tolist()
        save(figure, path)

    monkeypatch.setattr(report, '_save', keep)
    write_curves(tmp_path)
    np.testing.assert_allclose(drawn['mean IoU'], [[1, 0.1], [2, 0.25], [3, 0.5]], rtol=1e-6)
    assert [x for x, _ in drawn['loss']] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    np.testing.assert_allclose([y for _, y in drawn['loss']],
                               [2.0] * 3 + [0.9] * 3 + [0.5] * 3, rtol=1e-6)
    assert cv2.imread(str(tmp_path / 'curves.png')).std() > 10


def test_curves_of_nothing(tmp_path):
    """A run too short to log anything still gets its empty picture."""
    write_curves(tmp_path)
    assert (tmp_path / 'curves.png').stat().st_size > 1000
