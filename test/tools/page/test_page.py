"""The page: whole in itself, and no place for what names of files and classes might bring."""

from __future__ import annotations

from html import unescape
import json
import re

import numpy as np
import pytest

from roadseg_ros.labels import LabelSpace
from roadseg_ros.tools.page import Camera, check_page, make_page, Timeline
from roadseg_ros.tools.page.page import PageError

HOSTILE = '</script><img src=x onerror="alert(1)">\''


def camera(labels: LabelSpace, name: str = '/cam', count: int = 2) -> Camera:
    """Return a camera whose first frame has a mask, the others none."""
    timeline = Timeline(len(labels))
    shares = np.zeros(len(labels) + 1)
    shares[1] = 1.0
    timeline.add(0.0, lambda: ('frames/0.jpg', 'frames/0_overlay.jpg'), 'full', 12.34, shares)
    for index in range(1, count):
        timeline.add(index / 10, lambda: (f'{HOSTILE}.jpg', ''))
    return Camera(name, timeline, 'milliseconds')


def views(page: str) -> list[dict]:
    """Return what the script reads, by camera."""
    return [json.loads(unescape(text)) for text in re.findall("data-view='(.*?)'", page)]


def test_page_stands_alone(labels):
    page = make_page('demo', 'drive', [('frames in', '2')], labels, [camera(labels)],
                     ['drive.mcap'])
    namespaces = 'http://www.w3.org/'
    assert not re.search(r'https?:|@import|<link|<script src|url\((?!#)',
                         page.replace(namespaces, ''))
    assert '<dt>frames in</dt><dd>2</dd>' in page and 'href="drive.mcap"' in page
    assert all(name in page for name in (*labels.names, 'unlabelled'))
    assert not re.search(r'\$\w', page)


def test_moments(labels):
    (view,) = views(make_page('demo', 'drive', [], labels, [camera(labels)]))
    first, second = view['moments']
    assert (first['frame'], first['overlay']) == ('frames/0.jpg', 'frames/0_overlay.jpg')
    assert (first['made'], first['ms'], first['shares'][1]) == ('full', 12.3, 1)
    assert (second['overlay'], second['made'], second['ms'], second['shares']) == (
        '', 'lost', None, None)
    assert view['frames'] == 2 and view['edges'] == [0, 0.1, 0.2]


def test_names_are_text():
    labels = LabelSpace((HOSTILE, 'road'), ((1, 2, 3), (4, 5, 6)))
    page = make_page(HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)], labels,
                     [camera(labels, HOSTILE), camera(labels, HOSTILE)], [HOSTILE])
    assert '<img src=x' not in page and page.count('</script>') == 1
    assert views(page)[1]['moments'][1]['frame'] == f'{HOSTILE}.jpg'


def test_ids_of_plots_are_their_own(labels):
    page = make_page('demo', 'drive', [], labels, [camera(labels, '/a'), camera(labels, '/b')])
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 10
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)
    assert '<h2>/a</h2>' in page and '<h2>/b</h2>' in page


def test_one_picture_has_no_plots(labels):
    page = make_page('segment', 'one.png', [], labels, [camera(labels, count=1)])
    assert '<svg' not in page and 'one.png' in page and len(views(page)[0]['moments']) == 1


def test_without_matplotlib_it_is_said_before(monkeypatch):
    check_page()
    monkeypatch.setattr('roadseg_ros.tools.page.page.find_spec', lambda name: None)
    with pytest.raises(PageError, match='need matplotlib'):
        check_page()
