"""Late layers on their own clock: what is computed when, and what the masks hold."""
from dataclasses import replace
import threading

import numpy as np
import pytest
import torch

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.inference.clockwork import STAGED_NETWORKS
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.engines.torch_stages import TorchStages
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.network import Staged
from roadseg_ros.models.registry import build_network, network_class, NETWORKS, state_arrays

FRAME_NS = 10 ** 9 // 30
HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope='module')
def staged(checkpoint):
    """Return a slim FCN-8s whose late features show in its masks."""
    arguments = {'num_classes': len(checkpoint.labels), 'head_channels': 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network('fcn8s', arguments)
        for score in (network.score3, network.score4):
            torch.nn.init.normal_(score.weight)
    return replace(checkpoint, architecture='fcn8s', arguments=arguments,
                   preprocessing=Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3,
                                               HEIGHT, WIDTH),
                   tensors=state_arrays(network))


@pytest.fixture(scope='module')
def plain(staged):
    """Return a segmenter that computes every frame."""
    return Segmenter(staged, device='cpu', engine='torch')


@pytest.fixture
def deep_runs(monkeypatch):
    """Record which frames' late features are computed."""
    runs = []
    monkeypatch.setattr(TorchStages, 'deep', lambda self, shallow, deep=TorchStages.deep: (
        runs.append(shallow[0].double().std().item()) or deep(self, shallow)))
    return runs


@pytest.mark.parametrize('background', [False, True])
def test_warm_up_runs_the_stages_and_leaves_nothing(staged, deep_runs, background):
    """All of them twice, done when it returns; the first real frame is a first one."""
    segmenter = Segmenter(staged, device='cpu', engine='torch',
                          cache=CacheSettings('clockwork', 2, background=background))
    segmenter.warm_up()
    assert len(deep_runs) == 2
    assert len(segmenter._reuse.cache) == 0 and not segmenter.cache_resets


def test_late_features_leave_a_core_to_the_frames(staged, monkeypatch):
    """They are held to the engine's threads, in whose thread ever; nothing else is."""
    monkeypatch.setattr('roadseg_ros.inference.segmenter.spare_one_core', lambda: 1)
    seen = []
    settings = CacheSettings('clockwork', 2, background=True)
    segmenter = Segmenter(staged, device='cpu', engine='torch', cache=settings)
    network = segmenter._engine.stages()._network
    deep = network.deep
    monkeypatch.setattr(type(network), 'deep', lambda self, shallow: (
        seen.append(torch.get_num_threads()) or deep(shallow)))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        segmenter.segment([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], ['a'], [0])
        segmenter._reuse.cache._states['a'].coming.kept.result(20)
        assert seen == [1] and torch.get_num_threads() == 2
        segmenter.close()
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def held_deep(monkeypatch):
    """Let late features come when the test says so."""
    allowed = threading.Semaphore(0)

    def deep(self, shallow, deep=TorchStages.deep):
        assert allowed.acquire(timeout=20)
        return deep(self, shallow)

    monkeypatch.setattr(TorchStages, 'deep', deep)
    yield allowed
    allowed.release(100)


def scene(seed=0):
    """Return a (64, 96 + 32, 3) uint8 strip of blocks to drive along."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (8, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def drive(count, seed=0, step=1):
    """Return frames that move along a scene."""
    strip = scene(seed)
    return [np.ascontiguousarray(strip[:, step * n:step * n + WIDTH]) for n in range(count)]


def play(segmenter, frames, start=0, stream='front'):
    """Return the results of frames that come one by one at 30 Hz."""
    return [segmenter.segment([frame], [stream], [(start + n) * FRAME_NS])[0]
            for n, frame in enumerate(frames)]


def clockwork(staged, interval=3, **settings):
    """Return a segmenter with the policy."""
    return Segmenter(staged, device='cpu', cache=CacheSettings('clockwork', interval, **settings))


def done(segmenter, stream='front'):
    """Wait for the late features that are being worked on."""
    segmenter._reuse.cache._states[stream].coming.kept.result(timeout=20)


def test_interval_one_is_every_frame(staged, plain):
    """With the late features of each frame itself, masks are those without a cache."""
    for one, other in zip(play(clockwork(staged, 1), drive(4)), play(plain, drive(4))):
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        np.testing.assert_array_equal(one.confidence, other.confidence)
        assert (one.made, one.age_ms) == ('full', 0)


def test_late_features_come_every_third_frame(staged, deep_runs):
    """The clock is the interval; every mask says what it is and how old."""
    results = play(clockwork(staged), drive(8))
    assert len(set(deep_runs)) == len(deep_runs) == 3
    assert [result.made for result in results] == ['full', 'cached', 'cached'] * 2 + [
        'full', 'cached']
    assert [round(result.age_ms) for result in results] == [0, 33, 67, 0, 33, 67, 0, 33]


def test_a_still_picture_has_the_full_mask(staged, plain):
    """Nothing moves: what is put together from two frames is what one gives."""
    wanted = play(plain, drive(1))[0]
    for result in play(clockwork(staged), drive(1) * 3):
        np.testing.assert_array_equal(result.class_ids, wanted.class_ids)


def test_early_features_are_the_frames_own(staged, plain):
    """A cached mask is neither the last key's nor the full one, but nearer to the full one."""
    frames = drive(3, step=4)
    key, _, cached = play(clockwork(staged), frames)
    full = play(plain, frames)[2]
    assert (cached.class_ids != full.class_ids).any()
    assert (cached.class_ids != full.class_ids).sum() < (key.class_ids != full.class_ids).sum()


def test_confidence_falls_with_age(staged, plain):
    """It is halved at the age at which late features are thrown away."""
    wanted = play(plain, drive(1))[0].confidence.astype(float)
    result = play(clockwork(staged, max_age_ms=2 * FRAME_NS / 1e6 + 0.1), drive(1) * 3)[2]
    np.testing.assert_allclose(result.confidence, wanted / 2, atol=1)


def test_no_late_feature_is_too_old(staged, deep_runs):
    """The maximum age brings a new key before the interval does."""
    play(clockwork(staged, 10, max_age_ms=50), drive(5))
    assert len(deep_runs) == 3


def test_streams_have_clocks_of_their_own(staged, deep_runs):
    """Two cameras in one call each get a key when it is theirs."""
    segmenter = clockwork(staged)
    frame = drive(1)[0]
    made = [[result.made for result in segmenter.segment(
        [frame, 255 - frame], ['front', 'rear'], [n * FRAME_NS] * 2)] for n in range(4)]
    assert made == [['full'] * 2, ['cached'] * 2, ['cached'] * 2, ['full'] * 2]
    assert len(deep_runs) == 4


@pytest.mark.parametrize('other, start, reason', [
    (drive(1, seed=1), 1, 'scene cut'), (drive(1), -1, 'time went back'),
    (drive(1), 60, 'gap'), ([scene()], 1, 'size'),
])
def test_a_break_needs_late_features_at_once(staged, plain, other, start, reason):
    """What does not follow from the last frame is computed in full, and counted."""
    segmenter = clockwork(staged, 5)
    play(segmenter, drive(1))
    found, wanted = play(segmenter, other, start)[0], play(plain, other)[0]
    assert found.made == 'full'
    np.testing.assert_array_equal(found.class_ids, wanted.class_ids)
    assert dict(segmenter.cache_resets) == {reason: 1}


def test_in_the_background_no_frame_waits(staged, held_deep):
    """Frames are answered while late features are held up: unlabelled, then from older ones."""
    segmenter = clockwork(staged, 1, background=True)
    frames = drive(6)
    first = play(segmenter, frames[:2])
    assert [result.made for result in first] == ['none', 'none']
    assert (first[0].class_ids == 255).all() and not first[0].confidence.any()
    held_deep.release()
    done(segmenter)
    later = play(segmenter, frames[2:4], 2)
    assert [result.made for result in later] == ['cached', 'cached']
    assert [round(result.age_ms) for result in later] == [67, 100]
    held_deep.release()  # of frame 2, the newest when the first were done
    done(segmenter)
    assert round(play(segmenter, frames[4:5], 4)[0].age_ms) == 67


def test_in_the_background_the_clock_is_kept(staged, deep_runs):
    """Late features that are quick still come on every `interval`-th frame alone."""
    segmenter = clockwork(staged, 2, background=True)
    ages = []
    for number, frame in enumerate(drive(6)):
        age_ms = play(segmenter, [frame], number)[0].age_ms
        ages.append(age_ms if number == 0 else round(age_ms))
        if segmenter._reuse.cache._states['front'].coming is not None:
            done(segmenter)
    assert ages == [np.inf, 33, 67, 33, 67, 33]
    assert len(deep_runs) == 3


def test_in_the_background_a_failure_fails_one_frame(staged, monkeypatch):
    """What the thread raises reaches the caller once; the next frame begins anew."""
    segmenter = clockwork(staged, 1, background=True)
    with monkeypatch.context() as patch:
        patch.setattr(TorchStages, 'deep', lambda self, shallow: 1 / 0)
        play(segmenter, drive(1))
        with pytest.raises(ZeroDivisionError):
            done(segmenter)
    with pytest.raises(ZeroDivisionError):
        play(segmenter, drive(1), 1)
    assert play(segmenter, drive(1), 2)[0].made == 'none'
    done(segmenter)
    assert play(segmenter, drive(1), 3)[0].made == 'cached'


def test_in_the_background_a_cut_shows_nothing_old(staged, held_deep):
    """After a cut frames are unlabelled until late features of the new scene are there."""
    segmenter = clockwork(staged, 1, background=True)
    held_deep.release()
    play(segmenter, drive(1))
    done(segmenter)
    assert [result.made for result in play(segmenter, drive(2), 1)] == ['cached'] * 2
    held_deep.release()  # the old scene's, begun before the cut
    assert [result.made for result in play(segmenter, drive(2, seed=1), 3)] == ['none'] * 2
    held_deep.release()
    done(segmenter)
    assert play(segmenter, drive(1, seed=1), 5)[0].made == 'cached'


def test_in_the_background_age_is_bounded(staged, held_deep):
    """When late features stay away, masks end with the maximum age."""
    segmenter = clockwork(staged, 1, background=True, max_age_ms=50)
    held_deep.release()
    play(segmenter, drive(1))
    done(segmenter)
    results = play(segmenter, drive(1) * 2, 1)
    assert [result.made for result in results] == ['cached', 'none']
    assert (results[1].class_ids == 255).all()


def test_the_names_are_those_of_the_networks_in_stages():
    """The list that stands for asking the networks is complete."""
    assert set(STAGED_NETWORKS) == {
        name for name in NETWORKS if issubclass(network_class(name), Staged)}


def test_auto_takes_torch(staged):
    """The engine that can run stages is chosen where the choice is free."""
    assert clockwork(staged).engine == 'torch'


@pytest.mark.parametrize('engine, name, reason', [
    ('openvino', 'staged', 'clockwork runs on engine torch alone, not on openvino; start with '
                           'engine torch, or use policy warp'),
    *((engine, 'checkpoint', r'clockwork needs a network in stages \(fcn16s, fcn8s, '
                             r'segnet, segnet_basic\), which u_lite is not')
      for engine in ('openvino', 'torch')),  # no word of an engine that would not help
])
def test_what_has_no_stages_says_so(request, engine, name, reason):
    """One line names what is wrong and what is supported; the old policy stays in use."""
    checkpoint = request.getfixturevalue(name)
    settings = CacheSettings('clockwork')
    with pytest.raises(EngineError, match=reason):
        Segmenter(checkpoint, device='cpu', engine=engine, cache=settings)
    segmenter = Segmenter(checkpoint, device='cpu', engine=engine, cache='warp')
    with pytest.raises(EngineError, match=reason):
        segmenter.set_cache(settings)
    assert segmenter.cache.policy == 'warp'


def test_clockwork_can_be_turned_on_and_off(staged, plain, deep_runs):
    """The policy changes between two frames; without it masks are the plain ones."""
    segmenter = Segmenter(staged, device='cpu', engine='torch')
    frames = drive(3)
    segmenter.set_cache(CacheSettings('clockwork', 2))
    assert [result.made for result in play(segmenter, frames)] == ['full', 'cached', 'full']
    segmenter.set_cache(CacheSettings())
    np.testing.assert_array_equal(play(segmenter, frames)[1].class_ids,
                                  play(plain, frames)[1].class_ids)
    assert len(deep_runs) == 2
