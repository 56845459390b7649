"""Small canonical datasets that pass every check: 8 x 16 cells, 3 levels, 6-hourly, each built fresh."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.variables import describe, level_coordinates

GRID, LEVELS = LatLonGrid.equiangular(8, 16), HybridLevels.sigma(3)
STEP_SECONDS = 6 * 3600.0
FIELD, SURFACE = ("time", "level", "lat", "lon"), ("time", "lat", "lon")
_LAT, _LON = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)
_HEIGHT = np.arange(3)[:, None, None]


def _coords(frames, start):
    time = np.datetime64(start, "ns") + np.arange(frames) * np.timedelta64(6, "h")
    return {"time": time, **GRID.coordinates()}


def _n(frames, dims):
    return np.arange(frames).reshape(-1, *(1,) * dims)


def winds(frames=9, start="2001-01-01"):
    """u, v (m s-1), surface_pressure (Pa) and hybrid levels."""
    u = 20 * np.cos(_LAT) * (1 + _HEIGHT) + np.sin(_LON - 0.1 * _n(frames, 3))
    v = 5 * np.cos(_LAT) * np.sin(2 * _LON - 0.1 * _n(frames, 3)) + 0 * _HEIGHT
    pressure = 1e5 - 2e3 * np.sin(_LAT) ** 2 + 500 * np.cos(_LAT) * np.cos(_LON - 0.1 * _n(frames, 2))
    fields = {"u": (FIELD, u), "v": (FIELD, v), "surface_pressure": (SURFACE, pressure)}
    return _described(fields, _coords(frames, start) | level_coordinates(LEVELS), "winds")


def fluxes(frames=9, start="2001-01-01"):
    """flux (kg m-2 s-1), positive upward."""
    flux = 2e-8 * (0.4 + np.cos(_LAT) * np.sin(2 * _LON) + 0.1 * np.cos(0.5 * _n(frames, 2)))
    return _described({"flux": (SURFACE, flux)}, _coords(frames, start), "fluxes")


def background(frames=9, start="2001-01-01"):
    """co2 (ppm) with hybrid levels."""
    co2 = 415 + 3 * np.sin(_LAT) - _HEIGHT + np.cos(_LAT) * np.sin(2 * _LON - 0.3 * _n(frames, 3))
    return _described({"co2": (FIELD, co2)}, _coords(frames, start) | level_coordinates(LEVELS), "background")


def reference(frames=9, start="2001-01-01"):
    """co2 (ppm) and air_mass (kg)."""
    air_mass = LEVELS.air_mass(winds(frames, start).surface_pressure.values, GRID)
    return describe(background(frames, start).assign(air_mass=(FIELD, air_mass)))


def initial(start="2001-01-01"):
    """co2 (level, lat, lon) ppm at one date."""
    return background(1, start).isel(time=0)


def ensemble_template(frames=9, start="2001-01-01"):
    """Coordinates, static variables and attributes of an ensemble, without its members."""
    ds = (
        reference(frames, start)
        .rename(co2="co2_background")
        .assign(flux=fluxes(frames, start).flux, cell_area=(("lat", "lon"), GRID.area))
    )
    return describe(ds).assign_attrs(title="an ensemble", seed=0, initial_frame="known")


def _described(fields, coords, title):
    return describe(xr.Dataset(fields, coords, {"title": title}))
