"""The OpenVINO engine: x86 CPUs, converted once and kept on disk, then without torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import cache
import hashlib
import json
import logging
import os
from pathlib import Path
import shutil
import sys
import threading
from typing import Any
import warnings

import numpy as np

from roadseg_ros.checkpoint import Checkpoint
from roadseg_ros.inference.engines import EngineError, TORCH_ALONE

# Its telemetry would write to the home folder and try to report usage
sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]
import openvino  # noqa: E402

MAX_SIZES = 4
MAX_KEPT = 8  # checkpoints on disk, some 40 MB each
FORMAT = 1  # of what is kept on disk; counts up when the module or what is made of it changes
STRIDE = ['roadseg', 'input_stride']
_log = logging.getLogger(__name__)


class OpenVinoEngine:
    """
    Run a checkpoint with OpenVINO on the CPU.

    The converted network and, by OpenVINO itself, the compiled code of each frame size are kept
    in the user's cache folder, so that only the first start needs torch.

    :param checkpoint: what to run.
    :param device: 'auto' or 'cpu'.
    :param precision: 'bf16' or 'f32'; None = the narrowest the processor computes natively.
    :param threads: at most so many; None = one for each core.
    :raises EngineError: another device, or a network that cannot be converted.
    :raises CheckpointError: the checkpoint does not fit its network.
    """

    name = 'openvino'
    device = 'cpu'

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str | None = None,
                 threads: int | None = None) -> None:
        if device not in ('auto', 'cpu'):
            raise EngineError(f'engine {self.name} runs on the CPU only, not on {device!r}; '
                              'use device cpu or auto, or engine torch')
        if checkpoint.architecture in TORCH_ALONE:
            raise EngineError(f'engine {self.name} cannot convert {checkpoint.architecture}, '
                              'where what is computed depends on the picture; use engine torch')
        self.fallback: str | None = None
        self._code_folder = ''  # where compiled code is kept; '' = nowhere
        self._model = self._load(checkpoint)
        self.precision = precision or _fast_precision()
        self.input_stride = int(self._model.get_rt_info(STRIDE).astype(int))
        self._threads = threads
        self._compiled: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Segment a batch; safe to call from several threads.

        :param frames: (N, H, W, 3) uint8 BGR.
        :return: class ids and confidence, both (N, H, W) uint8.
        """
        with self._lock:
            request = self._request(frames.shape[1:3])
            # one by one: a batch is no faster, and each new size of one takes seconds to compile
            results = [request.infer([frame[None]], share_inputs=True) for frame in frames]
        ids, confidence = (np.concatenate([result[output] for result in results])
                           for output in (0, 1))
        return ids, confidence

    def close(self) -> None:
        """Free what was compiled."""
        with self._lock:
            self._compiled.clear()
            del self._model

    def _request(self, size: tuple[int, int]) -> Any:
        """Return the inference request of a (height, width); keep the latest few."""
        if size not in self._compiled:
            if len(self._compiled) == MAX_SIZES:
                self._compiled.popitem(last=False)
            model = self._model.clone()
            model.reshape([1, *size, 3])
            compiled = _core().compile_model(model, 'CPU', {
                'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': self.precision,
                'CACHE_DIR': self._code_folder,
                **({'INFERENCE_NUM_THREADS': self._threads} if self._threads else {})})
            self._compiled[size] = compiled.create_infer_request()
        self._compiled.move_to_end(size)
        return self._compiled[size]

    def _load(self, checkpoint: Checkpoint) -> Any:
        """Return the network to compile."""
        return self._kept(checkpoint, 'model', lambda: _convert(checkpoint))

    def _kept(self, checkpoint: Checkpoint, name: str, make: Callable[[], Any]) -> Any:
        """Return a form of the checkpoint's network from the cache; make it where it is not."""
        try:
            folder = cache_folder() / fingerprint(checkpoint)
        except RuntimeError:  # nobody's home: every start is a first one
            return make()
        with suppress(OSError):  # one that cannot be written to may still hold what is needed
            folder.mkdir(parents=True, exist_ok=True)
            folder.touch()  # used now: `_prune` takes the others first
            self._code_folder = str(folder / 'compiled')
        try:
            return _core().read_model(folder / f'{name}.xml')
        except RuntimeError:  # not there yet, or damaged
            model = make()
            _keep(model, folder, name)
            return model


@cache
def _core() -> Any:
    """
    Return the process's one OpenVINO core, never given up.

    Its CPU plugin gives the thread that loads it a stack for signals and unmaps that in whichever
    thread it ends: the first thread's next signal would then be a segmentation fault.
    """
    return openvino.Core()


def _fast_precision() -> str:
    """Return the narrowest float the processor computes natively."""
    able = _core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    return 'bf16' if 'BF16' in able else 'f32'


def cache_folder() -> Path:
    """Return where converted networks are kept: $XDG_CACHE_HOME or ~/.cache, /roadseg_ros."""
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(home) / 'roadseg_ros' / f'openvino-{openvino.__version__.split("-")[0]}'


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return a name that changes with anything that changes the converted network."""
    prepared = checkpoint.preprocessing
    document = [FORMAT, checkpoint.architecture, dict(checkpoint.arguments),
                len(checkpoint.labels),
                [prepared.channel_order, prepared.scale, prepared.mean, prepared.std]]
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, values in sorted(checkpoint.tensors.items()):
        digest.update(f'{name} {values.dtype} {values.shape}'.encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:32]


def _keep(model: Any, folder: Path, name: str) -> None:
    """Write a network, whole or not at all; several nodes may do so at once."""
    partial = folder / f'{os.getpid()}.xml'
    try:
        openvino.save_model(model, partial, compress_to_fp16=False)
        for suffix in ('.bin', '.xml'):
            os.replace(partial.with_suffix(suffix), folder / f'{name}{suffix}')
        _prune(folder.parent)
    except (OSError, RuntimeError):  # such as a full disk: the next start converts again
        for suffix in ('.bin', '.xml'):
            with suppress(OSError):
                partial.with_suffix(suffix).unlink()


def _prune(folder: Path) -> None:
    """Remove the checkpoints that have not been used for longest, so that the disk stays free."""
    used = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in used[MAX_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _convert(checkpoint: Checkpoint) -> Any:
    """Return the whole frame of a checkpoint as an OpenVINO model of any batch and size."""
    _log.info('converting the network for OpenVINO, once for each checkpoint: some ten seconds')
    import torch

    from roadseg_ros.models.frame import FrameModule
    from roadseg_ros.models.registry import network_from_checkpoint

    network = network_from_checkpoint(checkpoint)
    stride = network.input_stride
    module = FrameModule(network, checkpoint.preprocessing).eval()
    example = torch.zeros((1, 2 * stride, 3 * stride, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # the network's check of its input is plain Python, which a trace rightly leaves out;
        # and OpenVINO traces in a way that torch calls old
        warnings.simplefilter('ignore')
        model = openvino.convert_model(module, example_input=example, input=[-1, -1, -1, 3])
    model.set_rt_info(stride, STRIDE)
    return model
