"""Frames in, class ids out: any size, any order, any mixture; errors in words."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from roadseg_ros.checkpoint import CheckpointError
from roadseg_ros.inference import engines
from roadseg_ros.inference.engines import EngineError, torch_engine
from roadseg_ros.inference.engines.openvino_engine import OpenVinoEngine
from roadseg_ros.inference.engines.torch_engine import MAX_SHAPES, TorchEngine
from roadseg_ros.inference.preprocessing import FrameError
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter

HAS_CUDA = torch.cuda.is_available()
ENGINES = [('torch', 'cpu'), ('openvino', 'cpu'), pytest.param(
    ('torch', 'cuda'), marks=pytest.mark.skipif(not HAS_CUDA, reason='needs a CUDA device'))]
SIZES = {'1x1': (1, 1), 'odd': (31, 45), 'as trained': (48, 64), 'tall': (200, 3),
         'one column': (50, 1), 'one row': (1, 50), '30:1': (10, 300), 'large': (123, 457)}


@pytest.fixture(scope='module', params=ENGINES, ids='-'.join)
def segmenter(request, checkpoint_path):
    """Return a segmenter of the small checkpoint on each engine and device."""
    engine, device = request.param
    return Segmenter(checkpoint_path, engine=engine, device=device)


@pytest.fixture
def batch_shapes(monkeypatch):
    """Record the shapes that reach the engine."""
    shapes = []
    for kind in (OpenVinoEngine, TorchEngine):
        monkeypatch.setattr(kind, 'run', lambda self, frames, run=kind.run: (
            shapes.append(frames.shape) or run(self, frames)))
    return shapes


def noise(size, seed=0):
    """Return a frame of coarse noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8), 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:size[0], :size[1]])


def same(one, other):
    """Assert that two results hold the same pixels."""
    np.testing.assert_array_equal(one.class_ids, other.class_ids)
    np.testing.assert_array_equal(one.confidence, other.confidence)


@pytest.mark.parametrize('size', SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize('height', [0, -1, 24])
def test_any_size_comes_back_at_its_own(checkpoint_path, size, height):
    """Masks have the frame's size whatever it is, with ids of the label space."""
    segmenter = Segmenter(checkpoint_path, device='cpu', inference_height=height)
    result = segmenter.segment([noise(size)])[0]
    assert result.class_ids.shape == result.confidence.shape == size
    assert result.class_ids.dtype == result.confidence.dtype == np.uint8
    assert result.class_ids.max() < len(segmenter.labels)
    assert result.confidence.min() >= 255 // len(segmenter.labels)
    assert result.class_ids.flags.c_contiguous


def test_says_how_each_mask_was_made(segmenter, picture):
    """Every frame was computed in full, its age is zero and each stage has its time."""
    result = segmenter.segment([picture])[0]
    assert (result.made, result.age_ms) == ('full', 0.0)
    assert set(result.timing_ms) == {'preprocess', 'network', 'postprocess'}
    assert all(value >= 0 for value in result.timing_ms.values())


def test_the_mask_follows_the_picture(segmenter, picture):
    """Different pictures get different masks of several classes; the frame stays as it was."""
    before = picture.copy()
    upright, turned = segmenter.segment([picture, picture[::-1, ::-1].copy()])
    assert len(np.unique(upright.class_ids)) > 1
    assert (upright.class_ids != turned.class_ids).any()
    np.testing.assert_array_equal(picture, before)


def test_batch_and_alone_are_equal(segmenter):
    """A frame has the same mask alone and among others of its size."""
    frames = [noise((48, 64), seed) for seed in range(5)]
    for frame, result in zip(frames, segmenter.segment(frames)):
        same(result, segmenter.segment([frame])[0])


def test_mixed_sizes_keep_their_order(segmenter, batch_shapes):
    """Frames of several sizes come back in order, batched by size."""
    sizes = [(48, 64), (31, 45), (48, 64), (10, 300), (31, 45), (48, 64)]
    frames = [noise(size, seed) for seed, size in enumerate(sizes)]
    results = segmenter.segment(frames, streams=list('abcdef'), stamps=range(6))
    assert [shape[0] for shape in batch_shapes] == [3, 2, 1]
    for frame, result in zip(frames, results):
        assert result.class_ids.shape == frame.shape[:2]
        same(result, segmenter.segment([frame])[0])


def test_no_frames_no_results(segmenter):
    """An empty call is answered with an empty list."""
    assert segmenter.segment([]) == []


def test_views_are_frames_too(segmenter, picture):
    """A frame that is not contiguous gives what its copy gives."""
    view = picture[:, ::-1]
    same(segmenter.segment([view])[0], segmenter.segment([view.copy()])[0])


def test_results_are_the_callers_own(segmenter, picture):
    """A later call does not write into an earlier result."""
    first = segmenter.segment([picture])[0]
    kept = first.class_ids.copy()
    segmenter.segment([255 - picture])
    np.testing.assert_array_equal(first.class_ids, kept)


@pytest.mark.parametrize('height, wanted', [
    (0, (48, 64)), (-1, (96, 128)), (24, (24, 32)), (50, (56, 72)),
])
def test_inference_height(checkpoint_path, batch_shapes, height, wanted):
    """0 is the checkpoint's height, -1 the frame's own; sides are padded to the stride."""
    segmenter = Segmenter(checkpoint_path, device='cpu', inference_height=height)
    segmenter.segment([noise((96, 128))])
    assert batch_shapes == [(1, *wanted, 3)]


def test_padding_does_not_show(checkpoint_path):
    """An odd frame at its own size has the mask of the frame with its edge repeated."""
    segmenter = Segmenter(checkpoint_path, device='cpu', inference_height=-1)
    frame = noise((45, 61))
    padded = np.pad(frame, ((0, 3), (0, 3), (0, 0)), mode='edge')
    one, other = (segmenter.segment([image])[0].class_ids for image in (frame, padded))
    np.testing.assert_array_equal(one, other[:45, :61])


def test_confidence_is_the_winners_probability(checkpoint, picture):
    """Sharper scores give the same ids with more confidence."""
    sharp = {name: value * np.float16(8) if name.startswith('classifier') else value
             for name, value in checkpoint.tensors.items()}
    soft = Segmenter(checkpoint, device='cpu').segment([picture])[0]
    hard = Segmenter(replace(checkpoint, tensors=sharp), device='cpu').segment([picture])[0]
    assert (soft.class_ids == hard.class_ids).mean() > 0.98
    assert hard.confidence.mean() > soft.confidence.mean() + 30


def test_channel_order_is_the_checkpoints(checkpoint, picture):
    """A BGR network on a frame sees what an RGB network sees on the frame turned round."""
    bgr = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing,
                                                    channel_order='bgr'))
    turned = np.ascontiguousarray(picture[..., ::-1])
    same(Segmenter(checkpoint, device='cpu').segment([picture])[0],
         Segmenter(bgr, device='cpu').segment([turned])[0])


def test_warm_up_takes_the_sizes_to_come(segmenter, batch_shapes):
    """Without a size it warms up as trained, with one for frames of it."""
    segmenter.warm_up()
    segmenter.warm_up(10, 300)
    assert batch_shapes[0] == (1, 48, 64, 3)
    assert batch_shapes[-1] == (1, 32, 768, 3)


def test_says_what_it_runs_on(segmenter, labels):
    """Device, engine and labels are there to be reported."""
    assert segmenter.device in ('cpu', 'cuda:0')
    assert segmenter.engine in ('torch', 'openvino')
    assert segmenter.labels == labels
    assert segmenter.fallback is None


@pytest.mark.skipif(HAS_CUDA, reason='needs a machine without CUDA')
@pytest.mark.parametrize('asked', ['auto', 'torch', 'openvino'])
@pytest.mark.parametrize('there', [None, '/dev/nvidiactl'])
def test_auto_says_what_it_cannot_use(checkpoint_path, monkeypatch, asked, there):
    """`auto` takes the CPU; that is worth a word where there is a GPU that it should have had."""
    for module in (engines, torch_engine):
        monkeypatch.setattr(module, 'gpu_device', lambda: there)
    segmenter = Segmenter(checkpoint_path, engine=asked)
    assert (segmenter.device, segmenter.engine) == (
        'cpu', 'torch' if asked == 'torch' else 'openvino')
    assert segmenter.fallback == (
        'torch finds no CUDA device, though /dev/nvidiactl is there'
        if there and asked != 'openvino' else None)


@pytest.mark.skipif(HAS_CUDA, reason='needs a machine without CUDA')
@pytest.mark.parametrize('device', ['cuda', 'cuda:0', 'cuda:3'])
def test_absent_cuda_is_an_error(checkpoint_path, device):
    """Asking for a GPU that is not there names the device and what to use."""
    with pytest.raises(EngineError, match=f"device '{device}' is not there: torch .* sees 0 "
                                          'CUDA devices; use device auto or cpu'):
        Segmenter(checkpoint_path, device=device)


@pytest.mark.skipif(not HAS_CUDA, reason='needs a CUDA device')
def test_cuda_agrees_with_the_cpu(checkpoint_path):
    """Both devices give the same ids but for near ties."""
    frame = noise((48, 64))
    one, other = (Segmenter(checkpoint_path, device=device).segment([frame])[0]
                  for device in ('cuda', 'cpu'))
    assert (one.class_ids == other.class_ids).mean() > 0.98


@pytest.mark.skipif(not HAS_CUDA, reason='needs a CUDA device')
def test_cuda_keeps_few_shapes(checkpoint_path):
    """Sizes beyond those kept compiled still come out right, also when they return."""
    segmenter = Segmenter(checkpoint_path, device='cuda', inference_height=-1)
    sizes = [(8 * n, 64) for n in range(1, 11)]
    first = [segmenter.segment([noise(size)])[0] for size in sizes]
    for size, result in zip(sizes, first):
        same(segmenter.segment([noise(size)])[0], result)
    assert len(segmenter._engine._graphs) == MAX_SHAPES


@pytest.mark.parametrize('options, kind, reason', [
    ({'device': 'tpu'}, EngineError, "unknown device 'tpu'; supported: auto, cpu, cuda, cuda:N"),
    ({'device': 'cuda:x'}, EngineError, "unknown device 'cuda:x'"),
    ({'device': ''}, EngineError, "unknown device ''"),
    ({'engine': 'tensorflow'}, EngineError,
     "unknown engine 'tensorflow'; supported: auto, torch, openvino"),
    ({'cache': 'always'}, ValueError, "unknown cache policy 'always'; supported: off"),
    ({'inference_height': -2}, ValueError, 'inference_height is -1, 0 or pixels, not -2'),
])
def test_unknown_options_list_the_known_ones(checkpoint_path, options, kind, reason):
    """An option that is not there is named with those that are."""
    with pytest.raises(kind, match=reason):
        Segmenter(checkpoint_path, **options)


def test_missing_checkpoint_is_named(tmp_path):
    """A path without a file is in the error."""
    with pytest.raises(CheckpointError, match='cannot read checkpoint .*none.safetensors'):
        Segmenter(tmp_path / 'none.safetensors')


def test_frames_are_checked_before_any_is_run(segmenter, picture, batch_shapes):
    """One bad frame fails the call by its type and shape, nothing is computed."""
    with pytest.raises(FrameError, match=r'not uint8 \(48, 64\)'):
        segmenter.segment([picture, picture[..., 0]])
    assert batch_shapes == []


@pytest.mark.parametrize('numbers, reason', [
    ({'streams': ['a']}, '2 frames but 1 streams'),
    ({'stamps': [1, 2, 3]}, '2 frames but 3 stamps'),
])
def test_streams_and_stamps_number_the_frames(segmenter, picture, numbers, reason):
    """A list of another length is an error."""
    with pytest.raises(ValueError, match=reason):
        segmenter.segment([picture, picture], **numbers)


@pytest.mark.parametrize('settings', [CacheSettings(), CacheSettings('warp', 1)],
                         ids=['off', 'every frame a key'])
def test_without_reuse_masks_are_the_networks_bit_for_bit(checkpoint_path, settings):
    """Neither a cache that is off nor one that has been on changes a pixel."""
    frames = [noise((48, 64), seed) for seed in range(4)]
    segmenter = Segmenter(checkpoint_path, device='cpu')
    plain = [segmenter.segment([frame])[0] for frame in frames]
    segmenter.set_cache(CacheSettings('warp', 3))
    segmenter.segment(frames)
    segmenter.set_cache(settings)
    for stamp, (frame, result) in enumerate(zip(frames, plain)):
        again = segmenter.segment([frame], ['front'], [stamp])[0]
        same(again, result)
        assert (again.made, again.age_ms) == ('full', 0.0)


def test_cache_off_sends_each_frame_to_the_engine(checkpoint_path, batch_shapes):
    """The same frame again is computed again."""
    segmenter = Segmenter(checkpoint_path, device='cpu')
    for _ in range(3):
        segmenter.segment([noise((48, 64))])
    assert len(batch_shapes) == 3
    assert segmenter.cache == CacheSettings() and segmenter.cache_resets == {}


@pytest.mark.parametrize('size', SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize('height', [0, -1, 24])
def test_any_size_can_be_carried(checkpoint_path, size, height):
    """A still camera of any size is shown its key again, but for where flow is not sure."""
    segmenter = Segmenter(checkpoint_path, device='cpu', inference_height=height,
                          cache=CacheSettings('warp', 3))
    frame = noise(size)
    results = [segmenter.segment([frame], stamps=[i])[0] for i in range(3)]
    assert [result.made for result in results] == ['full', 'warped', 'warped']
    for result in results[1:]:
        assert result.class_ids.shape == result.confidence.shape == size
        assert (result.class_ids == results[0].class_ids).mean() > 0.9
        assert set(result.timing_ms) == {'warp', 'postprocess'}


def test_frames_without_stamps_are_taken_now(checkpoint_path, picture):
    """Calls that give none follow on each other; two frames of one call have no age."""
    segmenter = Segmenter(checkpoint_path, device='cpu',
                          cache=CacheSettings('warp', 4, max_age_ms=60_000))
    results = segmenter.segment([picture, picture])
    results += segmenter.segment([picture])
    assert [result.made for result in results] == ['full', 'warped', 'warped']
    assert 0 == results[1].age_ms < results[2].age_ms < 60_000


def test_new_numbers_keep_the_streams_and_a_new_policy_does_not(checkpoint_path, picture):
    """An interval or an age changes under what is kept; another policy starts anew."""
    segmenter = Segmenter(checkpoint_path, device='cpu', cache=CacheSettings('warp', 5))

    def made(stamp):
        return segmenter.segment([picture], ['front'], [stamp])[0].made
    assert [made(0), made(1)] == ['full', 'warped']
    segmenter.set_cache(CacheSettings('warp', 4, max_age_ms=400))
    assert segmenter.cache.interval == 4
    assert [made(2), made(3), made(4)] == ['warped', 'warped', 'full']
    segmenter.set_cache(CacheSettings('adaptive', 4))
    assert made(5) == 'full'
    segmenter.reset_cache('front', 'frame_id')
    assert made(6) == 'full'
    assert segmenter.cache_resets == {'frame_id': 1}
    segmenter.reset_cache()
    assert made(7) == 'full'
    assert segmenter.cache_resets == {'frame_id': 1, 'asked': 1}
    segmenter.set_cache(CacheSettings())
    assert [made(8), made(9)] == ['full', 'full']


@pytest.fixture
def two_threads(monkeypatch):
    """Let this look like a machine of two cores, to torch as well."""
    monkeypatch.setattr('os.sched_getaffinity', lambda process: {0, 1})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_keys_in_the_background_leave_a_core_of_torch(checkpoint_path, two_threads):
    """The network runs on one thread, whoever calls it; torch itself keeps two."""
    segmenter = Segmenter(checkpoint_path, device='cpu', engine='torch',
                          cache=CacheSettings('warp', 1, background=True))
    threads = []
    segmenter._engine._module.register_forward_hook(
        lambda *_: threads.append(torch.get_num_threads()))
    segmenter.warm_up()
    assert set(threads) == {1}
    assert torch.get_num_threads() == 2


def test_keys_in_the_background_leave_a_core_of_openvino(checkpoint_path, two_threads, picture):
    """The network is compiled for one thread, and says the same."""
    segmenter, plain = (Segmenter(checkpoint_path, engine='openvino', cache=cache)
                        for cache in (CacheSettings('warp', 1, background=True), 'off'))
    segmenter.warm_up()
    compiled = segmenter._engine._compiled[48, 64].get_compiled_model()
    assert compiled.get_property('INFERENCE_NUM_THREADS') == 1
    ids, _ = segmenter._engine.run(picture[None])
    assert (ids[0] == plain.segment([picture])[0].class_ids).mean() > 0.98
