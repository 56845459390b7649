"""What the wind network adds to a run on finer cells, step by step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gencarbon.data.finewinds import around, crossed_lengths, wind_inputs
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.model.winds import WindNetwork
from gencarbon.transport.closing import closed
from gencarbon.transport.offline import AirMotion
from gencarbon.transport.subgrid import from_cells, settled


class LearntSubgrid:
    """subgrid(k) of an `OfflineRun`: finer faces' fluxes beyond interpolation, (east, north) (level, lat, lon) kg s-1, float64.

    cell_winds: u, v at frames (m s-1), None where the air mass fluxes of `air` were estimated from them."""

    def __init__(
        self,
        network: WindNetwork,
        grid: LatLonGrid,
        levels: HybridLevels,
        air: AirMotion,
        cell_winds: tuple[np.ndarray, np.ndarray] | None,
    ):
        self.network, self.grid, self.factor = network, grid, network.config.factor
        self.winds = wind_inputs(air, cell_winds, grid, levels, self.factor)
        self.fine = grid.refine(self.factor)
        self.lengths = crossed_lengths(grid, self.factor)
        self.step = lru_cache(maxsize=4)(self._step)  # neighbouring steps share a parabola

    def __call__(self, k: int) -> tuple[Tensor, Tensor]:
        return self.step(k)

    @torch.no_grad()
    def _step(self, k: int) -> tuple[Tensor, Tensor]:
        window = self.winds[around(len(self.winds), k, self.network.config.context)][None]
        device, lat = self.network.device, torch.tensor(self.grid.lat)
        made = self.network(window.to(device), lat.to(device))[0].cpu().double()
        belief = self.network.belief.cpu().double()
        lacking = closed(settled(made * self.lengths, self.factor), belief, self.fine, self.factor)
        east, north = (from_cells(lacking[:, c], self.factor) for c in (0, 1))
        return east, north
