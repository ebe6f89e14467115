"""Mixed precision on a CPU: which operation is faster in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import conv2d
from torch.overrides import TorchFunctionMode


class DepthwiseInFloat(TorchFunctionMode):
    """
    While autocast runs on a CPU, convolve depthwise in float32.

    oneDNN's gradient of a depthwise convolution takes two to four times as long in bfloat16 as in
    float32 (5x5 over 672 channels: 63 ms against 17), and such gradients were 40 % of a step of an
    EfficientNet: 1.5 s a step became 1.2 (training/LOG.md). What comes out is rounded to
    autocast's type again, for what follows is faster in that.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any,
                           args: Sequence[Any] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        """Call the function, in float32 if it is a depthwise convolution."""
        kwargs = kwargs or {}
        if func is not conv2d or not torch.is_autocast_enabled('cpu') or not _is_depthwise(*args):
            return func(*args, **kwargs)
        image, *others = args
        with torch.autocast('cpu', enabled=False):
            result = func(image.float(), *others, **kwargs)
        return result.to(torch.get_autocast_dtype('cpu'))


def _is_depthwise(image: torch.Tensor, weight: torch.Tensor, *_: Any) -> bool:
    return image.device.type == 'cpu' and weight.shape[1] == 1 < image.shape[1]
