"""The stages of a network run apart on torch: what the cache policy `clockwork` needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.network import Staged

Features = tuple[torch.Tensor, ...]


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Hold torch to a number of threads in this one."""
    before = torch.get_num_threads()
    if threads is None or threads >= before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TorchStages:
    """
    Run the parts of a whole frame one by one; without CUDA graphs.

    Safe between threads: one may be in `deep` while another is in the other two.

    :param module: the whole frame of a network in stages, on its device.
    :param device: that device.
    :param threads: at most so many for late features on the CPU; None = one for each core.
    """

    def __init__(self, module: FrameModule, device: torch.device, threads: int | None = None
                 ) -> None:
        network = module.network
        assert isinstance(network, Staged)
        self._module, self._network, self._device = module, network, device
        self._threads = threads
        self._deep_stream = (torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
                             if device.type == 'cuda' else None)

    def shallow(self, frames: np.ndarray) -> Features:
        """
        Return early features.

        :param frames: (N, H, W, 3) uint8 BGR, H and W multiples of the input stride.
        """
        with torch.inference_mode():
            images = self._module.prepare(torch.from_numpy(frames).to(self._device))
            return self._network.shallow(images)

    def deep(self, shallow: Features) -> Features:
        """Return late features, when they are done."""
        with torch.inference_mode(), at_most(self._threads), self._beside_the_others():
            return self._network.deep(shallow)

    def head(self, shallow: Features, deep: Features, size: tuple[int, int]
             ) -> tuple[np.ndarray, np.ndarray]:
        """
        Return class ids and confidence, (N, H, W) uint8.

        :param shallow: of these frames.
        :param deep: of these or of earlier ones.
        :param size: (H, W) of the frames.
        """
        with torch.inference_mode():
            ids, confidence = self._module.label(self._network.head(shallow, deep), size)
            return ids.cpu().numpy(), confidence.cpu().numpy()

    @contextmanager
    def _beside_the_others(self) -> Iterator[None]:
        """Keep a GPU's other work from queueing up behind what is done here."""
        if self._deep_stream is None:
            yield
            return
        self._deep_stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._deep_stream):
            yield
        self._deep_stream.synchronize()
