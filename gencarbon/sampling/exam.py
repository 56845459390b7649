"""The exam every sampler sits: a Gaussian target, the perfect denoiser, and the exact law of the samples.

For x0 ~ N(m, s^2) the perfect denoiser is D(x, sigma) = (s^2 x + sigma^2 m) / (s^2 + sigma^2). A sampler is
then affine in (m, initial noise, later noises), so one call with unit vectors in a batch gives the law of its
samples without drawing any.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gencarbon.sampling.samplers import Denoise

Draw = Callable[[Denoise, Tensor, Callable[[int], Tensor]], Tensor]


@dataclass(frozen=True)
class Moments:
    """The law of the samples for a target N(m, s^2), relative to the truth: 1 and 1 are perfect."""

    std_ratio: float  # spread of the samples / s
    mean_gain: float  # mean of the samples / m
    evaluations: int  # calls of the denoiser


def gaussian_moments(draw: Draw, spread: float, draws: int = 0) -> Moments:
    """Sit the exam: `draw(denoise, start, noise)` turns standard normal noise into samples of N(m, spread^2).

    `draws` is the number of steps that may call `noise(step)`. Rows of the batch: 0 has m = 1 and no noise; 1
    has unit initial noise; 2 + i has unit noise at step i. The variance is the sum of the squares of the last
    `draws` + 1 rows.
    """
    if spread <= 0:
        raise ValueError(f"the target's spread must be positive, got {spread}")
    rows = torch.eye(2 + draws, dtype=torch.float64)
    mean, calls = rows[0], 0

    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal calls
        calls += 1
        return (spread**2 * x + sigma**2 * mean.to(x)) / (spread**2 + sigma**2)

    sample = draw(denoise, rows[1], lambda step: rows[2 + step]).double()
    return Moments(math.sqrt(float((sample[1:] ** 2).sum())) / spread, float(sample[0]), calls)
