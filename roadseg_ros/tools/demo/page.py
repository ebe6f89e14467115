"""The demo's page: one HTML file that loads nothing but the pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
import json
from string import Template
from typing import Any

from roadseg_ros.labels import LabelSpace

PLOT_WIDTH, PLOT_HEIGHT, MARGIN = 640, 220, 44
PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>roadseg demo: $title</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px auto; max-width: 1120px;
       padding: 0 16px; color: #222; }
.pair, .plots { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
figure { margin: 0; } img { width: 100%; display: block; background: #ddd; }
.controls { display: flex; gap: 12px; align-items: center; margin: 10px 0; }
.controls input { flex: 1; }
ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 16px; }
i { display: inline-block; width: 1em; height: 1em; margin-right: 6px; vertical-align: -2px; }
th { text-align: left; font-weight: normal; color: #666; padding-right: 24px; }
text { font-size: 11px; }
.grid { stroke: #ddd; } polyline { fill: none; stroke-width: 1.5; }
</style></head><body>
<h1>roadseg demo</h1><p>$title</p>
<div class="pair">
<figure><img id="frame" alt="frame"><figcaption id="number"></figcaption></figure>
<figure><img id="overlay" alt="overlay"><figcaption id="came"></figcaption></figure>
</div>
<div class="controls"><button id="play">play</button>
<input id="slider" type="range" min="0" max="$last" value="0" aria-label="frame number"></div>
<ul>$legend</ul>
<h2>How it went</h2><table>$table</table>
<div class="plots"><div>$latency</div><div>$rate</div></div>
<p>$links</p>
<script>
const pictures = $pictures, by = id => document.getElementById(id), slider = by('slider');
function show() {
  const [frame, overlay] = pictures[slider.value];
  by('frame').src = frame;
  by('overlay').src = overlay || frame;
  by('came').textContent = overlay ? 'overlay, as published' : 'no overlay came';
  by('number').textContent = 'frame ' + slider.value + ' of ' + slider.max;
}
let timer = null;
by('play').onclick = () => {
  by('play').textContent = timer ? 'play' : 'pause';
  if (timer) { clearInterval(timer); timer = null; return; }
  timer = setInterval(() => {
    slider.value = (Number(slider.value) + 1) % pictures.length; show(); }, 100);
};
slider.oninput = show;
show();
</script></body></html>
""")

Points = Sequence[tuple[float, float]]


def make_page(summary: dict[str, Any], rows: Sequence[tuple[str, str]], labels: LabelSpace,
              overlays: Sequence[bool], latency_ms: Points, rates: dict[str, Points]) -> str:
    """
    Write the page.

    :param summary: of the run.
    :param rows: name and value of what the table shows.
    :param labels: classes of the legend.
    :param overlays: for each frame whether its overlay came.
    :param latency_ms: (seconds since the first frame, milliseconds) of each mask.
    :param rates: (seconds, per second) by what is counted.
    :return: HTML.
    """
    pictures = [[f'frames/{index:05}.jpg', f'frames/{index:05}_overlay.jpg' if came else '']
                for index, came in enumerate(overlays)]
    links = ' · '.join(f'<a href="{escape(name)}">{escape(name)}</a>'
                       for name in summary['files'])
    return PAGE.substitute(
        title=escape(summary['log']), links=links, pictures=json.dumps(pictures),
        last=len(pictures) - 1, legend=_legend(labels), table=_table(rows),
        latency=plot({'publish to mask': latency_ms}, 'latency, ms'),
        rate=plot(rates, 'per second'))


def plot(lines: dict[str, Points], what: str) -> str:
    """
    Draw lines over time as SVG.

    :param lines: (seconds, value) by name.
    :param what: the values are, with their unit.
    """
    colors = ('#2f6fab', '#d9822b')
    points = [point for line in lines.values() for point in line] or [(0.0, 0.0)]
    end = max(max(x for x, _ in points), 1e-3)
    top = 1.15 * max(max(y for _, y in points), 1e-3)
    wide, high = PLOT_WIDTH - MARGIN - 10, PLOT_HEIGHT - MARGIN - 10
    drawn = [f'<svg viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" role="img" '
             f'aria-label="{escape(what)} over time">']
    for part in range(5):
        y = 10 + high * (1 - part / 4)
        drawn.append(f'<path class="grid" d="M{MARGIN} {y:.1f}h{wide}"/><text x="{MARGIN - 6}" '
                     f'y="{y + 4:.1f}" text-anchor="end">{top * part / 4:.3g}</text>')
        drawn.append(f'<text x="{MARGIN + wide * part / 4:.1f}" y="{high + 26}" '
                     f'text-anchor="middle">{end * part / 4:.3g}</text>')
    for index, (name, line) in enumerate(lines.items()):
        path = ' '.join(f'{MARGIN + wide * x / end:.1f},{10 + high * (1 - y / top):.1f}'
                        for x, y in line)
        drawn.append(f'<polyline points="{path}" stroke="{colors[index]}"/><text x="'
                     f'{MARGIN + 8 + 130 * index}" y="22" fill="{colors[index]}">'
                     f'{escape(name)}</text>')
    drawn.append(f'<text x="{MARGIN}" y="{PLOT_HEIGHT - 4}">{escape(what)}, over seconds</text>'
                 '</svg>')
    return ''.join(drawn)


def _legend(labels: LabelSpace) -> str:
    """Return the classes with their colours."""
    return ''.join(f'<li><i style="background:rgb{color}"></i>{index} {escape(name)}</li>'
                   for index, (name, color) in enumerate(zip(labels.names, labels.colors)))


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """Return the rows of the table."""
    return ''.join(f'<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>'
                   for name, value in rows)
