"""Clips of drives: one draw for all frames, the flow between them, and the loss over time."""
import cv2
import numpy as np
import pytest
import torch
import yaml

from roadseg_ros.checkpoint import load_checkpoint, Preprocessing
from roadseg_ros.inference.recurrence import RECURRENT_NETWORKS
from roadseg_ros.models.registry import build_network
from roadseg_ros.scenes import Drive
from small_networks import SMALL
from training.clips import clip_loss, Clips, flows
from training.config import Augmentation, Recipe
from training.datasets import make_dataset
from training.datasets.frames import DatasetError
from training.task import SegmentationTask
from training.train import main
from training.transforms import Augmented, training_transform

SIZE = (96, 128)
FRAMES = 3
AUGMENTATION = Augmentation(crop=(64, 96), scale=(0.8, 1.5), rotation=5)


class Still:
    """A data set whose clips show one frame again and again."""

    has_drives = True

    def __init__(self):
        self.parts = [self]

    def __len__(self):
        """Return the number of clips."""
        return 4

    def __getitem__(self, index):
        """Return the picture and mask of an index."""
        return Drive(index, *SIZE).frame(0)

    def clip(self, index, frames):
        """Return it as often as is asked."""
        return [self[index]] * frames


def transform(**changes):
    """Return the augmentation with changes."""
    return training_transform(Augmentation(**{**vars(AUGMENTATION), **changes}), SIZE)


def synthetic(samples=2, seed=40):
    """Return generated drives."""
    return make_dataset([{'dataset': 'synthetic', 'samples': samples, 'seed': seed,
                          'height': SIZE[0], 'width': SIZE[1]}])


@pytest.mark.parametrize('epoch', range(3))
def test_all_frames_are_augmented_by_one_draw(epoch):
    """A drive that stands still does so afterwards, as the single picture is augmented."""
    clips, single = Clips(Still(), transform(), 7, FRAMES), Augmented(Still(), transform(), 7)
    clips.epoch = single.epoch = epoch
    for index in range(len(single)):
        images, masks, _ = clips[index]
        image, mask = single[index]
        assert (images.shape, images.dtype) == ((FRAMES, 3, 64, 96), torch.uint8)
        assert (masks.shape, masks.dtype) == ((FRAMES, 64, 96), torch.int64)
        assert all(torch.equal(each, image) for each in images)
        assert all(torch.equal(each, mask) for each in masks)


def test_noise_is_another_in_each_frame():
    """As a camera's is; of one strength, and drawn again it is the same."""
    clips = Clips(Still(), transform(noise=(20, 20)), 0, FRAMES)
    images, masks, _ = clips[0]
    assert torch.equal(masks[0], masks[1])
    difference = (images[1].float() - images[0].float()).std()
    assert 10 < difference < 20 * 2 ** 0.5
    assert torch.equal(clips[0][0], images)


def test_flow_leads_back_in_pixels():
    """Of a strip that moves to the left, each pixel was to the right of where it is."""
    rng = np.random.default_rng(0)
    strip = torch.from_numpy(rng.integers(0, 256, (3, 16, 30), np.uint8).repeat(8, 1).repeat(8, 2))
    found = flows([strip[..., 4 * n:4 * n + 192] for n in range(FRAMES)])
    assert (found.shape, found.dtype) == ((FRAMES, 2, 128, 192), np.float32)
    assert not found[0].any()
    inner = found[1:, :, 24:-24, 24:-24]
    np.testing.assert_allclose(np.median(inner, (2, 3)), [[4, 0]] * 2, atol=0.3)


def test_nothing_is_drawn_before_it_is_asked_for(monkeypatch):
    """That the data has drives it says without one."""
    monkeypatch.setattr(Drive, 'frame', lambda *_: 1 / 0)
    assert len(Clips(synthetic(), transform(), 0, FRAMES)) == 2


def test_a_clip_is_the_beginning_of_a_drive():
    """Frames and truth are the drive's own, of the part that the index lies in."""
    data = make_dataset([{'dataset': 'synthetic', 'samples': 2, 'seed': seed, 'height': 48,
                          'width': 64} for seed in (40, 60)])
    for index, seed in enumerate((40, 41, 60, 61)):
        for number, (image, mask) in enumerate(data.clip(index, FRAMES)):
            wanted = Drive(seed, 48, 64).frame(number)
            np.testing.assert_array_equal(image, wanted[0])
            np.testing.assert_array_equal(mask, wanted[1])


@pytest.mark.parametrize('name', RECURRENT_NETWORKS)
def test_the_loss_is_the_mean_over_the_frames(name):
    """Each frame is scored after the ones before, and the first one's pixels have a share."""
    torch.manual_seed(0)
    network = build_network(name, {'num_classes': 11, **SMALL[name][0]}).eval()
    images, masks, back = (part[None] for part in Clips(synthetic(), transform(), 0, FRAMES)[0])
    images = images.float().requires_grad_()
    scored = []

    def loss(scores, mask):
        scored.append((scores, mask))
        return scores.square().mean() if len(scored) == FRAMES else scores.sum() * 0 + 1

    total = clip_loss(network, loss, lambda image: image / 255, (images, masks, back))
    state = ()
    for number, (scores, mask) in enumerate(scored):
        wanted, state = network.step(images[:, number] / 255, state, back[:, number])
        torch.testing.assert_close(scores, wanted)
        assert torch.equal(mask, masks[:, number])
    torch.testing.assert_close(total, (2 + wanted.square().mean()) / FRAMES)
    total.backward()
    assert images.grad[:, 0].any()


@pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')
@pytest.mark.parametrize('clip', [1, 2])
def test_clips_leave_the_statistics_of_batch_norm(tmp_path, clip):
    """Those of a few alike frames are none; single pictures make them, and validate both."""
    drives = [{'dataset': 'synthetic', 'samples': 2, 'height': 32, 'width': 64}]
    (tmp_path / 'a.yaml').write_text(yaml.safe_dump({
        'architecture': 'stfcn', 'arguments': SMALL['stfcn'][0], 'labels': 'camvid',
        'train': drives, 'val': drives, 'clip': clip, 'batch_size': 2, 'epochs': 1, 'workers': 0,
        'frame_size': [32, 64], 'augmentation': {'crop': [32, 64]}, 'precision': '32-true'}))
    assert main(['--config', str(tmp_path / 'a.yaml'), '--out', str(tmp_path / 'run'),
                 '--accelerator', 'cpu']) == 0
    trained = load_checkpoint(tmp_path / 'run' / 'last.safetensors')
    assert trained.tensors['norm.running_mean'].any() == (clip == 1)
    assert trained.provenance['metrics'].get('validated_on') == (
        None if clip == 1 else 'single frames')


@pytest.mark.parametrize('name', RECURRENT_NETWORKS)
@pytest.mark.parametrize('clip', [1, FRAMES])
def test_all_that_asks_for_a_gradient_gets_one(labels, name, clip):
    """Else two processes wait for it in vain; clips train the whole network."""
    arguments = {'num_classes': len(labels), **SMALL[name][0]}
    drives = {'dataset': 'synthetic'},
    recipe = Recipe(architecture=name, arguments=arguments, labels='camvid', train=drives,
                    val=drives, clip=clip)
    loss = torch.nn.CrossEntropyLoss(ignore_index=255)
    resized = torch.nn.functional.interpolate
    task = SegmentationTask(
        build_network(name, arguments), recipe, labels,
        Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, *SIZE),
        lambda scores, mask: loss(resized(scores, mask.shape[1:]), mask))
    data = (Clips(synthetic(), transform(), 0, clip) if clip > 1
            else Augmented(synthetic(), transform(), 0))
    task._loss(*(torch.stack(parts) for parts in zip(*(data[index] for index in range(2))))
               ).backward()
    asking = {name for name, each in task.network.named_parameters() if each.requires_grad}
    assert asking == {name for name, each in task.network.named_parameters()
                      if each.grad is not None}
    if clip > 1:
        assert len(asking) == len(list(task.network.parameters()))


def test_data_without_drives_is_refused(tmp_path):
    """At the start, by the name of what holds single pictures."""
    for path in (tmp_path / 'train' / 'a.png', tmp_path / 'trainannot' / 'a.png'):
        path.parent.mkdir()
        cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    data = make_dataset([{'dataset': 'folders', 'root': str(tmp_path), 'split': 'train',
                          'labels': 'camvid'}])
    with pytest.raises(DatasetError, match=r'Folders holds single pictures; clips \(clip: 3\) '
                                           'come from dataset synthetic alone'):
        Clips(data, transform(), 0, FRAMES)


def test_a_network_without_a_memory_is_refused(tmp_path, capsys):
    """A recipe of clips names the networks it is for."""
    drives = [{'dataset': 'synthetic', 'samples': 1}]
    (tmp_path / 'a.yaml').write_text(yaml.safe_dump({
        'architecture': 'u_lite', 'arguments': {}, 'labels': 'camvid', 'train': drives,
        'val': drives, 'clip': 4, 'augmentation': {'crop': [32, 64]}}))
    assert main(['--config', str(tmp_path / 'a.yaml'), '--out', str(tmp_path / 'run')]) == 2
    assert capsys.readouterr().err.strip() == (
        'training.train: clip: 4 needs a recurrent network (net_warp, stfcn), which u_lite is not')
    assert not (tmp_path / 'run').exists()
