"""Policies side by side: phases, turns, refusals, and what is counted against what."""
from collections import Counter

import numpy as np
import pytest

from roadseg_ros.inference import comparison
from roadseg_ros.inference.comparison import (
    clips,
    CLOCKS,
    compare,
    Contestant,
    contestants,
    listed,
    play,
    Shot,
)
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.metrics import ConfusionMatrix

FRAMES = 7


@pytest.fixture(scope='module')
def segmenter(checkpoint):
    """Return the small checkpoint on the CPU."""
    return Segmenter(checkpoint, device='cpu')


@pytest.fixture
def drive(picture):
    """Return pictures that move to the right by two pixels a frame, at 20 Hz."""
    return [Shot(np.ascontiguousarray(np.roll(picture, 2 * index, 1)), index * 50_000_000)
            for index in range(FRAMES)]


def test_every_policy_is_entered(segmenter):
    """Every-frame inference comes first, the others at each interval."""
    entered = contestants()
    assert entered[0].name == 'off'
    assert {contestant.settings.policy for contestant in entered} == set(POLICIES)
    assert [contestant.name for contestant in entered if contestant.settings.policy == 'warp'] \
        == [f'warp {interval}' for interval in CLOCKS]


@pytest.mark.parametrize('phase, keys', [(0, {0, 3, 6}), (1, {2, 5}), (2, {1, 4})])
def test_the_clock_starts_before_the_clip(segmenter, drive, phase, keys):
    """A phase moves the keys, and the first frame need be none."""
    segmenter.set_cache(CacheSettings('warp', 3))
    made = play(segmenter, drive, phase).made
    assert {index for index, how in enumerate(made) if how == 'full'} == keys
    assert set(made) == {'full', 'warped'}


def test_a_clock_from_outside(segmenter, drive):
    """What is asked to be a key is one, and nothing else."""
    segmenter.set_cache(CacheSettings('warp', 100))
    keys = [True, False, False, True, True, False, False]
    assert [how == 'full' for how in play(segmenter, drive, keys=keys).made] == keys


def test_each_phase_counts_once(segmenter, drive):
    """Time is taken in every round, masks are counted once a phase, against every-frame ones."""
    off, warp = entered = [Contestant(CacheSettings()), Contestant(CacheSettings('warp', 3))]
    told = []
    compare(segmenter, [drive, drive], entered, rounds=6, progress=told.append)
    assert (off.mean_iou(), off.pixel_accuracy(), off.share()) == (1.0, 1.0, 1.0)
    assert (len(off.phases), len(warp.phases), len(warp.seconds)) == (1, 3, 6)
    assert warp.made == Counter(full=28, warped=56) and warp.share() == pytest.approx(1 / 3)
    assert sum(told) == 6 * 2 * 2 * FRAMES
    assert warp.ms == pytest.approx(1e3 * np.median(warp.seconds) / (2 * FRAMES))
    assert warp.speed_up(warp) == 1.0
    assert segmenter.cache == CacheSettings()

    segmenter.set_cache(CacheSettings('warp', 3))
    wanted = []
    for phase in range(3):
        masks = play(segmenter, drive, phase).masks
        segmenter.set_cache(CacheSettings())
        confusion = ConfusionMatrix(11)
        for whole, mask in zip(play(segmenter, drive).masks, masks):
            confusion.update(whole, mask)
        wanted.append(confusion.mean_iou())
        segmenter.set_cache(CacheSettings('warp', 3))
    assert warp.mean_iou() == pytest.approx(np.mean(wanted)) and warp.mean_iou() < 1


def test_few_rounds_are_spread_over_the_phases(segmenter, drive, monkeypatch):
    """With fewer rounds than phases, those played lie evenly."""
    played = []
    monkeypatch.setattr(comparison, 'play', lambda segmenter, clip, phase=0, keys=None: (
        played.append(phase) or play(segmenter, clip, phase, keys)))
    compare(segmenter, [drive], [Contestant(CacheSettings()),
                                 Contestant(CacheSettings('warp', 6))], rounds=3)
    assert played == [0, 0, 0, 0, 0, 2, 0, 4]  # the first two are for warming up


def test_truth_is_counted_where_it_is(segmenter, drive):
    """With truth, every-frame inference is judged by it too."""
    truth = np.zeros((48, 64), np.uint8)
    shots = [Shot(shot.picture, shot.stamp_ns, truth=truth) for shot in drive]
    off = Contestant(CacheSettings())
    compare(segmenter, [shots], [off], rounds=1, consistency=True)
    wanted = ConfusionMatrix(11)
    for shot in drive:
        wanted.update(truth, segmenter.segment([shot.picture])[0].class_ids)
    np.testing.assert_array_equal(off.phases[0].matrix, wanted.matrix)
    assert 0 < off.consistency() < 1


def test_what_cannot_be_done_is_left_out(segmenter, drive, monkeypatch):
    """A policy that the network cannot do says why, and the others go on."""
    def set_cache(self, settings, run=Segmenter.set_cache):
        if settings.policy == 'adaptive':
            raise EngineError('not with this network')
        run(self, settings)

    monkeypatch.setattr(Segmenter, 'set_cache', set_cache)
    off, adaptive, again, warp = entered = [
        Contestant(CacheSettings(policy)) for policy in ('off', 'adaptive', 'adaptive', 'warp')]
    compare(segmenter, [drive], entered, rounds=1)
    assert listed(entered) == [off, adaptive, warp] and again.refused
    assert [contestant.name for contestant in entered] == [
        'off', 'adaptive', 'adaptive', 'warp 3']
    assert adaptive.refused == 'not with this network' and not adaptive.seconds
    assert off.seconds and warp.seconds and not warp.refused


def test_clips_keep_cameras_apart_and_memory_small(drive, monkeypatch):
    """Cameras are clips of their own; a long drive becomes several."""
    monkeypatch.setattr(comparison, 'CLIP_BYTES', 4 * drive[0].picture.nbytes)
    mixed = [Shot(shot.picture, shot.stamp_ns, stream) for shot in drive[:3] for stream in 'ab']
    assert [[(shot.stream, shot.stamp_ns // 50_000_000) for shot in clip]
            for clip in clips(mixed)] == [[('a', 0), ('a', 1)], [('b', 0), ('b', 1)],
                                          [('a', 2)], [('b', 2)]]
