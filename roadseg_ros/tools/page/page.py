"""Write the page: HTML with style, script and plots in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
import json
from pathlib import Path
import re
from string import Template
import sys
from typing import Any

from roadseg_ros.labels import LabelSpace
from roadseg_ros.tools.page.plot import (
    LEFT,
    MADE_COLORS,
    plot_shares,
    plot_times,
    RIGHT,
    UNLABELLED_COLOR,
)
from roadseg_ros.tools.page.timeline import Span, Timeline

HERE = Path(__file__).parent
CAMERA = Template("""<section class="camera" data-view='$view'>
$heading<div class="view">
<div class="stage">
<img class="frame" alt="the camera's frame"><img class="overlay" alt="the overlay of its classes">
<span class="tag">frame</span><span class="tag">overlay</span>
<input class="cut" type="range" min="0" max="100" step="0.1" value="50"
 aria-label="where the frame ends and the overlay begins">
<div class="handle"></div>
</div>
<div class="controls"><button class="play" type="button">Play</button>
<input class="moment" type="range" min="0" max="$last" value="0" aria-label="moment of the drive">
<span class="said"></span></div>
<ul class="legend" aria-label="classes, and what part of the picture each covers">$legend</ul>
</div>
<div class="plots">$plots</div>
</section>""")


class PageError(ValueError):
    """The page cannot be made here; says what is missing."""


@dataclass(frozen=True)
class Camera:
    """
    What the page shows of a camera.

    :param name: for people.
    :param timeline: of one frame or more.
    :param times: what the milliseconds in it are.
    """

    name: str
    timeline: Timeline
    times: str


def check_page() -> None:
    """
    Look whether plots can be drawn, before long work that ends in a page.

    :raises PageError: matplotlib is missing.
    """
    if find_spec('matplotlib') is None:
        raise PageError(f'the plots of the page need matplotlib, which {sys.executable} does not '
                        'have')


def make_page(title: str, subtitle: str, facts: Sequence[tuple[str, str]], labels: LabelSpace,
              cameras: Sequence[Camera], files: Sequence[str] = ()) -> str:
    """
    Write the page.

    :param title: of the page.
    :param subtitle: what was segmented.
    :param facts: name and value of what is worth knowing of the run.
    :param labels: classes of the masks.
    :param cameras: one or more.
    :param files: beside the page, that it links to.
    :return: HTML, which loads nothing but the pictures whose addresses the timelines hold.
    """
    page = Template((HERE / 'page.html').read_text(encoding='utf-8'))
    links = ''.join(f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in files)
    return page.substitute(
        title=escape(title), subtitle=escape(subtitle),
        style=(HERE / 'page.css').read_text(encoding='utf-8'),
        script=(HERE / 'page.js').read_text(encoding='utf-8'),
        facts=''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
                      for name, value in facts),
        cameras=''.join(_camera(index, camera, labels, len(cameras) > 1)
                        for index, camera in enumerate(cameras)),
        files=f'<h2>Files</h2><ul class="files">{links}</ul>' if files else '')


def _camera(index: int, camera: Camera, labels: LabelSpace, named: bool) -> str:
    """Return the section of a camera."""
    timeline = camera.timeline
    view = {'moments': [_moment(span) for span in timeline.spans],
            'frames': timeline.frames, 'edges': timeline.edges().round(4).tolist(),
            'plot': [LEFT, RIGHT]}
    plots = _plots(camera, labels) if len(timeline.spans) > 1 else ()
    return CAMERA.substitute(
        view=escape(json.dumps(view, allow_nan=False)), last=len(timeline.spans) - 1,
        heading=f'<h2>{escape(camera.name)}</h2>\n' if named else '', legend=_legend(labels),
        plots=''.join(_figure(f'c{index}p{number}', *plot) for number, plot in enumerate(plots)))


def _moment(span: Span) -> dict[str, Any]:
    """Return what the script shows of a span, as plain JSON."""
    frame, overlay = span.pictures
    shares = span.mean_shares
    (made, pace), *others = span.paces.items()
    return {'seconds': round(span.seconds, 3), 'number': span.number, 'frame': frame,
            'overlay': overlay, 'made': '' if others else made,
            'ms': round(pace.mean_ms, 1) if pace.timed and not others else None,
            'shares': None if shares[0] != shares[0] else shares.round(4).tolist()}


def _plots(camera: Camera, labels: LabelSpace) -> list[tuple[str, str, str]]:
    """Return title, key and SVG of each plot."""
    key = ''.join(f'<span><i style="background:{MADE_COLORS[made]}"></i>{made} {count}</span>'
                  for made, count in camera.timeline.made().items())
    return [('Class shares', '<span>colours as above</span>',
             plot_shares(camera.timeline, labels)),
            (camera.times, f'masks made: {key}', plot_times(camera.timeline))]


def _figure(prefix: str, title: str, key: str, svg: str) -> str:
    """Return a plot with its title; ids in it get a prefix, as other plots have the same."""
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf'\g<1>{prefix}-', svg)
    svg = svg.replace('<svg ', f'<svg role="img" aria-label="{escape(title)} over time" ', 1)
    return (f'<figure><figcaption>{escape(title)}<span class="key">{key}</span></figcaption>'
            f'<div class="plot"><div class="now"></div>{svg}</div></figure>')


def _legend(labels: LabelSpace) -> str:
    """Return the classes with their ids, their colours and room for their shares."""
    rows = [(str(index), name, 'rgb' + str(color).replace(' ', ''))
            for index, (name, color) in enumerate(zip(labels.names, labels.colors))]
    rows.append(('255', 'unlabelled', UNLABELLED_COLOR))
    return ''.join(f'<li style="--color:{color}"><i></i><span>{number}</span>'
                   f'<span>{escape(name)}</span><b></b></li>'
                   for number, name, color in rows)
