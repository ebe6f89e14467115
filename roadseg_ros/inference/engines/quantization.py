"""The int8 engine: the OpenVINO engine with the network quantised, for speed before accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
import io
import logging
import sys
from typing import Any
import warnings

import numpy as np

from roadseg_ros.checkpoint import Checkpoint, Preprocessing
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.engines.openvino_engine import OpenVinoEngine, STRIDE
from roadseg_ros.inference.preprocessing import padded_size, prepare_frame
from roadseg_ros.scenes import Drive

DRIVES = 60  # of one frame each; with 10 a U-Net lost 0.4 mIoU points more, with 120 none less
FIRST_SEED = 20000  # far from the seeds that people judge by
FRAMES_A_DRIVE = 97  # one of which is taken
LEAST_SIDE = 32  # of a generated frame
FRAME_OPS = '^aten::'  # names of what `FrameModule` does itself, around the network
_log = logging.getLogger(__name__)


class OpenVinoInt8Engine(OpenVinoEngine):
    """
    Run a checkpoint with OpenVINO on the CPU, its convolutions in 8-bit integers.

    Quantised after training by NNCF on frames of generated drives, once; what comes of it is kept
    beside the converted network, and later starts need neither NNCF nor torch.

    Four fifths of the time of engine openvino. With the packaged weights nothing is lost (mIoU
    0.732 against 0.731 on CamVid val, 0.904 against 0.902 on generated scenes), with a U-Net 0.2
    points were. Weights for frames that look otherwise may lose more: judge them on a labelled
    drive of your own with `python -m training.evaluate --engine openvino_int8`.

    :param checkpoint: what to run.
    :param device: 'auto' or 'cpu'.
    :param precision: of what stays in floats, as of `OpenVinoEngine`.
    :raises EngineError: another device; NNCF is needed and absent, or cannot do the network.
    :raises CheckpointError: the checkpoint does not fit its network.
    """

    name = 'openvino_int8'

    def _load(self, checkpoint: Checkpoint) -> Any:
        """Return the quantised network."""
        return self._kept(checkpoint, 'model_int8', lambda: self._quantize(checkpoint))

    def _quantize(self, checkpoint: Checkpoint) -> Any:
        """Quantise the network that the float engine runs."""
        with _quiet():
            nncf = _import_nncf()  # first, as what follows takes long
        model = super()._load(checkpoint)
        _log.info('quantising the network to int8, once for each checkpoint: some 15 seconds')
        with _quiet():
            try:
                return quantize(nncf, model, checkpoint)
            except Exception as error:
                raise EngineError(f'engine {self.name} cannot quantise this network '
                                  f'({" ".join(str(error).split())}); use engine openvino'
                                  ) from error


def quantize(nncf: Any, model: Any, checkpoint: Checkpoint) -> Any:
    """
    Return a converted network with most of its convolutions in 8-bit integers.

    :param nncf: the package.
    :param model: the OpenVINO model of the whole frame; left as it is.
    :param checkpoint: what it was converted from.
    :return: an OpenVINO model of any batch and size, like `model`.
    """
    stride = int(model.get_rt_info(STRIDE).astype(int))
    # In 8 bits the first convolution makes most of the loss (0.7 of 0.9 mIoU points) and saves no
    # time, and the sum of the softmax makes the confidence noise
    first = next(op.get_friendly_name() for op in model.get_ordered_ops()
                 if op.get_type_name() == 'Convolution')
    frames = nncf.Dataset(
        range(FIRST_SEED, FIRST_SEED + DRIVES),
        lambda seed: calibration_frame(seed, checkpoint.preprocessing, stride))
    quantized = nncf.quantize(
        model, frames, preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=DRIVES,
        ignored_scope=nncf.IgnoredScope(names=[first], patterns=[FRAME_OPS]))
    quantized.set_rt_info(stride, STRIDE)
    return quantized


def calibration_frame(seed: int, preprocessing: Preprocessing, stride: int) -> np.ndarray:
    """
    Return a frame of a generated drive as the segmenter would give it to the engine.

    :param seed: of the drive.
    :param preprocessing: the checkpoint's; the frame has the size it was trained at.
    :param stride: of the network's input.
    :return: (1, H, W, 3) uint8 BGR, sides padded to multiples of the stride.
    """
    size = max(preprocessing.height, LEAST_SIDE), max(preprocessing.width, LEAST_SIDE)
    frame, _ = Drive(seed, *size).frame(seed % FRAMES_A_DRIVE)
    batch = np.empty((1, *padded_size(size, stride), 3), np.uint8)
    prepare_frame(frame, size, batch[0])
    return batch


def _import_nncf() -> Any:
    """Return NNCF, or say how to install it."""
    # torch warns of a CUDA toolkit without a GPU when NNCF imports this; int8 is for the CPU
    logging.getLogger('torch.utils.cpp_extension').setLevel(logging.ERROR)
    try:
        import nncf
    except Exception as error:  # absent, or installed and broken
        raise EngineError(
            'engine openvino_int8 needs the package nncf the first time that it runs a '
            f'checkpoint, and {sys.executable} cannot import it ({error}); install it there '
            '(pip install nncf), or use engine openvino') from error
    logging.getLogger('nncf').setLevel(logging.ERROR)
    return nncf


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's progress bars, and what it says of its own insides, off the output."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
