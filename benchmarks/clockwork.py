"""
What the clock of `clockwork` saves on FCN-8s: each stage's time, and whole frames by interval.

    python -m benchmarks.clockwork

The weights are random, which costs the same time; so nothing is said of accuracy. CPU, torch.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from roadseg_ros.checkpoint import Checkpoint, Preprocessing
from roadseg_ros.inference.engines import Stages, stages_of, torch_engine
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import load_label_space
from roadseg_ros.models.registry import build_network, state_arrays
from roadseg_ros.scenes import Drive

HEIGHT, WIDTH = 360, 480
INTERVALS = (2, 3, 4)
ROUNDS, CYCLE = 6, 12  # a cycle holds whole periods of every interval


def segmenter(head_channels: int, precision: torch.dtype) -> Segmenter:
    """Return FCN-8s with random weights in a precision."""
    torch_engine._fast_precision = lambda device: precision
    labels = load_label_space('camvid')
    arguments = {'num_classes': len(labels), 'head_channels': head_channels}
    network = build_network('fcn8s', arguments)
    preprocessing = Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, HEIGHT, WIDTH)
    checkpoint = Checkpoint('fcn8s', arguments, labels, preprocessing, state_arrays(network))
    return Segmenter(checkpoint, device='cpu', engine='torch')


def stage_times(stages: Stages, frame: np.ndarray) -> dict[str, float]:
    """Return the median milliseconds of each stage on a (H, W, 3) uint8 frame."""
    height, width = (-(-side // 32) * 32 for side in frame.shape[:2])
    batch = np.zeros((1, height, width, 3), np.uint8)
    batch[0, :frame.shape[0], :frame.shape[1]] = frame
    times: dict[str, list[float]] = {'shallow': [], 'deep': [], 'head': []}
    for _ in range(ROUNDS):
        marks = [time.perf_counter()]
        shallow = stages.shallow(batch)
        marks.append(time.perf_counter())
        deep = stages.deep(shallow)
        marks.append(time.perf_counter())
        stages.head(shallow, deep, (height, width))
        marks.append(time.perf_counter())
        for values, start, end in zip(times.values(), marks, marks[1:]):
            values.append((end - start) * 1e3)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def frame_time(runner: Segmenter, interval: int, frames: list[np.ndarray]) -> float:
    """Return the mean milliseconds of a frame; interval 0 = no cache."""
    runner.set_cache(CacheSettings('clockwork', interval) if interval else CacheSettings())
    runner.reset_cache()
    spent = 0.0
    for number, frame in enumerate(frames):
        start = time.perf_counter()
        runner.segment([frame], ['front'], [number * 10 ** 9 // 30])
        spent += time.perf_counter() - start
    return spent / len(frames) * 1e3


def main() -> None:
    """Print the figures of both precisions."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.clockwork', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--head-channels', type=int, default=4096, help='default: 4096, as VGG16')
    options = parser.parse_args()
    drive = Drive(3, height=HEIGHT, width=WIDTH)
    frames = [drive.frame(number)[0] for number in range(CYCLE)]
    for precision in (torch.float32, torch.bfloat16):
        runner = segmenter(options.head_channels, precision)
        runner.warm_up()
        stages = stage_times(stages_of(runner._engine), frames[0])
        print(precision, '  '.join(f'{name} {value:.0f} ms' for name, value in stages.items()))
        full = frame_time(runner, 0, frames)
        print(f'  every frame {full:.0f} ms')
        for interval in INTERVALS:
            mean = frame_time(runner, interval, frames)
            print(f'  interval {interval}: {mean:.0f} ms, {full / mean:.2f} times as fast')
        runner.close()


if __name__ == '__main__':
    main()
