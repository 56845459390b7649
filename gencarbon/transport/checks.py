"""What a transport step refuses, before it computes anything, with the number that offends and the remedy."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gencarbon.errors import InputError
from gencarbon.grid import LatLonGrid
from gencarbon.transport.continuity import MassFluxes, divergence

MAX_SHARE = 0.9  # largest share of a cell's air that may leave through its southern and northern, or lower and upper face at once
OPEN = 1e-9  # largest part of a cell's air by which continuity may be open: round-off is 1e-13
MAX_SUBSTEPS = 500  # an interval that needs more has wrong units or an unsuitable length


@torch.no_grad()
def check_air(air: MassFluxes, seconds: float) -> None:
    """Finite fluxes of one shape, positive air masses, and continuity closed in every cell over `seconds`."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(
            f"an interval must last a positive number of seconds, got {seconds:g}; run backwards with the adjoint"
        )
    for name in ("mass_start", "mass_end", "east", "north", "up"):
        value = getattr(air, name)
        if value.shape != air.mass_start.shape:
            raise InputError(
                f"air mass fluxes must have the shape of the air mass, {tuple(air.mass_start.shape)}, got {name} "
                f"{tuple(value.shape)}; put winds and surface pressure on one grid"
            )
        _check_finite(value, f"air mass fluxes ({name})", "check the winds and the surface pressure")
        if name.startswith("mass") and float(value.min()) <= 0:
            raise InputError(
                f"air masses must be positive, got {float(value.min()):.4g} kg in {name}; check the surface pressure (Pa) "
                "and the hybrid coefficients (Pa and 1)"
            )
    outflow = divergence(air.east, air.north) + _net_outflow_up(air.up)
    open_by = float(((air.mass_start - seconds * outflow - air.mass_end) / air.mass_start).abs().max())
    if open_by > OPEN:
        raise InputError(
            f"air must close continuity over the interval of {seconds:g} s, got a cell that misses {open_by:.2g} of its air; "
            "close the fluxes for this interval (continuity.close)"
        )


def check_tracer(q: Tensor, surface_flux: Tensor, air: MassFluxes, cells: tuple[int, int, int]) -> None:
    """The tracer, the air and the surface flux lie on the cells (level, lat, lon) of the transport."""
    shape = tuple(q.shape)
    if tuple(air.mass_start.shape[-3:]) != cells or shape[-3:] != cells or q.dim() < 4:
        raise InputError(
            f"expected a tracer (..., tracer, level, lat, lon) and air (..., level, lat, lon) on cells {cells}, got "
            f"{shape} and {tuple(air.mass_start.shape)}; regrid one onto the other"
        )
    if tuple(air.mass_start.shape[:-3]) not in ((), shape[:-4]):
        raise InputError(
            f"expected air for each of the tracer's batch {shape[:-4]} or one for all, got {tuple(air.mass_start.shape[:-3])}; "
            "give q the leading dimensions of the winds"
        )
    if tuple(surface_flux.shape) not in ((*shape[:-3], *cells[1:]), (shape[-4], *cells[1:])):
        raise InputError(
            f"expected surface fluxes on the tracer's cells, {(*shape[:-3], *cells[1:])}, got "
            f"{tuple(surface_flux.shape)}; regrid the fluxes conservatively first"
        )
    _check_finite(q, "mole fractions", "fill or mask them first")
    _check_finite(surface_flux, "surface fluxes", "fill or mask them first")


def _check_finite(value: Tensor, what: str, remedy: str) -> None:
    # one NaN or infinity spoils a sum, which takes a twentieth of the time
    spoilt = not math.isfinite(float(value.detach().sum()))
    if spoilt and not bool(torch.isfinite(value).all()):
        bad = int((~torch.isfinite(value)).sum())
        raise InputError(f"{what} must be finite, got {bad} NaN or infinite values; {remedy}")


def check_grid(grid: LatLonGrid) -> None:
    """A whole sphere of evenly spaced longitudes: what the poles, the rings and the closing of continuity rely on."""
    lat, lon = grid.lat_bounds, grid.lon_bounds
    steps = np.diff(lon)
    if abs(lat[0] + 90) > 1e-6 or abs(lat[-1] - 90) > 1e-6 or abs(lon[-1] - lon[0] - 360) > 1e-6:
        raise InputError(
            f"transport needs a global grid, got {lat[0]:g}..{lat[-1]:g} degrees north and {lon[0]:g}..{lon[-1]:g} degrees east; "
            "take the whole sphere"
        )
    if len(steps) < 4 or len(lat) < 3 or np.ptp(steps) > 1e-6:
        raise InputError(
            f"transport needs at least 2 rows of at least 4 evenly spaced cells, got {len(lat) - 1} rows of {len(steps)} cells "
            f"{steps.min():g} to {steps.max():g} degrees wide; regrid first"
        )


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
    count = round(seconds / substep) if math.isfinite(substep) and substep > 0 else 0
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
