"""
One frame through each network of the registry, beside U-Net, in one run.

    .venv/bin/python -m benchmarks.networks            # all; minutes
    .venv/bin/python -m benchmarks.networks unet gcn --engine torch

A 480x360 frame of the generated drive, uint8 BGR in, uint8 class ids out, through the segmenter
on the CPU. A network has its default arguments, 11 classes and random weights, on which the time
does not depend. It takes turns with `unet`, so that a machine that drifts, or is shared,
does so for both. Beside the milliseconds that pass stand those that processors worked, of all
threads together: other people's processes lengthen the first far more than the second.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import os
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any, NamedTuple

import numpy as np

from roadseg_ros.checkpoint import Checkpoint, default_checkpoint_path, load_checkpoint
from roadseg_ros.inference.engines import ENGINES
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.models.registry import build_network, NETWORKS, state_arrays
from roadseg_ros.scenes import Drive

REFERENCE = 'unet'  # not the packaged one, so that the table stays what it is when that changes
ROUNDS, FRAMES_A_ROUND = 3, 2
WARM_UP_FRAMES = 1  # at the start of each turn: the caches hold the other network's data
VARIANTS: dict[str, list[dict[str, Any]]] = {
    'fc_densenet': [{'depth': depth} for depth in (56, 67, 103)]}


class Cost(NamedTuple):
    """Milliseconds of a frame: those that passed, and those that processors worked."""

    wall_ms: float
    processor_ms: float


def random_weights(name: str, arguments: Mapping[str, Any]) -> Checkpoint:
    """Return a network that nobody trained, in the form of the packaged checkpoint."""
    packaged = load_checkpoint(default_checkpoint_path())
    arguments = {**arguments, 'num_classes': len(packaged.labels)}
    return Checkpoint(name, arguments, packaged.labels, packaged.preprocessing,
                      state_arrays(build_network(name, arguments)))


def turn(segmenter: Segmenter, frame: np.ndarray) -> list[Cost]:
    """Return the costs of the frames of a turn, those to warm up left out."""
    costs = []
    for _ in range(WARM_UP_FRAMES + FRAMES_A_ROUND):
        wall, processor = time.perf_counter(), time.process_time()
        segmenter.segment([frame])
        costs.append(Cost((time.perf_counter() - wall) * 1e3,
                          (time.process_time() - processor) * 1e3))
    return costs[WARM_UP_FRAMES:]


def measure(checkpoint: Checkpoint, engine: str = 'auto', rounds: int = ROUNDS
            ) -> tuple[Cost, Cost]:
    """
    Time a network and the reference in turns.

    :param checkpoint: of the network.
    :param engine: of the segmenter.
    :param rounds: turns of each.
    :return: medians of the network, and of the reference.
    :raises EngineError: the engine is not here.
    """
    frame = Drive(3).frame(40)[0]
    pair = [Segmenter(one, device='cpu', engine=engine)
            for one in (checkpoint, random_weights(REFERENCE, {}))]
    for segmenter in pair:
        segmenter.warm_up(*frame.shape[:2])
    costs: list[list[Cost]] = [[], []]
    for _ in range(rounds):
        for segmenter, found in zip(pair, costs):
            found += turn(segmenter, frame)
    own, reference = (Cost(*np.median(found, 0).tolist()) for found in costs)
    return own, reference


@contextmanager
def cache_of_its_own() -> Iterator[None]:
    """Keep conversions out of the user's cache: networks that nobody trained are run once."""
    former = os.environ.get('XDG_CACHE_HOME')
    with TemporaryDirectory() as folder:
        os.environ['XDG_CACHE_HOME'] = folder
        try:
            yield
        finally:
            os.environ.pop('XDG_CACHE_HOME')
            if former is not None:
                os.environ['XDG_CACHE_HOME'] = former


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.networks', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('networks', nargs='*', metavar='NETWORK',
                        help=f'of {", ".join(NETWORKS)} (default: all)')
    parser.add_argument('--engine', choices=ENGINES, default='auto',
                        help=f'one of {", ".join(ENGINES)} (default: auto)')
    parser.add_argument('--rounds', type=int, default=ROUNDS, metavar='N',
                        help=f'turns of each (default: {ROUNDS})')
    options = parser.parse_args(arguments)
    unknown = [name for name in options.networks if name not in NETWORKS]
    if unknown:
        parser.error(f'unknown network {unknown[0]!r}; known: {", ".join(NETWORKS)}')
    print(f'{"":20} {"ms":>8} {REFERENCE:>9} {"ratio":>6} {"processor ms":>13} '
          f'{REFERENCE:>9} {"ratio":>6}')
    for name in options.networks or NETWORKS:
        for variant in VARIANTS.get(name, [{}]):
            with cache_of_its_own():
                own, reference = measure(random_weights(name, variant), options.engine,
                                         options.rounds)
            label = ' '.join([name, *map(str, variant.values())])
            print(f'{label:20} {own.wall_ms:8.1f} {reference.wall_ms:9.1f} '
                  f'{own.wall_ms / reference.wall_ms:6.2f} {own.processor_ms:13.1f} '
                  f'{reference.processor_ms:9.1f} '
                  f'{own.processor_ms / reference.processor_ms:6.2f}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
