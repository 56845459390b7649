"""Transport tests in three dimensions: DCMIP 2012 cases 1-1 and 1-2, with fluxes that close by construction.

Kent, Ullrich and Jablonowski (2014, doi:10.1002/qj.2208). An isothermal atmosphere of 300 K between the surface (1000 hPa) and
12 km, heights z = H ln(p0 / p). Every flow is the sum of rotations in one plane, so face fluxes are differences of stream functions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gencarbon.constants import EARTH_RADIUS, GRAVITY, SECONDS_PER_DAY
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import MassFluxes
from gencarbon.transport.solver import Transport

SURFACE = 1e5  # Pa
GAS_CONSTANT = 287.0  # J kg-1 K-1   dry air, as in the cases' definition
SCALE_HEIGHT = GAS_CONSTANT * 300.0 / GRAVITY  # m
LID = 12000.0  # m
TOP = SURFACE * np.exp(-LID / SCALE_HEIGHT)  # Pa
DEFORMATION_PERIOD = 12 * SECONDS_PER_DAY  # s
HADLEY_PERIOD = SECONDS_PER_DAY  # s
Faces = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # kg s-1 through western, southern and lower faces, (level, lat, lon)
Flow = Callable[[LatLonGrid, HybridLevels, float], Faces]
QUADRATURE = 6  # points per cell and direction for cell means


def layers(count: int) -> HybridLevels:
    """`count` layers of equal height from the surface to the lid; at a surface pressure of 1000 hPa."""
    pressure = SURFACE * np.exp(-np.linspace(0, LID, count + 1) / SCALE_HEIGHT)
    pressure[0], pressure[-1] = SURFACE, TOP
    b = (pressure - TOP) / (SURFACE - TOP)
    return HybridLevels(tuple(pressure - b * SURFACE), tuple(b))


def _axes(grid: LatLonGrid, levels: HybridLevels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interfaces: latitude and longitude in radians, pressure in Pa from the surface up."""
    pressure = np.array(levels.a) + np.array(levels.b) * SURFACE
    return np.deg2rad(np.array(grid.lat_bounds)), np.deg2rad(np.array(grid.lon_bounds)), pressure


def deformation(grid: LatLonGrid, levels: HybridLevels, time: float) -> Faces:
    """Case 1-1: horizontal deformation and a circulation in longitude and pressure, both reversed after half of 12 days."""
    lat, lon, p = _axes(grid, levels)
    tau, b = DEFORMATION_PERIOD, 0.2 * TOP
    moved, thickness = lon - 2 * np.pi * time / tau, -np.diff(p)[:, None, None] / GRAVITY
    swing = np.cos(np.pi * time / tau)
    psi = (
        10 / tau * np.outer(np.cos(lat) ** 2, np.sin(moved) ** 2) * swing
        - 2 * np.pi / tau * np.sin(lat)[:, None]
    )
    psi = psi * EARTH_RADIUS**2
    east = -np.diff(psi, axis=0)[:, :-1] * thickness
    north = np.diff(psi, axis=1)[:-1] * thickness
    shape = 1 + np.exp((TOP - SURFACE) / b) - np.exp((p - SURFACE) / b) - np.exp((TOP - p) / b)
    shape[[0, -1]] = 0.0
    omega = 23000 * np.pi / tau * np.cos(2 * np.pi * time / tau)  # Pa s-1
    across = np.diff(lat / 2 + np.sin(2 * lat) / 4)[:, None]  # integral of cos^2
    circulation = omega * EARTH_RADIUS**2 / GRAVITY * shape[:, None, None] * across * np.cos(moved)
    return east + (circulation[:-1] - circulation[1:])[..., :-1], north, np.diff(circulation, axis=2)[:-1]


def hadley(grid: LatLonGrid, levels: HybridLevels, time: float) -> Faces:
    """Case 1-2: a zonal flow of 40 m s-1 and five overturning cells of 0.15 m s-1, reversed after half a day."""
    lat, lon, p = _axes(grid, levels)
    thickness = -np.diff(p)[:, None, None] / GRAVITY
    east = 40.0 * EARTH_RADIUS * np.diff(np.sin(lat))[:, None] * thickness * np.ones(len(lon) - 1)
    height = np.sin(np.pi * SCALE_HEIGHT * np.log(SURFACE / p) / LID)
    height[[0, -1]] = 0.0
    around = np.cos(lat) ** 2 * np.sin(5 * lat)
    around[[0, -1]] = 0.0
    swing = np.cos(np.pi * time / HADLEY_PERIOD)
    density = SURFACE / (GAS_CONSTANT * 300.0)  # kg m-3 at the surface
    overturning = (
        density * 0.15 / 5 * EARTH_RADIUS**2 * swing * np.einsum("k,j,i->kji", height, around, np.diff(lon))
    )
    return east, -np.diff(overturning, axis=0)[:, :-1], np.diff(overturning, axis=1)[:-1]


def four_tracers(lat: np.ndarray, lon: np.ndarray, z: np.ndarray) -> np.ndarray:
    """q1 two bells, q2 on a curve with it, q3 slotted ellipses, q4 = 1 - 0.3 (q1 + q2 + q3). z in m."""
    near = []
    for centre in (5 * np.pi / 6, 7 * np.pi / 6):
        cosine = np.clip(np.cos(lat) * np.cos(lon - centre), -1, 1)
        near.append(np.minimum((np.arccos(cosine) / 0.5) ** 2 + ((z - 5000.0) / 1000.0) ** 2, 1))
    q1 = sum((1 + np.cos(np.pi * d)) / 2 for d in near)
    q2 = 0.9 - 0.8 * q1**2
    inside = (np.minimum(*near) < 0.5) & ~((z > 5000.0) & (np.abs(lat) < 0.125))
    q3 = np.where(inside, 1.0, 0.1)
    return np.stack([q1, q2, q3, 1 - 0.3 * (q1 + q2 + q3)])


def cosine_layer(lat: np.ndarray, lon: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A smooth layer between 2 and 5 km."""
    inside = (z > 2000.0) & (z < 5000.0)
    layer = np.where(inside, (1 + np.cos(2 * np.pi * (z - 3500.0) / 3000.0)) / 2, 0.0)
    return (layer + 0 * lat + 0 * lon)[None]


def cell_means(
    field: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], grid: LatLonGrid, levels: HybridLevels
) -> np.ndarray:
    """Air-mass means of field(lat, lon, z), (tracer, level, lat, lon), by midpoints in sin(lat), lon and pressure."""
    lat, lon, p = _axes(grid, levels)
    part = (np.arange(QUADRATURE) + 0.5) / QUADRATURE
    between = lambda edges: edges[:-1, None] + part * np.diff(edges)[:, None]  # noqa: E731
    y, x = np.arcsin(between(np.sin(lat))).ravel(), between(lon).ravel()
    blocks = (grid.shape[0], QUADRATURE, grid.shape[1], QUADRATURE)
    made = []
    for layer in between(p):
        heights = SCALE_HEIGHT * np.log(SURFACE / layer)
        values = [field(y[:, None], x, z) for z in heights]
        made.append(np.mean([v.reshape(len(v), *blocks).mean((2, 4)) for v in values], axis=0))
    return np.stack(made, axis=1)


def carry(
    start: np.ndarray,
    flow: Flow,
    grid: LatLonGrid,
    levels: HybridLevels,
    period: float,
    intervals: int,
    scheme: str = "ppm",
    limited: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Tracers (tracer, level, lat, lon) after a period in equal intervals of steady fluxes (their middles'), and the air mass, kg."""
    model = Transport(grid, levels, scheme, limited, diffusivity=None)
    mass = torch.tensor(levels.air_mass(np.full(grid.shape, SURFACE), grid))
    q, still, seconds = torch.tensor(start), torch.zeros(len(start), *grid.shape), period / intervals
    for k in range(intervals):
        faces = (torch.tensor(f) for f in flow(grid, levels, (k + 0.5) * seconds))
        q = model.step(q, MassFluxes(mass, mass, *faces), still, seconds)
    return q.numpy(), mass.numpy()
