"""ECMWF ERA5 on pressure levels: netCDF of the Climate Data Store, whose surface pressure comes in a file of its own, and Zarr of ARCO-ERA5."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.grid import LatLonGrid

ARCO = {
    "u_component_of_wind": "u",
    "v_component_of_wind": "v",
    "specific_humidity": "q",
    "surface_pressure": "sp",
}
AXES = {"valid_time": "time", "pressure_level": "level", "latitude": "lat", "longitude": "lon"}
MODEL_LEVELS = ("hybrid", "model_level")
HPA = ("hPa", "millibars")
# hPa     what lies beyond the outermost levels, up to a tenth of the air, is taken as they are
LOWEST, HIGHEST, MOST = 850.0, 100.0, 1100.0
REMEDY = {
    "u": "download the wind on pressure levels",
    "v": "download the wind on pressure levels",
    "level": "give fields on pressure levels",
    "q": "its surface pressure is that of moist air: download the specific humidity on the same levels",
    "sp": "download the surface pressure of the same dates and give its file with that of the pressure levels",
}


def _is_era5(ds: xr.Dataset) -> bool:
    held = set(ds.data_vars)
    levels = {"pressure_level", *MODEL_LEVELS} & set(ds.dims) or (
        "level" in ds.dims and ds["level"].attrs.get("units") in HPA
    )
    wind = "u_component_of_wind" in held or bool(levels and held & {"u", "v", "q"})
    return "hybrid_a" not in ds.variables and (wind or "sp" in held)


def _read(ds: xr.Dataset) -> xr.Dataset:
    source = "ERA5"
    for dim in MODEL_LEVELS:
        if dim in ds.dims:
            got = f"{ds.sizes[dim]} model levels on {dim}"
            raise refusal(source, "pressure levels", got, "download the fields on pressure levels")
    ds = base.renamed(ds, ARCO).rename({old: new for old, new in AXES.items() if old in ds.dims})
    for name, remedy in REMEDY.items():
        base.needed(ds, (name,), source, remedy)
    pressure = _pressures(ds, source)
    downward = np.argsort(-pressure)
    ds, pressure = base.upright(ds.isel(level=downward), source), pressure[downward]
    surface = base.numbers(ds, "sp", "surface_pressure", source)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    air = base.air_of_layers(_thickness(pressure, surface), area).transpose(*ds["u"].dims)
    wind = {name: base.numbers(ds, name, name, source) for name in ("u", "v")}
    note = "pressure levels made layers, with interfaces midway between them and no air under the ground"
    ds = base.with_note(ds.assign(wind | {"cell_area": area}), note)
    ds = base.dried(ds, air, source, ds["q"])
    return base.finished(ds, source, "u", "v", "air_mass", "surface_pressure")


def _pressures(ds: xr.Dataset, source: str) -> np.ndarray:
    """Pa, as the levels come. ARCO-ERA5 gives no units, and means hPa."""
    units, count = str(ds["level"].attrs.get("units", HPA[0])), ds.sizes.get("level", 1)
    if units not in HPA or count < 2:
        got = f"{count} in {units!r}"
        raise refusal(f"{source}: level", "several pressures in hPa", got, "give fields on pressure levels")
    pressure = np.asarray(ds["level"].values, np.float64)
    low, high = pressure.max(), pressure.min()
    if not (0 < high <= HIGHEST and LOWEST <= low <= MOST):
        expected = f"pressures in hPa from {LOWEST:g} or more to {HIGHEST:g} or less"
        remedy = "download the levels of the whole column, and check their units"
        raise refusal(f"{source}: level", expected, f"{low:g} to {high:g}", remedy)
    return 100 * pressure


def _thickness(pressure: np.ndarray, surface: xr.DataArray) -> xr.DataArray:
    """Pa, of layers with interfaces midway between `pressure` (falling), the lowest at the surface, the uppermost at 0 Pa.

    What lies under the surface has none, so that layers under mountains are empty and the lowest one with air is thinner.
    """
    middle = (pressure[:-1] + pressure[1:]) / 2
    lower = xr.DataArray([np.inf, *middle], dims="level")
    upper = xr.DataArray([*middle, 0.0], dims="level")
    return surface.clip(max=lower) - surface.clip(max=upper)


READERS = (Reader("ERA5 on pressure levels", _is_era5, _read),)
