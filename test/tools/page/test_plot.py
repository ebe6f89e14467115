"""Plots: SVG with the points in place, in the page's colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from roadseg_ros.tools.page.plot import (
    HEIGHT_INCH,
    INK,
    LEFT,
    MADE_COLORS,
    plot_shares,
    plot_times,
    RIGHT,
    WIDTH_INCH,
)
from roadseg_ros.tools.page.timeline import Timeline


@pytest.fixture
def timeline(labels):
    """Return four frames a second apart; the third is lost."""
    timeline = Timeline(len(labels))
    for index, made in enumerate(('full', 'warped', None, 'full')):
        if made is None:
            timeline.add(float(index), lambda: ('', ''))
            continue
        shares = np.zeros(len(labels) + 1)
        shares[index] = shares[-1] = 0.5
        timeline.add(float(index), lambda: ('', ''), made, 10.0 * (index + 1), shares)
    return timeline


def points(svg: str, color: str) -> list[tuple[float, float]]:
    """Return where the round points of a colour are."""
    return [(float(x), float(y)) for x, y in re.findall(
        rf'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: {color}"', svg)]


def test_milliseconds_are_in_place(timeline):
    svg = plot_times(timeline)
    width, height = 72 * WIDTH_INCH, 72 * HEIGHT_INCH
    box = ElementTree.fromstring(svg).get('viewBox')
    assert [float(number) for number in box.split()] == pytest.approx([0, 0, width, height])
    (first, last), (warped,) = points(svg, MADE_COLORS['full']), points(svg, MADE_COLORS['warped'])
    places = [LEFT + (RIGHT - LEFT) * part for part in (1 / 8, 3 / 8, 7 / 8)]
    assert [first[0], warped[0], last[0]] == pytest.approx([width * place for place in places])
    # 10, 20 and 40 ms: the higher the more
    assert first[1] - warped[1] == pytest.approx((warped[1] - last[1]) / 2, abs=0.01)
    assert first[1] > warped[1]


def test_lost_frames_are_in_the_strip(timeline):
    assert MADE_COLORS['lost'] in plot_times(timeline)
    assert MADE_COLORS['cached'] not in plot_times(timeline)


def test_shares_have_the_colours_of_the_classes(timeline, labels):
    svg = plot_shares(timeline, labels)
    assert all(f'fill: #{bytes(color).hex()}' in svg for color in labels.colors)


def test_colours_are_left_to_the_page(timeline, labels):
    for svg in (plot_times(timeline), plot_shares(timeline, labels)):
        assert INK not in svg and 'fill: var(--ink)' in svg and 'var(--line)' in svg
        assert svg.startswith('<svg') and 'metadata' not in svg
        assert '<text' in svg and 'pt"' not in svg[:200]


def test_same_frames_same_plot(timeline):
    assert plot_times(timeline) == plot_times(timeline)
