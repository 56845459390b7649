"""Analytic transport tests on the unit sphere: flows whose tracers come back, initial fields as cell means, error norms.

Nair and Lauritzen (2010, doi:10.1016/j.jcp.2010.08.014), case 4, with T = 5; Williamson et al. (1992,
doi:10.1016/S0021-9991(05)80016-6), case 1. Angles in radians, lengths in radii, air of unit density at the start, so masses are
areas of the unit sphere and flows are areas per unit time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch

from gencarbon.constants import EARTH_RADIUS
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import MassFluxes, divergence
from gencarbon.transport.refine import over_poles
from gencarbon.transport.solver import Transport

PERIOD = 5.0  # time after which every tracer is back where it began
CENTRES = ((5 * np.pi / 6, 0.0), (7 * np.pi / 6, 0.0))  # (lon, lat) of the two features
QUADRATURE = 8  # points per cell and direction for cell means
Fluxes = tuple[np.ndarray, np.ndarray]
Flow = Callable[
    [LatLonGrid, float], Fluxes
]  # (grid, time) -> fluxes through western and southern faces, (lat, lon)


def _edges(grid: LatLonGrid) -> tuple[np.ndarray, np.ndarray]:
    return np.deg2rad(np.array(grid.lat_bounds)), np.deg2rad(np.array(grid.lon_bounds))


def _of_stream_function(psi: np.ndarray) -> Fluxes:
    """u = -dpsi/dlat, v = dpsi/dlon / cos(lat), integrated exactly over faces. psi at cell corners, (lat + 1, lon + 1)."""
    return -np.diff(psi, axis=0)[:, :-1], np.diff(psi, axis=1)[:-1]


def deformation(grid: LatLonGrid, time: float) -> Fluxes:
    """Nair-Lauritzen case 4, non-divergent: features are torn to threads until T/2 and put together again."""
    lat, lon = _edges(grid)
    moved = lon - 2 * np.pi * time / PERIOD
    swirl = 10 / PERIOD * np.outer(np.cos(lat) ** 2, np.sin(moved) ** 2) * np.cos(np.pi * time / PERIOD)
    return _of_stream_function(swirl - 2 * np.pi / PERIOD * np.sin(lat)[:, None])


def squeeze(grid: LatLonGrid, time: float) -> Fluxes:
    """Nair-Lauritzen case 4, divergent: air gathers and thins while it turns, and the density of air with it."""
    lat, lon = _edges(grid)
    moved, swing = lon - 2 * np.pi * time / PERIOD, np.cos(np.pi * time / PERIOD)
    across = 5 / PERIOD * np.diff(np.cos(lat) ** 4)[:, None] / 2 * np.sin(moved[:-1] / 2) ** 2 * swing
    turning = 2 * np.pi / PERIOD * np.diff(np.sin(lat))[:, None]
    north = -5 / (2 * PERIOD) * np.outer(np.cos(lat[:-1]) ** 4, np.diff(np.cos(moved))) * swing
    north[0] = 0.0  # exactly, where cos(-pi / 2) is 6e-17
    return across + turning, north


def solid_rotation(angle: float) -> Flow:
    """Williamson case 1: rotation once a period about an axis tilted by `angle` from the pole's."""

    def flow(grid: LatLonGrid, time: float) -> Fluxes:
        lat, lon = _edges(grid)
        tilted = np.sin(lat)[:, None] * np.cos(angle) - np.outer(np.cos(lat), np.cos(lon)) * np.sin(angle)
        return _of_stream_function(-2 * np.pi / PERIOD * tilted)

    return flow


def _distance(lat: np.ndarray, lon: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Great-circle distance to `centre` = (lon, lat)."""
    cosine = np.sin(centre[1]) * np.sin(lat) + np.cos(centre[1]) * np.cos(lat) * np.cos(lon - centre[0])
    return np.arccos(np.clip(cosine, -1, 1))


def gaussian_hills(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Two smooth hills of height 0.95: exp(-5 chord^2)."""
    return sum(0.95 * np.exp(-10 * (1 - np.cos(_distance(lat, lon, c)))) for c in CENTRES)


def cosine_bells(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Two bells of radius 1/2 from 0.1 to 1, once differentiable."""
    r = [np.minimum(_distance(lat, lon, c) / 0.5, 1) for c in CENTRES]
    return 0.1 + 0.9 * cast(np.ndarray, sum((1 + np.cos(np.pi * a)) / 2 for a in r))


def slotted_cylinders(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Two cylinders of radius 1/2 with slots cut from opposite sides, 1 on 0.1."""
    field, slot = np.full(np.broadcast(lat, lon).shape, 0.1), 0.5 / 6
    for centre, side in zip(CENTRES, (1, -1)):
        inside = _distance(lat, lon, centre) <= 0.5
        cut = (np.abs(lon - centre[0]) < slot) & (side * (lat - centre[1]) > -5 / 12 * 0.5)
        field[inside & ~cut] = 1.0
    return field


def williamson_bell(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Cosine bell of radius 1/3 and height 1 at (3 pi / 2, 0)."""
    r = _distance(lat, lon, (3 * np.pi / 2, 0.0))
    return np.where(r < 1 / 3, (1 + np.cos(3 * np.pi * r)) / 2, 0.0)


def cell_means(field: Callable[[np.ndarray, np.ndarray], np.ndarray], grid: LatLonGrid) -> np.ndarray:
    """Area means of field(lat, lon) over the cells, (lat, lon), by midpoints in sin(lat) and lon."""
    lat, lon = _edges(grid)
    part = (np.arange(QUADRATURE) + 0.5) / QUADRATURE
    sine = np.sin(lat)
    points = np.arcsin(sine[:-1, None] + part * np.diff(sine)[:, None]).ravel()
    along = (lon[:-1, None] + part * np.diff(lon)[:, None]).ravel()
    values = field(*np.meshgrid(points, along, indexing="ij"))
    return values.reshape(grid.shape[0], QUADRATURE, grid.shape[1], QUADRATURE).mean((1, 3))


def _air_moved(flow: Flow, grid: LatLonGrid, mass: np.ndarray, time: float, length: float) -> Fluxes:
    """Mean mass fluxes of air over [time, time + length], from its own continuity equation by the classical Runge-Kutta method.

    A face has the density interpolated from two cells on each side; a density of 1 stays 1 where the flow does not diverge.
    """
    area = unit_air(grid)
    parts = math.ceil(
        max(float(np.abs(f / area).max()) for f in flow(grid, time)) * length
    )  # Courant numbers to 1: stable
    dt = length / parts

    def flux(air: np.ndarray, at: float) -> np.ndarray:
        density = over_poles(torch.tensor(air / area), 2, 1.0).numpy()
        interpolated = lambda a, b, c, d: (7 * (b + c) - (a + d)) / 12  # noqa: E731
        east = interpolated(*(np.roll(density[2:-2], k, -1) for k in (2, 1, 0, -1)))
        north = interpolated(*(density[k : k + len(area)] for k in range(4)))
        return np.stack([east, north]) * np.stack(flow(grid, at))

    outflow = lambda f: divergence(*torch.tensor(f)).numpy()  # noqa: E731
    total = np.zeros((2, *grid.shape))
    for t in time + dt * np.arange(parts):
        first = flux(mass, t)
        second = flux(mass - dt / 2 * outflow(first), t + dt / 2)
        third = flux(mass - dt / 2 * outflow(second), t + dt / 2)
        fourth = flux(mass - dt * outflow(third), t + dt)
        mean = (first + 2 * second + 2 * third + fourth) / 6
        mass, total = mass - dt * outflow(mean), total + mean / parts
    return total[0], total[1]


def unit_air(grid: LatLonGrid) -> np.ndarray:
    """Air of density 1, (lat, lon): the areas of cells on the unit sphere."""
    return grid.area / EARTH_RADIUS**2


def carry(
    start: np.ndarray,
    flow: Flow,
    grid: LatLonGrid,
    steps: int,
    schemes: Sequence[tuple[str, bool]] = (("ppm", False),),
    until: float = PERIOD,
) -> tuple[np.ndarray, np.ndarray]:
    """Tracers (scheme, tracer, lat, lon) and the mass of air (lat, lon) at `until`, with `steps` steps to the period, an even number.

    schemes: name and whether limited. Each pair of steps has one set of mass fluxes, their mean over the pair.
    """
    models = [Transport(grid, HybridLevels.sigma(1), *scheme) for scheme in schemes]
    mass, layer = unit_air(grid), lambda a: torch.tensor(a)[None]
    states = [torch.tensor(start)[:, None] for _ in models]
    still, pair = torch.zeros(len(start), *grid.shape, dtype=torch.float64), 2 * PERIOD / steps
    for k in range(math.ceil(until / pair - 1e-9)):
        east, north = _air_moved(flow, grid, mass, k * pair, pair)
        after = mass - pair * divergence(torch.tensor(east), torch.tensor(north)).numpy()
        air = MassFluxes(layer(mass), layer(after), layer(east), layer(north), layer(np.zeros_like(mass)))
        states = [m.step(q, air, still, pair, substep=pair / 2) for m, q in zip(models, states)]
        mass = after
    return np.stack([q[:, 0].numpy() for q in states]), mass


def norms(made: np.ndarray, exact: np.ndarray, area: np.ndarray) -> dict[str, float]:
    """Relative l1, l2 and largest error (Williamson et al. 1992, eqs. 82-84)."""
    miss = made - exact
    return {
        "l1": float((np.abs(miss) * area).sum() / (np.abs(exact) * area).sum()),
        "l2": float(np.sqrt((miss**2 * area).sum() / (exact**2 * area).sum())),
        "linf": float(np.abs(miss).max() / np.abs(exact).max()),
    }
