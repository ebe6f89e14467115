"""The figures as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadseg_ros.tools.benchmark.table import case_name

COLORS = ('#2a6f97', '#d1495b', '#66a182', '#edae49', '#775d8c')
GREY = '#555555'
BAR = 0.8  # of the room of a group
PALE = 0.4


def draw_plot(results: dict[str, Any], path: Path) -> None:
    """
    Draw milliseconds a frame by size and engine, and what several cameras get.

    :param results: as stored.
    :param path: of the PNG; replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), dpi=150, layout='constrained')
    frames, cameras = figure.subplots(1, 2, width_ratios=(3, 2))
    colors = dict(zip(results['engines'], COLORS * len(results['engines'])))
    _draw_frames(frames, results['engines'], colors)
    _draw_cameras(cameras, results['engines'], colors)
    for axes, room in ((frames, 1.2), (cameras, 1.1)):
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_ylim(0, axes.get_ylim()[1] * room)
    machine = results['machine']
    figure.suptitle(f'{machine["processor"]}, {machine["cores"]} cores'
                    + (f', {machine["gpu"]}' if machine['gpu'] else '')
                    + f'   ({results["date"][:10]})', fontsize=11, color=GREY)
    FigureCanvasAgg(figure).print_png(str(path), metadata={'Software': None})


def _draw_frames(axes: Any, engines: dict[str, Any], colors: dict[str, str]) -> None:
    """Draw a bar of segmenter and node overhead for each size and engine."""
    groups = list(dict.fromkeys(case_name(case) for engine in engines.values()
                                for case in engine['frames']))
    width = BAR / len(engines)
    for number, (name, engine) in enumerate(engines.items()):
        for case in engine['frames']:
            if 'error' in case:
                continue
            x = groups.index(case_name(case)) + (number + 0.5) * width - BAR / 2
            node = case['node_ms']['median']
            # the machine may have been faster or slower while the segmenter was measured for more
            overhead = min(max(case['overhead_ms']['node'], 0), node)
            axes.bar(x, node - overhead, width * 0.92, color=colors[name])
            axes.bar(x, overhead, width * 0.92, bottom=node - overhead, color=colors[name],
                     alpha=PALE)
            axes.plot([x, x], [node, case['node_ms']['p95']], color=GREY, linewidth=1)
            axes.annotate(f'{node:.0f} ms\n{1e3 / node:.0f} Hz',
                          (x, max(node, case['node_ms']['p95'])), (0, 3),
                          textcoords='offset points', ha='center', fontsize=8)
    axes.set_xticks(range(len(groups)), [group.replace(', ', '\n') for group in groups])
    axes.set_ylabel('ms a frame')
    axes.set_title('One camera: milliseconds a frame, frames always waiting', fontsize=11)
    _name_engines(axes, colors)


def _draw_cameras(axes: Any, engines: dict[str, Any], colors: dict[str, str]) -> None:
    """Draw the masks each camera gets, against what it sends."""
    cases = [case for engine in engines.values() for case in engine['cameras']
             if 'error' not in case]
    groups = sorted({case['cameras'] for case in cases})
    width = BAR / len(engines)
    for number, (name, engine) in enumerate(engines.items()):
        for case in engine['cameras']:
            if 'error' in case:
                continue
            left = groups.index(case['cameras']) + number * width - BAR / 2
            share = width * 0.92 / case['cameras']
            for index, camera in enumerate(case['each']):
                axes.bar(left + (index + 0.5) * share, camera['masks_hz'], share * 0.9,
                         color=colors[name])
    if cases:
        rate, size = cases[0]['rate_hz'], cases[0]['size']
        axes.set_title(f'Several cameras of {size}: a bar for each', fontsize=11)
        axes.axhline(rate, color=GREY, linestyle='--', linewidth=1)
        axes.annotate(f'sent: {rate:g} Hz each', (1, rate), (0, 3), ha='right', fontsize=8,
                      xycoords=('axes fraction', 'data'), textcoords='offset points', color=GREY)
    axes.set_xticks(range(len(groups)), [
        f'{count} camera{"s" * (count > 1)}' for count in groups])
    axes.set_ylabel('masks a second')


def _name_engines(axes: Any, colors: dict[str, str]) -> None:
    """Say which colour is which engine, and what the parts of a bar are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    axes.legend(handles=[
        *(Patch(color=color, label=name) for name, color in colors.items()),
        Patch(color=GREY, label='segmenter'), Patch(color=GREY, alpha=PALE, label='node on top'),
        Line2D([], [], color=GREY, linewidth=1, label='95th percentile')],
        frameon=False, loc='upper left', ncols=2, fontsize=9)
