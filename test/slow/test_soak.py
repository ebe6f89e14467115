"""The node over ten thousand frames: it neither grows nor slows down."""

from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from benchmarks.soak import soak  # noqa: E402
from roadseg_ros.checkpoint import default_checkpoint_path  # noqa: E402
from roadseg_ros.system import held  # noqa: E402
from roadseg_ros.tools.benchmark.client import Client, Feed  # noqa: E402
from roadseg_ros.tools.benchmark.drive import render  # noqa: E402
from roadseg_ros.tools.benchmark.messages import ImageMessages  # noqa: E402
from roadseg_ros.tools.node_process import NodeProcess, SEGMENTATION_NODE  # noqa: E402

FRAMES, BLOCK = 10_000, 1000
SETTLED = 2000  # frames until allocators and the middleware hold all that they will ever need
GROWTH_MB, SLOWDOWN = 3.0, 1.2  # some 400 bytes a frame
ROUNDS, ROUND = 10, 200  # frames, of the one and of the other in turn
# Other work on the machine only ever makes frames slower: of a round, the quick ones say what the
# node itself needs, and a tenth of them is enough not to hang on a single one
QUICK = 10  # percentile


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_frames_cost_no_memory_and_no_time(domain_id, checkpoint_path, tmp_path):
    """
    Afterwards the node is as quick as a fresh one, measured in turn: machines drift.

    A small network, so that what surrounds it is most of each frame; frames of 480x360.
    """
    after = []
    with _running('aged', checkpoint_path, tmp_path) as (aged, of_aged):
        for _ in range(FRAMES // BLOCK):
            of_aged(BLOCK)
            after.append(held(aged.pid))
        with _running('fresh', checkpoint_path, tmp_path) as (_, of_fresh):
            of_fresh(SETTLED)
            rounds = [(of_aged(ROUND), of_fresh(ROUND)) for _ in range(ROUNDS)]
    settled, last = after[SETTLED // BLOCK - 1], after[-1]
    assert last.memory_mb - settled.memory_mb < GROWTH_MB, after
    assert (last.threads, last.files) == (settled.threads, settled.files), after
    quick_ms = np.percentile(rounds, QUICK, axis=2)
    assert np.median(quick_ms[:, 0] / quick_ms[:, 1]) < SLOWDOWN, quick_ms


@contextmanager
def _running(name, checkpoint, folder):
    """Yield a node with topics of its own, and a function: frames to send to ms that each took."""
    topic, overlay = f'/{name}/image_raw', f'/{name}/segmentation/overlay'
    parameters = {'image_topics': [topic], 'checkpoint': str(checkpoint), 'device': 'cpu'}
    feed = Feed(topic, (f'/{name}/segmentation/mask', overlay),
                ImageMessages(render((360, 480))))
    command = (*SEGMENTATION_NODE, '--ros-args', '-r', f'__node:={name}')
    with NodeProcess(parameters, folder / f'{name}.yaml', folder / name, command) as node, \
            Client([feed], node.check, f'client_of_{name}') as client:
        client.connect()
        yield node, lambda count: client.latencies(count)[overlay]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_minute_at_three_times_what_it_sustains():
    """The packaged network: the newest frame wins, within two frames, and memory is flat."""
    weights = default_checkpoint_path()
    if not weights.is_file():
        pytest.skip('the packaged weights are not here')
    figures = soak(str(weights), 1.0, 3.0, (360, 480), {'device': 'cpu'})
    assert figures['answered'] < 0.6 * figures['sent']
    assert figures['delay_frames']['p95'] < 2.0, figures
    growth = figures['growth']
    assert growth['memory_mb'] < GROWTH_MB and growth['threads'] == growth['files'] == 0, figures
