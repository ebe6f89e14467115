"""Arguments that make each network small enough for tests, by its name."""

import torch

from roadseg_ros.checkpoint import Checkpoint, Preprocessing
from roadseg_ros.models.registry import build_network, state_arrays

VGG16 = {'channels': (4, 8, 8, 8, 8)}
SMALL = {
    'deeplab_large_fov': [{**VGG16, 'head_channels': 8}],
    'deeplab_v2': [{'encoder': 'resnet18', 'rates': (6, 12)}],
    'deeplab_v3': [{'encoder': 'mobilenetv3_small_050', 'width': 8},
                   {'encoder': 'resnet18', 'output_stride': 8, 'width': 8, 'multi_grid': (1, 2)}],
    'deeplab_v3_plus': [{'encoder': 'resnet18', 'width': 8}],
    'fast_fcn': [{'encoder': 'resnet18', 'width': 8, 'head_width': 8}],
    'fc_densenet': [{'growth': 4, 'blocks': (2, 2, 2), 'first_channels': 8}],
    'fcn16s': [{**VGG16, 'head_channels': 8}],
    'fcn32s': [{**VGG16, 'head_channels': 8}],
    'fcn8s': [{**VGG16, 'head_channels': 8},
              {**VGG16, 'head_channels': 8, 'learned_upsampling': True}],
    'gated_scnn': [{'encoder': 'resnet18', 'width': 8}],
    'gcn': [{'encoder': 'resnet18', 'kernel': 5}],
    'ksac': [{'encoder': 'resnet18', 'width': 8}],
    'mask_rcnn': [{'variant': 'resnet50_fpn', 'min_size': 64, 'classes': {'3': 1},
                   'background': {
                       'architecture': 'u_lite',
                       'arguments': {'num_classes': 11, 'channels': [4, 8, 8, 8]},
                       'channel_order': 'rgb', 'scale': 1 / 255, 'mean': [0.5] * 3,
                       'std': [0.5] * 3}}],
    'net_warp': [{'decoder_channels': (32, 8, 8, 8)}],
    'residual_unet': [{'channels': (4, 8, 8)}],
    'segnet': [VGG16],
    'segnet_basic': [{'width': 8}],
    'stfcn': [{'encoder': 'mobilenetv3_small_050', 'width': 8}],
    'swiftnet': [{'decoder_channels': (32, 8, 8, 8)}],
    'u_lite': [{'channels': (4, 8, 8, 8)}],
    'unet': [{'decoder_channels': (8, 8, 8, 8)}],
    'unet_classic': [{'channels': (4, 8, 8)},
                     {'channels': (4, 8), 'padding': 'valid', 'batch_norm': True,
                      'dropout': 0.25}],
}


def small_checkpoint(name, labels):
    """
    Return a small network of a name with random weights, always the same, for 96x64 frames.

    In a network with random weights the biases outweigh the features, and one class wins
    everywhere. They are zero here, so that masks hold several.
    """
    arguments = {**SMALL[name][0], 'num_classes': len(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)  # with which every network shows two classes or more
        network = build_network(name, arguments)
    with torch.no_grad():
        for parameter, value in network.named_parameters():
            if parameter.endswith('bias'):
                value.zero_()
    preprocessing = Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, 64, 96)
    return Checkpoint(name, arguments, labels, preprocessing, state_arrays(network))
