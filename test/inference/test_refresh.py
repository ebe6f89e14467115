"""When the network looks again: by count, by age, and by how wrong the mask must be."""

import numpy as np
import pytest

from roadseg_ros.inference.feature_cache import Key, StreamState
from roadseg_ros.inference.optical_flow import Motion, Path
from roadseg_ros.inference.refresh import (
    CacheSettings,
    drift,
    faded,
    key_is_due,
    TARGET_DRIFT,
)

SIZE = (64, 96)
MS = 1_000_000


def state(since_key, drift=0.0):
    """Return a camera whose key was taken at stamp 0."""
    return StreamState(SIZE, 0, np.zeros(SIZE, np.uint8), Key(0, Path(), None),
                       since_key=since_key, drift=drift)


def path(*steps):
    """Return a path of steps (x, y) in pixels."""
    path = Path()
    for step in steps:
        path.extend(Motion(np.full((*SIZE, 2), step, np.float32),
                           np.zeros((8, 12), np.uint8), 0.0, 50.0))
    return path


@pytest.mark.parametrize('interval, keys', [(1, [0, 1, 2, 3, 4, 5, 6]), (2, [0, 2, 4, 6]),
                                            (3, [0, 3, 6]), (10, [0])])
def test_every_nth_frame_is_a_key(interval, keys):
    """The clock of `warp`, as the cache counts it."""
    settings, found, since = CacheSettings('warp', interval), [], None
    for frame in range(7):
        due = since is None or key_is_due(state(since), 0, settings)
        since = 0 if due else since + 1
        if due:
            found.append(frame)
    assert found == keys


@pytest.mark.parametrize('age_ms, due', [(100, False), (101, True)])
@pytest.mark.parametrize('policy', ['warp', 'adaptive'])
def test_nothing_older_than_its_age(policy, age_ms, due):
    """A key that is too old is replaced whatever the count says."""
    settings = CacheSettings(policy, 100, max_age_ms=100)
    assert key_is_due(state(1), age_ms * MS, settings) is due


@pytest.mark.parametrize('age_ms, due', [(400, False), (401, True)])
def test_a_key_is_followed_before_it_is_too_old(age_ms, due):
    """One that took 100 ms to be done is taken to need as long again."""
    followed = state(1)
    followed.delay_ns = 100 * MS
    assert key_is_due(followed, age_ms * MS, CacheSettings('warp', 100, max_age_ms=500)) is due


def test_no_key_is_due():
    """The first frame is one."""
    assert key_is_due(StreamState(SIZE, 0, np.zeros(SIZE, np.uint8)), 0, CacheSettings('warp', 9))


@pytest.mark.parametrize('since_key, share, due', [
    (0, 0.0, False), (1, 0.4, False), (1, 0.6, True), (3, 0.24, False), (3, 0.26, True)])
def test_adaptive_looks_ahead(since_key, share, due):
    """A frame is a key if the mask would be too wrong after one more like those before it."""
    kept = state(since_key, share * TARGET_DRIFT)
    assert key_is_due(kept, 0, CacheSettings('adaptive', 9)) is due
    assert not key_is_due(kept, 0, CacheSettings('warp', 9))


def test_drift_grows_with_the_way_and_the_doubt():
    """Pixels of motion, for the share of them the label is not sure of."""
    half = np.full(SIZE, 255, np.uint8)
    half[:, :48] = 0
    assert drift(path(), half) == 0
    assert drift(path((3, -1)), half) == pytest.approx(2.0)
    assert drift(path((3, -1), (3, -1)), half) == pytest.approx(4.0)
    assert drift(path((3, -1)), np.full(SIZE, 255, np.uint8)) == 0


def test_confidence_halves_by_the_age_at_which_it_ends():
    """It falls with every frame."""
    settings = CacheSettings('warp', max_age_ms=400)
    confidence = np.array([[0, 100, 255]], np.uint8)
    np.testing.assert_array_equal(faded(confidence, 0, settings), confidence)
    np.testing.assert_array_equal(faded(confidence, 400, settings), [[0, 50, 128]])
    assert faded(confidence, 200, settings)[0, 2] == 180


@pytest.mark.parametrize('options, reason', [
    ({'policy': 'always'}, "unknown cache policy 'always'; supported: off, warp, adaptive"),
    ({'interval': 0}, 'cache interval is at least 1 frame, not 0'),
    ({'max_age_ms': 0}, 'cache max_age_ms is above 0, not 0'),
])
def test_settings_that_cannot_be(options, reason):
    """Each is refused by name."""
    with pytest.raises(ValueError, match=reason):
        CacheSettings(**options)
