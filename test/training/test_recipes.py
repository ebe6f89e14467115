"""Every recipe runs from end to end on a miniature of its data; the result segments."""

from pathlib import Path

import pytest
import yaml

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import load_label_space, UNLABELLED
from training.train import main

CONFIGS = sorted((Path(__file__).resolve().parents[2] / 'training' / 'configs').glob('*.yaml'))
PACKAGED = {'swiftnet_lite0_camvid', 'swiftnet_lite0_camvid_mixed'}  # its weights' two stages
assert PACKAGED <= {path.stem for path in CONFIGS}
FCN = {'channels': [4, 8, 8, 8, 8], 'head_channels': 8}
SLIM = {'deeplab_large_fov': FCN, 'deeplab_v2': {'encoder': 'resnet18'},
        'deeplab_v3': {'encoder': 'resnet18', 'width': 8, 'multi_grid': [1, 2]},
        'deeplab_v3_plus': {'encoder': 'resnet18', 'width': 8},
        'fast_fcn': {'encoder': 'resnet18', 'width': 8, 'head_width': 8},
        'fc_densenet': {'growth': 4, 'blocks': [2, 2, 2], 'first_channels': 8},
        'fcn16s': FCN, 'fcn32s': FCN, 'fcn8s': FCN,
        'gated_scnn': {'encoder': 'resnet18', 'width': 8},
        'gcn': {'encoder': 'resnet18', 'kernel': 5}, 'ksac': {'encoder': 'resnet18', 'width': 8},
        'net_warp': {'decoder_channels': [32, 8, 8, 8]},
        'residual_unet': {'channels': [4, 8, 8]},
        'segnet': {'channels': [4, 8, 8, 8, 8]}, 'segnet_basic': {'width': 4},
        'stfcn': {'encoder': 'mobilenetv3_small_050', 'width': 8},
        'swiftnet': {'decoder_channels': [8, 8, 8, 8]},
        'u_lite': {'channels': [4, 8, 8, 8]}, 'unet': {'decoder_channels': [8, 8, 8, 8]},
        'unet_classic': {'channels': [4, 8, 8, 8, 8]}}

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')


def slim(path, miniatures):
    """Return a recipe as it is, but for its size, its length and where its data lies."""
    recipe = yaml.safe_load(path.read_text())
    recipe['arguments'].update(SLIM[recipe['architecture']])
    recipe.update(pretrained=None, start_share=0.0, frame_size=[64, 96], epochs=1,
                  batch_size=2, precision='32-true', workers=0)
    recipe['augmentation']['crop'] = [64, 96]
    for entry in (*recipe['train'], *recipe['val']):
        if 'root' in entry:
            entry['root'] = str(miniatures / entry['dataset'])
        if 'samples' in entry:
            entry['samples'] = 2
    return recipe


@pytest.fixture(scope='module', params=[
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem not in PACKAGED))
    for path in CONFIGS])
def trained(request, miniatures, tmp_path_factory):
    """Return each recipe's path, and the file that one command made of it."""
    folder = tmp_path_factory.mktemp(request.param.stem)
    config = folder / request.param.name
    config.write_text(yaml.safe_dump(slim(request.param, miniatures)))
    assert main(['--config', str(config), '--out', str(folder / 'run'),
                 '--accelerator', 'cpu']) == 0
    return request.param, folder / 'run' / 'last.safetensors'


def test_a_recipe_makes_a_file_of_its_own_classes_that_segments(trained, picture):
    """It says where it comes from, and labels every pixel of a picture."""
    path, file = trained
    checkpoint = load_checkpoint(file)
    assert checkpoint.provenance['recipe'] == path.stem
    assert checkpoint.labels == load_label_space(yaml.safe_load(path.read_text())['labels'])
    assert set(checkpoint.provenance['metrics']['iou']) == set(checkpoint.labels.names)
    result = Segmenter(checkpoint, device='cpu', engine='torch').segment([picture])[0]
    assert result.class_ids.shape == picture.shape[:2]
    assert result.class_ids.max() < len(checkpoint.labels)
    assert not (result.class_ids == UNLABELLED).any()


@pytest.mark.slow
def test_the_node_runs_what_a_recipe_made(trained, domain_id, tmp_path):
    """Over DDS, with the file as its parameter: a mask for each frame."""
    from roadseg_ros.tools.benchmark.client import Client, Feed
    from roadseg_ros.tools.benchmark.drive import render
    from roadseg_ros.tools.benchmark.messages import ImageMessages
    from roadseg_ros.tools.node_process import NodeProcess

    mask = '/camera/segmentation/mask'
    feed = Feed('/camera/image_raw', (mask,), ImageMessages(render((96, 160))))
    parameters = {'image_topics': [feed.topic], 'checkpoint': str(trained[1]), 'device': 'cpu'}
    with NodeProcess(parameters, tmp_path / 'node.yaml', tmp_path / 'log') as node, \
            Client([feed], node.check) as client:
        client.connect()
        assert len(client.latencies(3)[mask]) == 3
