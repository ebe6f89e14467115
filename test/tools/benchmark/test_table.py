"""The figures as text and picture, parts missing."""

from __future__ import annotations

import cv2
import pytest

from roadseg_ros.tools.benchmark.table import as_text, complaints

TIMES = {'median': 30.0, 'p95': 33.0, 'count': 9}
FRAMES = {
    'size': '480x360', 'cache': 'off', 'segmenter_ms': TIMES,
    'node_ms': {'median': 34.0, 'p95': 39.0, 'count': 9},
    'latency_ms': {'mask': TIMES, 'overlay': TIMES}, 'inside_ms': 32.0, 'stages_ms': {},
    'overhead_ms': {'node': 4.0}, 'start_up_s': 1.5, 'peak_memory_mb': None}
CAMERA = {'sent_hz': 10.0, 'masks_hz': 10.0, 'dropped_percent': 0.0, 'latency_ms': TIMES}
SILENT = {'sent_hz': 10.0, 'masks_hz': 0.0, 'dropped_percent': 100.0, 'latency_ms': {}}


@pytest.fixture
def results():
    """Return what a benchmark with several misfortunes stores."""
    return {
        'date': '2030-01-02T03:04:05+00:00', 'absent': {'steam': 'it needs a boiler'},
        'failed': {'diesel': 'it exploded'},
        'machine': {'processor': 'Abacus', 'cores': 2, 'memory_gb': 16.2, 'gpu': 'Toy'},
        'engines': {'torch': {
            'frames': [FRAMES, {'size': '480x360', 'cache': 'warp', 'error': 'no such policy'}],
            'cameras': [
                {'cameras': 2, 'rate_hz': 10.0, 'size': '480x360', 'each': [CAMERA, SILENT],
                 'peak_memory_mb': 300.0},
                {'cameras': 6, 'rate_hz': 10.0, 'error': 'the node ended'}]}}}


def test_table_names_what_is_missing(results):
    lines = as_text(results).splitlines()
    assert lines[0] == 'Abacus, 2 cores, 16 GB, Toy'
    (frames,) = [line for line in lines if line.startswith('torch   480x360')]
    assert frames.split() == [*'torch 480x360 30.0 / 33.0 34.0 / 39.0 +4.0 32.0'.split(),
                              *'30.0 / 33.0 30.0 / 33.0 1.5 -'.split()]
    (cameras,) = [line for line in lines if line.startswith('torch   2 ')]
    assert cameras.split() == [
        *'torch 2 10.0 0.0 to 10.0 100.0 to 0.0 30.0 33.0 300'.split()]
    assert lines[-4:] == complaints(results) == [
        'not here: steam: it needs a boiler',
        'not measured: diesel: it exploded',
        'not measured: torch 480x360, cache warp: no such policy',
        'not measured: torch 6 cameras: the node ended']


def test_plot_has_the_colours_of_what_was_measured(results, tmp_path):
    pytest.importorskip('matplotlib')
    from roadseg_ros.tools.benchmark.plot import COLORS, draw_plot

    draw_plot(results, tmp_path / 'plot.png')
    picture = cv2.imread(str(tmp_path / 'plot.png'))
    color = [int(COLORS[0][first:first + 2], 16) for first in (5, 3, 1)]
    covered = (picture == color).all(2)
    # bars in both halves
    assert covered[:, :picture.shape[1] // 2].mean() > 0.05
    assert covered[:, picture.shape[1] // 2:].mean() > 0.05
