"""A recurrent network run with its state on torch: what the cache policy `recurrent` needs."""

from __future__ import annotations

import numpy as np
import torch

from roadseg_ros.inference.engines.torch_stages import at_most
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.network import Recurrent, State


class TorchSteps:
    """
    Run a whole frame with what is kept of the frames before; without CUDA graphs.

    :param module: the whole frame of a recurrent network, on its device.
    :param device: that device.
    :param threads: at most so many on the CPU; None = one for each core.
    """

    def __init__(self, module: FrameModule, device: torch.device, threads: int | None = None
                 ) -> None:
        network = module.network
        assert isinstance(network, Recurrent)
        self._module, self._network, self._device = module, network, device
        self._threads = threads

    def step(self, frames: np.ndarray, state: State, flow: np.ndarray | None
             ) -> tuple[np.ndarray, np.ndarray, State]:
        """
        Segment the newest frame of each drive.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of the input stride.
        :param state: of the step before, on the device; () for first frames.
        :param flow: (N, 2, H, W) float32, back to the last frame; None for first frames.
        :return: class ids and confidence, (N, H, W) uint8, and the state for the next frame.
        """
        with torch.inference_mode(), at_most(self._threads):
            images = self._module.prepare(torch.from_numpy(frames).to(self._device))
            back = None if flow is None else torch.from_numpy(flow).to(self._device)
            scores, state = self._network.step(images, state, back)
            ids, confidence = self._module.label(scores, frames.shape[1:3])
            return ids.cpu().numpy(), confidence.cpu().numpy(), state
