"""What a transport step refuses, before it computes anything, with the number that offends and the remedy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gencarbon.errors import InputError
from gencarbon.transport.continuity import MassFluxes, divergence

MAX_SHARE = 0.9  # largest share of a cell's air that may leave through its southern and northern, or lower and upper face at once
MAX_SUBSTEPS = 500  # an interval that needs more has wrong units or an unsuitable length


def check_air(air: MassFluxes) -> None:
    """Finite fluxes of one shape and positive air masses."""
    for name in ("mass_start", "mass_end", "east", "north", "up"):
        value = getattr(air, name)
        if value.shape != air.mass_start.shape:
            raise InputError(
                f"air mass fluxes must have the shape of the air mass, {tuple(air.mass_start.shape)}, got {name} "
                f"{tuple(value.shape)}; put winds and surface pressure on one grid"
            )
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise InputError(
                f"air mass fluxes must be finite, got {bad} NaN or infinite values in {name}; check the winds and the surface pressure"
            )
        if name.startswith("mass") and float(value.min()) <= 0:
            raise InputError(
                f"air masses must be positive, got {float(value.min()):.4g} kg in {name}; check the surface pressure (Pa) "
                "and the hybrid coefficients (Pa and 1)"
            )


def check_tracer(q: Tensor, surface_flux: Tensor, air: MassFluxes, cells: tuple[int, int, int]) -> None:
    """The tracer, the air and the surface flux lie on the cells (level, lat, lon) of the transport."""
    if tuple(air.mass_start.shape[-3:]) != cells or tuple(q.shape[-3:]) != cells or q.dim() < 4:
        raise InputError(
            f"expected a tracer (..., tracer, level, lat, lon) and air (..., level, lat, lon) on cells {cells}, got "
            f"{tuple(q.shape)} and {tuple(air.mass_start.shape)}; regrid one onto the other"
        )
    if surface_flux.shape[-2:] != q.shape[-2:] or surface_flux.shape[-3] not in (1, q.shape[-4]):
        raise InputError(
            f"expected surface fluxes (..., tracer, lat, lon) on the tracer's cells {(q.shape[-4], *q.shape[-2:])}, got "
            f"{tuple(surface_flux.shape)}; regrid the fluxes conservatively first"
        )
    if not bool(torch.isfinite(surface_flux).all()):
        raise InputError("surface fluxes must be finite, got NaN or infinity; fill or mask them first")


@torch.no_grad()
def outflow_rate(air: MassFluxes) -> float:
    """The largest share of a cell's air that leaves per second: 1 / s. A substep may be at most MAX_SHARE over this.

    Steps run east, north, up and back: each may take only what the ones before it have left.
    """
    mass = torch.minimum(air.mass_start, air.mass_end)
    east = divergence(air.east, torch.zeros_like(air.north))
    north = divergence(torch.zeros_like(air.east), air.north)
    up = _net_outflow_up(air.up)
    lost = lambda x: x.clamp(min=0)  # noqa: E731
    shares = [
        _outflow(air.north, -2) + torch.maximum(lost(east), lost(up)),
        _outflow(air.up, -3) + lost(east + north),
        lost(east),
        lost(up + north),
    ]
    return max(float((share / mass).max()) for share in shares)


def count_substeps(air: MassFluxes, seconds: float, substep: float | None) -> int:
    """How many equal substeps make the interval, an even number: by the air that moves, or as `substep` (s) says."""
    rate = outflow_rate(air)
    needed = 2 * math.ceil(rate * seconds / MAX_SHARE / 2) or 2
    if needed > MAX_SUBSTEPS:
        raise InputError(
            f"air moves through up to {rate * seconds:.3g} cells in an interval of {seconds:g} s, which needs {needed} substeps of at "
            f"most {MAX_SUBSTEPS}; check the units of the winds (m s-1) and of the air mass fluxes (kg s-1), or shorten the interval"
        )
    if substep is None:
        return needed
    count = round(seconds / substep)
    if count < 2 or count % 2 or abs(count * substep - seconds) > 1e-9 * seconds:
        raise InputError(
            f"an interval of {seconds:g} s must be an even number of substeps, got substeps of {substep:g} s; use {seconds / needed:g} s"
        )
    if rate * substep > 1:
        raise InputError(
            f"Courant number {rate * substep:.3g} of a substep of {substep:g} s, of at most 1 outside the zonal direction; "
            f"use {seconds / needed:g} s or less"
        )
    return count


@torch.no_grad()
def far_rows(air: MassFluxes, substep: float) -> int:
    """Rows next to each pole in which air may come zonally from beyond the next cell; half of all rows: anywhere."""
    mass = torch.minimum(air.mass_start, air.mass_end)
    before = divergence(torch.zeros_like(air.east), air.north) + _net_outflow_up(
        air.up
    )  # gone before the second substep's zonal step
    left = mass - substep * before.clamp(min=0)
    upwind = torch.where(air.east > 0, torch.roll(left, 1, -1), left)
    reach = (air.east.abs() * substep > 0.999 * upwind).any(-1).flatten(0, -2).any(0)
    rows = torch.nonzero(reach).flatten()
    if not len(rows):
        return 0
    half = (len(reach) + 1) // 2
    return int(torch.where(rows < half, rows + 1, len(reach) - rows).max())


def _outflow(flux: Tensor, dim: int) -> Tensor:
    """Air leaving each cell through its two faces along `dim`, kg s-1."""
    far = torch.cat([flux.narrow(dim, 1, flux.shape[dim] - 1), torch.zeros_like(flux.narrow(dim, 0, 1))], dim)
    return far.clamp(min=0) + (-flux).clamp(min=0)


def _net_outflow_up(up: Tensor) -> Tensor:
    return torch.cat([up[..., 1:, :, :], torch.zeros_like(up[..., :1, :, :])], -3) - up
