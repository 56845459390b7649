"""Layers for fields on the sphere: padding across the date line and the poles, residual blocks, embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8  # of a group norm: channels come in multiples of them


def sphere_pad(x: Tensor) -> Tensor:
    """One cell of halo around (batch, channel, lat, lon): periodic eastward; beyond a pole lies the opposite meridian."""
    half = x.shape[-1] // 2
    x = torch.cat([torch.roll(x[..., :1, :], half, -1), x, torch.roll(x[..., -1:, :], half, -1)], dim=-2)
    return torch.cat([x[..., -1:], x, x[..., :1]], dim=-1)


class SphereConv(nn.Conv2d):
    """A 3 x 3 convolution on the sphere."""

    bias: Tensor

    def __init__(self, inputs: int, outputs: int, zero: bool = False):
        super().__init__(inputs, outputs, 3)
        if zero:
            nn.init.zeros_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(sphere_pad(x))


class ResidualBlock(nn.Module):
    """Two convolutions with group norms, the second modulated by an embedding where there is one."""

    def __init__(self, inputs: int, outputs: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inputs)
        self.conv1 = SphereConv(inputs, outputs)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = SphereConv(outputs, outputs, zero=True)
        self.modulate = nn.Linear(embedding, 2 * outputs) if embedding else None
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        h = self.norm2(self.conv1(functional.silu(self.norm1(x))))
        if self.modulate is not None:
            scale, shift = self.modulate(embedding)[..., None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.skip(x) + self.conv2(functional.silu(h))


class NoiseEmbedding(nn.Module):
    """log10(sigma) of every frame -> Fourier features -> one vector for the window."""

    frequency: Tensor

    def __init__(self, frames: int, width: int, features: int = 16):
        super().__init__()
        self.register_buffer(
            "frequency", torch.exp(torch.linspace(math.log(0.25), math.log(8.0), features // 2))
        )
        self.mlp = nn.Sequential(
            nn.Linear(frames * features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, log_sigma: Tensor) -> Tensor:
        """log_sigma: (batch, frames) -> (batch, width)."""
        phase = log_sigma[..., None] * self.frequency
        return self.mlp(torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(1))
