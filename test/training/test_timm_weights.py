"""Weights of timm's encoders: by name into the right place, one line where they cannot be had."""

import logging

import pytest
from safetensors.torch import save_file
import timm
import torch
from torchvision.models import resnet18

from roadseg_ros.models.registry import build_network
from training.pretrained import load_weights
from training.weight_files import PretrainedError

WIDTHS = {'vgg16_bn': (8,) * 5}  # which has one stride more


def unet(encoder):
    """Return a U-Net on an encoder, in eval mode."""
    return build_network('unet', {'num_classes': 3, 'encoder': encoder,
                                  'decoder_channels': WIDTHS.get(encoder, (8,) * 4)}).eval()


def classifier(name):
    """Return timm's classifier with batch norms that are not at their start, in eval mode."""
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2)
    return model


@torch.no_grad()
@pytest.mark.parametrize('name, suffix', [
    ('resnet18', 'pth'), ('mobilenetv3_large_100', 'safetensors'), ('vgg16_bn', 'pth')])
def test_a_file_of_timm_makes_the_encoder_its_model(tmp_path, name, suffix):
    """Its last features are those of the classifier; the decoder stays as it was."""
    model, network = classifier(name), unet(name)
    before = network.classifier.weight.clone()
    file = tmp_path / f'model.{suffix}'
    write = save_file if suffix == 'safetensors' else torch.save
    write({key: value for key, value in model.state_dict().items()
           if not key.startswith('pre_logits')}, file)  # of VGG16, half a gigabyte
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(network.encoder(image)[-1], model.forward_features(image))
    load_weights(network, str(file))
    torch.testing.assert_close(network.encoder(image)[-1], model.forward_features(image))
    assert torch.equal(network.classifier.weight, before)


@torch.no_grad()
def test_a_dilated_encoder_takes_the_same_file_and_one_of_torchvision(tmp_path):
    """Dilation changes no tensor, and torchvision's ResNets have timm's names."""
    state = resnet18().state_dict()
    torch.save(state, tmp_path / 'resnet18.pth')
    network = build_network('deeplab_v3', {'num_classes': 3, 'encoder': 'resnet18', 'width': 8,
                                           'output_stride': 8, 'multi_grid': (1, 2)})
    load_weights(network, str(tmp_path / 'resnet18.pth'))
    own = network.encoder.state_dict()
    assert len(own) == len(state) - 2  # without the classifier's weight and bias
    assert all(torch.equal(value, state[key]) for key, value in own.items())


def resnet(**changes):
    """Return the tensors of a ResNet-18 with some changed, left out where None."""
    state = {**timm.create_model('resnet18').state_dict(), **changes}
    return {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
@pytest.mark.parametrize('content, message', [
    (lambda: timm.create_model('mobilenetv3_small_050').state_dict(),
     'does not fit the encoder resnet18: 96 of 100 tensors are missing, such as conv1.weight$'),
    (lambda: resnet(**{'layer3.0.bn2.bias': None}),
     '1 of 100 tensors are missing, such as layer3.0.bn2.bias$'),
    (lambda: resnet(**{'layer3.0.bn2.bias': torch.zeros(7)}),
     r'does not fit the encoder resnet18: layer3.0.bn2.bias is \(7,\), wanted \(256,\)$'),
])
def test_a_file_of_another_encoder_is_named_with_what_differs(tmp_path, suffix, content, message):
    """Nothing is written then."""
    file = tmp_path / f'weights.{suffix}'
    (save_file if suffix == 'safetensors' else torch.save)(content(), file)
    network = unet('resnet18')
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(PretrainedError, match=message) as caught:
        load_weights(network, str(file))
    assert '\n' not in str(caught.value) and str(file) in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    """As with VGG16's, only tensors are read."""
    class Trap:
        def __reduce__(self):
            return print, ('the trap has run',)

    torch.save({'conv1.weight': Trap()}, tmp_path / 'trap.pth')
    with pytest.raises(PretrainedError, match='cannot read .*trap.pth: ') as caught:
        load_weights(unet('resnet18'), str(tmp_path / 'trap.pth'))
    assert '\n' not in str(caught.value)


def test_imagenet_is_what_timm_offers(monkeypatch):
    """Asked for by the encoder's own name."""
    model, create = classifier('resnet18'), timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained=False, **arguments: (
        model if (name, pretrained) == ('resnet18', True) else create(name, **arguments)))
    network = unet('resnet18')
    load_weights(network, 'imagenet')
    assert torch.equal(network.encoder.state_dict()['layer4.1.bn2.running_var'],
                       model.state_dict()['layer4.1.bn2.running_var'])


def test_without_a_network_one_line_names_the_encoder_and_both_ways(monkeypatch, caplog):
    """What the hub's client logs of its attempts is held back."""
    create = timm.create_model

    def offline(name, pretrained=False, **arguments):
        if pretrained:
            logging.getLogger('huggingface_hub.utils._http').warning('Retrying in 1s [Retry 1/5].')
            raise FileNotFoundError('An error happened while locating the file. Please check '
                                    'your connection.\nAnd so on')
        return create(name, **arguments)

    network = unet('resnet18')
    monkeypatch.setattr(timm, 'create_model', offline)
    with pytest.raises(PretrainedError) as caught:
        load_weights(network, 'imagenet')
    assert str(caught.value) == (
        'ImageNet weights for the encoder resnet18 cannot be downloaded (An error happened while '
        'locating the file); either connect to the Hugging Face hub (timm/resnet18.a1_in1k), or '
        'bring a file of them and set pretrained: /path/model.safetensors or .pth')
    assert not caplog.records
