"""A tracer of variance: how far a run of CO2 may be off, cell by cell, for the history of its air (decisions/0019).

Winds that err move air across gradients, and what they have displaced is then carried on:

    dV/dt + u . grad V = 2 K |grad q|^2 - V / tau

which is Reynolds' variance budget with an eddy diffusivity for its production. A first-order scheme carries V, since it is linear and
keeps sign: V of a mixture of tracers is the quadratic form of `pair_weights` over pairs of them, and never negative.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gencarbon.constants import EARTH_RADIUS, SECONDS_PER_DAY
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.threads import one_thread
from gencarbon.transport.offline import AirMotion, OfflineRun

DIFFUSIVITY = 5e4  # K, m2 s-1: a unit, since only ratios of V to itself are used
DECAY = 2 * SECONDS_PER_DAY  # tau, s
SCHEME = "upwind"


def pairs(tracers: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second tracer of every pair, (pair,) each; a tracer pairs with itself, too."""
    return np.triu_indices(tracers)


def pair_weights(weights: np.ndarray) -> np.ndarray:
    """Of every pair in the variance of the mixture with these `weights` (tracer,): (pair,)."""
    first, second = pairs(len(weights))
    return np.where(first == second, 1, 2) * weights[first] * weights[second]


def production(q: Tensor, grid: LatLonGrid) -> Tensor:
    """2 K grad q_i . grad q_j of every pair, (pair, level, lat, lon) ppm2 s-1; means of the faces of each cell, nothing over the poles.

    q: (tracer, level, lat, lon) ppm.
    """
    first, second = pairs(len(q))
    dlat, dlon = np.deg2rad(np.diff(grid.lat_bounds)), np.deg2rad(np.diff(grid.lon_bounds))
    dx = torch.tensor(EARTH_RADIUS * np.cos(np.deg2rad(grid.lat))[:, None] * (dlon + np.roll(dlon, -1)) / 2)
    dy = torch.tensor(EARTH_RADIUS * (dlat[1:] + dlat[:-1]) / 2)[:, None]
    east = (torch.roll(q, -1, -1) - q) / dx  # through the eastern face of each cell
    inner = (q[..., 1:, :] - q[..., :-1, :]) / dy
    none = torch.zeros_like(q[..., :1, :])
    south, north = torch.cat([none, inner], -2), torch.cat([inner, none], -2)
    through_east = east[first] * east[second]
    zonal = through_east + torch.roll(through_east, 1, -1)
    return DIFFUSIVITY * (zonal + south[first] * south[second] + north[first] * north[second])


def variances(
    q: np.ndarray, air: AirMotion, grid: LatLonGrid, levels: HybridLevels, known: bool
) -> Iterator[np.ndarray]:
    """V of every pair of tracers, (pair, level, lat, lon) ppm2, frame after frame, of a run `q` (tracer, time, level, lat, lon) ppm.

    known: its first frame is right, so that V begins with 0; else with what `DECAY` of production leaves. One thread, for equal bits.
    """
    run = OfflineRun(grid, levels, SCHEME)
    still, ps = torch.zeros(len(pairs(len(q))[0]), *grid.shape, dtype=torch.float64), run.pressure(air)
    made = production(torch.tensor(np.asarray(q[:, 0], np.float64)), grid)
    V = torch.zeros_like(made) if known else DECAY * made
    yield V.numpy()
    for k in range(q.shape[1] - 1):
        with one_thread():
            before, made = made, production(torch.tensor(np.asarray(q[:, k + 1], np.float64)), grid)
            gained = air.seconds * (before + made) / 2
            V = (run.advance(V, still, k, air, ps) + gained) * np.exp(-air.seconds / DECAY)
        yield V.numpy()
