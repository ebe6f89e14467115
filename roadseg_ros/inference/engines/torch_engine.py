"""The torch engine: CUDA in half precision, CPU in bfloat16 where the processor has it."""

from __future__ import annotations

from collections import OrderedDict
import threading

import numpy as np
import torch

from roadseg_ros.checkpoint import Checkpoint
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.engines.torch_stages import at_most, TorchStages
from roadseg_ros.inference.engines.torch_steps import TorchSteps
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.registry import network_from_checkpoint
from roadseg_ros.system import gpu_device

MAX_SHAPES = 8
WARM_UP_RUNS = 3


class TorchEngine:
    """
    Run a checkpoint with torch.

    :param checkpoint: what to run.
    :param device: 'auto' (CUDA if there is one, else the CPU), 'cpu', 'cuda' or 'cuda:N'.
    :param threads: at most so many on the CPU; None = as many as torch takes.
    :raises EngineError: unknown or absent device.
    """

    name = 'torch'

    def __init__(self, checkpoint: Checkpoint, device: str, threads: int | None = None) -> None:
        self._device, self.fallback = _choose_device(device)
        self.device = str(self._device)
        network = network_from_checkpoint(checkpoint)
        self.input_stride = network.input_stride
        self._traceable = network.traceable
        self.precision = _fast_precision(self._device) if network.traceable else torch.float32
        module = FrameModule(network, checkpoint.preprocessing).eval()
        # torch's stubs do not know memory_format
        self._module = module.to(  # type: ignore[call-overload]
            self._device, self.precision, memory_format=torch.channels_last)
        self._threads = threads
        self._graphs: OrderedDict[tuple[int, ...], _CudaGraph] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Segment a batch; safe to call from several threads.

        :param frames: (N, H, W, 3) uint8 BGR.
        :return: class ids and confidence, both (N, H, W) uint8.
        """
        with self._lock, torch.inference_mode():
            if self._device.type == 'cuda' and self._traceable:
                # powers of two: cameras come together in every number, a capture takes long
                count = 1 << (len(frames) - 1).bit_length()
                return self._graph((count, *frames.shape[1:])).run(frames)
            with at_most(self._threads):
                ids, confidence = self._module(torch.from_numpy(frames).to(self._device))
            return ids.cpu().numpy(), confidence.cpu().numpy()

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """
        Return how probable each class is; safe to call from several threads, no CUDA graphs.

        :param frames: (N, H, W, 3) uint8 BGR.
        :return: (N, C, H, W) float32.
        """
        with self._lock, torch.inference_mode(), at_most(self._threads):
            found = self._module.probabilities(torch.from_numpy(frames).to(self._device))
            return found.cpu().numpy()

    def stages(self) -> TorchStages:
        """
        Return the network's stages, to be run apart.

        It is to be one that has them (`clockwork.STAGED_NETWORKS`).
        """
        return TorchStages(self._module, self._device, self._threads)

    def steps(self) -> TorchSteps:
        """
        Return the network's steps, to be run with a state.

        It is to be one that has them (`recurrence.RECURRENT_NETWORKS`).
        """
        return TorchSteps(self._module, self._device, self._threads)

    def close(self) -> None:
        """Free the weights and graphs, and what torch holds back of the GPU's memory."""
        with self._lock:
            self._graphs.clear()
            del self._module
            if self._device.type == 'cuda':
                torch.cuda.empty_cache()

    def _graph(self, shape: tuple[int, ...]) -> _CudaGraph:
        """Return the graph of a shape; keep the latest few."""
        if shape not in self._graphs:
            if len(self._graphs) == MAX_SHAPES:
                self._graphs.popitem(last=False)
            self._graphs[shape] = _CudaGraph(self._module, shape, self._device)
        self._graphs.move_to_end(shape)
        return self._graphs[shape]


class _CudaGraph:
    """One input shape captured: pinned copy up, the module, pinned copy down."""

    def __init__(self, module: torch.nn.Module, shape: tuple[int, ...],
                 device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.host_in = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self.device_in = torch.zeros(shape, dtype=torch.uint8, device=device)
        # weights and input were made on the caller's stream
        self.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP_RUNS):
                module(self.device_in)
        self.stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        # another thread may be loading a checkpoint meanwhile, which only 'global' forbids
        with torch.cuda.graph(self.graph, stream=self.stream,
                              capture_error_mode='thread_local'):
            self.device_out = module(self.device_in)
        self.host_out = tuple(torch.empty(out.shape, dtype=torch.uint8, pin_memory=True)
                              for out in self.device_out)

    def run(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Replay the graph on a batch of at most its size; the caller may keep the results."""
        count = len(frames)
        self.host_in.numpy()[:count] = frames
        with torch.cuda.stream(self.stream):
            self.device_in.copy_(self.host_in, non_blocking=True)
            self.graph.replay()
            for host, device in zip(self.host_out, self.device_out):
                host.copy_(device, non_blocking=True)
        self.stream.synchronize()
        ids, confidence = (host.numpy()[:count].copy() for host in self.host_out)
        return ids, confidence


def _choose_device(name: str) -> tuple[torch.device, str | None]:
    """Return the device of a name, and why `auto` cannot use a GPU that is there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == 'auto':
        if count:
            return torch.device('cuda', 0), None
        gpu = gpu_device()
        return torch.device('cpu'), gpu and f'torch finds no CUDA device, though {gpu} is there'
    if name == 'cpu':
        return torch.device('cpu'), None
    index = int(name.partition(':')[2] or 0)
    if index >= count:
        raise EngineError(f'device {name!r} is not there: torch {torch.__version__} sees '
                          f'{count} CUDA devices; use device auto or cpu')
    return torch.device('cuda', index), None


def _fast_precision(device: torch.device) -> torch.dtype:
    """Return the narrowest float the device computes natively."""
    if device.type == 'cuda':
        return torch.float16
    # torch has no public question for this; a release without these stays in float32
    asks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    native = any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)
    return torch.bfloat16 if native else torch.float32
