"""The contract of networks, held against every network in the registry."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from roadseg_ros.checkpoint import Checkpoint, CheckpointError, load_checkpoint, Preprocessing
from roadseg_ros.labels import LabelSpace
from roadseg_ros.models.network import Recurrent, Staged
from roadseg_ros.models.registry import (
    build_network,
    network_from_checkpoint,
    NETWORKS,
    state_arrays,
)
from small_networks import SMALL

CLASSES = 5
CASES = [(name, arguments) for name in NETWORKS for arguments in SMALL[name]]
LABELS = LabelSpace(tuple('abcde'), ((0, 0, 0),) * CLASSES)
PREPROCESSING = Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, 64, 64)


@pytest.fixture(scope='module', params=CASES, ids=lambda case: case[0])
def network(request):
    """Return each network, small, in eval mode, its batch norms not at their start."""
    torch.manual_seed(0)
    name, arguments = request.param
    arguments = {'num_classes': CLASSES, **arguments}
    network = build_network(name, arguments)
    stride = network.input_stride
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight[layer.weight == 0] = 1  # as ResNets start: no gradient passes
        for _ in range(5):
            network(torch.randn(2, 3, 2 * stride, 2 * stride))
    network.architecture, network.arguments = name, arguments
    return network.eval()


@pytest.fixture
def image(network):
    """Return a batch of two images that the network takes."""
    stride = network.input_stride
    return torch.randn(2, 3, 2 * stride, 3 * stride, generator=torch.Generator().manual_seed(1))


def as_checkpoint(network):
    """Return a network as a checkpoint."""
    return Checkpoint(network.architecture, network.arguments, LABELS, PREPROCESSING,
                      state_arrays(network))


@torch.no_grad()
def test_scores_are_float_and_at_the_output_stride(network, image):
    """Scores have a channel for each class and the image's size over the output stride."""
    scores = network(image)
    stride = network.output_stride
    assert scores.shape == (2, CLASSES, image.shape[2] // stride, image.shape[3] // stride)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()


def test_odd_sizes_are_refused_with_the_size_to_pad_to(network):
    """A size that the network would misalign is refused, and the next that fits is named."""
    stride = network.input_stride
    wanted = rf'multiples of {stride}, got {stride + 1}x{stride - 1}; ' \
             rf'pad to {2 * stride}x{stride}'
    with pytest.raises(ValueError, match=wanted):
        network(torch.zeros(1, 3, stride + 1, stride - 1))


def test_gradients_reach_every_parameter(network, image):
    """No parameter is left out of training; what only a past reaches, the network names."""
    network.train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        scores = network(image)
        target = torch.arange(scores[:, 0].numel()).view(scores[:, 0].shape) % CLASSES
        cross_entropy(scores, target).backward()
        for name, parameter in network.named_parameters():
            assert (parameter.grad is None) == (name.split('.')[0] in network.past_alone), name
        if isinstance(network, Recurrent):
            past = network.step(image.flip(-1))[1]
            scores, _ = network.step(image, past, torch.zeros_like(image[:, :2]))
            cross_entropy(scores, target).backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    finally:
        network.load_state_dict(state)
        network.zero_grad()
        network.eval()


@torch.no_grad()
def test_eval_is_deterministic_and_sees_the_image(network, image):
    """In eval mode the same image gives the same scores, another one others."""
    scores = network(image)
    torch.testing.assert_close(network(image), scores, rtol=0, atol=0)
    assert not torch.allclose(network(-image), scores)


@torch.no_grad()
def test_images_of_a_batch_do_not_touch(network, image):
    """An image scores alone as it does in a batch."""
    torch.testing.assert_close(network(image[1:]), network(image)[1:], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_stages_compose_to_forward(network, image):
    """Where a network has stages, forward is their composition."""
    if not isinstance(network, Staged):
        pytest.skip(f'{network.architecture} has no stages')
    shallow = network.shallow(image)
    deep = network.deep(shallow)
    assert isinstance(shallow, tuple) and isinstance(deep, tuple)
    torch.testing.assert_close(network.head(shallow, deep), network(image), rtol=0, atol=0)


def recurrent(network):
    """Return the network, skipping the test where it keeps no state."""
    if not isinstance(network, Recurrent):
        pytest.skip(f'{network.architecture} is not recurrent')
    return network


def still(image):
    """Return the flow of a picture that has not moved."""
    return torch.zeros_like(image[:, :2])


@torch.no_grad()
def test_a_first_step_is_forward(network, image):
    """Without a past, scores are those of the single picture; again so after a past."""
    network = recurrent(network)
    scores, state = network.step(image)
    torch.testing.assert_close(scores, network(image), rtol=0, atol=0)
    network.step(image.flip(-1), state, still(image))
    torch.testing.assert_close(network.step(image)[0], scores, rtol=0, atol=0)


@torch.no_grad()
def test_the_state_keeps_its_shape_and_changes_the_scores(network, image):
    """It is tensors, batch first, of one shape in every frame; another past, other scores."""
    network = recurrent(network)
    _, first = network.step(image)
    _, other = network.step(image.flip(-1))
    kept = [tensor.clone() for tensor in first]
    scores, second = network.step(image, first, still(image))
    assert isinstance(first, tuple) and isinstance(second, tuple)
    assert [tensor.shape for tensor in first] == [tensor.shape for tensor in second]
    assert all(len(tensor) == len(image) for tensor in first)
    for tensor, before in zip(first, kept):  # whoever holds it may step from it again
        torch.testing.assert_close(tensor, before, rtol=0, atol=0)
    torch.testing.assert_close(network.step(image, first, still(image))[0], scores, rtol=0, atol=0)
    assert not torch.allclose(network.step(image, other, still(image))[0], scores)


@torch.no_grad()
def test_drives_of_a_batch_do_not_touch(network, image):
    """A drive scores alone as it does beside another."""
    network = recurrent(network)
    _, state = network.step(image)
    flow = still(image) + 2
    scores, _ = network.step(image.flip(-1), state, flow)
    alone, _ = network.step(image.flip(-1)[1:], tuple(kept[1:] for kept in state), flow[1:])
    torch.testing.assert_close(alone, scores[1:], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_long_drive_stays_finite(network, image):
    """Scores of the hundredth frame are of the size of the first one's."""
    network = recurrent(network)
    scores, state = network.step(image)
    largest = scores.abs().max()
    for _ in range(100):
        scores, state = network.step(image, state, still(image))
    assert scores.abs().max() < 10 * largest


def test_gradients_reach_through_time(network, image):
    """The third frame's scores depend on the first frame's pixels."""
    network = recurrent(network)
    first = image.clone().requires_grad_()
    _, state = network.step(first)
    for _ in range(2):
        scores, state = network.step(image.flip(-1), state, still(image))
    scores.square().sum().backward()
    network.zero_grad()
    assert first.grad.isfinite().all() and first.grad.any()


@torch.no_grad()
def test_saved_and_loaded_it_scores_equal(network, image, tmp_path):
    """Through a checkpoint in half precision come back the weights rounded, nothing else."""
    as_checkpoint(network).save(tmp_path / 'a.safetensors')
    saved = load_checkpoint(tmp_path / 'a.safetensors')
    assert all(value.dtype == np.float16 for value in saved.tensors.values()
               if value.dtype.kind == 'f')
    loaded = network_from_checkpoint(saved)
    assert not loaded.training
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    own = network.state_dict()
    rounded = {name: value.half().float() if value.is_floating_point() else value
               for name, value in own.items()}
    before = {name: value.clone() for name, value in own.items()}
    network.load_state_dict(rounded)
    wanted = network(image)
    network.load_state_dict(before)
    torch.testing.assert_close(loaded(image), wanted, rtol=0, atol=0)


def test_tensors_that_do_not_fit_are_named(network):
    """A missing, an unknown and a misshapen tensor are each named."""
    good = as_checkpoint(network)
    name = sorted(good.tensors)[0]
    without = {key: value for key, value in good.tensors.items() if key != name}
    shape = good.tensors[name].shape
    for tensors, reason in (
            (without, rf"1 missing \['{name}'\], 0 unknown"),
            ({**good.tensors, 'stray': np.zeros(1)}, r"0 missing \[\], 1 unknown \['stray'\]"),
            ({**good.tensors, name: np.zeros((*shape, 2), np.float16)},
             rf'tensor {name} has shape .* the network wants')):
        with pytest.raises(CheckpointError, match=reason):
            network_from_checkpoint(replace(good, tensors=tensors))


def test_classes_and_label_space_must_agree(checkpoint, labels):
    """A label space of another size than the network's outputs is refused with both numbers."""
    longer = LabelSpace((*labels.names, 'extra'), (*labels.colors, (1, 2, 3)))
    with pytest.raises(CheckpointError, match='the network has 11 outputs, the label space 12'):
        network_from_checkpoint(replace(checkpoint, labels=longer))


def test_unknown_network_lists_the_known_ones(checkpoint):
    """A name that is not in the registry is answered with those that are."""
    known = ', '.join(NETWORKS)
    with pytest.raises(ValueError, match=f"unknown network 'segnext'; known: {known}"):
        build_network('segnext', {'num_classes': 2})
    with pytest.raises(CheckpointError, match="does not fit: unknown network 'segnext'"):
        network_from_checkpoint(replace(checkpoint, architecture='segnext'))


@pytest.mark.parametrize('architecture, arguments, reason', [
    ('u_lite', {}, 'num_classes'),
    ('u_lite', {'num_classes': 0}, 'num_classes must be 1 to 255, not 0'),
    ('u_lite', {'num_classes': 256}, 'num_classes must be 1 to 255, not 256'),
    ('u_lite', {'num_classes': '3'}, 'u_lite'),
    ('u_lite', {'num_classes': 2, 'depth': 3}, 'depth'),
    ('u_lite', {'num_classes': 2, 'channels': (4, 8)}, 'four widths, not 2'),
    ('u_lite', {'num_classes': 2, 'channels': (4, 8, 8, -8)}, 'u_lite'),
    ('fcn8s', {'num_classes': 2, 'channels': (4, 8)}, 'VGG16 has five widths, not 2'),
    ('fcn8s', {'num_classes': 2, 'head_channels': 8, 'dropout': 2}, 'fcn8s: dropout'),
    ('segnet', {'num_classes': 2, 'channels': (4, 8)}, 'segnet has five widths, not 2'),
    ('unet_classic', {'num_classes': 2, 'channels': (4,)}, 'two widths or more, not 1'),
    ('unet_classic', {'num_classes': 2, 'padding': 'mirror'},
     "unknown padding 'mirror'; known: same, valid"),
    ('unet', {'num_classes': 2, 'decoder_channels': (8, 8)}, r'needs 4 widths, not 2'),
    ('unet', {'num_classes': 2, 'encoder': 'no_such_net'}, "timm has no encoder 'no_such_net'"),
    ('deeplab_v2', {'num_classes': 2, 'encoder': 'vgg16'}, 'vgg16 cannot have output stride 8'),
    ('deeplab_v3', {'num_classes': 2, 'output_stride': 4}, 'output_stride must be 16 or 8, not 4'),
    ('deeplab_v3', {'num_classes': 2, 'encoder': 'resnet18', 'multi_grid': (1, 2, 4)},
     'wants a last stage of 3 blocks, resnet18 has 2'),
    ('deeplab_large_fov', {'num_classes': 2, 'channels': (4,)}, 'VGG16 has five widths, not 1'),
    ('fc_densenet', {'num_classes': 2, 'depth': 57}, 'depth 56, 67, 103, not 57'),
    ('gcn', {'num_classes': 2, 'encoder': 'resnet18', 'kernel': 4}, 'kernel must be odd, not 4'),
    ('residual_unet', {'num_classes': 2, 'channels': (4,)}, 'two widths or more, not 1'),
    ('swiftnet', {'num_classes': 2, 'decoder_channels': (8, 8)}, r'needs 4 widths, not 2'),
    ('swiftnet', {'num_classes': 2, 'encoder': 'no_such_net'}, "timm has no encoder 'no_such"),
    ('unet', {'num_classes': 2, 'encoder': 'hf-hub:someone/net'}, 'timm has no encoder'),
    ('unet', {'num_classes': 2, 'encoder': 'hf_hub:someone/net'}, 'timm has no encoder'),
    ('unet', {'num_classes': 2, 'encoder': 'local-dir:/tmp/net'}, 'timm has no encoder'),
    ('unet', {'num_classes': 2, 'encoder': 'mixer_s32_224'}, 'network unet: .*mixer_s32_224'),
])
def test_arguments_that_do_not_fit_are_refused(architecture, arguments, reason):
    """Constructor arguments that make no network give one line that names it."""
    with pytest.raises(ValueError, match=reason) as caught:
        build_network(architecture, arguments)
    assert '\n' not in str(caught.value)


def test_arguments_that_ask_for_terabytes_cost_nothing(checkpoint):
    """The file's tensors bound what is built: it is planned without memory first."""
    arguments = {**checkpoint.arguments, 'channels': [500_000] * 4}
    with pytest.raises(CheckpointError, match='tensor .* has shape .*, the network wants'):
        network_from_checkpoint(replace(checkpoint, arguments=arguments))
