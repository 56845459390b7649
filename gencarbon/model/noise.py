"""Noise levels: EDM preconditioning for unit data spread and the levels drawn in training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIGMA_MIN, SIGMA_MAX = 0.01, 200.0  # in units of the data's standard deviation
KNOWN_SIGMA = 1e-3  # what the network is told for a frame at noise 0, where log(sigma) does not exist


def preconditioning(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in of Karras et al. (2022, arXiv:2206.00364), table 1, with sigma_data = 1."""
    total = 1 + sigma**2
    return 1 / total, sigma / total.sqrt(), 1 / total.sqrt()


def draw_noise_levels(batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """Training levels (batch, frames): ln(sigma) normal with mean 0 and deviation 2, within [SIGMA_MIN, SIGMA_MAX]; one level a
    window, or one a frame in a fifth. Wide, for coherent modes show through noise far above their size."""
    n = torch.randn(batch, frames, generator=generator)
    shared = torch.rand(batch, 1, generator=generator) > 0.2
    return torch.where(shared, n[:, :1], n).mul(2).exp().clamp(SIGMA_MIN, SIGMA_MAX)


def log_sigma(sigma: Tensor) -> Tensor:
    """log10(sigma), with known frames (sigma = 0) at KNOWN_SIGMA."""
    return sigma.clamp(min=KNOWN_SIGMA).log() / math.log(10.0)
