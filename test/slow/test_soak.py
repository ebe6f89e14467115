"""The node over ten thousand frames: it neither grows nor slows down."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not importable: source a ROS 2 install')

from benchmarks.soak import soak  # noqa: E402
from roadseg_ros.checkpoint import default_checkpoint_path  # noqa: E402
from roadseg_ros.system import held  # noqa: E402
from roadseg_ros.tools.benchmark.client import Client, Feed  # noqa: E402
from roadseg_ros.tools.benchmark.drive import render  # noqa: E402
from roadseg_ros.tools.benchmark.messages import ImageMessages  # noqa: E402
from roadseg_ros.tools.node_process import NodeProcess  # noqa: E402

BLOCK, BLOCKS = 1000, 10
SETTLED = 2  # blocks until allocators and the middleware hold all that they will ever need
GROWTH_MB, SLOWDOWN = 3.0, 1.2  # some 400 bytes a frame
# Other work on the machine only ever makes frames slower: of a thousand, the quick ones say what
# the node itself needs, and a tenth of them is enough not to hang on a single one
QUICK = 10  # percentile
TOPIC, OUT = '/camera/image_raw', '/camera/segmentation'


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_frames_cost_no_memory_and_no_time(domain_id, checkpoint_path, tmp_path):
    """A small network, so that what surrounds it is most of each frame; frames of 480x360."""
    parameters = {'image_topics': [TOPIC], 'checkpoint': str(checkpoint_path), 'device': 'cpu'}
    feed = Feed(TOPIC, (f'{OUT}/mask', f'{OUT}/overlay'), ImageMessages(render((360, 480))))
    memory_mb, quick_ms = [], []
    with NodeProcess(parameters, tmp_path / 'node.yaml', tmp_path / 'log') as node, \
            Client([feed], node.check) as client:
        client.connect()
        for _ in range(BLOCKS):
            latencies = client.latencies(BLOCK)
            quick_ms.append(np.percentile(latencies[f'{OUT}/overlay'], QUICK))
            memory_mb.append(held(node.pid).memory_mb)
    assert memory_mb[-1] - memory_mb[SETTLED - 1] < GROWTH_MB, memory_mb
    assert quick_ms[-1] < SLOWDOWN * quick_ms[SETTLED - 1], quick_ms


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
