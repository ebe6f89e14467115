"""The CRF against a mean field over all pairs of pixels, and its way through the segmenter."""
from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest
import torch

from roadseg_ros.inference import crf
from roadseg_ros.inference.crf import CrfSettings, refine, refined_labels
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.refresh import CacheSettings, POLICIES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.scenes import Drive

CLASSES = 11
SETTINGS = {'default': CrfSettings(), 'of DeepLab v2': CrfSettings(10, 4, 67, 3, 3, 1),
            "of the paper's program": CrfSettings(5, 10, 80, 13, 3, 3)}


@pytest.fixture(scope='module')
def scene():
    """Return a small street, its truth, and probabilities of a network that often errs."""
    frame, truth = Drive(1, 360, 480).frame(0)
    frame = cv2.resize(frame, (40, 30), interpolation=cv2.INTER_AREA)
    truth = cv2.resize(truth, (40, 30), interpolation=cv2.INTER_NEAREST)
    scores = np.random.default_rng(0).normal(0, 1.2, (CLASSES, 30, 40))
    scores += 2 * (np.arange(CLASSES)[:, None, None] == truth)
    powers = np.exp(scores)
    return frame, truth, (powers / powers.sum(0)).astype(np.float32)


def by_all_pairs(frame, probabilities, settings):
    """Return the mean field with every pair of pixels looked at, in float64."""
    rows, columns = np.indices(frame.shape[:2])
    places = np.stack([rows.ravel(), columns.ravel()], 1).astype(float)
    colors = frame.reshape(-1, 3).astype(float)
    distances, differences = (((values[:, None] - values[None]) ** 2).sum(-1)
                              for values in (places, colors))
    (iterations, bilateral_weight, bilateral_pixels, levels, spatial_weight, spatial_pixels) = (
        astuple(settings))
    kernels = [
        (bilateral_weight, np.exp(-distances / (2 * bilateral_pixels ** 2)
                                  - differences / (2 * levels ** 2))),
        (spatial_weight, np.exp(-distances / (2 * spatial_pixels ** 2)))]
    unary = np.log(np.maximum(probabilities.reshape(len(probabilities), -1).T, 1e-6), dtype=float)
    belief = np.exp(unary) / np.exp(unary).sum(1, keepdims=True)
    for _ in range(iterations):
        scores = unary.copy()
        for weight, kernel in kernels:
            root = np.sqrt(kernel.sum(1))
            scores += weight * (kernel / root[:, None] / root) @ belief
        powers = np.exp(scores - scores.max(1, keepdims=True))
        belief = powers / powers.sum(1, keepdims=True)
    return belief.T.reshape(probabilities.shape)


@pytest.mark.parametrize('settings', SETTINGS.values(), ids=SETTINGS.keys())
def test_it_is_the_mean_field_of_all_pairs(scene, settings):
    """The masks are those of the full sums but for few pixels, where the network's are not."""
    frame, _, probabilities = scene
    found, wanted = refine(frame, probabilities, settings), by_all_pairs(*scene[::2], settings)
    assert found.shape == probabilities.shape and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-4)
    assert np.abs(found - wanted).mean() < 0.008
    assert (found.argmax(0) == wanted.argmax(0)).mean() > 0.96
    assert (probabilities.argmax(0) == wanted.argmax(0)).mean() < 0.75


def test_noise_of_the_network_goes_where_colours_agree(scene):
    """On a street with a network that errs everywhere it mends most of what is wrong."""
    frame, truth, probabilities = scene
    before = (probabilities.argmax(0) == truth).mean()
    after = (refine(frame, probabilities, SETTINGS['of DeepLab v2']).argmax(0) == truth).mean()
    assert before < 0.6 and after > 0.85


def test_borders_move_to_those_of_the_frame():
    """Scores whose border is five pixels off come to stand where the colours part."""
    frame = np.full((24, 32, 3), 60, np.uint8)
    frame[:, 16:] = 180
    left = np.broadcast_to(np.clip(0.5 + 0.04 * (21 - np.arange(32)), 0.05, 0.95), (24, 32))
    probabilities = np.stack([left, 1 - left]).astype(np.float32)
    assert (probabilities.argmax(0)[:, 20] == 0).all()
    found = refine(frame, probabilities, SETTINGS['of DeepLab v2']).argmax(0)
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(32) >= 16, (24, 32)))


@pytest.mark.parametrize('name, weight', [('_Bilateral', 'bilateral_weight'),
                                          ('_Spatial', 'spatial_weight')])
def test_a_kernel_without_weight_is_not_built(monkeypatch, scene, name, weight):
    """The bilateral one's lattice takes longer than all else."""
    frame, _, probabilities = scene
    settings = CrfSettings(**{weight: 0})
    wanted = by_all_pairs(frame, probabilities, settings).argmax(0)
    monkeypatch.setattr(crf, name, None)
    assert (refine(frame, probabilities, settings).argmax(0) == wanted).mean() > 0.97


def test_without_weights_nothing_changes(scene):
    """Kernels that count for nothing leave the network's probabilities."""
    frame, _, probabilities = scene
    found = refine(frame, probabilities, CrfSettings(bilateral_weight=0, spatial_weight=0))
    np.testing.assert_allclose(found, probabilities, atol=1e-5)


@pytest.mark.parametrize('size', [(1, 1), (1, 50), (37, 1), (3, 200)])
@pytest.mark.parametrize('classes', [1, 2, 254])
def test_any_size_and_number_of_classes(size, classes):
    """Degenerate frames and label spaces give finite probabilities."""
    rng = np.random.default_rng(0)
    probabilities = rng.random((classes, *size), np.float32)
    probabilities /= probabilities.sum(0)
    frame = rng.integers(0, 256, (*size, 3), np.uint8)
    found = refine(frame, probabilities, CrfSettings())
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-4)


def test_certainty_of_zero_and_one_is_survived():
    """Probabilities that are exact zeros and ones stay finite."""
    probabilities = np.zeros((3, 8, 8), np.float32)
    probabilities[1] = 1
    found = refine(np.zeros((8, 8, 3), np.uint8), probabilities, CrfSettings())
    assert np.isfinite(found).all() and (found.argmax(0) == 1).all()


def test_labels_are_the_winners_of_each_frame(scene):
    """Ids and confidence are those of the belief, frame by frame."""
    frame, _, probabilities = scene
    frames, both = np.stack([frame, frame[::-1]]), np.stack([probabilities, probabilities])
    ids, confidence = refined_labels(frames, both, CrfSettings(), CLASSES)
    assert ids.dtype == confidence.dtype == np.uint8
    for index in range(2):
        belief = refine(frames[index], both[index], CrfSettings())
        np.testing.assert_array_equal(ids[index], belief.argmax(0))
        np.testing.assert_array_equal(confidence[index], (255 * belief.max(0)).round())
    assert (ids[0] != ids[1]).any()


@pytest.mark.parametrize('wrong, reason', [
    ({'iterations': 0}, 'iterations is a whole number from 1 to 100, not 0'),
    ({'iterations': 2.5}, 'iterations is a whole number from 1 to 100, not 2.5'),
    ({'bilateral_weight': -1}, 'bilateral_weight is a number from 0 on, not -1'),
    ({'bilateral_pixels': 0.5}, 'bilateral_pixels is a number from 1 on, not 0.5'),
    ({'bilateral_levels': float('nan')}, 'bilateral_levels is a number from 1 on, not nan'),
    ({'spatial_pixels': float('inf')}, 'spatial_pixels is a number from 1 on, not inf'),
    ({'spatial_weight': '3'}, "spatial_weight is a number from 0 on, not '3'"),
])
def test_settings_that_filter_nothing_are_refused(wrong, reason):
    """Each is named with what it may be."""
    with pytest.raises(ValueError, match=f'^crf: {reason}$'):
        CrfSettings(**wrong)


@pytest.mark.parametrize('height', [0, -1])
@pytest.mark.parametrize('size', [(48, 64), (31, 45), (1, 50)])
def test_the_segmenter_refines_what_the_network_says(checkpoint_path, checkpoint, size, height):
    """Its masks are the CRF's of the engine's probabilities, without the padding."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(2)]
    segmenter = Segmenter(checkpoint_path, device='cpu', inference_height=height,
                          crf=CrfSettings())
    assert segmenter.engine == 'torch'
    results = segmenter.segment(frames)
    for frame, result in zip(frames, results):
        assert result.class_ids.shape == result.confidence.shape == size
        assert set(result.timing_ms) == {'preprocess', 'network', 'crf', 'postprocess'}
        if height == -1 or size == (48, 64):
            padded = np.pad(frame, [(0, -side % 8) for side in size] + [(0, 0)], 'edge')
            found = segmenter._engine.probabilities(padded[None])[..., :size[0], :size[1]]
            np.testing.assert_array_equal(
                result.class_ids, refine(frame, found[0], CrfSettings()).argmax(0))


def test_probabilities_are_those_the_labels_are_made_of(checkpoint_path, picture):
    """Winner and confidence of the engine's probabilities are what it says without the CRF."""
    plain = Segmenter(checkpoint_path, device='cpu', engine='torch')
    result = plain.segment([picture])[0]
    found = plain._engine.probabilities(picture[None])[0]
    assert found.dtype == np.float32 and found.shape == (CLASSES, 48, 64)
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-4)
    # narrow floats round where the other path does not
    assert (found.argmax(0) == result.class_ids).mean() > 0.98
    assert np.abs(255 * found.max(0) - result.confidence).max() < 4


def test_off_it_is_not_there(checkpoint_path, picture, monkeypatch):
    """Without the CRF the engine is asked for labels alone, and no time is booked for it."""
    monkeypatch.setattr('roadseg_ros.inference.segmenter.refined_labels', None)
    segmenter = Segmenter(checkpoint_path, device='cpu', engine='torch')
    monkeypatch.setattr(segmenter._engine, 'probabilities', None)
    result = segmenter.segment([picture])[0]
    assert set(result.timing_ms) == {'preprocess', 'network', 'postprocess'}
    ids, confidence = segmenter._engine.run(picture[None])
    np.testing.assert_array_equal(result.class_ids, ids[0])
    np.testing.assert_array_equal(result.confidence, confidence[0])


def test_an_engine_without_probabilities_is_refused(checkpoint_path):
    """The message names the engine and the one to use."""
    with pytest.raises(EngineError, match='engine openvino does not give; use engine torch'):
        Segmenter(checkpoint_path, device='cpu', engine='openvino', crf=CrfSettings())


@pytest.mark.parametrize('policy', [policy for policy in POLICIES if policy != 'off'])
def test_a_cache_policy_is_refused(checkpoint_path, policy):
    """At the start, and later: both look at frames in their own way."""
    reason = f'with it the cache policy is off, not {policy}'
    with pytest.raises(EngineError, match=reason):
        Segmenter(checkpoint_path, device='cpu', cache=policy, crf=CrfSettings())
    segmenter = Segmenter(checkpoint_path, device='cpu', crf=CrfSettings())
    for ask in (segmenter.set_cache, segmenter.check_cache):
        with pytest.raises(EngineError, match=reason):
            ask(CacheSettings(policy))
    assert segmenter.cache.policy == 'off'


def test_when_the_device_is_lost_the_crf_stays(checkpoint_path, picture, monkeypatch):
    """On the CPU in its place the masks are refined as before."""
    segmenter = Segmenter(checkpoint_path, crf=CrfSettings())
    wanted = segmenter.segment([picture])[0].class_ids
    lost = segmenter._engine
    monkeypatch.setattr(lost, 'device', 'cuda:0')
    monkeypatch.setattr(lost, 'probabilities',
                        lambda frames: (_ for _ in ()).throw(torch.OutOfMemoryError('none left')))
    np.testing.assert_array_equal(segmenter.segment([picture])[0].class_ids, wanted)
    assert segmenter.fallback and segmenter.engine == 'torch'
    assert replace(segmenter.crf) == CrfSettings()
