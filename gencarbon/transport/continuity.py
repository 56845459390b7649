"""Air mass fluxes that close continuity exactly, from winds and surface pressure.

For every column and interval of length dt

    (m1 - m0) / dt = -div(Mx, My)        summed over layers,

with m the air mass of the columns at the ends and Mx, My (kg s-1) the mean fluxes through western and southern faces.
Winds on any grid miss this; `close` adds the smallest barotropic correction, a Poisson problem on the cells of the
sphere solved directly (Fourier in longitude, dense in latitude). The vertical fluxes then follow layer by layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gencarbon.constants import EARTH_RADIUS, GRAVITY
from gencarbon.grid import HybridLevels, LatLonGrid


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


def face_fluxes(
    u: Tensor, v: Tensor, surface_pressure: Tensor, grid: LatLonGrid, levels: HybridLevels
) -> tuple[Tensor, Tensor]:
    """Air mass fluxes through western and southern faces, kg s-1, from winds at cell centres (not yet closing).

    u, v: (..., level, lat, lon) m s-1; surface_pressure: (..., lat, lon) Pa. Face values are means of the two neighbours.
    """
    dp = torch.as_tensor(levels.thickness(surface_pressure.numpy()))
    udp, vdp = u.double() * dp, v.double() * dp
    dlat = torch.deg2rad(torch.diff(torch.tensor(grid.lat_bounds, dtype=torch.float64)))[:, None]
    dlon = torch.deg2rad(torch.diff(torch.tensor(grid.lon_bounds, dtype=torch.float64)))
    cos_face = torch.cos(torch.deg2rad(torch.tensor(grid.lat_bounds[:-1], dtype=torch.float64)))[:, None]
    east = (udp + torch.roll(udp, 1, -1)) / 2 * (EARTH_RADIUS * dlat / GRAVITY)
    south_neighbour = torch.cat([torch.zeros_like(vdp[..., :1, :]), vdp[..., :-1, :]], dim=-2)
    north = (vdp + south_neighbour) / 2 * (EARTH_RADIUS * cos_face * dlon / GRAVITY)
    north[..., 0, :] = 0.0
    return east, north


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
    k_east, k_north, inverse = _poisson(grid)
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
    is spread over layers in proportion to their thickness.
    """
    mass_start = torch.as_tensor(levels.air_mass(ps_start.numpy(), grid))
    mass_end = torch.as_tensor(levels.air_mass(ps_end.numpy(), grid))
    tendency = (mass_end - mass_start).sum(-3) / seconds
    residual = -tendency - divergence(east.sum(-3), north.sum(-3))
    add_east, add_north = barotropic_correction(residual - residual.mean((-1, -2), keepdim=True), grid)
    share = torch.tensor(
        levels.thickness(np.full((1, 1), 1e5)) / levels.thickness(np.full((1, 1), 1e5)).sum()
    )
    east = east + share * add_east[..., None, :, :]
    north = north + share * add_north[..., None, :, :]
    return MassFluxes(
        mass_start, mass_end, east, north, vertical_flux(mass_start, mass_end, east, north, seconds)
    )


def conserve_air(surface_pressure: Tensor, grid: LatLonGrid) -> Tensor:
    """Surface pressure (time, lat, lon) Pa scaled so that every frame holds as much dry air as the first."""
    area = torch.as_tensor(grid.area)
    total = (surface_pressure.double() * area).sum((-1, -2), keepdim=True)
    return surface_pressure.double() * (total[:1] / total)


def coarsen_fluxes(east: Tensor, north: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Sums over the fine faces that make each coarse face: continuity closes on the coarse cells as it did on the fine."""
    *lead, nlat, nlon = east.shape
    blocks = (nlat // factor, factor, nlon // factor, factor)
    return east.reshape(*lead, *blocks)[..., :, :, :, 0].sum(-2), north.reshape(*lead, *blocks)[
        ..., :, 0, :, :
    ].sum(-1)
