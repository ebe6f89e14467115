"""Plots over time as SVG, coloured by the page's style, so that they suit light and dark."""

from __future__ import annotations

from collections.abc import Callable
import io
import re
from typing import Any

import numpy as np

from roadseg_ros.labels import LabelSpace
from roadseg_ros.tools.page.timeline import LOST, Timeline

# of the picture's size: the same in every plot, so that the page can mark a moment in all
LEFT, RIGHT, BOTTOM, TOP = 0.1, 0.985, 0.18, 0.96
STRIP, GAP = 0.07, 0.05  # heights of the strip below a plot, and of what parts the two
WIDTH_INCH, HEIGHT_INCH = 5.0, 2.3
# stand-ins for colours that only the page knows
INK, FAINT, PAPER = '#010203', '#040506', '#070809'
STYLE = {INK: 'var(--ink)', FAINT: 'var(--line)', PAPER: 'var(--paper)'}
RC = {'text.color': INK, 'axes.labelcolor': INK, 'xtick.color': INK, 'ytick.color': INK,
      'axes.edgecolor': FAINT, 'grid.color': FAINT, 'axes.axisbelow': True,
      'figure.facecolor': 'none', 'axes.facecolor': 'none', 'font.family': 'sans-serif',
      'font.size': 9.0, 'svg.fonttype': 'none', 'svg.hashsalt': 'roadseg'}
MADE_COLORS = {'full': '#3b82c4', 'warped': '#e08a1e', 'cached': '#3f9d6b', 'none': '#8a8f98',
               LOST: '#d1495b'}
UNLABELLED_COLOR = '#8a8f98'


def plot_shares(timeline: Timeline, labels: LabelSpace) -> str:
    """
    Draw what part of the picture each class covers, stacked, the first class on top.

    :return: SVG.
    """
    shares = np.array([span.mean_shares for span in timeline.spans]).T
    colors = [*(f'#{bytes(color).hex()}' for color in labels.colors), UNLABELLED_COLOR]

    def fill(figure: Any) -> None:
        axes = _axes(figure, timeline, BOTTOM)
        axes.stackplot(_middles(timeline), 100 * shares[::-1], colors=colors[::-1],
                       linewidth=0.4, edgecolor=PAPER)
        axes.set_ylim(0, 100)
        axes.set_ylabel('% of the picture')
        axes.set_xlabel('seconds', labelpad=1)

    return _draw(fill)


def plot_times(timeline: Timeline) -> str:
    """
    Draw the milliseconds of each frame, and in a strip below how its mask was made.

    Where a span is of several frames, a point is the mean of those whose masks were made in one
    way, with a line up to the worst.

    :return: SVG.
    """
    def fill(figure: Any) -> None:
        axes = _axes(figure, timeline, BOTTOM + STRIP + GAP)
        strip = _axes(figure, timeline, BOTTOM, BOTTOM + STRIP)
        top = max(_draw_times(axes, timeline, made) for made in timeline.made())
        axes.set_ylim(0, 1.12 * top or 1)
        axes.set_ylabel('ms')
        axes.tick_params(labelbottom=False)
        _draw_made(strip, timeline)
        strip.set_yticks([])
        strip.set_xlabel('seconds', labelpad=1)

    return _draw(fill)


def _draw_times(axes: Any, timeline: Timeline, made: str) -> float:
    """Draw the milliseconds of the frames whose masks were made in one way; return the most."""
    timed = [(middle, span.paces[made]) for middle, span in zip(_middles(timeline), timeline.spans)
             if made in span.paces and span.paces[made].timed]
    seconds = [middle for middle, _ in timed]
    mean, worst = ([getattr(pace, name) for _, pace in timed] for name in ('mean_ms', 'worst_ms'))
    axes.vlines(seconds, mean, worst, color=MADE_COLORS[made], linewidth=1, alpha=0.45)
    axes.plot(seconds, mean, 'o', color=MADE_COLORS[made], markersize=2.8, markeredgewidth=0)
    return max(worst, default=0.0)


def _draw_made(axes: Any, timeline: Timeline) -> None:
    """Draw for what part of the frames the mask was made in which way, stacked."""
    below = np.zeros(len(timeline.spans))
    for made in timeline.made():
        part = np.array([span.paces[made].frames / span.frames if made in span.paces else 0.0
                         for span in timeline.spans])
        axes.stairs(below + part, timeline.edges(), baseline=below, fill=True,
                    color=MADE_COLORS[made])
        below = below + part
    axes.set_ylim(0, 1)


def _middles(timeline: Timeline) -> np.ndarray:
    """Return the (N,) seconds in the middle of the spans."""
    edges = timeline.edges()
    return (edges[:-1] + edges[1:]) / 2


def _axes(figure: Any, timeline: Timeline, bottom: float, top: float = TOP) -> Any:
    """Return new axes over the time of the timeline."""
    edges = timeline.edges()
    axes = figure.add_axes((LEFT, bottom, RIGHT - LEFT, top - bottom))
    axes.set_xlim(edges[0], edges[-1])
    axes.grid(axis='y', linewidth=0.6)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params(length=0)
    return axes


def _draw(fill: Callable[[Any], None]) -> str:
    """Return the <svg> element of a figure, its size and colours left to the page."""
    # takes a second to import; no display is asked for
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file = io.StringIO()
    with rc_context(RC):
        figure = Figure(figsize=(WIDTH_INCH, HEIGHT_INCH))
        fill(figure)
        FigureCanvasSVG(figure).print_svg(
            file, metadata=dict.fromkeys(('Date', 'Creator', 'Format', 'Type')))
    svg = file.getvalue()
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg[svg.index('<svg'):], flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', '', svg, count=2)
    for color, style in STYLE.items():
        svg = svg.replace(color, style)
    return svg
