"""Synthetic canonical datasets, 8 x 16 cells, 3 levels: a calibrated ensemble whose budget closes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.budget import accumulated_flux, co2_mass, mass_to_ppm
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.variables import describe, level_coordinates

STEP_HOURS = 6


def close_budget(co2, air_mass, added):
    """Shift each frame of (..., time, level, lat, lon) ppm until its mass is initial mass + `added` kg."""
    for _ in range(2):  # the second pass removes the round-off of the first
        mass = co2_mass(co2, air_mass)
        gap = mass[..., :1] + added - mass
        co2 = co2 + mass_to_ppm(gap, air_mass)[..., None, None, None]
    return co2


def synthetic_ensemble(
    members=6, frames=9, nlat=8, nlon=16, nlev=3, seed=0, start="2001-01-01", mean_network=True
):
    """(ensemble E, reference R): truth and members exchangeable, so the spread-skill ratio is near 1."""
    rng = np.random.default_rng(seed)
    grid, levels = LatLonGrid.equiangular(nlat, nlon), HybridLevels.sigma(nlev)
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)
    n = np.arange(frames)
    pressure = 1e5 - 2e3 * np.sin(lat) ** 2 + 500 * np.cos(lat) * np.cos(lon - 0.1 * n[:, None, None])
    air_mass = levels.air_mass(pressure, grid)
    flux = 2e-8 * (0.4 + np.cos(lat) * np.sin(2 * lon) + 0.1 * np.cos(0.5 * n)[:, None, None])
    added = accumulated_flux(flux, grid.area, STEP_HOURS * 3600.0)

    height = np.arange(nlev)[:, None, None]
    wave = np.cos(lat) * np.sin(2 * lon - 0.3 * n[:, None, None, None]) * np.exp(-height / 2)
    centre = 415 + 3 * np.sin(lat) - 0.8 * height + 4 * wave
    growth = (0.4 * np.minimum(n, 4) / 4 * np.ones(frames))[:, None, None, None] * np.exp(-height / 4)
    shape = (members + 1, frames, nlev, nlat, nlon)
    drawn = close_budget(centre + growth * rng.standard_normal(shape), air_mass, added)
    coarse = close_budget(centre + 1.2 * growth * rng.standard_normal(shape[1:]), air_mass, added)

    time = np.datetime64(start, "ns") + n * np.timedelta64(STEP_HOURS, "h")
    coords = {"time": time, **grid.coordinates(), **level_coordinates(levels)}
    field = ("time", "level", "lat", "lon")
    common = {
        "air_mass": (field, air_mass),
        "flux": (("time", "lat", "lon"), flux),
        "cell_area": (("lat", "lon"), grid.area),
    }
    fields = {"co2": (("member", *field), drawn[1:]), "co2_background": (field, coarse)} | common
    if mean_network:
        fields["co2_mean_network"] = (field, close_budget(centre, air_mass, added))
    attrs = {
        "title": "synthetic ensemble",
        "seed": seed,
        "initial_frame": "known",
        "gencarbon_version": "0.0.0",
    }
    ensemble = xr.Dataset(fields, {**coords, "member": np.arange(members)}, attrs)
    reference = xr.Dataset({"co2": (field, drawn[0])} | common, coords, {"title": "synthetic reference"})
    return describe(ensemble), describe(reference)
