"""Rates: which one is aimed at, and which one was played."""

from __future__ import annotations

import pytest

from roadseg_ros.tools.demo.summary import Play, Rates, rows


@pytest.mark.parametrize('calibrated, asked, choice, target', [
    (30.0, None, 'recorded', 15.0), (4.0, None, 'calibrated', 4.0), (4.0, 20.0, 'asked', 20.0)])
def test_target(calibrated, asked, choice, target):
    rates = Rates(15.0, calibrated, asked)
    assert (rates.choice, rates.target_hz) == (choice, target)


def test_a_slower_try_is_no_calibration():
    rates = Rates(15.0, 40.0).slower(0.6)
    assert (rates.choice, rates.target_hz, rates.calibrated_hz) == ('slowed', 9.0, 40.0)
    assert rates.slower(0.5).target_hz == 4.5


def test_played_rate_is_the_measured_one():
    play = Play({stamp: 10.0 + 0.25 * stamp for stamp in range(5)}, {2: 10.6})
    assert play.rate_hz == 4
    assert play.latency_ms() == {2: pytest.approx(100)}


def test_rows_tell_aim_from_measurement():
    said = dict(rows({
        'log': 'drive', 'frames_sent': 9, 'masks_received': 9, 'dropped': 0, 'latency_ms': {},
        'recorded_hz': 15.0, 'calibrated_hz': 40.0, 'target_hz': 2000.0, 'played_hz': 867.3,
        'rate_choice': 'asked', 'node': {}, 'page': 'index.html'}))
    assert said['rate'] == ('played at 867.3 Hz; the aim was 2000.0, the rate asked for '
                            '(recorded 15.0, calibration 40.0)')
