"""Air mass fluxes that close continuity exactly, from winds and surface pressure.

For every column and interval of length dt

    (m1 - m0) / dt = -div(Mx, My)        summed over layers,

with m the air mass of the columns at the ends and Mx, My (kg s-1) the mean fluxes through western and southern faces.
Winds on any grid miss this; `close` adds the smallest barotropic correction, a Poisson problem on the cells of the
sphere solved directly (Fourier in longitude, dense in latitude). The vertical fluxes then follow layer by layer. All of it
is differentiable in the winds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gencarbon.constants import EARTH_RADIUS, GRAVITY, SECONDS_PER_DAY
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid

AIR_TOLERANCE = 1e-9  # relative: more than this between the ends of an interval no horizontal flux can supply


@dataclass(frozen=True)
class MassFluxes:
    """Air moved over one interval. All float64, kg or kg s-1, (..., level, lat, lon).

    mass_start, mass_end: kg of air at the ends. east, north: kg s-1 through western and southern faces.
    up: kg s-1 through the lower interface of each layer (the first is the surface: 0).
    """

    mass_start: Tensor
    mass_end: Tensor
    east: Tensor
    north: Tensor
    up: Tensor


def divergence(east: Tensor, north: Tensor) -> Tensor:
    """Net horizontal outflow of every cell, kg s-1, of fluxes through western and southern faces (none at the poles)."""
    outflow_north = torch.cat([north[..., 1:, :], torch.zeros_like(north[..., :1, :])], dim=-2)
    return torch.roll(east, -1, -1) - east + outflow_north - north


def thickness(surface_pressure: Tensor, levels: HybridLevels) -> Tensor:
    """Pressure thickness of the layers, (..., level, lat, lon) Pa, float64, of surface_pressure (..., lat, lon) Pa."""
    da, db = (
        torch.tensor(-np.diff(x), device=surface_pressure.device)[:, None, None] for x in (levels.a, levels.b)
    )
    return da + db * surface_pressure.double()[..., None, :, :]


def face_fluxes(
    u: Tensor,
    v: Tensor,
    surface_pressure: Tensor,
    grid: LatLonGrid,
    levels: HybridLevels,
    at_faces: bool = False,
) -> tuple[Tensor, Tensor]:
    """Air mass fluxes through western and southern faces, kg s-1, of winds (not yet closing).

    u, v: (..., level, lat, lon) m s-1 at cell centres (a face has the mean of its two cells), or with at_faces u on western and v on
    southern faces (an Arakawa C grid; the first row of v, at the pole, is not used). surface_pressure: (..., lat, lon) Pa at centres.
    """
    dp = thickness(surface_pressure, levels)
    west = lambda x: (x + torch.roll(x, 1, -1)) / 2  # noqa: E731
    south = lambda x: (x + torch.cat([x[..., :1, :], x[..., :-1, :]], -2)) / 2  # noqa: E731
    u, v = u.double(), v.double()
    udp, vdp = (u * west(dp), v * south(dp)) if at_faces else (west(u * dp), south(v * dp))
    dlat = np.deg2rad(np.diff(grid.lat_bounds))[:, None]
    dlon = np.deg2rad(np.diff(grid.lon_bounds))
    width = EARTH_RADIUS * np.cos(np.deg2rad(grid.lat_bounds[:-1]))[:, None] * dlon
    width[0] = 0.0  # a point
    length = lambda x: torch.tensor(x / GRAVITY, device=u.device)  # noqa: E731
    return udp * length(EARTH_RADIUS * dlat), vdp * length(width)


@lru_cache(maxsize=8)
def _poisson(grid: LatLonGrid) -> tuple[Tensor, Tensor, Tensor]:
    """Conductances of western and southern faces and the inverse Laplacian for each zonal wavenumber."""
    nlat, nlon = grid.shape
    dlat, dlon = np.deg2rad(np.diff(grid.lat_bounds)), np.deg2rad(np.diff(grid.lon_bounds))[0]
    k_east = dlat / (np.cos(np.deg2rad(grid.lat)) * dlon)
    k_north = (
        np.cos(np.deg2rad(grid.lat_bounds[:-1]))
        * dlon
        / np.concatenate([[1.0], np.deg2rad(np.diff(grid.lat))])
    )
    k_north[0] = 0.0
    laplacian = np.zeros((nlat, nlat))
    for j in range(1, nlat):
        laplacian[[j, j - 1], [j, j - 1]] += k_north[j]
        laplacian[[j, j - 1], [j - 1, j]] -= k_north[j]
    wavenumber = np.arange(nlon // 2 + 1)
    zonal = 2 - 2 * np.cos(wavenumber * dlon)
    matrices = laplacian[None] + zonal[:, None, None] * np.diag(k_east)[None]
    inverse = np.concatenate([np.linalg.pinv(matrices[:1], hermitian=True), np.linalg.inv(matrices[1:])])
    return (
        torch.tensor(k_east)[:, None],
        torch.tensor(k_north)[:, None],
        torch.tensor(inverse, dtype=torch.complex128),
    )


def barotropic_correction(residual: Tensor, grid: LatLonGrid) -> tuple[Tensor, Tensor]:
    """Column fluxes (east, north), kg s-1, whose divergence is `residual` (..., lat, lon) kg s-1, of zero sum."""
    k_east, k_north, inverse = (x.to(residual.device) for x in _poisson(grid))
    spectrum = torch.fft.rfft(residual.double(), dim=-1)
    phi = torch.fft.irfft(torch.einsum("mij,...jm->...im", inverse, spectrum), n=grid.shape[1], dim=-1)
    below = torch.cat([phi[..., :1, :], phi[..., :-1, :]], dim=-2)
    return k_east * (torch.roll(phi, 1, -1) - phi), k_north * (below - phi)


def vertical_flux(
    mass_start: Tensor, mass_end: Tensor, east: Tensor, north: Tensor, seconds: float
) -> Tensor:
    """Upward air flux through the lower interface of every layer, kg s-1, from layer continuity; 0 at the surface."""
    gain = -(mass_end - mass_start) / seconds - divergence(east, north)
    return torch.cat(
        [torch.zeros_like(gain[..., :1, :, :]), torch.cumsum(gain, dim=-3)[..., :-1, :, :]], dim=-3
    )


def close(
    east: Tensor,
    north: Tensor,
    ps_start: Tensor,
    ps_end: Tensor,
    seconds: float,
    grid: LatLonGrid,
    levels: HybridLevels,
) -> MassFluxes:
    """Fluxes corrected so that each column gains exactly the air that surface pressure says, and their vertical fluxes.

    east, north: (..., level, lat, lon) kg s-1; ps_start, ps_end: (..., lat, lon) Pa of equal global mean. The correction
    is spread over layers in proportion to their thickness. Raises InputError where the ends hold different amounts of air.
    """
    area = torch.tensor(grid.area / GRAVITY, device=ps_start.device)
    mass_start, mass_end = (thickness(ps, levels) * area for ps in (ps_start, ps_end))
    residual = missing(east, north, mass_start, mass_end, seconds)
    gained = (residual.sum((-1, -2)).abs() * seconds / mass_start.sum((-1, -2, -3))).max()
    if not bool(gained < AIR_TOLERANCE) and bool(torch.isfinite(gained)):
        raise InputError(
            f"surface pressure at both ends of an interval must hold the same air, got a relative difference of {float(gained):.2g}; "
            "scale it with conserve_air first"
        )
    add_east, add_north = barotropic_correction(residual - residual.mean((-1, -2), keepdim=True), grid)
    dp = thickness(torch.full((1, 1), 1e5, dtype=torch.float64, device=east.device), levels)
    share = dp / dp.sum()
    east = east + share * add_east[..., None, :, :]
    north = north + share * add_north[..., None, :, :]
    return MassFluxes(
        mass_start, mass_end, east, north, vertical_flux(mass_start, mass_end, east, north, seconds)
    )


def missing(east: Tensor, north: Tensor, mass_start: Tensor, mass_end: Tensor, seconds: float) -> Tensor:
    """Outflow that the columns' change of air asks for beyond that of the fluxes, (..., lat, lon) kg s-1."""
    return -(mass_end - mass_start).sum(-3) / seconds - divergence(east.sum(-3), north.sum(-3))


def closure(
    east: Tensor, north: Tensor, air: MassFluxes, seconds: float, grid: LatLonGrid
) -> dict[str, float]:
    """How far fluxes (kg s-1) were from closing before `close` made `air` of them: numbers with their units in the names.

    pressure_hpa_per_day: root mean square of the pressure tendency that the fluxes miss. air_per_month: mean absolute part of a
    column's air that they would gain or lose wrongly in 30 days. correction_m_s, wind_m_s: root mean square of the barotropic wind
    added and of the wind (flux over thickness, through western faces).
    """
    area, column = torch.tensor(grid.area), air.mass_start.sum(-3)
    miss = missing(east, north, air.mass_start, air.mass_end, seconds)
    mean = lambda x: float((x * area).sum() / (area.sum() * x.numel() / area.numel()))  # noqa: E731
    height = torch.tensor(EARTH_RADIUS * np.deg2rad(np.diff(grid.lat_bounds)))[:, None]
    speed = lambda flux: flux / (column / area * height)  # noqa: E731
    return {
        "pressure_hpa_per_day": mean((miss * GRAVITY / area) ** 2) ** 0.5 * SECONDS_PER_DAY / 100,
        "air_per_month": mean((miss / column).abs()) * 30 * SECONDS_PER_DAY,
        "correction_m_s": mean(speed((air.east - east).sum(-3)) ** 2) ** 0.5,
        "wind_m_s": mean(speed(east.sum(-3)) ** 2) ** 0.5,
    }


def conserve_air(surface_pressure: Tensor, grid: LatLonGrid) -> Tensor:
    """Surface pressure (time, lat, lon) Pa scaled so that every frame holds as much dry air as the first."""
    area = torch.tensor(grid.area, device=surface_pressure.device)
    total = (surface_pressure.double() * area).sum((-1, -2), keepdim=True)
    return surface_pressure.double() * (total[:1] / total)


def coarsen_fluxes(east: Tensor, north: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Sums over the fine faces that make each coarse face: continuity closes on the coarse cells as it did on the fine."""
    *lead, nlat, nlon = east.shape
    blocks = (nlat // factor, factor, nlon // factor, factor)
    return east.reshape(*lead, *blocks)[..., :, :, :, 0].sum(-2), north.reshape(*lead, *blocks)[
        ..., :, 0, :, :
    ].sum(-1)
