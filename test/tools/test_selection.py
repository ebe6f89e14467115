"""The choice of frames: doubtful ones, all sorts, from all of a drive, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from roadseg_ros.tools.selection import Candidate, choose, describe, Pool, Selection


def candidate(index: int, doubt: float, *descriptor: float) -> Candidate:
    return Candidate(index, doubt, np.array(descriptor or (0.0,), np.float32))


def test_descriptor_knows_picture_and_classes():
    grey, ids = np.full((48, 64, 3), 100, np.uint8), np.zeros((48, 64), np.uint8)
    confidence = np.full((48, 64), 255, np.uint8)
    plain = describe(0, grey, ids, confidence, 5)
    assert plain.doubt == 0 and plain.descriptor.shape == (8 * 6 * 3 + 5,)
    same = describe(1, grey, ids, confidence - 51, 5)
    assert same.doubt == pytest.approx(0.2)
    np.testing.assert_array_equal(same.descriptor, plain.descriptor)
    thing = ids.copy()
    thing[20:25, 30:40] = 3
    lit = grey.copy()
    lit[:, 32:] = 250
    far = [np.linalg.norm(describe(0, *other, confidence, 5).descriptor - plain.descriptor)
           for other in ((grey, thing), (lit, ids), (grey, ids + 4))]
    assert 0.05 < far[0] < 0.2 and 0.2 < far[1] < 0.6
    assert far[2] == pytest.approx(1)  # nothing in common


def test_most_doubtful_comes_first():
    assert [one.index for one in choose([candidate(0, 0.1), candidate(1, 0.3), candidate(2, 0.2)],
                                        1)] == [1]


def test_of_three_kinds_of_frames_each_is_chosen():
    """However many there are of one, and however certain the others."""
    frames = [candidate(index, 0.5, 0, index / 1000) for index in range(50)]
    frames += [candidate(50, 0.1, 1, 0), candidate(51, 0.2, 1, 0.01), candidate(52, 0.1, 0, 1)]
    chosen = [one.index for one in choose(frames, 3)]
    assert chosen[1:] == [51, 52] and chosen[0] < 50


def test_equal_frames_are_chosen_before_none_and_never_twice():
    frames = [candidate(index, 0.0) for index in range(4)]
    assert [one.index for one in choose(frames, 3)] == [0, 1, 2]
    assert choose(frames, 9) == frames
    assert choose([], 3) == []


@pytest.mark.parametrize('count', [1, 7, 8, 9, 100, 1000])
def test_pool_keeps_the_most_doubtful_of_even_stretches(count):
    doubts = np.random.default_rng(0).random(count)
    pool = Pool(8)
    for index, doubt in enumerate(doubts):
        pool.offer(candidate(index, float(doubt)))
    stretch = 1
    while stretch * 8 < count:
        stretch *= 2
    assert [one.index for one in pool.candidates] == [
        start + int(doubts[start:start + stretch].argmax())
        for start in range(0, count, stretch)]


def test_a_long_drive_takes_no_more_memory():
    selection = Selection(3)
    for index in range(3000):
        for stream in 'ab':
            selection.offer(stream, candidate(index, (index * 7919 % 1000) / 1000, index / 3000))
    assert sum(len(pool.candidates) for pool in selection._pools.values()) <= 512
    chosen = [one.index for one in selection.chosen()]
    assert len(chosen) == 3 and chosen == sorted(chosen)
    assert chosen[-1] - chosen[0] > 1500


def test_each_camera_is_seen():
    """One that shows something else has a frame, though the other has more doubt."""
    selection = Selection(2)
    for index in range(40):
        selection.offer('left', candidate(2 * index, 0.5, 0))
        selection.offer('right', candidate(2 * index + 1, 0.1, 1))
    assert sorted(one.index % 2 for one in selection.chosen()) == [0, 1]
