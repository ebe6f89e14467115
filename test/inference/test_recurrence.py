"""Recurrent networks in the segmenter: what each frame is told of those before, and what not."""
from dataclasses import replace
import logging

import numpy as np
import pytest
import torch

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.engines.torch_steps import TorchSteps
from roadseg_ros.inference.optical_flow import flow_picture, FlowEstimator, network_flow
from roadseg_ros.inference.recurrence import RECURRENT_NETWORKS
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.network import Recurrent
from roadseg_ros.models.registry import (
    build_network,
    network_class,
    network_from_checkpoint,
    NETWORKS,
    state_arrays,
)
from small_networks import SMALL

FRAME_NS = 10 ** 9 // 30
HEIGHT, WIDTH = 64, 88  # padded to 96


@pytest.fixture(scope='module', params=RECURRENT_NETWORKS)
def recurrent(request, checkpoint):
    """Return a small checkpoint whose past shows in its masks."""
    arguments = {'num_classes': len(checkpoint.labels), **SMALL[request.param][0]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(request.param, arguments)
        torch.nn.init.normal_(network.classifier.weight, std=3)
        with torch.no_grad():  # fresh batch norms let features fade
            for _ in range(20):
                network(2 * torch.rand(2, 3, HEIGHT, 96) - 1)
    return replace(checkpoint, architecture=request.param, arguments=arguments,
                   preprocessing=Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3,
                                               HEIGHT, WIDTH),
                   tensors=state_arrays(network))


@pytest.fixture(scope='module')
def plain(recurrent):
    """Return a segmenter that sees each frame alone."""
    return Segmenter(recurrent, device='cpu', engine='torch')


def scene(seed=0):
    """Return a (64, 128, 3) uint8 strip of blocks to drive along."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (8, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def drive(count, seed=0, step=2):
    """Return frames that move along a scene."""
    strip = scene(seed)
    return [np.ascontiguousarray(strip[:, step * n:step * n + WIDTH]) for n in range(count)]


def play(segmenter, frames, start=0, stream='front'):
    """Return the results of frames that come one by one at 30 Hz."""
    return [segmenter.segment([frame], [stream], [(start + n) * FRAME_NS])[0]
            for n, frame in enumerate(frames)]


def stepping(checkpoint, **settings):
    """Return a segmenter with the policy."""
    return Segmenter(checkpoint, device='cpu', cache=CacheSettings('recurrent', **settings))


def same(one, other):
    """Return whether two results hold the same labels, equally sure."""
    return (np.array_equal(one.class_ids, other.class_ids)
            and np.array_equal(one.confidence, other.confidence))


def test_the_names_are_those_of_the_recurrent_networks():
    """The list that stands for asking the networks is complete."""
    assert set(RECURRENT_NETWORKS) == {
        name for name in NETWORKS if issubclass(network_class(name), Recurrent)}


def test_masks_are_those_of_the_network_stepped_by_hand(recurrent, monkeypatch):
    """Each frame with the state of the last, and the flow between the pictures."""
    monkeypatch.setattr('roadseg_ros.inference.engines.torch_engine._fast_precision',
                        lambda device: torch.float32)
    frames = drive(4)
    results = play(stepping(recurrent), frames)
    module = FrameModule(network_from_checkpoint(recurrent), recurrent.preprocessing)
    estimator, motion, state, flow = FlowEstimator(), None, (), None
    pictures = [flow_picture(frame, (HEIGHT, WIDTH)) for frame in frames]
    for number, (frame, result) in enumerate(zip(frames, results)):
        padded = np.ascontiguousarray(np.pad(frame, ((0, 0), (0, 8), (0, 0)), 'edge'))
        if number:
            motion = estimator.estimate(pictures[number - 1], pictures[number], motion)
            flow = torch.from_numpy(network_flow(motion, (HEIGHT, WIDTH), (HEIGHT, 96)))[None]
        with torch.no_grad():
            scores, state = module.network.step(
                module.prepare(torch.from_numpy(padded)[None]), state, flow)
            ids, confidence = module.label(scores, (HEIGHT, 96))
        assert np.mean(result.class_ids == ids[0, :, :WIDTH].numpy()) > 0.999  # ties
        np.testing.assert_allclose(result.confidence, confidence[0, :, :WIDTH], atol=1)
        assert (result.made, result.age_ms) == ('full', 0)
        assert set(result.timing_ms) == {'flow', 'preprocess', 'network', 'postprocess'}


def test_the_first_frame_is_the_single_picture(recurrent, plain):
    """Without a past the policy changes nothing; with one it does."""
    frames = drive(2)
    one, two = play(stepping(recurrent), frames)
    first, second = play(plain, frames)
    assert same(one, first) and not same(two, second)


def test_streams_have_pasts_of_their_own(recurrent):
    """Two cameras in one call get the masks that each gets alone."""
    front, rear = drive(3), drive(3, seed=1)
    together = stepping(recurrent)
    both = [together.segment(pair, ['front', 'rear'], [n * FRAME_NS] * 2)
            for n, pair in enumerate(zip(front, rear))]
    for number, frames in enumerate((front, rear)):
        alone = play(stepping(recurrent), frames)
        assert all(same(pair[number], result) for pair, result in zip(both, alone))


@pytest.mark.parametrize('other, start, reason', [
    (drive(1, seed=1), 2, 'scene cut'), (drive(1), -1, 'time went back'), (drive(1), 60, 'gap'),
    ([scene()], 2, 'size'),
])
def test_a_break_begins_anew(recurrent, plain, other, start, reason):
    """What does not follow from the last frame is a first frame, and counted."""
    segmenter = stepping(recurrent)
    play(segmenter, drive(2))
    assert same(play(segmenter, other, start)[0], play(plain, other)[0])
    assert dict(segmenter.cache_resets) == {reason: 1}


def test_a_reset_that_is_asked_for(recurrent, plain):
    """Nothing is left of the past of the stream that was named."""
    segmenter, frames = stepping(recurrent), drive(3)
    play(segmenter, frames[:2])
    segmenter.reset_cache('rear')
    segmenter.reset_cache('front')
    assert same(play(segmenter, frames[2:], 2)[0], play(plain, frames[2:])[0])
    assert dict(segmenter.cache_resets) == {'asked': 1}


@pytest.mark.parametrize('where', [
    'roadseg_ros.inference.engines.torch_steps.TorchSteps.step',
    'roadseg_ros.inference.segmenter.prepare_frame'])
def test_a_frame_that_fails_leaves_no_half_past(recurrent, plain, monkeypatch, where):
    """The error reaches the caller, and the next frame begins anew."""
    segmenter, frames = stepping(recurrent), drive(3)
    play(segmenter, frames[:1])
    with monkeypatch.context() as patch:
        patch.setattr(where, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            play(segmenter, frames[1:2], 1)
    assert same(play(segmenter, frames[2:], 2)[0], play(plain, frames[2:])[0])


def test_a_step_is_held_to_the_threads_of_the_engine(recurrent, monkeypatch):
    """Such as leave a core to the frames; with `recurrent` after a policy in the background."""
    monkeypatch.setattr('roadseg_ros.inference.segmenter.spare_one_core', lambda: 1)
    segmenter = Segmenter(recurrent, device='cpu', engine='torch',
                          cache=CacheSettings('warp', background=True))
    segmenter.set_cache(CacheSettings('recurrent'))
    network, seen = segmenter._engine.steps()._network, []
    step = network.step
    monkeypatch.setattr(type(network), 'step', lambda self, *given: (
        seen.append(torch.get_num_threads()) or step(*given)))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        play(segmenter, drive(1))
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_warm_up_steps_with_a_past_and_leaves_none(recurrent, plain, monkeypatch):
    """The first real frames are not slow, and are as if it had not been."""
    segmenter, given = stepping(recurrent), []

    def step(self, frames, state, flow, step=TorchSteps.step):
        given.append((frames.shape, bool(state), flow is not None))
        return step(self, frames, state, flow)

    monkeypatch.setattr(TorchSteps, 'step', step)
    segmenter.warm_up(HEIGHT, WIDTH)
    shape = 1, HEIGHT, 96, 3
    assert given == [(shape, False, False), (shape, True, True)]
    assert same(play(segmenter, drive(1))[0], play(plain, drive(1))[0])
    assert not segmenter.cache_resets


def test_it_can_be_turned_on_and_off(recurrent, plain):
    """Between two frames; what was kept before does not come back."""
    segmenter, frames = Segmenter(recurrent, device='cpu', engine='torch'), drive(2)
    wanted = play(stepping(recurrent), frames)
    for _ in range(2):
        segmenter.set_cache(CacheSettings('recurrent'))
        assert all(map(same, play(segmenter, frames), wanted))
        segmenter.set_cache(CacheSettings())
        assert all(map(same, play(segmenter, frames), play(plain, frames)))


def test_auto_takes_torch_and_off_says_what_is_left_unused(recurrent, caplog):
    """One line where a recurrent network sees each frame alone, none where it does not."""
    caplog.set_level(logging.INFO)
    assert stepping(recurrent).engine == 'torch'
    assert not caplog.messages
    Segmenter(recurrent, device='cpu', engine='torch')
    assert [message for message in caplog.messages if 'policy recurrent' in message] == [
        f'{recurrent.architecture} sees each frame alone: cache policy recurrent lets it use '
        'those before']


@pytest.mark.parametrize('engine', ['openvino', 'torch'])
def test_a_network_that_cannot_step_says_so(checkpoint, engine):
    """One line names what is wrong and what is supported; the old policy stays in use."""
    refused(checkpoint, engine, r'recurrent needs a recurrent network \(net_warp, stfcn\), which '
            'u_lite is not; use policy warp')


def test_an_engine_that_cannot_step_says_so(recurrent):
    """Likewise."""
    refused(recurrent, 'openvino', 'recurrent runs on engine torch alone, not on openvino; start '
            'with engine torch, or use policy warp')


def refused(checkpoint, engine, reason):
    """Assert that an engine with a checkpoint refuses the policy and keeps the old one."""
    settings = CacheSettings('recurrent')
    with pytest.raises(EngineError, match=reason):
        Segmenter(checkpoint, device='cpu', engine=engine, cache=settings)
    segmenter = Segmenter(checkpoint, device='cpu', engine=engine, cache='warp')
    with pytest.raises(EngineError, match=reason):
        segmenter.set_cache(settings)
    assert segmenter.cache.policy == 'warp'


def test_not_in_the_background():
    """The state follows from every frame in order."""
    with pytest.raises(ValueError, match='recurrent runs the network on each frame'):
        CacheSettings('recurrent', background=True)
