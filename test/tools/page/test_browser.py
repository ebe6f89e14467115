"""The page in a browser: what a visitor sees, and what their hands do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from roadseg_ros.inference.segmenter import Segmentation
from roadseg_ros.tools.frames import Frame
from roadseg_ros.tools.page.plot import LEFT, RIGHT
from roadseg_ros.tools.segment_report import SegmentReport

COUNT, HEIGHT, WIDTH = 6, 96, 128
MADE = ('full', 'warped', 'warped')
PAPER = {False: (255, 255, 255), True: (0x1a, 0x20, 0x27)}
# takes away what is not the stage, and what lies over it
ALONE = '''
for (const e of document.querySelectorAll('body > :not(main), main > :not(.camera), ' +
    '.camera > :not(.view), .view > :not(.stage), .tag, .handle')) e.remove();
document.body.style.background = document.querySelector('.view').style.background = 'black';
'''


def drag(selector: str, value: float) -> str:
    """Return a script that moves a slider as a visitor does."""
    return (f'{{ const slider = document.querySelector("{selector}"); slider.value = {value};'
            'slider.dispatchEvent(new Event("input")); }')


@pytest.fixture
def page(tmp_path, labels):
    """
    Return a report of six white frames, their left half one class, the right half another.

    In the first frame these are 0 and 1, in the second 1 and 2, and so on.
    """
    report = SegmentReport(tmp_path / 'page.html', tmp_path / 'masks', ['/cam'], labels)
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for index in range(COUNT):
        ids = np.full((HEIGHT, WIDTH), index, np.uint8)
        ids[:, WIDTH // 2:] = index + 1
        report.add(Frame(str(index), str(index), index * 10**8, lambda: white, '/cam'), white,
                   Segmentation(ids, None, MADE[index % 3], timing_ms={'network': 10.0 + index}))
    report.write('six <frames>', [('frames', '6')])
    return tmp_path / 'page.html'


def parts(picture, colors):
    """Return which part of the stage, the box of these RGB colours, each of them covers."""
    near = [np.abs(picture.astype(int) - color[::-1]).max(2) <= 3 for color in colors]
    return [mask.sum() / sum(mask.sum() for mask in near) for mask in near]


def overlaid(labels, index):
    """Return the RGB colour of a class, half over white."""
    return (np.array(labels.colors[index]) * 128 + 255 * 127) // 255


def test_slider_moves_the_edge_between_frame_and_overlay(browser, page, labels):
    white, left, right = (255, 255, 255), overlaid(labels, 0), overlaid(labels, 1)
    for cut, wanted in ((0, (0, .5, .5)), (25, (.25, .25, .5)), (75, (.75, 0, .25)),
                        (100, (1, 0, 0))):
        seen = browser.open(page, drag('.cut', cut) + ALONE)
        assert parts(seen.picture, (white, left, right)) == pytest.approx(wanted, abs=0.01)
        assert f'--cut: {cut}%' in seen.dom
        assert not seen.console


def test_moment_changes_pictures_words_shares_and_plots(browser, page, labels):
    seen = browser.open(page, drag('.moment', 4) + drag('.cut', 0))
    assert not seen.console
    said = 'frame 5 of 6 · 0.40 s · warped · 14 ms'
    assert f'<span class="said">{said}</span>' in seen.dom
    assert f'aria-valuetext="{said.replace(" ·", ",")}"' in seen.dom
    assert re.findall(r'<b>(.*?)</b>', seen.dom) == [
        '50.0 %' if index in (4, 5) else '0.0 %' for index in range(12)]
    for index in (4, 5):
        color = overlaid(labels, index)
        assert (np.abs(seen.picture.astype(int) - color[::-1]).max(2) <= 3).sum() > 50_000
    line = 100 * (LEFT + (RIGHT - LEFT) * 4.5 / COUNT)
    assert seen.dom.count(f'class="now" style="left: {line:g}%') == 2


def test_every_class_is_in_the_legend_and_in_the_plot(browser, page, labels):
    picture = browser.open(page, size=(1000, 1300)).picture.astype(int)
    for index in range(COUNT + 1):
        assert (np.abs(picture - labels.colors[index][::-1]).max(2) <= 2).sum() > 400


def test_a_press_on_a_plot_goes_there(browser, page):
    seen = browser.open(page, """
        const plot = document.querySelectorAll('.plot')[1], box = plot.getBoundingClientRect();
        plot.dispatchEvent(new PointerEvent('pointerdown', {
          clientX: box.left + box.width * 0.45}));""")
    assert 'frame 3 of 6' in seen.dom and not seen.console


def test_play_plays(browser, page):
    seen = browser.open(page, """
        const said = document.querySelector('.said');
        new MutationObserver(() => { document.title += ', ' + said.textContent; })
          .observe(said, {childList: true});
        document.querySelector('.play').click();""")
    assert not seen.console and '>Pause</button>' in seen.dom
    title = re.search('<title>(.*?)</title>', seen.dom)[1]
    assert [int(number) for number in re.findall(r'frame (\d) of 6', title)][:2] == [2, 3]


@pytest.mark.parametrize('dark', [False, True])
def test_light_and_dark(browser, page, dark):
    seen = browser.open(page, """document.title = getComputedStyle(
        document.querySelector('.plot text')).fill;""", dark=dark)
    assert (seen.picture == PAPER[dark][::-1]).all(2).mean() > 0.1
    ink = '(228, 232, 237)' if dark else '(29, 37, 48)'
    assert f'<title>rgb{ink}</title>' in seen.dom


@pytest.mark.parametrize('width', [500, 1400])
def test_nothing_sticks_out(browser, page, width):
    seen = browser.open(page, """document.title = `${innerWidth} ` +
        document.documentElement.scrollWidth;""", (width, 900))
    inner, whole = re.search(r'<title>(\d+) (\d+)</title>', seen.dom).groups()
    assert int(inner) == int(whole) == width
