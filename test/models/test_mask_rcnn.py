"""Mask R-CNN: what is painted, on top of what, and how the engines run it."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from roadseg_ros.checkpoint import Checkpoint, CheckpointError, Preprocessing
from roadseg_ros.inference.crf import CrfSettings
from roadseg_ros.inference.engines import EngineError, TORCH_ALONE
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import LabelSpace
from roadseg_ros.models.mask_rcnn import MaskRcnn
from roadseg_ros.models.registry import (
    ADAPTED,
    build_network,
    network_class,
    network_from_checkpoint,
    NETWORKS,
    state_arrays,
)

PERSON, BICYCLE, CAR, DOG = 1, 2, 3, 18  # of COCO
LABELS = LabelSpace(('road', 'car', 'person'), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
ROAD, OWN_CAR, OWN_PERSON, NOTHING = 0, 1, 2, 3
BACKGROUND = {'architecture': 'u_lite',
              'arguments': {'num_classes': 3, 'channels': [4, 8, 8, 8]}, 'channel_order': 'bgr',
              'scale': 1.0, 'mean': [100.0, 110.0, 120.0], 'std': [50.0, 60.0, 70.0]}
ARGUMENTS = {'num_classes': 3, 'variant': 'resnet50_fpn', 'min_size': 64,
             'classes': {str(CAR): OWN_CAR, str(PERSON): OWN_PERSON}}


@pytest.fixture(scope='module')
def network():
    """Return one without a background, its weights random."""
    torch.manual_seed(0)
    return build_network('mask_rcnn', ARGUMENTS)


@pytest.fixture(scope='module')
def on_background():
    """Return one with a small network behind it."""
    torch.manual_seed(0)
    return build_network('mask_rcnn', {**ARGUMENTS, 'background': BACKGROUND})


def found(*instances):
    """Return what torchvision does of (label, score, (top, bottom, left, right)) in 16x24."""
    masks = torch.zeros(len(instances), 1, 16, 24)
    for mask, (_, _, (top, bottom, left, right)) in zip(masks, instances):
        mask[0, top:bottom, left:right] = 0.9
    return {'labels': torch.tensor([label for label, *_ in instances], dtype=torch.long),
            'scores': torch.tensor([float(score) for _, score, _ in instances]), 'masks': masks}


def seen(monkeypatch, network, *images):
    """Let the detector find the same instances, whatever it is shown; return what it is shown."""
    shown = []
    monkeypatch.setattr(network.detector, 'forward',
                        lambda pictures: shown.extend(pictures) or list(images))
    return shown


@torch.no_grad()
def test_the_surest_instance_is_on_top(monkeypatch, network):
    """Of overlapping ones the higher score wins, in whichever order they come."""
    car, person = (CAR, 0.9, (2, 12, 2, 14)), (PERSON, 0.7, (6, 14, 10, 20))
    wanted = torch.full((16, 24), NOTHING)
    wanted[6:14, 10:20] = OWN_PERSON
    wanted[2:12, 2:14] = OWN_CAR
    for order in ((car, person), (person, car)):
        seen(monkeypatch, network, found(*order))
        scores = network(torch.zeros(1, 3, 16, 24))
        assert scores.shape == (1, 4, 16, 24)
        assert torch.equal(scores.argmax(1)[0], wanted)
        probabilities = scores.softmax(1)[0]
        assert probabilities[OWN_CAR, 7, 12] == pytest.approx(0.9, abs=1e-4)
        assert probabilities[OWN_PERSON, 13, 18] == pytest.approx(0.7, abs=1e-4)


@torch.no_grad()
def test_what_is_no_class_is_not_painted(monkeypatch, network):
    """A dog stays unlabelled, and the car that it stands before stays a car."""
    seen(monkeypatch, network, found((DOG, 0.99, (4, 16, 4, 16)), (CAR, 0.6, (0, 8, 0, 8))))
    ids = network(torch.zeros(1, 3, 16, 24)).argmax(1)[0]
    wanted = torch.full((16, 24), NOTHING)
    wanted[0:8, 0:8] = OWN_CAR
    assert torch.equal(ids, wanted)


@torch.no_grad()
def test_each_image_has_its_own_instances(monkeypatch, network):
    """Of a batch, the second image is not painted with the first one's."""
    seen(monkeypatch, network, found((CAR, 0.8, (0, 16, 0, 24))), found())
    ids = network(torch.zeros(2, 3, 16, 24)).argmax(1)
    assert (ids[0] == OWN_CAR).all() and (ids[1] == NOTHING).all()


@torch.no_grad()
def test_behind_the_instances_is_the_other_network(monkeypatch, on_background):
    """Where nothing is found its probabilities stay as they are, made of an image in its form."""
    shown = seen(monkeypatch, on_background, found((CAR, 0.9, (4, 8, 4, 12))))
    image = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    scores = on_background(image)
    assert torch.equal(shown[0], image[0])
    mean, std = (torch.tensor(BACKGROUND[name]).view(3, 1, 1) for name in ('mean', 'std'))
    wanted = on_background.background.network((255 * image.flip(1) - mean) / std).softmax(1)
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[4:8, 4:12] = True
    probabilities = scores.softmax(1)
    torch.testing.assert_close(probabilities[0, :3, ~inside], wanted[0, :, ~inside],
                               rtol=1e-3, atol=1e-4)
    assert (probabilities[0, NOTHING, ~inside] < 1e-4).all()
    assert (scores.argmax(1)[0, inside] == OWN_CAR).all()


def test_the_backgrounds_stride_holds(on_background):
    """Sizes that the network behind would misalign are refused."""
    with pytest.raises(ValueError, match='multiples of 8, got 12x24; pad to 16x24'):
        on_background(torch.zeros(1, 3, 12, 24))


@torch.no_grad()
def test_real_detections_come_from_torchvisions_own(monkeypatch, network):
    """Weights as they are, the detector is torchvision's: what it finds is what is painted."""
    monkeypatch.setattr(network.detector.roi_heads, 'score_thresh', 0.0)
    monkeypatch.setattr(network, 'classes', {coco: coco % 3 for coco in range(1, 91)})
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    instances = network.detector([image[0]])[0]
    probabilities = network(image)[0].exp()
    ids, sureness = torch.full((64, 96), NOTHING), torch.zeros(64, 96)
    for label, score, mask in zip(*(instances[name] for name in ('labels', 'scores', 'masks'))):
        inside = (mask[0] > 0.5) & (score > sureness)
        ids[inside], sureness[inside] = label % 3, score
    assert len(set(ids.unique().tolist()) - {NOTHING}) > 1
    found = probabilities[:3].max(0)
    assert torch.equal(torch.where(found.values > 1e-5, found.indices, NOTHING), ids)
    torch.testing.assert_close(probabilities[NOTHING], 1 - sureness)


def test_it_is_not_trained(network):
    """It stays in eval mode and says so to whoever trains."""
    assert not network.training and not network.detector.training
    with pytest.raises(ValueError, match='is not trained: use torchvision'):
        network.train()
    assert not network.eval().detector.training


@pytest.mark.parametrize('wrong, reason', [
    ({'variant': 'resnet18_fpn'}, "unknown variant 'resnet18_fpn'; known: resnet50_fpn, resnet50"),
    ({'min_score': 0.3}, 'min_score must be 0.5 to 1, not 0.3'),
    ({'min_size': 100000}, 'min_size must be 1 to 1333, not 100000'),
    ({'classes': {'3': 3}}, r'classes must lead from 1..90 to 0..2'),
    ({'classes': {'car': 1}}, 'invalid literal'),
    ({'classes': []}, r'classes must lead from 1..90 to 0..2, not \[\]'),
    ({'classes': '3'}, "classes must lead from 1..90 to 0..2, not '3'"),
    ({'classes': None}, 'classes must lead from 1..90 to 0..2, not None'),
    ({'classes': {'3': 1.5}}, r"classes must lead from 1..90 to 0..2, not {'3': 1.5}"),
    ({'classes': {'3': float('inf')}}, 'classes must lead from 1..90 to 0..2'),
    ({'background': {**BACKGROUND, 'channel_order': 'zzz'}},
     "the background's channel order is rgb or bgr, not 'zzz'"),
    ({'background': {**BACKGROUND, 'scale': 'x'}}, "background's scale is a positive number"),
    ({'background': {**BACKGROUND, 'std': [0, 0, 0]}}, "the background's mean and std are three"),
    ({'background': {**BACKGROUND, 'mean': [0, 0]}}, "the background's mean and std are three"),
    ({'background': {**BACKGROUND, 'mean': None}}, "'NoneType' object is not iterable"),
    ({'background': {**BACKGROUND, 'architecture': 'mask_rcnn'}}, 'a background is one of .*not'),
    ({'background': {'architecture': 'u_lite'}}, "the background lacks 'arguments'"),
    ({'background': {**BACKGROUND, 'arguments': {'num_classes': 4, 'channels': [4, 8, 8, 8]}}},
     'the background has 4 classes, not 3'),
])
def test_arguments_that_do_not_fit_are_refused(wrong, reason):
    """Each is named in one line."""
    with torch.device('meta'), pytest.raises(ValueError, match=reason):
        build_network('mask_rcnn', {**ARGUMENTS, **wrong})


@pytest.fixture(scope='module')
def checkpoint(on_background):
    """Return it as a checkpoint."""
    return Checkpoint('mask_rcnn', {**ARGUMENTS, 'background': BACKGROUND}, LABELS,
                      Preprocessing('rgb', 1 / 255, (0.0,) * 3, (1.0,) * 3, 48, 64),
                      state_arrays(on_background))


@pytest.fixture
def picture():
    """Return a picture whose padded side shows where padding would be painted."""
    return np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)


@pytest.fixture
def detections(monkeypatch):
    """Let every detector find a car in the top left quarter, and note what it is shown."""
    shown = []

    def forward(self, pictures):
        shown.extend(pictures)
        height, width = pictures[0].shape[1:]
        mask = torch.zeros(1, 1, height, width)
        mask[..., :20, :30] = 1
        return [{'labels': torch.tensor([CAR]), 'scores': torch.tensor([0.8]), 'masks': mask}
                for _ in pictures]

    monkeypatch.setattr('torchvision.models.detection.MaskRCNN.forward', forward)
    return shown


def test_the_segmenter_runs_it(checkpoint, picture, detections):
    """Automatic choice of the engine ends at torch; masks have the frame's size and both parts."""
    segmenter = Segmenter(checkpoint, device='cpu', inference_height=-1)
    assert segmenter.engine == 'torch'
    result = segmenter.segment([picture])[0]
    assert result.class_ids.shape == (45, 61)
    assert (result.class_ids[:20, :30] == OWN_CAR).all()
    assert (result.confidence[:20, :30] == 204).all()  # 0.8
    prepared = Preprocessing('bgr', 1.0, (100.0, 110.0, 120.0), (50.0, 60.0, 70.0), 48, 64)
    plain = Checkpoint('u_lite', BACKGROUND['arguments'], LABELS, prepared,
                       {name.removeprefix('background.network.'): value
                        for name, value in checkpoint.tensors.items()
                        if name.startswith('background.network.')})
    wanted = Segmenter(plain, device='cpu', engine='torch', inference_height=-1)
    rest = np.ones((45, 61), bool)
    rest[:20, :30] = False
    agree = result.class_ids == wanted.segment([picture])[0].class_ids
    assert agree[rest].mean() > 0.98  # it is in float32, the other may be in bfloat16
    assert detections[0].min() >= 0 and detections[0].max() <= 1
    np.testing.assert_allclose(255 * detections[0][:, :45, :61].numpy(),
                               picture[..., ::-1].transpose(2, 0, 1), atol=1e-3)


def test_unlabelled_is_255_and_unsure(network, picture, detections):
    """Without a background, what no instance covers is unlabelled, with the CRF too."""
    checkpoint = Checkpoint('mask_rcnn', ARGUMENTS, LABELS,
                            Preprocessing('rgb', 1 / 255, (0.0,) * 3, (1.0,) * 3, 48, 64),
                            state_arrays(network))
    for crf in (None, CrfSettings(bilateral_weight=0, spatial_weight=0)):
        segmenter = Segmenter(checkpoint, device='cpu', engine='torch', inference_height=-1,
                              crf=crf)
        result = segmenter.segment([picture])[0]
        wanted = np.full((45, 61), 255, np.uint8)
        wanted[:20, :30] = OWN_CAR
        np.testing.assert_array_equal(result.class_ids, wanted)
        assert (result.confidence[wanted == 255] == 0).all()


def test_a_graph_is_not_recorded(checkpoint, picture, detections, monkeypatch):
    """On a GPU it runs step by step in float32: recorded, it would find the same every time."""
    monkeypatch.setattr('roadseg_ros.inference.engines.torch_engine._CudaGraph', None)
    segmenter = Segmenter(checkpoint, device='cpu', engine='torch')
    assert segmenter._engine.precision is torch.float32
    monkeypatch.setattr(segmenter._engine, '_graph', None)
    # the device is what decides; its tensors stay where they can be
    real = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, *args, **options: (
        self if isinstance(args[0], SimpleNamespace) else real(self, *args, **options)))
    monkeypatch.setattr(segmenter._engine, '_device', SimpleNamespace(type='cuda'))
    assert (segmenter.segment([picture])[0].class_ids == OWN_CAR).any()


@pytest.mark.parametrize('engine', ['openvino', 'openvino_int8'])
def test_openvino_says_that_it_cannot(checkpoint, engine, caplog, monkeypatch, tmp_path):
    """Traced, the network would answer as for the picture that it was traced with."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with caplog.at_level('INFO'), pytest.raises(
            EngineError, match=f'{engine} cannot convert mask_rcnn, .*; use engine torch'):
        Segmenter(checkpoint, device='cpu', engine=engine)
    assert not caplog.records and not list(tmp_path.iterdir())


def test_torch_is_what_auto_takes_and_no_fallback(checkpoint, caplog):
    """Nothing better is there, so that nothing is tried and nothing is wrong."""
    with caplog.at_level('INFO'):
        segmenter = Segmenter(checkpoint, device='cpu')
    assert (segmenter.engine, segmenter.fallback) == ('torch', None)
    assert not caplog.records


def test_the_engines_know_whom_they_cannot_trace():
    """What is known without torch is what the classes say."""
    assert {name for name in (*NETWORKS, *ADAPTED) if not network_class(name).traceable} == {
        *TORCH_ALONE}


def test_tensors_bound_what_is_built(checkpoint):
    """A checkpoint that lacks tensors is refused before the network takes memory."""
    short = Checkpoint(checkpoint.architecture, checkpoint.arguments, LABELS,
                       checkpoint.preprocessing, {'a': np.zeros(1)})
    with pytest.raises(CheckpointError, match='missing'):
        network_from_checkpoint(short)


def test_it_is_known_by_its_class():
    """The name in a checkpoint leads to it."""
    with torch.device('meta'):
        assert isinstance(build_network('mask_rcnn', ARGUMENTS), MaskRcnn)
