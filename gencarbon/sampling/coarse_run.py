"""The coarse run b for users who have none: our own transport on the model grid, from a known state."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import conserve_air, face_fluxes
from gencarbon.transport.solver import Transport

SCHEME = "van_leer"  # the background of HS-CO2, on which checkpoints are trained


def coarse_run(
    winds: xr.Dataset,
    flux: np.ndarray,
    initial: np.ndarray,
    grid: LatLonGrid,
    levels: HybridLevels,
    step_seconds: float,
) -> np.ndarray:
    """CO2 of the coarse model, (time, level, lat, lon) ppm, from `initial` (level, lat, lon) ppm.

    Uses the air mass fluxes of `winds` where present (kg s-1), else those of its winds at cell centres; closes continuity itself.
    flux: (time, lat, lon) kg m-2 s-1.
    """
    model = Transport(grid, levels, SCHEME, limited=False)
    ps = conserve_air(torch.tensor(winds["surface_pressure"].values), grid)
    given = "eastward_air_mass_flux" in winds and "northward_air_mass_flux" in winds
    frame = lambda name, k: torch.tensor(winds[name][k].values, dtype=torch.float64)  # noqa: E731
    states = [torch.tensor(initial, dtype=torch.float64)[None]]
    for k in range(len(ps) - 1):
        if given:
            faces = frame("eastward_air_mass_flux", k), frame("northward_air_mass_flux", k)
        else:
            middle = [(frame(name, k) + frame(name, k + 1)) / 2 for name in ("u", "v")]
            faces = face_fluxes(*middle, (ps[k] + ps[k + 1]) / 2, grid, levels)
        air = model.close(*faces, ps[k], ps[k + 1], step_seconds)
        states.append(model.step(states[-1], air, torch.tensor(flux[k])[None], step_seconds))
    return torch.cat(states).numpy()
