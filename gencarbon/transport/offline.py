"""Offline runs: tracers carried from frame to frame by given air mass fluxes, on the model grid or on a finer one.

A refined run uses the same coarse fluxes on `factor` times finer cells (`refine.py`): it has no wind that the coarse run lacks,
but it keeps the filaments that the coarse run smears. What finer winds add to interpolated fluxes can be given to it (`subgrid.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean
from gencarbon.transport.continuity import conserve_air
from gencarbon.transport.refine import refine_fluxes, refine_mean, refine_mole_fraction
from gencarbon.transport.solver import Transport


@dataclass(frozen=True)
class AirMotion:
    """Air between frames on a grid. surface_pressure: (time, lat, lon) Pa; east, north: (time, level, lat, lon) kg s-1, through
    western and southern faces from each frame to the next, which lies `seconds` later."""

    surface_pressure: np.ndarray
    east: np.ndarray
    north: np.ndarray
    seconds: float


@dataclass(frozen=True)
class OfflineRun:
    """A scheme on cells `factor` times finer than those of `grid`; linear in the tracer unless `limited`.

    subgrid(k): what the interpolated fluxes of step k lack on the finer faces, (east, north), each (level, lat, lon) kg s-1.
    """

    grid: LatLonGrid
    levels: HybridLevels
    scheme: str = "van_leer"
    factor: int = 1
    dtype: torch.dtype = torch.float64
    subgrid: Callable[[int], tuple[Tensor, Tensor]] | None = None
    limited: bool = False

    @cached_property
    def transport(self) -> Transport:
        fine = self.grid if self.factor == 1 else self.grid.refine(self.factor)
        return Transport(fine, self.levels, self.scheme, limited=self.limited, dtype=self.dtype)

    def states(self, initial: np.ndarray, flux: np.ndarray, air: AirMotion) -> Iterator[np.ndarray]:
        """Mole fractions (tracer, level, lat, lon) ppm on `grid`, frame after frame, `initial` first.

        initial: (tracer, level, lat, lon) ppm; flux: (tracer, time, lat, lon) kg m-2 s-1, each from its frame to the next. Fluxes
        of the last frame belong to a step beyond the run; a refined run uses them to interpolate in time.
        """
        ps = self.pressure(air)
        q = torch.tensor(np.asarray(initial, np.float64))
        if self.factor > 1:
            q = refine_mole_fraction(q, self.factor, self.mass(ps[0]))
        yield np.array(initial, np.float64)
        for k in range(len(ps) - 1):
            q = self.advance(q, torch.tensor(np.asarray(flux[:, k], np.float64)), k, air, ps)
            yield coarsen_mean(q.numpy(), self.factor, self.mass(ps[k + 1]).numpy())

    def advance(self, q: Tensor, flux: Tensor, k: int, air: AirMotion, ps: Tensor) -> Tensor:
        """The state one frame after frame k, on the cells of the run; differentiable in the state and in the flux.

        q: (tracer, level, lat, lon) ppm; flux: (tracer, lat, lon) kg m-2 s-1 on `grid`; ps: `pressure(air)`. A refined run takes two
        halves, whose air fluxes come from the parabola in time through three steps' means.
        """
        if self.factor == 1:
            east, north = (torch.as_tensor(f[k]).double() for f in (air.east, air.north))
            closed = self.transport.close(east, north, ps[k], ps[k + 1], air.seconds)
            return self.transport.step(q, closed, flux, air.seconds)
        added = flux.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1)
        middle, seconds = (ps[k] + ps[k + 1]) / 2, air.seconds / 2
        before, after = max(k - 1, 0), min(k + 1, len(air.east) - 1)
        curved = lambda f, sign: f(k) + sign * (f(after) - f(before)) / 8  # noqa: E731
        for sign, start, end in ((-1, ps[k], middle), (1, middle, ps[k + 1])):
            east, north = (
                curved(lambda j, f=f: torch.as_tensor(f[j]).double(), sign) for f in (air.east, air.north)
            )
            east, north = refine_fluxes(east, north, self.factor)
            if self.subgrid is not None:
                lacking = (curved(lambda j, c=c: self.subgrid(j)[c], sign) for c in range(2))
                east, north = (face + more for face, more in zip((east, north), lacking))
            q = self.transport.step(q, self.transport.close(east, north, start, end, seconds), added, seconds)
        return q

    def pressure(self, air: AirMotion) -> Tensor:
        """Surface pressure on the cells of the run, (time, lat, lon) Pa, of one amount of air."""
        ps = torch.tensor(np.asarray(air.surface_pressure, np.float64))
        return conserve_air(ps if self.factor == 1 else refine_mean(ps, self.factor), self.transport.grid)

    def mass(self, ps: Tensor) -> Tensor:
        """Air on the cells of the run, (level, lat, lon) kg."""
        return torch.tensor(self.levels.air_mass(ps.numpy(), self.transport.grid))
