"""Streams follow on or begin anew, are few, and are forgotten."""

from concurrent.futures import Future

import numpy as np
import pytest

from roadseg_ros.inference.feature_cache import (
    FeatureCache,
    IDLE_SEC,
    Key,
    MAX_STREAMS,
    StreamState,
)
from roadseg_ros.inference.optical_flow import Path

SIZE = (48, 64)
MS = 1_000_000
START = 10 ** 15
MAX_GAP_MS = 500.0


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self):
        """Return the time in seconds."""
        return self.now


@pytest.fixture
def clock():
    """Return the clock of `cache`."""
    return Clock()


@pytest.fixture
def cache(clock):
    """Return an empty cache."""
    return FeatureCache(clock)


def state(stamp_ns=START, size=SIZE):
    """Return the state of a camera."""
    return StreamState(size, stamp_ns, np.zeros(size, np.uint8))


def test_a_stream_is_kept_as_it_was_given(cache):
    """What is put in comes out, for its own stream alone."""
    kept = state()
    cache.update('front', kept)
    assert cache.get('front', SIZE, START + 66 * MS, MAX_GAP_MS) is kept
    assert cache.get('rear', SIZE, START + 66 * MS, MAX_GAP_MS) is None
    assert not cache.resets


@pytest.mark.parametrize('size, later_ms, reason', [
    (SIZE, 0, None), (SIZE, 66, None), (SIZE, MAX_GAP_MS, None),
    (SIZE, MAX_GAP_MS + 1, 'gap'), (SIZE, -1, 'time went back'), ((64, 48), 66, 'size'),
    ((48, 65), 66, 'size'),
])
def test_what_does_not_follow_begins_anew(cache, size, later_ms, reason):
    """Another size, a jump back and a gap forget the stream and are counted by name."""
    cache.update('front', state())
    found = cache.get('front', size, START + round(later_ms * MS), MAX_GAP_MS)
    assert (found is None) == (reason is not None)
    assert dict(cache.resets) == ({reason: 1} if reason else {})
    assert len(cache) == (0 if reason else 1)


def test_a_stream_is_forgotten_when_asked(cache):
    """One or all, counted by what is given as the reason; one that is not there is no reset."""
    for name in 'abc':
        cache.update(name, state())
    cache.reset('a', 'encoding')
    cache.reset('a', 'encoding')
    assert len(cache) == 2
    cache.reset()
    assert len(cache) == 0
    assert dict(cache.resets) == {'encoding': 1, 'asked': 2}


def test_a_thousand_streams_leave_none_behind(cache, clock):
    """Never more than a few are kept, and after a while of silence only who still speaks."""
    for number in range(1000):
        cache.update(f'camera {number}', state())
        assert len(cache) <= MAX_STREAMS
    clock.now = IDLE_SEC + 1
    cache.update('front', state())
    assert len(cache) == 1
    assert cache.get('front', SIZE, START, MAX_GAP_MS) is not None


def test_the_quietest_goes_first(cache):
    """A camera that speaks is kept before those that do not; the other's end is counted."""
    for number in range(MAX_STREAMS):
        cache.update(f'camera {number}', state())
    cache.update('camera 0', state())
    cache.update('new', state())
    assert cache.get('camera 0', SIZE, START, MAX_GAP_MS) is not None
    assert cache.get('camera 1', SIZE, START, MAX_GAP_MS) is None
    assert dict(cache.resets) == {'too many cameras': 1}


def test_who_goes_calls_off_the_key_that_is_coming(cache, clock):
    """Reset, eviction and silence leave no work behind."""
    coming = []
    for name in 'abc':
        coming.append(Future())
        one = state()
        one.coming = Key(START, Path(), coming[-1])
        cache.update(name, one)
    cache.reset('a')
    assert [future.cancelled() for future in coming] == [True, False, False]
    clock.now = IDLE_SEC + 1
    cache.update('d', state())
    assert all(future.cancelled() for future in coming)
