"""Runs of our own transport: the refined run, from which a forecast starts, and a coarse run to compare with for users who have none.

Both from air mass fluxes of the user where given, else from winds at cell centres, on one thread: sums over several round differently.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.model.winds import WindNetwork
from gencarbon.sampling.subgrid import LearntSubgrid
from gencarbon.threads import one_thread
from gencarbon.transport.continuity import conserve_air, face_fluxes
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.transport.variance import variances

SCHEME = "van_leer"  # that of the coarse run of HS-CO2


def has_mass_fluxes(winds: xr.Dataset) -> bool:
    """Whether `winds` brings the air mass fluxes of its model."""
    return "eastward_air_mass_flux" in winds and "northward_air_mass_flux" in winds


def air_motion(winds: xr.Dataset, grid: LatLonGrid, levels: HybridLevels, step_seconds: float) -> AirMotion:
    """The air of `winds`: its own mass fluxes (kg s-1), else those of its winds at cell centres, means of the ends of each step
    (for the last frame, whose step has no end, those of its own winds)."""
    load = lambda name: np.asarray(winds[name].values, np.float64)  # noqa: E731
    ps = conserve_air(torch.tensor(load("surface_pressure")), grid)
    if has_mass_fluxes(winds):
        east, north = load("eastward_air_mass_flux"), load("northward_air_mass_flux")
        return AirMotion(ps.numpy(), east, north, step_seconds)
    middle = lambda x: torch.cat([(x[:-1] + x[1:]) / 2, x[-1:]])  # noqa: E731
    u, v = (middle(torch.tensor(load(name))) for name in ("u", "v"))
    faces = face_fluxes(u, v, middle(ps), grid, levels)
    return AirMotion(ps.numpy(), faces[0].numpy(), faces[1].numpy(), step_seconds)


def coarse_run(
    air: AirMotion, flux: np.ndarray, initial: np.ndarray, grid: LatLonGrid, levels: HybridLevels
) -> np.ndarray:
    """CO2 of the coarse model, (time, level, lat, lon) ppm, from `initial` (level, lat, lon) ppm. flux: (time, lat, lon) kg m-2 s-1."""
    return _run(OfflineRun(grid, levels, SCHEME), air, flux, initial)


def refined_run(
    air: AirMotion,
    flux: np.ndarray,
    initial: np.ndarray,
    grid: LatLonGrid,
    levels: HybridLevels,
    scheme: str,
    factor: int,
    network: WindNetwork | None = None,
    cell_winds: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """As `coarse_run`, carried on cells `factor` times finer and averaged back: the networks' first guess. network: adds what finer
    winds add to the interpolated fluxes. cell_winds: see `LearntSubgrid`."""
    with one_thread():
        subgrid = None if network is None else LearntSubgrid(network, grid, levels, air, cell_winds)
        return _run(OfflineRun(grid, levels, scheme, factor, torch.float32, subgrid), air, flux, initial)


def variance_of(
    refined: np.ndarray, air: AirMotion, grid: LatLonGrid, levels: HybridLevels, known: bool
) -> np.ndarray:
    """How far a refined run (time, level, lat, lon) ppm may be off, same shape, ppm2; known: whether its first frame is right."""
    return np.concatenate(list(variances(refined[None], air, grid, levels, known)))


def _run(run: OfflineRun, air: AirMotion, flux: np.ndarray, initial: np.ndarray) -> np.ndarray:
    base = initial.mean()  # carried exactly by hand: float32 would round 400 ppm to 3e-5
    with one_thread():
        return base + np.concatenate(list(run.states((initial - base)[None], flux[None], air)))
