"""What training does in a step and in a validation, against numbers worked out by hand."""
import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.inference.engines import torch_engine
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.network import Network
from roadseg_ros.models.registry import build_network, network_from_checkpoint
from training.config import Recipe
from training.datasets import make_dataset
from training.evaluate import evaluate
from training.losses import make_loss
from training.losses.borders import border_loss
from training.task import SegmentationTask
from training.transforms import Prepared

PREPROCESSING = Preprocessing('rgb', 1 / 255, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 48, 64)

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning', 'ignore:.*treespec')


class Listener(Network):
    """A network that keeps what it was given and scores nothing."""

    input_stride = output_stride = 1

    def forward(self, image):
        """Keep the image; return zeros."""
        self.given = image
        return torch.zeros(len(image), self.num_classes, *image.shape[2:])


def make_task(labels, network=None, loss=None, **changes):
    """Return a task of a small network and a recipe with changes."""
    recipe = Recipe(**{
        'architecture': 'u_lite', 'arguments': {'channels': [4, 8, 8, 8]}, 'labels': 'camvid',
        'train': ({'dataset': 'a'},), 'val': ({'dataset': 'a'},), **changes})
    network = network or build_network('u_lite', {**recipe.arguments, 'num_classes': len(labels)})
    loss = make_loss([loss or {'loss': 'cross_entropy'}], len(labels), list)
    return SegmentationTask(network, recipe, labels, PREPROCESSING, loss)


def make_trainer(**options):
    """Return Lightning's loop without its files and bars."""
    return pl.Trainer(accelerator='cpu', logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False, **options)


def test_the_network_is_trained_on_what_the_node_gives_it(labels, picture):
    """`prepare` and the node's own module make the same input of a frame."""
    network = Listener(len(labels))
    FrameModule(network, PREPROCESSING)(torch.from_numpy(picture)[None])
    rgb = torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)))
    found = make_task(labels, network).prepare(rgb[None])
    torch.testing.assert_close(found, network.given)
    assert found.std() > 0.5


@pytest.mark.parametrize('step, ema_decay, decay', [
    (0, 0.998, 1 / 10), (0, 0.05, 0.05), (90, 0.998, 91 / 100), (90_000, 0.998, 0.998)])
def test_one_step_of_the_average(labels, monkeypatch, step, ema_decay, decay):
    """The average keeps `decay` of itself, little at first so that the start is forgotten."""
    task = make_task(labels, ema_decay=ema_decay)
    monkeypatch.setattr(SegmentationTask, 'global_step', step)
    task.on_train_batch_end()  # the first one copies
    first = task.network.classifier.weight.detach().clone()
    torch.testing.assert_close(task.averaged.classifier.weight, first)
    with torch.no_grad():
        task.network.classifier.weight += 1
    task.on_train_batch_end()
    torch.testing.assert_close(task.averaged.classifier.weight, first + 1 - decay)
    torch.testing.assert_close(task.network.classifier.weight.detach(), first + 1)


def test_the_start_has_its_share_of_what_is_exported(labels):
    """Weights and batch norm's statistics lie between the start and the average."""
    network = build_network('u_lite', {'channels': [4, 8, 8, 8], 'num_classes': len(labels)})
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    task = make_task(labels, network, pretrained='a.safetensors', start_share=0.25)
    task.on_train_batch_end()  # the first one copies
    with torch.no_grad():
        for tensor in task.average.module.state_dict().values():
            tensor += 1
    exported = task.checkpoint({}).tensors
    assert exported.keys() == start.keys()
    for name, tensor in start.items():
        if tensor.is_floating_point():
            # in half precision
            np.testing.assert_allclose(exported[name], tensor + 0.75, atol=2e-3)
    torch.testing.assert_close(task.averaged.classifier.weight, start['classifier.weight'] + 1)


def test_class_weights_reach_the_loss(labels):
    """With equal scores each pixel's loss is log(11), so weights show in unequal ones only."""
    torch.manual_seed(0)
    image = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    mask = torch.randint(0, len(labels), (2, 16, 16))
    network = build_network('u_lite', {'channels': [4, 8, 8, 8], 'num_classes': len(labels)})
    weights = torch.arange(1.0, 1 + len(labels))
    losses = {}
    for name, given in (('plain', {}), ('weighted', {'class_weights': weights.tolist()})):
        task = make_task(labels, network, {'loss': 'cross_entropy', **given})
        task.log = lambda *_, **__: None
        losses[name] = task.training_step((image, mask), 0)
    per_pixel = torch.nn.functional.cross_entropy(
        network(task.prepare(image)), mask, reduction='none')
    shares = weights[mask]
    torch.testing.assert_close(losses['plain'], per_pixel.mean())
    torch.testing.assert_close(losses['weighted'], (per_pixel * shares).sum() / shares.sum())
    assert abs(losses['plain'] - losses['weighted']) > 1e-3


def test_a_network_that_finds_borders_learns_them(labels):
    """Its loss is the recipe's and that of borders."""
    torch.manual_seed(0)
    network = build_network('gated_scnn', {'num_classes': len(labels), 'encoder': 'resnet18',
                                           'width': 8})
    task = make_task(labels, network)
    task.log = lambda *_, **__: None
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mask = torch.randint(0, len(labels), (2, 32, 32))
    task.training_step((image, mask), 0).backward()
    assert network.shape.borders.weight.grad.any()
    network.eval()
    scores, borders = network.scores_and_borders(task.prepare(image))
    found = task.training_step((image, mask), 0)
    torch.testing.assert_close(found, task.loss(scores, mask) + border_loss(borders, mask))


class Rates(pl.Callback):
    """Keep the learning rates that each step was taken with."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, task, optimizer):
        """Note (number of parameters, rate) of each group."""
        self.seen.append([group['lr'] for group in optimizer.param_groups])
        self.sizes = [sum(p.numel() for p in group['params']) for group in optimizer.param_groups]


FACTORS = {'cosine': lambda progress: (1 + math.cos(math.pi * progress)) / 2,
           'poly': lambda progress: (1 - progress) ** 0.9}


@pytest.mark.parametrize('pretrained, schedule, last', [
    (None, 'cosine', 0.01), ('imagenet', 'cosine', 0.01), (None, 'poly', 0.07)])
def test_learning_rates(labels, pretrained, schedule, last):
    """A pretrained encoder has its own rate; both warm up, then follow the schedule to zero."""
    rates = Rates()
    task = make_task(labels, pretrained=pretrained, learning_rate=0.1,
                     encoder_learning_rate=0.01, epochs=5, warmup_epochs=2,
                     schedule=schedule)
    items = TensorDataset(torch.zeros(8, 3, 16, 16, dtype=torch.uint8),
                          torch.zeros(8, 16, 16, dtype=torch.int64))
    make_trainer(max_epochs=5, callbacks=[rates]).fit(task, DataLoader(items, batch_size=2))
    # 20 steps, 8 of them to warm up
    factors = [min((step + 1) / 8, FACTORS[schedule](step / 20)) for step in range(20)]
    assert factors[0] == 0.125 and max(factors) >= 0.75 and factors[-1] < last
    bases = [0.1] if pretrained is None else [0.01, 0.1]
    np.testing.assert_allclose(rates.seen, np.outer(factors, bases))
    if pretrained is not None:
        encoder, network = (sum(p.numel() for p in module.parameters())
                            for module in (task.network.encoder, task.network))
        assert rates.sizes == [encoder, network - encoder]


@pytest.mark.parametrize('height, width', [(48, 64), (45, 61), (90, 122), (32, 100)])
def test_validation_judges_as_evaluate_judges_the_export(labels, checkpoint, monkeypatch, height,
                                                         width):
    """Validation's counts are those of the exported file in the segmenter, at any frame size."""
    task = make_task(labels)
    task.preprocessing = checkpoint.preprocessing
    task.averaged.load_state_dict(network_from_checkpoint(checkpoint).state_dict())
    frames = make_dataset([{'dataset': 'synthetic', 'samples': 3, 'seed': 5, 'height': height,
                            'width': width}])
    prepared = Prepared(frames, 48, task.network.input_stride)
    make_trainer().validate(task, DataLoader(prepared), verbose=False)
    # the precision that an engine picks is the one thing that may differ
    monkeypatch.setattr(torch_engine, '_fast_precision', lambda device: torch.float32)
    exported = Segmenter(task.checkpoint({'recipe': 'r'}), device='cpu', engine='torch')
    wanted = evaluate(exported, [frames[index] for index in range(3)])
    np.testing.assert_array_equal(task.confusion.matrix, wanted.matrix)
    assert wanted.matrix.sum() > 0.9 * 3 * height * width
    shares = {name: round(share, 4) for name, share in zip(labels.names, wanted.share())}
    result = {'validated_epoch': 1, **wanted.summary(labels.names), 'baseline_iou': shares}
    assert task.metrics == task.checkpoint({}).provenance['metrics'] == result
