"""Vertical mixing: implicit diffusion in a column, conserving its tracer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencarbon.constants import GRAVITY
from gencarbon.grid import HybridLevels, LatLonGrid

SCALE_HEIGHT = (
    7500.0  # m   of an isothermal atmosphere at 256 K; turns pressure into height for the diffusivity
)


@dataclass(frozen=True)
class Diffusivity:
    """Eddy diffusivity, m2 s-1: `boundary_layer` below sigma_top (Held-Suarez: 0.7), `free` above."""

    boundary_layer: float = 20.0
    free: float = 0.5
    sigma_top: float = 0.7

    def exchange(self, levels: HybridLevels, grid: LatLonGrid) -> Tensor:
        """Air exchanged through inner interfaces, (level - 1, lat, lon) kg s-1, for a surface pressure of 1000 hPa.

        E = rho K A / dz with rho = p / (g H) and dz = H ln(p_below / p_above) between layer centres.
        """
        p = np.array(levels.a) + np.array(levels.b) * 1e5
        centre = (p[1:] + p[:-1]) / 2
        k = np.where(p[1:-1] / 1e5 > self.sigma_top, self.boundary_layer, self.free)
        per_area = p[1:-1] / (GRAVITY * SCALE_HEIGHT) * k / (SCALE_HEIGHT * np.log(centre[:-1] / centre[1:]))
        return torch.tensor(per_area[:, None, None] * grid.area)


def mix(q: Tensor, mass: Tensor, exchange: Tensor, seconds: float) -> Tensor:
    """q after implicit diffusion: m (q' - q) = dt [E_up (q'_up - q') - E_down (q' - q'_down)]. Thomas algorithm over levels.

    q: (tracer, level, lat, lon); mass: (level, lat, lon) kg; exchange: (level - 1, lat, lon) kg s-1.
    """
    if q.shape[-3] == 1:
        return q
    e = seconds * exchange.to(q.dtype)
    zero = torch.zeros_like(e[:1])
    above, below = torch.cat([e, zero]), torch.cat([zero, e])
    upper, rhs = [], []
    for k in range(q.shape[-3]):
        denominator = mass[k] + above[k] + below[k] - (below[k] * upper[-1] if k else 0.0)
        upper.append(above[k] / denominator)
        rhs.append((mass[k] * q[..., k, :, :] + (below[k] * rhs[-1] if k else 0.0)) / denominator)
    for k in range(q.shape[-3] - 2, -1, -1):
        rhs[k] = rhs[k] + upper[k] * rhs[k + 1]
    return torch.stack(rhs, dim=-3)
