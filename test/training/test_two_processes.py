"""A run in two processes: every validation pixel counted once, the same weights in both."""
import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
import torch

from training.config import load_recipe
from training.datasets import make_dataset
from training.train import make_task
from training.transforms import Prepared

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = '''
from pathlib import Path
import sys
import torch
from training.config import load_recipe
from training.train import train

folder = Path(sys.argv[1])
task = train(load_recipe(folder / 'tiny.yaml'), folder / 'run', accelerator='cpu',
             devices=sys.argv[2])
torch.save({'counts': task.confusion.matrix, 'state': task.state_dict(),
            'steps': task.trainer.global_step}, folder / f'{task.global_rank}.pt')
'''
VAL = {'dataset': 'synthetic', 'samples': 3, 'seed': 70, 'height': 45, 'width': 61}
RECIPE = f'''
architecture: u_lite
arguments: {{channels: [4, 8, 8, 8]}}
labels: camvid
train: [{{dataset: synthetic, samples: 5, seed: 50, height: 48, width: 64}}]
val: [{VAL}]
frame_size: [48, 64]
augmentation: {{crop: [48, 64]}}
epochs: 1
batch_size: 4
precision: 32-true
workers: 0
'''


def counted_by_one(folder, state):
    """Return the confusion matrix that one process makes of the validation frames."""
    recipe = load_recipe(folder / 'tiny.yaml')
    task = make_task(recipe, make_dataset(recipe.train))
    task.load_state_dict(state)
    task.eval()
    task.on_validation_epoch_start()
    for frame, mask in Prepared(make_dataset(recipe.val), 48, task.network.input_stride):
        with torch.no_grad():
            task.validation_step((frame[None], mask[None]), 0)
    return task.confusion.matrix


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason='torch without gloo')
@pytest.mark.parametrize('launcher, devices', [
    ([], '2'), (['-m', 'torch.distributed.run', '--nproc-per-node', '2'], 'auto')],
    ids=['Lightning', 'torchrun'])
def test_two_processes_count_once_and_agree(tmp_path, launcher, devices):
    """Five samples in batches of four and three frames divide by two in neither place."""
    (tmp_path / 'tiny.yaml').write_text(RECIPE)
    (tmp_path / 'script.py').write_text(SCRIPT)
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run([sys.executable, *launcher, tmp_path / 'script.py', tmp_path, devices],
                          env={**os.environ, 'PYTHONPATH': paths}, timeout=100,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, other = (torch.load(tmp_path / f'{rank}.pt', weights_only=False) for rank in range(2))
    assert one['steps'] == other['steps'] == 1
    masks = np.concatenate([mask.ravel() for mask in make_dataset([VAL]).masks()])
    wanted = np.bincount(masks, minlength=256)[:11]
    np.testing.assert_array_equal(one['counts'].sum(1), wanted)
    np.testing.assert_array_equal(one['counts'], other['counts'])
    np.testing.assert_array_equal(one['counts'], counted_by_one(tmp_path, one['state']))
    for name, value in one['state'].items():
        torch.testing.assert_close(other['state'][name], value, rtol=0, atol=0, msg=name)
    assert any(name.startswith('average.') for name in one['state'])
