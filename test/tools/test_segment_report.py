"""`roadseg segment --report`: a page beside the output, which stays what it is without one."""

from __future__ import annotations

import base64
from html import unescape
import json
import re

import cv2
import numpy as np
import pytest

from roadseg_ros.inference.segmenter import Segmentation
from roadseg_ros.labels import UNLABELLED
from roadseg_ros.tools.bag_file import SinkError
from roadseg_ros.tools.frames import Frame
from roadseg_ros.tools.page.timeline import LIMIT
from roadseg_ros.tools.segment_report import (
    ALPHA,
    FEWEST_SPANS,
    LONGEST_SIDE,
    SegmentReport,
)


def views(page):
    """Return what the page shows, by camera."""
    return [json.loads(unescape(text))
            for text in re.findall("data-view='(.*?)'", page.read_text(encoding='utf-8'))]


def decoded(address):
    """Return the picture that an address holds, with all its channels."""
    data = base64.b64decode(re.fullmatch(r'data:image/\w+;base64,(.*)', address)[1])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def report(tmp_path, labels):
    """Return a report of two cameras."""
    return SegmentReport(tmp_path / 'page.html', tmp_path / 'masks', ['/a', '/b'], labels)


def frame(index, topic='/a', bag_time_ns=None):
    return Frame(str(index), str(index), index * 10**8, lambda: None, topic,
                 bag_time_ns=bag_time_ns)


def test_page_of_a_folder_of_images(tmp_path, pictures, segment, mask_of, capsys, labels):
    folder, page = tmp_path / 'in', tmp_path / 'report' / 'page.html'
    folder.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f'{index}.png'), picture)
    assert segment(folder, '--out', tmp_path / 'masks', '--report', page, '--cache', 'warp') == 0
    assert sorted(path.name for path in (tmp_path / 'masks').glob('[!.]*')) == [
        f'{index}.png' for index in range(4)]
    assert [path.name for path in page.parent.iterdir()] == ['page.html']
    (view,) = views(page)
    assert [moment['made'] for moment in view['moments']] == ['full', 'warped', 'warped', 'full']
    assert [moment['seconds'] for moment in view['moments']] == [0, 0.067, 0.133, 0.2]
    mask, first = mask_of(pictures[0]), view['moments'][0]
    assert first['shares'] == pytest.approx(
        [*(np.bincount(mask.ravel(), minlength=len(labels)) / mask.size), 0], abs=1e-4)
    np.testing.assert_array_equal(decoded(first['overlay']), np.dstack([
        labels.color_table[mask][:, :, ::-1], np.full_like(mask, ALPHA)]))
    assert np.abs(decoded(first['frame']).astype(int) - pictures[0]).mean() < 12
    text = page.read_text(encoding='utf-8')
    assert str(folder) in text and '2 full, 2 warped' in text


def test_unlabelled_pixels_show_the_frame(report, tmp_path):
    ids = np.full((2 * LONGEST_SIDE, 3 * LONGEST_SIDE), 3, np.uint8)
    ids[:, :LONGEST_SIDE] = UNLABELLED
    report.add(frame(0), np.zeros((*ids.shape, 3), np.uint8), Segmentation(ids, None))
    report.write('', [])
    (view,) = views(tmp_path / 'page.html')
    overlay = decoded(view['moments'][0]['overlay'])
    assert overlay.shape == (round(LONGEST_SIDE * 2 / 3), LONGEST_SIDE, 4)
    assert (overlay[:, :LONGEST_SIDE // 3 - 1, 3] == 0).all()
    assert (overlay[:, LONGEST_SIDE // 3 + 1:, 3] == ALPHA).all()
    assert view['moments'][0]['shares'][-1] == pytest.approx(1 / 3, abs=1e-4)


def test_long_inputs_make_no_longer_pages(report, tmp_path, picture):
    result = Segmentation(np.zeros(picture.shape[:2], np.uint8), None)
    for index in range(5 * LIMIT):
        report.add(frame(index), picture, result)
    report.write('', [])
    (view,) = views(tmp_path / 'page.html')
    assert view['frames'] == 5 * LIMIT
    assert FEWEST_SPANS <= len(view['moments']) <= LIMIT // 2


def test_cameras_have_parts_of_their_own(report, tmp_path, picture):
    for index in range(6):
        ids = np.full(picture.shape[:2], index % 2, np.uint8)
        # stamps that are no times: the recording's clock goes on
        report.add(Frame('', '', -10**18 * index, lambda: None, '/' + 'ab'[index % 2],
                         bag_time_ns=5 * 10**9 + index * 10**9), picture, Segmentation(ids, None))
    report.write('', [])
    front, back = views(tmp_path / 'page.html')
    assert [moment['seconds'] for moment in front['moments']] == [0, 2, 4]
    assert [moment['seconds'] for moment in back['moments']] == [1, 3, 5]
    assert {moment['shares'][0] for moment in front['moments']} == {1}
    assert {moment['shares'][1] for moment in back['moments']} == {1}


def test_without_frames_there_is_no_page(report, tmp_path, capsys):
    report.write('', [])
    assert 'there is no page' in capsys.readouterr().err
    assert not (tmp_path / 'page.html').exists()


def test_nothing_is_overwritten(tmp_path, picture, segment, capfd):
    cv2.imwrite(str(tmp_path / 'one.png'), picture)
    taken = tmp_path / 'taken.html'
    taken.write_text('mine')
    for page, said in ((taken, 'taken.html exists; nothing is overwritten'),
                       (taken / 'page.html', 'cannot write'),
                       (tmp_path / 'masks' / 'page.html', 'among the masks')):
        assert segment(tmp_path / 'one.png', '--out', tmp_path / 'masks', '--report', page) == 2
        error = capfd.readouterr().err
        assert error.count('\n') == 1 and said in error
    assert taken.read_text() == 'mine' and not (tmp_path / 'masks').exists()


def test_comparison_has_no_page(tmp_path, segment, capfd):
    assert segment(tmp_path, '--compare-cache', '--report', tmp_path / 'page.html') == 2
    assert 'leave --report out' in capfd.readouterr().err


def test_page_that_cannot_be_written(report, tmp_path, picture):
    report.add(frame(0), picture, Segmentation(np.zeros(picture.shape[:2], np.uint8), None))
    (tmp_path / 'page.html').mkdir()
    with pytest.raises(SinkError, match='cannot write .*page.html: Is a directory'):
        report.write('', [])
