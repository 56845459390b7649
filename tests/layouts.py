"""One analytic field of CO2, winds and fluxes, and its files in the layouts of others.

`truth()` is canonical: levels upward, latitudes northward, longitudes eastward from half a cell. Every writer turns, names, scales and
stamps it as its source does, by formulas of its own, and returns the paths.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from gencarbon.grid import LatLonGrid

GRID = LatLonGrid.equiangular(12, 24)
FRAMES, HOURS = 8, 3
BETA = np.array([1.0, 0.8, 0.55, 0.3, 0.1, 0.0])  # interfaces: pressure / surface pressure of moist air
G, M_CO2, M_AIR = 9.80665, 44.0095e-3, 28.9647e-3
START = np.datetime64("2018-06-01T00", "ns")
PARTS = ("land", "ocean", "fossil", "fire")


def truth(frames: int = FRAMES, hours: int = HOURS) -> xr.Dataset:
    """co2 ppm, u, v m s-1, humidity kg per kg of moist air, pressures Pa, air_mass kg of dry air, fluxes by part kg m-2 s-1, cell_area."""
    lat, lon = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)
    t, z = 2 * np.pi * np.arange(frames)[:, None, None, None] / 8, np.arange(5.0)[:, None, None]
    mean = lambda x: (x * GRID.area).sum((-2, -1)) / GRID.area.sum()  # noqa: E731
    surface = 98549.0 + 900 * np.sin(2 * lon) * np.cos(lat) ** 2 * np.cos(t[:, 0])
    surface += 98549.0 - mean(surface)[:, None, None]
    moist = (BETA[:-1] - BETA[1:])[:, None, None] * surface[:, None]
    shape = np.exp(-z) * np.cos(lat) ** 2 * (1 + 0.3 * np.cos(lon))
    humidity = shape * (244.0 / mean((moist * shape).sum(1)))[:, None, None, None]
    dry = moist * (1 - humidity)
    fields = {
        "co2": 400 + 8 * np.sin(lat) * np.exp(-z / 3) + 3 * np.cos(lon + t) * np.cos(lat) * np.exp(-z),
        "u": 20 * np.cos(lat) * (1 + z / 3) + np.sin(lon - t),
        "v": 4 * np.sin(2 * lon + t) * np.cos(lat) + 0 * z,
        "humidity": humidity,
        "air_mass": dry * GRID.area / G,
        "thickness": moist,
    }
    ds = xr.Dataset({name: (("time", "level", "lat", "lon"), x) for name, x in fields.items()})
    ds["surface_pressure_moist"] = (("time", "lat", "lon"), surface)
    ds["surface_pressure"] = (("time", "lat", "lon"), dry.sum(1))
    swing = 1 + np.cos(t[:, 0] + lon)
    sizes = {"land": -3e-9, "ocean": -1e-9, "fossil": 9e-9, "fire": 1.5e-9}
    for k, (part, size) in enumerate(sizes.items()):
        ds[f"flux_{part}"] = (("time", "lat", "lon"), size * swing * np.cos(lat - k / 4) ** 2)
    ds["flux"] = sum(ds[f"flux_{part}"] for part in PARTS)
    ds["cell_area"] = (("lat", "lon"), GRID.area)
    times = START + np.arange(frames) * np.timedelta64(hours, "h")
    return ds.assign_coords(time=times, level=np.arange(1, 6), lat=GRID.lat, lon=GRID.lon)


def pgc_per_year(flux, area) -> float:
    """Of a flux (time, lat, lon) kg CO2 m-2 s-1, mean over time."""
    return float(
        (np.asarray(flux, np.float64).mean(0) * np.asarray(area)).sum() * 365.25 * 86400 * 12.011 / 44.0095e12
    )


def _save(ds: xr.Dataset, path: Path) -> Path:
    real = {name: {"dtype": "float32"} for name in ds.data_vars if ds[name].dtype.kind == "f"}
    ds.to_netcdf(path, engine="h5netcdf", encoding=real)
    return path


def _westward_from_180(ds: xr.Dataset) -> xr.Dataset:
    """Longitudes -180..180, as many sources have them."""
    return ds.assign_coords(lon=(ds.lon + 180) % 360 - 180).sortby("lon")


def carbontracker_molefraction(folder: Path) -> list[Path]:
    ds = truth()
    interfaces = BETA[:, None, None] * ds.surface_pressure_moist.values[:, None]
    made = xr.Dataset(
        {
            "co2": ds.co2.assign_attrs(units="micromol mol-1"),
            "air_mass": (ds.thickness * ds.cell_area / G).assign_attrs(units="kg"),
            "specific_humidity": ds.humidity.assign_attrs(units="kg kg-1"),
            "u": ds.u.assign_attrs(units="m s-1"),
            "v": ds.v.assign_attrs(units="m s-1"),
            "pressure": (("time", "boundary", "lat", "lon"), interfaces, {"units": "Pa"}),
        }
    )
    made = _westward_from_180(made).rename(lat="latitude", lon="longitude")
    made["time_components"] = (("time", "calendar_components"), np.zeros((FRAMES, 6), np.int32))
    return [_save(made, folder / "CT2022.molefrac_glb3x2_2018-06-01.nc")]


def carbontracker_older(folder: Path) -> list[Path]:
    """Dry air masses, and the names of releases before CT2019B."""
    (path,) = carbontracker_molefraction(folder)
    with xr.open_dataset(path) as ds:
        made = ds.load().rename(pressure="press", time="date", latitude="lat", longitude="lon")
    air = _westward_from_180(truth()).air_mass.rename(time="date")
    made["air_mass"] = air.assign_attrs(units="kg").assign_coords(made.drop_vars("level").coords)
    return [_save(made.drop_vars("specific_humidity"), folder / "CT2016.molefrac_glb3x2_2018-06-01.nc")]


def carbontracker_flux(folder: Path) -> list[Path]:
    ds = _westward_from_180(truth())
    names = dict(zip(("bio_flux_opt", "ocn_flux_opt", "fossil_flux_imp", "fire_flux_imp"), PARTS))
    made = xr.Dataset(
        {n: (ds[f"flux_{part}"] / M_CO2).assign_attrs(units="mol m-2 s-1") for n, part in names.items()}
    )
    made = made.assign_coords(time=ds.time + np.timedelta64(90, "m")).rename(lat="latitude", lon="longitude")
    made["decimal_time"] = ("time", np.linspace(2018.41, 2018.42, FRAMES))
    days = (made.isel(time=slice(0, 4)), made.isel(time=slice(4, 8)))
    return [_save(day, folder / f"CT2022.flux1x1.2018060{k}.nc") for k, day in enumerate(days, 1)]


LAYOUTS = {  # writer -> the fields that its files hold
    carbontracker_molefraction: ("co2", "u", "v", "air_mass", "surface_pressure"),
    carbontracker_older: ("co2", "u", "v", "air_mass", "surface_pressure"),
    carbontracker_flux: ("flux",),
}
