"""A U-Net over windows of frames stacked as channels: every convolution mixes time, and costs one image, not one per frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gencarbon.model.layers import GROUPS, NoiseEmbedding, ResidualBlock, SphereConv


class WindowUNet(nn.Module):
    """(batch, inputs, lat, lon) -> (batch, outputs, lat, lon).

    widths: channels at full, half, ... resolution. blocks: residual blocks per resolution, on the way down and up.
    frames: length of the noise-level vector; 0 for a network without noise.
    """

    def __init__(self, inputs: int, outputs: int, widths: tuple[int, ...], blocks: int, frames: int):
        super().__init__()
        embedding = 2 * widths[0] if frames else 0
        self.noise = NoiseEmbedding(frames, embedding) if frames else None
        self.stem = nn.Conv2d(inputs, widths[0], 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, skips = widths[0], [widths[0]]
        for target in widths:
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(ResidualBlock(width, target, embedding))
                width = target
                skips.append(width)
            self.down.append(stage)
        self.middle = ResidualBlock(width, width, embedding)
        for target in reversed(widths):
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(ResidualBlock(width + skips.pop(), target, embedding))
                width = target
            self.up.append(stage)
        self.norm = nn.GroupNorm(GROUPS, width)
        self.head = SphereConv(width, outputs, zero=True)

    def forward(self, x: Tensor, log_sigma: Tensor | None = None) -> Tensor:
        embedding = None if self.noise is None else self.noise(log_sigma)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        stage: Any  # an nn.ModuleList
        for k, stage in enumerate(self.down):
            x = functional.avg_pool2d(x, 2) if k else x
            for block in stage:
                x = block(x, embedding)
                skips.append(x)
        x = self.middle(x, embedding)
        for k, stage in enumerate(self.up):
            x = functional.interpolate(x, scale_factor=2, mode="nearest") if k else x
            for block in stage:
                x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        return self.head(functional.silu(self.norm(x)))
