"""What the page keeps of a log: bounded however long it is, and nothing counted twice."""

from __future__ import annotations

import numpy as np
import pytest

from roadseg_ros.tools.page.timeline import class_shares, LOST, Timeline

LIMIT, CLASSES = 16, 3


def filled(count: int) -> tuple[Timeline, list[int]]:
    """Return a timeline of many frames, and which of them it wanted pictures of."""
    timeline, drawn = Timeline(CLASSES, LIMIT), []
    for index in range(count):
        def pictures(index: int = index) -> tuple[str, str]:
            drawn.append(index)
            return f'{index}.jpg', f'{index}.png'

        if index % 5 == 4:
            timeline.add(index / 10, pictures)
        else:
            ids = np.full((2, 2), index % 2, np.uint8)
            timeline.add(index / 10, pictures, 'warped' if index % 5 else 'full', float(index),
                         class_shares(ids, CLASSES))
    return timeline, drawn


@pytest.mark.parametrize('count', [1, LIMIT, LIMIT + 1, 1000])
def test_spans_hold_every_frame_once(count):
    timeline, drawn = filled(count)
    spans = timeline.spans
    assert len(spans) <= LIMIT and timeline.frames == count == sum(s.frames for s in spans)
    assert dict(timeline.made()) == {made: frames for made, frames in {
        'full': -(-count // 5), LOST: count // 5,
        'warped': count - -(-count // 5) - count // 5}.items() if frames}
    timed = [index for index in range(count) if index % 5 != 4]
    assert sum(pace.total_ms for s in spans for pace in s.paces.values()) == sum(timed)
    assert max(pace.worst_ms for s in spans for pace in s.paces.values()) == timed[-1]
    assert sum(s.shares.sum() for s in spans) == pytest.approx(len(timed))
    assert [s.pictures for s in spans] == [(f'{s.number}.jpg', f'{s.number}.png') for s in spans]
    assert len(drawn) <= LIMIT * (1 + count.bit_length() / 2)


def test_spans_are_of_equally_many_frames_in_order():
    spans = filled(1000)[0].spans
    assert {span.frames for span in spans[:-1]} == {64}
    assert [span.number for span in spans] == list(range(0, 1000, 64))


def test_edges_enclose_the_spans():
    assert filled(3)[0].edges() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert filled(1)[0].edges() == pytest.approx([0, 1])


def test_lost_frames_have_no_share():
    timeline = Timeline(CLASSES, 2)
    timeline.add(0.0, lambda: ('', ''))
    timeline.add(0.1, lambda: ('', ''), 'full', 1.0, np.array([0.5, 0.5, 0, 0]))
    assert np.isnan(timeline.spans[0].mean_shares).all()
    timeline.add(0.2, lambda: ('', ''))
    assert timeline.spans[0].mean_shares.tolist() == [0.5, 0.5, 0, 0]


def test_shares_of_a_mask():
    ids = np.array([[0, 0, 1, 255], [2, 2, 2, 255]], np.uint8)
    assert class_shares(ids, CLASSES).tolist() == [0.25, 0.125, 0.375, 0.25]
