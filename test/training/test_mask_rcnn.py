"""torchvision's Mask R-CNN into checkpoints: the same tensors, classes by name, bad files."""
import json
import pickle

import cv2
import numpy as np
import pytest
from safetensors.torch import save_file
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from roadseg_ros.checkpoint import load_checkpoint
from roadseg_ros.labels import LabelSpace, load_label_space
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.registry import network_from_checkpoint
from roadseg_ros.tools.main import main as roadseg
from training.mask_rcnn import adapt, AdaptError, by_name, CATEGORIES, main

OPTIONS = {'weights': None, 'weights_backbone': None, 'min_size': 64}


def as_published(model):
    """Return a state dict under the names that torchvision's first file has."""
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith('roi_heads.mask_head.'):
            _, _, index, _, part = name.split('.')
            name = f'roi_heads.mask_head.mask_fcn{int(index) + 1}.{part}'
        name = name.replace('rpn.head.conv.0.0.', 'rpn.head.conv.')
        if not name.endswith('num_batches_tracked'):  # its batch norms are frozen
            state[name] = value
    return state


@pytest.fixture(scope='module')
def models():
    """Return torchvision's own two, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = maskrcnn_resnet50_fpn(**OPTIONS).eval()
        second = maskrcnn_resnet50_fpn_v2(**OPTIONS).eval()
    for layer in first.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 0.0  # as torchvision sets it for its weights
    return {'resnet50_fpn': first, 'resnet50_fpn_v2': second}


@pytest.fixture(scope='module')
def files(models, tmp_path_factory):
    """Return a file of each."""
    folder = tmp_path_factory.mktemp('torchvision')
    first, second = folder / 'first.pth', folder / 'second.safetensors'
    torch.save(as_published(models['resnet50_fpn']), first)
    save_file(models['resnet50_fpn_v2'].state_dict(), second)
    return {'resnet50_fpn': first, 'resnet50_fpn_v2': second}


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['resnet50_fpn', 'resnet50_fpn_v2'])
@torch.no_grad()
def test_it_finds_what_torchvisions_own_finds(models, files, variant):
    """From its file it detects the same, box by box and mask by mask."""
    checkpoint = adapt(files[variant], load_label_space('camvid'))
    assert checkpoint.arguments['variant'] == variant
    detector = network_from_checkpoint(checkpoint).detector
    model = models[variant]
    for one in (detector, model):
        one.roi_heads.score_thresh = 0.0
        one.transform.min_size = (64,)
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    (found,), (wanted,) = detector([image]), model([image])
    assert len(wanted['scores']) > 10
    for name, values in wanted.items():
        torch.testing.assert_close(found[name].float(), values.float(), rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_through_the_commands(files, tmp_path, checkpoint_path, checkpoint, picture, capsys):
    """Its file is a checkpoint for check and segment; random weights leave the background."""
    out = tmp_path / 'new' / 'mask_rcnn.safetensors'
    arguments = [str(files['resnet50_fpn']), '--background', str(checkpoint_path), '--out',
                 str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(' -> ')[1] for line in printed if line.strip().startswith('truck')] == [
        'car']
    assert printed[-1] == f'{out}: torchvision maskrcnn_resnet50_fpn, first.pth'
    saved = load_checkpoint(out)
    assert saved.labels == checkpoint.labels
    for name, value in checkpoint.tensors.items():
        np.testing.assert_array_equal(saved.tensors[f'background.network.{name}'], value)
    assert roadseg(['check', str(out), '--device', 'cpu', '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report['architecture'], report['engine']) == ('mask_rcnn', 'torch')
    assert report['fallback'] is None
    cv2.imwrite(str(tmp_path / 'street.png'), picture)
    assert roadseg(['segment', str(tmp_path / 'street.png'), '--checkpoint', str(out),
                    '--device', 'cpu', '--out', str(tmp_path / 'masks')]) == 0
    mask = cv2.imread(str(tmp_path / 'masks' / 'street.png'), cv2.IMREAD_UNCHANGED)
    # an engine might take narrower floats for this network than for Mask R-CNN
    plain = FrameModule(network_from_checkpoint(checkpoint), checkpoint.preprocessing).eval()
    with torch.inference_mode():
        wanted = plain(torch.from_numpy(picture[None]))[0].numpy()[0]
    assert (mask == wanted).mean() > 0.995
    assert main(arguments) == 2
    assert '--out is a new .safetensors file' in capsys.readouterr().err


@pytest.mark.parametrize('space, wanted', [
    ('camvid', {'person': 'pedestrian', 'bicycle': 'bicyclist', 'car': 'car', 'bus': 'car',
                'motorcycle': 'bicyclist', 'train': 'car', 'truck': 'car',
                'traffic light': 'sign_symbol', 'stop sign': 'sign_symbol', 'dog': None}),
    ('cityscapes', {'person': 'person', 'bicycle': 'bicycle', 'bus': 'bus', 'truck': 'truck',
                    'train': 'train', 'motorcycle': 'motorcycle', 'stop sign': 'traffic sign',
                    'traffic light': 'traffic light', 'dog': None, 'boat': None}),
    ('pascal_voc', {'airplane': 'aeroplane', 'tv': 'tvmonitor', 'couch': 'sofa', 'dog': 'dog',
                    'potted plant': 'pottedplant', 'truck': 'car', 'stop sign': None}),
    ('car', {'car': 'car', 'truck': 'car', 'person': None})])
def test_categories_become_classes_by_their_names(files, space, wanted):
    """The table leads from COCO to each packaged label space; what has no class is left out."""
    labels = load_label_space(space)
    taken = {category: name for name, categories in by_name(labels).items()
             for category in categories}
    assert {category: taken.get(category) for category in wanted} == wanted
    assert set(taken.values()) <= set(labels.names)


def test_classes_as_told(files):
    """Given classes count alone, in the ids of COCO."""
    labels = LabelSpace(('ground', 'vehicle'), ((1, 1, 1), (2, 2, 2)))
    checkpoint = adapt(files['resnet50_fpn'], labels, {'vehicle': ['car', 'bus']}, height=360)
    assert checkpoint.arguments['classes'] == {'3': 1, '6': 1}
    assert [CATEGORIES[3], CATEGORIES[6]] == ['car', 'bus']
    assert (checkpoint.preprocessing.height, checkpoint.preprocessing.width) == (360, 480)
    with pytest.raises(AdaptError, match='no category of COCO is one of the classes ground, veh'):
        adapt(files['resnet50_fpn'], labels)


class Code:
    """What a file of a stranger might hold."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    """A pickle that would write a file is refused in one line, and the file is not there."""
    bad, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    torch.save({'roi_heads.mask_predictor.mask_fcn_logits.weight': Code(trace)}, bad)
    plain = tmp_path / 'plain.pth'
    plain.write_bytes(pickle.dumps(Code(trace)))
    for file in (bad, plain):
        assert main([str(file), '--labels', 'camvid', '--out', str(tmp_path / 'x.safetensors')]
                    ) == 2
        error = capsys.readouterr().err
        assert f'cannot read {file}' in error and error.count('\n') == 1
    assert not trace.exists() and not (tmp_path / 'x.safetensors').exists()


def test_files_that_are_something_else(tmp_path, models, capsys):
    """Each is told what it lacks, in one line."""
    first = as_published(models['resnet50_fpn'])
    logits = 'roi_heads.mask_predictor.mask_fcn_logits.weight'
    narrow = 'roi_heads.box_predictor.cls_score.weight'
    lost = {name: value for name, value in first.items() if name != narrow}
    for state, reason in (
            ({'layer.weight': torch.zeros(2)}, f"of torchvision's: it lacks {logits}"),
            ({logits: torch.zeros(3, 256, 1, 1)}, "has 3 categories; only COCO's 91"),
            ({**first, narrow: torch.zeros(91, 7)}, f'size mismatch for {narrow}'),
            (lost, f'Missing key(s) in state_dict: "{narrow}"'),
            ({**first, 'stray': torch.zeros(1)}, 'Unexpected key(s) in state_dict: "stray"'),
            ([torch.zeros(1)], 'it holds a list instead of tensors by name')):
        file = tmp_path / 'other.pth'
        torch.save(state, file)
        assert main([str(file), '--labels', 'camvid', '--out', str(tmp_path / 'x.safetensors')]
                    ) == 2
        error = capsys.readouterr().err
        assert reason in error and str(file) in error and error.count('\n') == 1
    assert not (tmp_path / 'x.safetensors').exists()


@pytest.mark.parametrize('options, reason', [
    ([], 'give either --background or --labels'),
    (['--labels', 'camvid', '--background', 'x'], 'give either --background or --labels'),
    (['--labels', 'mars'], "no label space 'mars'"),
    (['--labels', 'kitti_road'], 'say which is which by --classes'),
    (['--labels', 'camvid', '--classes', 'car'], "--classes is a mapping, not 'car'"),
    (['--labels', 'camvid', '--classes', '{car: [car'], '--classes is no YAML: '),
    (['--labels', 'camvid', '--classes', ''], '--classes is a mapping, not None'),
    (['--labels', 'cityscapes', '--classes', '{car: [truck], bus: [truck]}'],
     "'truck' is given to car and again to bus"),
    (['--labels', 'camvid', '--classes', '{lorry: [truck]}'], "'lorry' is none of the classes"),
    (['--labels', 'camvid', '--classes', '{car: [lorry]}'], "COCO has no category 'lorry', only"),
    (['--labels', 'camvid', '--classes', '{car: truck}'], 'a list of categories for each class'),
    (['--labels', 'camvid', '--min-score', '0.2'], 'min_score must be 0.5 to 1, not 0.2'),
    (['--labels', 'camvid', '--height', '0'], 'frame size must be whole pixels'),
    (['--background', 'none.safetensors'], 'cannot read checkpoint none.safetensors'),
])
def test_options_that_do_not_fit(files, tmp_path, capsys, options, reason):
    """What cannot be done is said in one line."""
    out = tmp_path / 'x.safetensors'
    assert main([str(files['resnet50_fpn']), *options, '--out', str(out)]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count('\n') == 1 and not out.exists()
