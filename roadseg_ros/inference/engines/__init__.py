"""
Engines run the whole frame of a checkpoint: uint8 BGR in, uint8 ids and confidence out.

The module of an engine is imported only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
import os
import re
import sys
from typing import Any, Protocol, runtime_checkable

import numpy as np

from roadseg_ros.checkpoint import Checkpoint, CheckpointError
from roadseg_ros.system import gpu_device

Features = Any  # an engine's own: nobody else looks inside

# module and class, called with checkpoint, device and threads
ENGINE_CLASSES = {
    'torch': 'torch_engine.TorchEngine',
    'openvino': 'openvino_engine.OpenVinoEngine',
    'openvino_int8': 'quantization.OpenVinoInt8Engine',
}
ENGINES = ('auto', *ENGINE_CLASSES)
# networks whose class says that it is not traceable, known here without torch
TORCH_ALONE = ('mask_rcnn',)


class EngineError(RuntimeError):
    """An engine or device that is unknown, absent or failed to start."""


class Engine(Protocol):
    """What the segmenter asks of an engine."""

    name: str
    device: str
    input_stride: int
    fallback: str | None  # why `auto` did not get what is there and better

    def run(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Segment a batch.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of `input_stride`.
        :return: class ids and confidence, both (N, H, W) uint8.
        """

    def close(self) -> None:
        """Give the device's memory back; nothing can be run afterwards."""


class Stages(Protocol):
    """A network's parts, as an engine runs them apart (see `models.network.Staged`)."""

    def shallow(self, frames: np.ndarray) -> Features:
        """
        Return early features.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of `input_stride`.
        """

    def deep(self, shallow: Features) -> Features:
        """Return late features; the part worth skipping. May run beside the other two."""

    def head(self, shallow: Features, deep: Features, size: tuple[int, int]
             ) -> tuple[np.ndarray, np.ndarray]:
        """
        Put both together.

        :param shallow: of these frames.
        :param deep: of these or of earlier ones.
        :param size: (H, W) of the frames.
        :return: class ids and confidence, both (N, H, W) uint8.
        """


@runtime_checkable
class StagedEngine(Protocol):
    """An engine that can run a network's stages apart."""

    def stages(self) -> Stages:
        """Return the stages of a network that has them (`clockwork.STAGED_NETWORKS`)."""


@runtime_checkable
class ScoringEngine(Protocol):
    """An engine that also says how probable each class is, at a price."""

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """
        Return what ids and confidence are made of.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of `input_stride`.
        :return: (N, C, H, W) float32.
        """


class Steps(Protocol):
    """A network frame by frame, as an engine runs it (see `models.network.Recurrent`)."""

    def step(self, frames: np.ndarray, state: Features, flow: np.ndarray | None
             ) -> tuple[np.ndarray, np.ndarray, Features]:
        """
        Segment the newest frame of each drive.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of `input_stride`.
        :param state: of the step before; () for first frames.
        :param flow: (N, 2, H, W) float32, from each pixel back to where it was, x and y in
            pixels; None for first frames.
        :return: class ids and confidence, both (N, H, W) uint8, and the state for the next frame.
        """


@runtime_checkable
class SteppingEngine(Protocol):
    """An engine that can run a recurrent network frame by frame."""

    def steps(self) -> Steps:
        """Return the steps of a recurrent network (`recurrence.RECURRENT_NETWORKS`)."""


def make_engine(checkpoint: Checkpoint, device: str, engine: str,
                threads: int | None = None) -> Engine:
    """
    Start an engine for a checkpoint.

    `auto` is torch where there is a CUDA device, on the CPU openvino where it is installed and
    takes the network, else torch. openvino_int8, which is faster and a little less accurate, runs
    where it is asked for by name alone.

    :param checkpoint: what to run.
    :param device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
    :param engine: one of `ENGINES`.
    :param threads: at most so many on the CPU; None = one for each core.
    :raises EngineError: unknown or absent engine or device.
    :raises CheckpointError: the checkpoint does not fit its network.
    """
    if engine not in ENGINES:
        raise EngineError(f'unknown engine {engine!r}; supported: {", ".join(ENGINES)}')
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', device):
        raise EngineError(f'unknown device {device!r}; supported: auto, cpu, cuda, cuda:N')
    if engine != 'auto':
        return _start(engine, checkpoint, device, threads)
    no_gpu = None
    # torch takes seconds to load: not worth it just to look for a GPU
    if device.startswith('cuda') or (device == 'auto' and gpu_device()):
        try:
            started = _start('torch', checkpoint, device, threads)
            if started.device != 'cpu':
                return started
            no_gpu = started.fallback
        except RuntimeError as error:  # torch's, such as of too little memory
            if device != 'auto' or isinstance(error, EngineError):
                raise
            no_gpu = f'the CUDA device failed ({" ".join(str(error).split())})'
    started = _start_on_cpu(checkpoint, threads)
    started.fallback = '; '.join(filter(None, (no_gpu, started.fallback))) or None
    return started


def stages_of(engine: Engine) -> Stages:
    """
    Return the stages of an engine's network, to be run apart.

    :raises EngineError: the engine cannot; says which can.
    """
    if not isinstance(engine, StagedEngine):
        raise _not_on(engine, 'clockwork')
    return engine.stages()


def scores_of(engine: Engine) -> ScoringEngine:
    """
    Return an engine as one that gives probabilities.

    :raises EngineError: it cannot; says which can.
    """
    if not isinstance(engine, ScoringEngine):
        raise EngineError(f'the CRF needs the probabilities of all classes, which engine '
                          f'{engine.name} does not give; use engine torch')
    return engine


def steps_of(engine: Engine) -> Steps:
    """
    Return the steps of an engine's network.

    :raises EngineError: the engine cannot; says which can.
    """
    if not isinstance(engine, SteppingEngine):
        raise _not_on(engine, 'recurrent')
    return engine.steps()


def _not_on(engine: Engine, policy: str) -> EngineError:
    """Return the refusal of a policy that takes torch."""
    return EngineError(f'cache policy {policy} runs on engine torch alone, not on {engine.name}; '
                       'start with engine torch, or use policy warp')


def _start_on_cpu(checkpoint: Checkpoint, threads: int | None) -> Engine:
    """Start openvino where it is and can run the network, else torch."""
    if find_spec('openvino') is None or checkpoint.architecture in TORCH_ALONE:
        return _start('torch', checkpoint, 'cpu', threads)
    try:
        return _start('openvino', checkpoint, 'cpu', threads)
    except CheckpointError:
        raise
    except Exception as error:  # a network or machine that OpenVINO cannot do
        started = _start('torch', checkpoint, 'cpu', threads)
        started.fallback = f'engine openvino failed ({" ".join(str(error).split())})'
        return started


def _start(engine: str, checkpoint: Checkpoint, device: str, threads: int | None) -> Engine:
    """Import an engine and start it."""
    # Read by OpenMP when torch is first loaded. Threads that spin while they wait make a frame
    # 17 times slower (1990 ms against 114) as soon as another process wants the same cores
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    module, _, name = ENGINE_CLASSES[engine].partition('.')
    try:
        kind = getattr(import_module(f'{__name__}.{module}'), name)
        started: Engine = kind(checkpoint, device, threads=threads)
    except ImportError as error:
        raise EngineError(
            f'engine {engine} needs the package {error.name}, which {sys.executable} does not '
            'have; install it there, or use the environment that README.md sets up') from error
    return started
