"""Footprints for users: winds in, a labelled sensitivity to surface fluxes out. The mathematics is in `transport/footprint.py`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import xarray as xr

from gencarbon.data.axes import step_of
from gencarbon.data.store import canonical
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sampling.coarse_run import air_motion, has_mass_fluxes
from gencarbon.transport.footprint import Footprint, column, station
from gencarbon.transport.footprint import footprint as adjoint
from gencarbon.transport.offline import OfflineRun
from gencarbon.variables import level_coordinates


def footprint(
    winds: xr.Dataset,
    lat: float,
    lon: float,
    level: int | None = 1,
    averaging_kernel: np.ndarray | None = None,
    scheme: str = "ppm",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> xr.Dataset:
    """What the CO2 at a place, at the last frame of `winds`, feels of every surface flux before it.

    winds: u, v (m s-1), surface_pressure (Pa), hybrid_a, hybrid_b, and air mass fluxes (kg s-1) where the model has them. lat, lon:
    degrees north, east. level: 1 touches the surface; None: the column, its layers weighted by their air and by `averaging_kernel`
    (level,). scheme: "ppm", "van_leer" or "upwind", each without a limiter, so that the footprint is exact.

    Returns `footprint` (time, lat, lon) in ppm per (umol m-2 s-1) of a flux from each frame to the next, and `initial_sensitivity`
    (level, lat, lon) in ppm per ppm of the first frame. Raises InputError.
    """
    winds = canonical(winds, "winds")
    if winds.sizes["time"] < 2:
        raise InputError("a footprint needs winds of at least 2 frames, got 1; give a longer period")
    grid, levels = LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds)
    air = air_motion(winds, grid, levels, step_of(winds["time"]) / np.timedelta64(1, "s"))
    if level is None:
        kernel = 1.0 if averaging_kernel is None else np.asarray(averaging_kernel, float)
        if np.ndim(kernel) and np.shape(kernel) != (levels.count,):
            raise InputError(
                f"expected an averaging kernel on the {levels.count} levels of the winds, got shape {np.shape(kernel)}; "
                "interpolate it to them first"
            )
        receptor = column(grid, levels, lat, lon, air.surface_pressure[-1], kernel)
    elif averaging_kernel is not None:
        raise InputError(f"an averaging kernel belongs to a column, got level={level}; give level=None")
    else:
        receptor = station(grid, levels, lat, lon, level)
    made = adjoint(OfflineRun(grid, levels, scheme), air, receptor[None], progress=progress)
    labelled = _label(made, winds["time"], grid, levels)
    labelled.attrs |= {
        "receptor": f"{lat:g} N, {lon:g} E, " + ("column" if level is None else f"level {level}"),
        "scheme": f"{scheme}, no limiter",
        "air_mass_fluxes": "as given" if has_mass_fluxes(winds) else "estimated from winds at cell centres",
    }
    return labelled


def _label(made: Footprint, time: xr.DataArray, grid: LatLonGrid, levels: HybridLevels) -> xr.Dataset:
    """CF names and units for the one receptor, which sees the last time."""
    return xr.Dataset(
        {
            "footprint": (("time", "lat", "lon"), made.flux[0], {
                "units": "1e-6 umol-1 m2 s",
                "long_name": "mole fraction of CO2 in dry air, ppm, per surface flux of 1 umol m-2 s-1 from this frame to the next",
            }),
            "initial_sensitivity": (("level", "lat", "lon"), made.initial[0], {
                "units": "1", "long_name": "mole fraction of CO2 per mole fraction at the first frame",
            }),
            "cell_area": (("lat", "lon"), grid.area, {"units": "m2", "standard_name": "cell_area"}),
        },
        {
            "time": time[:-1],
            "lat": ("lat", grid.lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", grid.lon, {"units": "degrees_east", "standard_name": "longitude"}),
            **level_coordinates(levels),
        },
        {
            "title": "Footprint computed with gencarbon",
            "Conventions": "CF-1.11",
            "gencarbon_version": version("gencarbon"),
            "receptor_time": str(time.values[-1]),
        },
    )  # fmt: skip
