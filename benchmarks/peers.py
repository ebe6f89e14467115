"""
The segmenter beside what people would write instead, in one run.

    .venv/bin/python -m pip install -e '.[bench]'
    .venv/bin/python -m benchmarks.peers

One 480x360 frame of the generated drive, uint8 BGR in, uint8 class ids out, each as its own
documentation has it: eager float32 on the CPU, preprocessing and argmax included. Weights are
random where the time does not depend on them. Rounds are interleaved, so that a machine that
drifts drifts for all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import time

import numpy as np
import torch

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.engines import ENGINES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.scenes import Drive

WARM_UP_RUNS, ROUNDS, RUNS_A_ROUND = 3, 5, 8


def eager(network: torch.nn.Module, stride: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """
    Return what a tutorial does with a network.

    :param network: (1, 3, H, W) float32 to scores, or to a mapping with them under 'out'.
    :param stride: rows and columns are padded to multiples of it.
    """
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


def contestants() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return every engine that is here, and the peers."""
    import segmentation_models_pytorch as smp
    from torchvision.models import segmentation

    def segment(engine: str) -> Callable[[np.ndarray], np.ndarray]:
        segmenter = Segmenter(default_checkpoint_path(), device='cpu', engine=engine)
        return lambda frame: segmenter.segment([frame])[0].class_ids

    own = {f'roadseg {engine}': segment(engine) for engine in ENGINES if engine != 'auto'}
    return {
        **own,
        'smp U-Net, same encoder': eager(smp.Unet('tu-tf_efficientnet_lite0', classes=11,
                                                  encoder_weights=None), stride=32),
        'torchvision LRASPP-MobileNetV3': eager(segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None)),
        'torchvision FCN-ResNet50': eager(segmentation.fcn_resnet50(
            weights=None, weights_backbone=None)),
    }


def measure(runs: dict[str, Callable[[np.ndarray], np.ndarray]], frame: np.ndarray
            ) -> dict[str, dict[str, float]]:
    """Return median and 95th percentile in milliseconds by name."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(WARM_UP_RUNS):
            run(frame)
    for _ in range(ROUNDS):
        for name, run in runs.items():
            for _ in range(RUNS_A_ROUND):
                start = time.perf_counter()
                run(frame)
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: {'median_ms': round(float(np.median(values)), 2),
                   'p95_ms': round(float(np.percentile(values, 95)), 2)}
            for name, values in times.items()}


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.peers', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print JSON')
    options = parser.parse_args()
    results = measure(contestants(), Drive(3).frame(40)[0])
    if options.json:
        print(json.dumps(results, indent=2))
        return
    best = min(result['median_ms'] for result in results.values())
    for name, result in results.items():
        print(f'{name:32}  {result["median_ms"]:7.1f} ms  p95 {result["p95_ms"]:7.1f}  '
              f'{result["median_ms"] / best:5.2f} x')


if __name__ == '__main__':
    main()
