"""Set-up shared by the tests: a small checkpoint, CamVid where it is, and ROS kept apart."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
import os
from pathlib import Path
import signal

import numpy as np
import pytest

from roadseg_ros.checkpoint import Checkpoint, Preprocessing
from roadseg_ros.labels import LabelSpace, load_label_space

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = 101  # Fast DDS's ports hold ids up to 101; 0 is what people use

# The networks of the tests are tiny: a second thread gains nothing on an idle machine and
# waits for its turn on a busy one. Read by OpenMP when torch loads.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# A shell's background jobs ignore SIGINT, and so would the commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

_drawn = itertools.count()


@pytest.fixture(scope='session')
def labels() -> LabelSpace:
    """Return the label space of the packaged weights."""
    return load_label_space('camvid')


@pytest.fixture(scope='session')
def checkpoint(labels: LabelSpace) -> Checkpoint:
    """Return a small network with random weights whose masks hold several classes."""
    import torch

    from roadseg_ros.models.registry import build_network, state_arrays

    arguments = {'num_classes': len(labels), 'channels': [4, 8, 8, 8]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network('u_lite', arguments)
        torch.nn.init.normal_(network.classifier.weight)
        # Fresh batch norms let features fade, and one class would win every pixel.
        with torch.no_grad():
            for _ in range(20):
                scores = network(2 * torch.rand(2, 3, 24, 32) - 1)
            network.classifier.bias -= scores.mean((0, 2, 3))
    preprocessing = Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, 48, 64)
    return Checkpoint('u_lite', arguments, labels, preprocessing, state_arrays(network),
                      {'recipe': 'random weights for tests'})


@pytest.fixture(scope='session')
def checkpoint_path(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of `checkpoint`."""
    path = tmp_path_factory.mktemp('checkpoint') / 'small.safetensors'
    checkpoint.save(path)
    return path


@pytest.fixture(scope='session', autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what engines convert out of the home folder, here and in processes started."""
    folder = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(folder))
        yield folder


@pytest.fixture
def picture() -> np.ndarray:
    """Return a (48, 64, 3) uint8 BGR picture with structure in all directions."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))


@pytest.fixture(scope='session')
def camvid_root() -> Path:
    """Return the folder of CamVid in SegNet's layout; skip where it is not."""
    root = Path(os.environ.get('ROADSEG_CAMVID', ROOT / 'data' / 'camvid'))
    if not (root / 'val').is_dir():
        pytest.skip('CamVid is not here: set ROADSEG_CAMVID or link it to data/camvid')
    return root


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """
    Return a ROS domain of the test's own and put it into the environment.

    Processes started by the test inherit it, with the packaged Fast DDS profile and with
    logs kept out of the home folder. Skips where rclpy is not importable.
    """
    pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')
    domain = 1 + (os.getpid() + 37 * next(_drawn)) % DOMAINS
    profile = str(ROOT / 'config' / 'fastdds.xml')
    for name, value in {
            'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_LOG_DIR': str(tmp_path / 'ros_log'), 'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
            'FASTDDS_DEFAULT_PROFILES_FILE': profile,
            'FASTRTPS_DEFAULT_PROFILES_FILE': profile}.items():
        monkeypatch.setenv(name, value)
    return domain
