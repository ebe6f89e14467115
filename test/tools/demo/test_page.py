"""The page: whole in itself, plots in place."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from roadseg_ros.tools.demo import page as demo_page


def test_page_stands_alone(labels):
    text = demo_page.make_page(
        {'log': '<drive>', 'files': ['drive.mcap']}, [('frames in', '2')], labels, [True, False],
        [(0.0, 10.0), (1.0, 20.0)], {'frames sent': [(0.5, 2.0)]})
    assert '&lt;drive&gt;' in text and '<drive>' not in text
    assert '["frames/00000.jpg", "frames/00000_overlay.jpg"], ["frames/00001.jpg", ""]' in text
    assert all(name in text for name in labels.names)
    assert '<th>frames in</th><td>2</td>' in text
    assert not re.search(r'https?:|src="/|<script src|@import', text)


def test_plot_is_svg_with_the_points_in_place():
    picture = ElementTree.fromstring(demo_page.plot({'a': [(0, 0), (2, 10)]}, 'x & y'))
    (line,) = picture.findall('polyline')
    (left, bottom), (right, top) = (map(float, point.split(','))
                                    for point in line.get('points').split())
    assert left < right and top < bottom
    assert demo_page.plot({'a': []}, 'nothing')
