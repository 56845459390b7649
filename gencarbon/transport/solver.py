"""The tracer model: surface flux, advection in three dimensions and vertical mixing over intervals of given air mass fluxes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gencarbon.constants import kgkg_to_ppm
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.advection import SCHEMES, advect_east, advect_north, advect_up
from gencarbon.transport.continuity import MassFluxes, close, divergence
from gencarbon.transport.mixing import Diffusivity, mix

MAX_OUTFLOW = 0.9  # largest share of a cell's air that a substep may take out in one direction


@dataclass(frozen=True)
class Transport:
    """A scheme on a grid. Dimensionally split with the air mass carried along, alternating order (Strang in pairs).

    scheme: "ppm", "van_leer" or "upwind". limited: monotone (and so positive); unlimited is linear in the tracer.
    """

    grid: LatLonGrid
    levels: HybridLevels
    scheme: str = "ppm"
    limited: bool = True
    diffusivity: Diffusivity = field(default_factory=Diffusivity)

    def __post_init__(self):
        if self.scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {SCHEMES}, got {self.scheme!r}")

    def substeps(self, air: MassFluxes, seconds: float) -> int:
        """How many equal substeps keep every direction from emptying a cell."""
        mass = torch.minimum(air.mass_start, air.mass_end)
        flow = torch.stack(
            [
                (torch.roll(air.east, -1, -1) - air.east).abs().div(mass).max(),
                _outflow(air.north, -2).div(mass).max(),
                _outflow(air.up, -3).div(mass).max(),
                divergence(air.east, air.north).abs().div(mass).max(),
            ]
        )
        if not torch.isfinite(flow).all():
            raise InputError(
                "air mass fluxes must be finite, got NaN or infinity; check the winds and the surface pressure"
            )
        return max(1, math.ceil(float(flow.max()) * seconds / MAX_OUTFLOW))

    def step(self, q: Tensor, air: MassFluxes, surface_flux: Tensor, seconds: float) -> Tensor:
        """Mole fractions at the end of an interval.

        q: (tracer, level, lat, lon) ppm; surface_flux: (tracer, lat, lon) kg m-2 s-1, upward positive; seconds: its length.
        """
        n = self.substeps(air, seconds)
        dt = seconds / n
        moved = {"east": air.east * dt, "north": air.north * dt, "up": air.up * dt}
        moved = {name: flux.to(q.dtype) for name, flux in moved.items()}
        mass = air.mass_start.to(q.dtype)
        added = kgkg_to_ppm(surface_flux * torch.as_tensor(self.grid.area) * dt).to(q.dtype)
        exchange = self.diffusivity.exchange(self.levels, self.grid)
        for k in range(n):
            q = torch.cat([(q[..., :1, :, :] + (added / mass[0])[..., None, :, :]), q[..., 1:, :, :]], dim=-3)
            for direction in ("east", "north", "up") if k % 2 == 0 else ("up", "north", "east"):
                q, mass = _ADVECT[direction](q, mass, moved[direction], self.scheme, self.limited)
            q = mix(q, mass, exchange, dt)
        # The air has arrived at mass_end to round-off: q times mass_end is the tracer's mass, and uniform stays uniform.
        return q

    def close(
        self, east: Tensor, north: Tensor, ps_start: Tensor, ps_end: Tensor, seconds: float
    ) -> MassFluxes:
        """`continuity.close` on this grid and these levels."""
        return close(east, north, ps_start, ps_end, seconds, self.grid, self.levels)


_ADVECT = {"east": advect_east, "north": advect_north, "up": advect_up}


def _outflow(flux: Tensor, dim: int) -> Tensor:
    """Air leaving each cell through its two faces along `dim`, kg s-1."""
    far = torch.cat([flux.narrow(dim, 1, flux.shape[dim] - 1), torch.zeros_like(flux.narrow(dim, 0, 1))], dim)
    return far.clamp(min=0) + (-flux).clamp(min=0)
