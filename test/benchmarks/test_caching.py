"""The benchmark of caching: its clocks, its bars, its tables and its splices."""
from collections import Counter

import numpy as np
import pytest

from benchmarks import caching
from roadseg_ros.inference.comparison import Contestant, Shot
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import ConfusionMatrix


@pytest.fixture(scope='module')
def segmenter(checkpoint):
    """Return the small checkpoint on the CPU."""
    return Segmenter(checkpoint, device='cpu')


def drive(picture, step):
    """Return pictures that move, with truth that does not matter."""
    truth = np.zeros(picture.shape[:2], np.uint8)
    return [Shot(np.ascontiguousarray(np.roll(picture, step * index, 1)), index * 33_000_000,
                 truth=truth) for index in range(12)]


@pytest.mark.parametrize('share', [0.17, 0.5, 1.0])
@pytest.mark.parametrize('number', [0, 3])
def test_chance_keeps_its_share(share, number):
    """Keys are as many as asked for, at uneven distances."""
    chance = caching.random(share, number, 1000)
    assert chance.mean() == pytest.approx(share, abs=0.05)
    assert share == 1 or np.ptp(np.diff(np.flatnonzero(chance))) > 1


def test_clocks_of_equal_cost():
    """Between two clocks that were measured lies what one in between would lose."""
    def contestant(seconds, right):
        confusion = ConfusionMatrix(2)
        confusion.matrix[0, 0], confusion.matrix[0, 1] = right, 100 - right
        return Contestant(CacheSettings(), phases=[confusion], seconds=[seconds],
                          made=Counter(full=10))

    off, half, quarter = contestant(0.4, 100), contestant(0.2, 90), contestant(0.1, 70)
    assert caching.loss(half, off) == pytest.approx(10 / 2 + 50)  # the other class is all wrong
    between = caching.at_equal_time(contestant(0.15, 80), off, [half, quarter])
    assert between == pytest.approx((caching.loss(half, off) + caching.loss(quarter, off)) / 2)
    assert caching.at_equal_time(contestant(0.05, 80), off, [half, quarter]) is None


def test_a_line_for_every_policy(segmenter, picture):
    """Each policy comes with its speed, its loss and those of the clocks of its cost."""
    rows = caching.measure(segmenter, drive(picture, 1))
    assert {row['policy'].split()[0] for row in rows} == set(POLICIES)
    assert rows[0]['loss'] == 0 and rows[0]['speed_up'] == 1
    for row in rows[1:]:
        assert 'not_possible' in row or {'loss', 'fixed', 'random', 'full_share'} <= set(row)
    lines = caching.table(rows).splitlines()
    drawn = [line for line in lines if line.startswith('|')]
    possible = [row for row in rows if 'not_possible' not in row]
    assert len(drawn) == 2 + len(possible) and len({line.count('|') for line in drawn}) == 1
    for row in rows:
        assert 'loss' in row or f'{row["policy"]}: not possible here' in '\n'.join(lines)


def test_a_cut_is_noticed(segmenter, picture, monkeypatch):
    """From the first frame after a cut into another scene on, masks are every-frame ones."""
    monkeypatch.setattr(caching, 'CUTS', (0,))
    noise = np.random.default_rng(1).integers(0, 256, picture.shape, np.uint8)
    rows = caching.splice(segmenter, drive(noise, 0), drive(picture, 1))
    for row in rows:
        if 'not_possible' not in row:
            assert row['cuts'] in (2, 5)  # of 3 and 6 phases, one meets a frame that is due
            assert row['missed'] == row['first_frame'] == 0


def test_bars_name_the_best_within_the_loss():
    """What loses too much does not count, however fast it is."""
    rows = [{'policy': 'a', 'loss': 0.4, 'speed_up': 2.1},
            {'policy': 'b', 'loss': 0.9, 'speed_up': 2.4},
            {'policy': 'c', 'loss': 1.1, 'speed_up': 9.0}, {'policy': 'd', 'not_possible': '-'}]
    assert caching.bars('openvino', rows) == [
        'at most 1.0 points lost, 2.5 times as fast: not reached (b: 0.9 points, 2.4 times)',
        'at most 0.5 points lost, 2.0 times as fast: reached (a: 0.4 points, 2.1 times)']
    assert caching.bars('torch-bfloat16', rows) == caching.bars('openvino', ()) == []
