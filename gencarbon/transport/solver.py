"""The tracer model: surface flux, advection in three dimensions and vertical mixing over intervals of given air mass fluxes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import torch
from torch import Tensor

from gencarbon.constants import kgkg_to_ppm
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.advection import Stencils, advect_east, advect_north, advect_up
from gencarbon.transport.checks import check_air, check_grid, check_tracer, count_substeps, far_rows
from gencarbon.transport.continuity import MassFluxes, close
from gencarbon.transport.mixing import ColumnMixing, Convection, Diffusivity, mix
from gencarbon.transport.reconstruction import SCHEMES, vertical_stencils


@dataclass(frozen=True)
class Transport:
    """A scheme on a grid. Dimensionally split with the air mass carried along, in pairs of opposite order (Strang 1968).

    scheme: "ppm", "van_leer" or "upwind". limited: monotone (and so positive, to the round-off of dtype); unlimited is linear in
    the tracer.
    diffusivity, convection: parameterised mixing in columns, None for none.
    dtype: arithmetic of the substeps. With float32 they carry deviations from each tracer's mean, and mass is settled in float64.
    compiled: fuse the substep with torch.compile (needs a C++ compiler; the first step takes some seconds).
    """

    grid: LatLonGrid
    levels: HybridLevels
    scheme: str = "ppm"
    limited: bool = True
    diffusivity: Diffusivity | None = field(default_factory=Diffusivity)
    convection: Convection | None = None
    dtype: torch.dtype = torch.float64
    compiled: bool = False

    def __post_init__(self) -> None:
        check_grid(self.grid)
        if self.scheme not in SCHEMES:
            raise InputError(f"scheme must be one of {SCHEMES}, got {self.scheme!r}")
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype must be torch.float32 or torch.float64, got {self.dtype}")
        compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))
        if self.compiled and not any(map(shutil.which, compilers)):
            raise InputError(
                "compiled=True needs a C++ compiler, found none; install one (g++) or use compiled=False"
            )

    @property
    def cells(self) -> tuple[int, int, int]:
        """(levels, latitudes, longitudes)."""
        return (self.levels.count, *self.grid.shape)

    def step(
        self,
        q: Tensor,
        air: MassFluxes,
        surface_flux: Tensor,
        seconds: float,
        substep: float | None = None,
        mixing: ColumnMixing | None = None,
    ) -> Tensor:
        """Mole fractions at the end of an interval, float64. Any number of tracers, members and batches in one call.

        q: (..., tracer, level, lat, lon) ppm; air: (..., level, lat, lon), shared by the tracers; surface_flux: (..., tracer, lat,
        lon) kg m-2 s-1, upward positive; seconds: length of the interval; substep: s, an even part of it, by default as long as the
        air allows; mixing: strengths of this interval, by default those of the parameterisations. Raises InputError.
        """
        check_air(air, seconds)
        check_tracer(q, surface_flux, air, self.cells)
        n = count_substeps(air, seconds, substep)
        far = far_rows(air, seconds / n)
        if self.compiled:  # more rows give the same bits; few different numbers of them mean few compilations
            far = next(rows for rows in (0, self.grid.shape[0] // 4, self.grid.shape[0]) if rows >= far)
        return self.advance(q, air, surface_flux, seconds, n, far, mixing)

    def advance(
        self,
        q: Tensor,
        air: MassFluxes,
        surface_flux: Tensor,
        seconds: float,
        substeps: int,
        far: int,
        mixing: ColumnMixing | None = None,
    ) -> Tensor:
        """`step` without its checks, which look at values: in `substeps`, with zonal reach beyond a cell in `far` rows by the poles."""
        dt, q = seconds / substeps, q.double()
        area = torch.as_tensor(self.grid.area, device=q.device)
        added = kgkg_to_ppm(surface_flux.double() * area)  # ppm kg s-1
        start, end = (m.unsqueeze(-4) for m in (air.mass_start, air.mass_end))
        mean = _mean(q, start) if self.dtype == torch.float32 else 0.0
        work = lambda x: x.to(self.dtype) if isinstance(x, Tensor) else x  # noqa: E731
        moved = [work(flux.unsqueeze(-4) * dt) for flux in (air.east, air.north, air.up)]
        edges = vertical_stencils(self.scheme, (start + end) / 2)
        stencils = tuple(tuple(work(weight) for weight in edge) for edge in edges)
        column = mixing or self._mixing
        operator = column and work(column.operator(torch.minimum(air.mass_start, air.mass_end), dt))
        take: Callable[..., tuple[Tensor, Tensor]] = _compiled_substep() if self.compiled else _substep
        state, mass, gain = work(q - mean), work(start), work(added * dt)
        for k in range(substeps):
            back = k % 2 == 1
            state, mass = take(
                state, mass, *moved, gain, operator, stencils, self.scheme, self.limited, far, back
            )
        # The air has arrived at mass_end to round-off: q times mass_end is the tracer's mass, and uniform stays uniform.
        if self.dtype == torch.float64:
            return state
        owed = mean * _total(start) + added.sum((-1, -2))[..., None, None, None] * seconds
        return mean + state + owed / _total(end) - _mean(mean + state, end)

    @cached_property
    def _mixing(self) -> ColumnMixing | None:
        inner = (self.levels.count - 1, *self.grid.shape)
        if inner[0] == 0 or (self.diffusivity is None and self.convection is None):
            return None
        eddies = (
            torch.zeros(inner)
            if self.diffusivity is None
            else self.diffusivity.exchange(self.levels, self.grid)
        )
        plume = () if self.convection is None else self.convection.plume(self.levels, self.grid)
        return ColumnMixing(eddies, *plume)

    def close(
        self, east: Tensor, north: Tensor, ps_start: Tensor, ps_end: Tensor, seconds: float
    ) -> MassFluxes:
        """`continuity.close` on this grid and these levels."""
        return close(east, north, ps_start, ps_end, seconds, self.grid, self.levels)


def _substep(
    q: Tensor,
    mass: Tensor,
    east: Tensor,
    north: Tensor,
    up: Tensor,
    added: Tensor,
    operator: Tensor | None,
    stencils: Stencils,
    scheme: str,
    limited: bool,
    far: int,
    backwards: bool,
) -> tuple[Tensor, Tensor]:
    """Surface flux, three directions, mixing; backwards: the directions in the opposite order."""
    bottom = q[..., :1, :, :] + added[..., None, :, :] / mass[..., :1, :, :]
    q = torch.cat([bottom, q[..., 1:, :, :]], dim=-3)
    directions = [
        lambda q, m: advect_east(q, m, east, scheme, limited, far),
        lambda q, m: advect_north(q, m, north, scheme, limited),
        lambda q, m: advect_up(q, m, up, scheme, limited, stencils),
    ]
    for advect in directions[::-1] if backwards else directions:
        q, mass = advect(q, mass)
    return (q if operator is None else mix(q, mass, operator)), mass


@cache
def _compiled_substep() -> Callable[..., tuple[Tensor, Tensor]]:
    return torch.compile(_substep, dynamic=False)


def _total(mass: Tensor) -> Tensor:
    return mass.sum((-1, -2, -3), keepdim=True)


def _mean(q: Tensor, mass: Tensor) -> Tensor:
    """Air-mass-weighted means (..., tracer, 1, 1, 1)."""
    return (q * mass).sum((-1, -2, -3), keepdim=True) / _total(mass)
