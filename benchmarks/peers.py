"""
The segmenter, and the node, beside what people would write instead, in one run.

    .venv/bin/python -m pip install -e '.[bench]'
    .venv/bin/python -m benchmarks.peers

Segmenters: one 480x360 frame of the generated drive, uint8 BGR in, uint8 class ids out, each as
its own documentation has it: eager float32 on the CPU, preprocessing and argmax included.
Weights are random where the time does not depend on them.

Nodes: ours and that of `benchmarks/tutorial_node.py`, one frame at a time, from publishing it to
having received both mask and overlay over DDS.

Each contestant has a process to itself, so that the threads of one library do not slow another,
and they take turns, so that a machine that drifts drifts for all: while one runs the others wait.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
import json
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

import numpy as np
from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.engines import EngineError, ENGINES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.scenes import Drive

ROUNDS, RUNS_A_ROUND = 5, 8
WARM_UP_RUNS = 2  # at the start of each turn: the caches hold another process's data
SIZES = {'480x360': (360, 480), '1280x720': (720, 1280)}
TUTORIAL_NODE = (sys.executable, str(Path(__file__).with_name('tutorial_node.py')))
TUTORIAL_NETWORKS = ('lraspp_mobilenet_v3_large', 'fcn_resnet50')

Run = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 BGR to (H, W) uint8 ids
Table = dict[str, dict[str, float]]


def roadseg(engine: str) -> Run:
    """Return our segmenter on an engine."""
    segmenter = Segmenter(default_checkpoint_path(), device='cpu', engine=engine)
    return lambda frame: segmenter.segment([frame])[0].class_ids


def smp_unet() -> Run:
    """Return segmentation_models.pytorch's U-Net on the encoder of the packaged weights."""
    import segmentation_models_pytorch as smp

    return eager(smp.Unet('tu-tf_efficientnet_lite0', classes=11, encoder_weights=None), 32)


def torchvision(name: str) -> Run:
    """Return a network of torchvision."""
    from torchvision.models import segmentation

    return eager(getattr(segmentation, name)(weights=None, weights_backbone=None))


def eager(network: Any, stride: int = 1) -> Run:
    """
    Return what a tutorial does with a network.

    :param network: (1, 3, H, W) float32 to scores, or to a mapping with them under 'out'.
    :param stride: rows and columns are padded to multiples of it.
    """
    import torch

    network.eval()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    @torch.inference_mode()
    def run(frame: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(frame[..., ::-1].copy()).permute(2, 0, 1).float() / 255
        image = ((image - mean) / std)[None]
        height, width = frame.shape[:2]
        image = torch.nn.functional.pad(image, (0, -width % stride, 0, -height % stride))
        scores = network(image)
        scores = scores['out'] if isinstance(scores, dict) else scores
        return scores.argmax(1)[0, :height, :width].byte().numpy()

    return run


CONTESTANTS: dict[str, tuple[Callable[..., Run], tuple[str, ...]]] = {
    **{f'roadseg {engine}': (roadseg, (engine,)) for engine in ENGINES if engine != 'auto'},
    'smp U-Net, same encoder': (smp_unet, ()),
    'torchvision LRASPP-MobileNetV3': (torchvision, ('lraspp_mobilenet_v3_large',)),
    'torchvision FCN-ResNet50': (torchvision, ('fcn_resnet50',)),
}


def serve(connection: Connection, name: str, frame: np.ndarray) -> None:
    """Be a contestant: say why it cannot run, or '', then time as many runs as asked for."""
    make, arguments = CONTESTANTS[name]
    try:
        run = make(*arguments)
        run(frame)
    except (EngineError, ImportError) as error:
        connection.send(str(error))
        return
    except Exception as error:  # whatever another library raises
        connection.send(f'{type(error).__name__}: {error}')
        return
    connection.send('')
    while count := connection.recv():
        times = []
        for _ in range(WARM_UP_RUNS + count):
            start = time.perf_counter()
            run(frame)
            times.append((time.perf_counter() - start) * 1e3)
        connection.send(times[WARM_UP_RUNS:])


def measure_segmenters() -> tuple[Table, dict[str, str]]:
    """Return milliseconds a frame by contestant, and why the others are absent."""
    frame, context = Drive(3).frame(40)[0], get_context('spawn')
    lines: dict[str, Connection] = {}
    absent: dict[str, str] = {}
    processes = []
    for name in tqdm(CONTESTANTS, 'starting', disable=None):
        line, end = context.Pipe()
        processes.append(context.Process(target=serve, args=(end, name, frame), daemon=True))
        processes[-1].start()
        end.close()
        absent[name] = line.recv()
        lines[name] = line
    turns = {name: line for name, line in lines.items() if not absent[name]}
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in tqdm(range(ROUNDS), 'segmenters', unit='round', disable=None):
        for name, line in turns.items():
            line.send(RUNS_A_ROUND)
            times[name] += line.recv()
    for line in turns.values():
        line.send(0)
    for process in processes:  # none is to run beside the nodes
        process.join()
    return summary(times), {name: reason for name, reason in absent.items() if reason}


def measure_nodes(size: tuple[int, int], tutorial_network: str) -> Table:
    """
    Return milliseconds from publishing a frame to having its mask and overlay, by node.

    :param size: (height, width) of the frames.
    :param tutorial_network: a function of torchvision.models.segmentation.
    """
    from roadseg_ros.tools.benchmark.client import Client, Feed
    from roadseg_ros.tools.benchmark.drive import render
    from roadseg_ros.tools.benchmark.messages import ImageMessages
    from roadseg_ros.tools.node_process import (
        NodeProcess,
        private_environment,
        SEGMENTATION_NODE,
    )

    nodes: dict[str, tuple[Sequence[str], str, str, dict[str, Any]]] = {
        'roadseg node': (SEGMENTATION_NODE, '/ours/image_raw', '/ours/segmentation',
                         {'image_topics': ['/ours/image_raw'], 'device': 'cpu'}),
        f'tutorial node, {tutorial_network}': (
            TUTORIAL_NODE, '/theirs/image_raw', '/tutorial',
            {'image_topic': '/theirs/image_raw', 'network': tutorial_network})}
    frames, clients = render(size), {}
    times: dict[str, list[float]] = {name: [] for name in nodes}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        stack.enter_context(private_environment(root))
        for number, (name, (command, topic, prefix, parameters)) in enumerate(nodes.items()):
            node = stack.enter_context(NodeProcess(
                parameters, root / f'{name}.yaml', root / f'{name}.log', command))
            feed = Feed(topic, (f'{prefix}/mask', f'{prefix}/overlay'), ImageMessages(frames))
            clients[name] = stack.enter_context(
                Client([feed], node.check, f'roadseg_peers_{number}'))
            clients[name].connect()
        for _ in tqdm(range(ROUNDS), f'nodes {size[1]}x{size[0]}', unit='round', disable=None):
            for name, client in clients.items():
                latencies = client.latencies(WARM_UP_RUNS + RUNS_A_ROUND)
                times[name] += [max(pair) for pair in zip(*latencies.values())][WARM_UP_RUNS:]
    return summary(times)


def summary(times: dict[str, list[float]]) -> Table:
    """Return median and 95th percentile by name."""
    return {name: {'median_ms': round(float(np.median(values)), 2),
                   'p95_ms': round(float(np.percentile(values, 95)), 2)}
            for name, values in times.items()}


def print_table(title: str, table: Table) -> None:
    """Print a table with the ratio to the fastest of ours."""
    own = [name for name in table if name.startswith('roadseg')]
    fastest = min(own, key=lambda name: table[name]['median_ms'])
    print(f'\n{title}; times those of {fastest}')
    for name, row in table.items():
        print(f'  {name:40}  {row["median_ms"]:7.1f} ms  p95 {row["p95_ms"]:7.1f}  '
              f'{row["median_ms"] / table[fastest]["median_ms"]:5.2f} x')


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.peers', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--only', choices=('segmenters', 'nodes'), help='leave the others out')
    parser.add_argument('--tutorial', choices=TUTORIAL_NETWORKS, default=TUTORIAL_NETWORKS[0],
                        help='network of the tutorial node (default: %(default)s)')
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.only != 'nodes':
        results['segmenters'], results['absent'] = measure_segmenters()
    if options.only != 'segmenters':
        results['nodes'] = {name: measure_nodes(size, options.tutorial)
                            for name, size in SIZES.items()}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    if 'segmenters' in results:
        print_table('segmenters, 480x360', results['segmenters'])
        for name, reason in results['absent'].items():
            print(f'  {name:40}  absent: {reason}')
    for size, table in results.get('nodes', {}).items():
        print_table(f'nodes, {size}, publish to mask and overlay received', table)


if __name__ == '__main__':
    main()
