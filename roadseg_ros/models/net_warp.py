"""NetWarp (Gadde, Jampani and Gehler, 2017) on SwiftNet."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn.functional import (
    adaptive_avg_pool2d,
    affine_grid,
    avg_pool2d,
    grid_sample,
    relu,
)

from roadseg_ros.models.network import State, upsample
from roadseg_ros.models.swiftnet import SwiftNet

# The share of the past at the start, which learning moves slowly. From a half, masks are steadier
# and cost 2.6 points of mean IoU (training/LOG.md)
START = 0.2


class NetWarp(SwiftNet):
    """
    SwiftNet whose decoder, at every step, blends in the features of the last frame.

    They are warped along the optical flow, which a small network corrects first. Beside the
    paper the two weights of a channel add up to one, and what is warped has itself been blended:
    the past fades from frame to frame, and features keep their size however long the drive.

    :param num_classes: number of outputs.
    :param encoder: as of `SwiftNet`.
    :param decoder_channels: likewise.
    :raises ValueError: as `SwiftNet`.
    """

    past_alone = ('motion', 'pasts')

    def __init__(self, num_classes: int, encoder: str = 'tf_efficientnet_lite0',
                 decoder_channels: Sequence[int] = (128, 96, 64, 32)) -> None:
        super().__init__(num_classes, encoder, decoder_channels)
        self.motion = MotionCorrection(self.output_stride)
        self.pasts = nn.ModuleList(WarpedPast(width) for width in decoder_channels)

    def step(self, image: Tensor, state: State = (), flow: Tensor | None = None
             ) -> tuple[Tensor, State]:
        """
        Return (N, C, H/2, W/2) scores (for encoders whose first stride is 2), and the state.

        :param image: (N, 3, H, W).
        :param state: the last image, and the features of each decoder step; () for a first frame.
        :param flow: (N, 2, H, W) float32, back to the last image, in pixels; with a state only.
        :raises ValueError: there is a state and no flow.
        """
        self.check_input(image)
        if state and flow is None:
            raise ValueError('NetWarp needs the optical flow from the second frame on')
        motion = self.motion(image, state[0], flow) if state else None
        *early, features = self.encoder(image)
        features, kept = self.context(features), []
        steps: Any = zip(self.lower, self.skips, self.blend, self.pasts, reversed(early),
                         state[1:] or [None] * len(early))
        for lower, skip, blend, past, found, before in steps:
            features = blend(relu(upsample(lower(features)) + skip(found)))
            if motion is not None:
                features = past(features, before, motion)
            kept.append(features)
        return self.classifier(features), (image, *kept)

    def forward(self, image: Tensor) -> Tensor:
        """Return scores as `step` does for a first frame."""
        return self.step(image)[0]


class MotionCorrection(nn.Module):
    """
    The paper's FlowCNN: sees flow and pictures and learns what warps features best.

    :param stride: at which it works.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.layers = nn.Sequential(
            nn.Conv2d(11, 16, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(32, 2, 3, padding=1))
        last: Any = self.layers[-1]
        nn.init.normal_(last.weight, std=1e-3)  # at first the flow as it is
        nn.init.zeros_(last.bias)

    def forward(self, now: Tensor, before: Tensor, flow: Tensor) -> Tensor:
        """
        Return the corrected flow, (N, 2, h, w) float32, in halves of the picture's sides.

        :param now: (N, 3, H, W).
        :param before: the image before.
        :param flow: (N, 2, H, W) float32, in pixels.
        """
        sides = flow.new_tensor(flow.shape[:1:-1]).view(2, 1, 1)
        motion, now, before = (avg_pool2d(each, self.stride)
                               for each in (flow * 2 / sides, now, before))
        seen = torch.cat((motion.to(now.dtype), now, before, now - before), 1)
        return motion + self.layers(seen).float()


class WarpedPast(nn.Module):
    """
    Features of this frame blended with those of the last, a weight for each channel.

    :param channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.past = nn.Parameter(torch.full((channels, 1, 1), math.log(START / (1 - START))))

    def forward(self, now: Tensor, before: Tensor, motion: Tensor) -> Tensor:
        """
        Return blended features; this frame's alone where the last did not show the place.

        :param now: (N, channels, h, w).
        :param before: those of the last frame.
        :param motion: of `MotionCorrection`, at least as fine.
        """
        size = now.shape[2], now.shape[3]
        still = torch.eye(2, 3, device=now.device).expand(len(now), 2, 3)
        origins = affine_grid(still, [len(now), 1, *size], align_corners=False)
        origins = origins + adaptive_avg_pool2d(motion, size).permute(0, 2, 3, 1)
        # coordinates in half precision would be off by pixels
        warped = grid_sample(before.float(), origins, padding_mode='border', align_corners=False)
        visible = (origins.abs() <= 1).all(3).unsqueeze(1)
        weight = self.past.sigmoid() * visible.to(now.dtype)
        return now + weight * (warped.to(now.dtype) - now)
