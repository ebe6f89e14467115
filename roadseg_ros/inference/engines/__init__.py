"""
Engines run the whole frame of a checkpoint: uint8 BGR in, uint8 ids and confidence out.

The module of an engine is imported only when it is asked for.
"""

from __future__ import annotations

import os
import sys
from typing import Protocol

import numpy as np

from roadseg_ros.checkpoint import Checkpoint

ENGINES = ('auto', 'torch')


class EngineError(RuntimeError):
    """An engine or device that is unknown, absent or failed to start."""


class Engine(Protocol):
    """What the segmenter asks of an engine."""

    name: str
    device: str
    input_stride: int
    fallback: str | None  # why `auto` did not get its first choice

    def run(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Segment a batch.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of `input_stride`.
        :return: class ids and confidence, both (N, H, W) uint8.
        """

    def close(self) -> None:
        """Give the device's memory back; nothing can be run afterwards."""


def make_engine(checkpoint: Checkpoint, device: str, engine: str) -> Engine:
    """
    Start an engine for a checkpoint.

    :param checkpoint: what to run.
    :param device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
    :param engine: one of `ENGINES`.
    :raises EngineError: unknown or absent engine or device.
    :raises CheckpointError: the checkpoint does not fit its network.
    """
    if engine not in ENGINES:
        raise EngineError(f'unknown engine {engine!r}; supported: {", ".join(ENGINES)}')
    # Read by OpenMP when torch is first loaded. Threads that spin while they wait make a frame
    # 17 times slower (1990 ms against 114) as soon as another process wants the same cores
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    try:
        from roadseg_ros.inference.engines.torch_engine import TorchEngine
    except ImportError as error:
        raise EngineError(
            f'engine torch needs the package {error.name}, which {sys.executable} does not have; '
            'install it there, or use the environment that README.md sets up') from error
    return TorchEngine(checkpoint, device)
