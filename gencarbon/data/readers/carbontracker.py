"""NOAA CarbonTracker: mole fractions on 3 x 2 degrees and fluxes on 1 x 1, CT2022 and the names of older releases."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.grid import LatLonGrid

FLUXES = ("bio_flux_opt", "ocn_flux_opt", "fossil_flux_imp", "fire_flux_imp")
OLDER = {"press": "pressure", "temp": "temperature", "date": "time", "fossil_imp": "fossil_flux_imp"}
AXES = {"latitude": "lat", "longitude": "lon", "boundary": "level_interface"}
DROPPED = ("time_components", "decimal_time", "decimal_date", "date_components")


def _named(ds: xr.Dataset) -> xr.Dataset:
    ds = ds.drop_vars([name for name in DROPPED if name in ds.variables])
    return base.renamed(base.renamed(ds, OLDER), AXES)


def _is_molefraction(ds: xr.Dataset) -> bool:
    held = _named(ds)
    return (
        {"co2", "air_mass"} <= set(held.data_vars)
        and "member" not in held.dims
        and ("pressure" in held or "gph" in held)
    )


def _read_molefraction(ds: xr.Dataset) -> xr.Dataset:
    source = "CarbonTracker mole fractions"
    ds = base.upright(_named(ds), source, top_first=_falls_from_the_top(ds))
    co2 = base.numbers(ds, "co2", "co2", source)
    air = base.numbers(ds, "air_mass", "air_mass", source)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    wind = {name: base.numbers(ds, name, name, source) for name in ("u", "v") if name in ds}
    humidity = ds.get("specific_humidity")
    ds = base.dried(ds.assign(co2=co2, cell_area=area, **wind), air, source, humidity)
    return base.finished(ds, source, "co2", "u", "v", "air_mass", "moist_air_mass", "surface_pressure")


def _falls_from_the_top(ds: xr.Dataset) -> bool:
    """Whether level 1 is the uppermost: pressures at interfaces rise with the index."""
    ds = _named(ds)
    if "pressure" not in ds:
        return False
    column = ds["pressure"].isel({dim: 0 for dim in ds["pressure"].dims if dim != "level_interface"})
    return bool(np.asarray(column)[0] < np.asarray(column)[-1])


def _is_flux(ds: xr.Dataset) -> bool:
    return {"bio_flux_opt", "ocn_flux_opt"} <= set(_named(ds).data_vars)


def _read_flux(ds: xr.Dataset) -> xr.Dataset:
    source = "CarbonTracker fluxes"
    ds = _named(ds)
    base.needed(ds, FLUXES, source, "the total is the sum of all four: give the file as NOAA wrote it")
    ds = base.upright(ds, source)
    flux = sum(base.numbers(ds, name, "flux", source) for name in FLUXES)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    ds = base.with_note(ds.assign(flux=flux, cell_area=area), f"flux is the sum of {', '.join(FLUXES)}")
    return base.finished(base.intervals(ds, source, centred=True), source, "flux")


READERS = (
    Reader("CarbonTracker mole fractions", _is_molefraction, _read_molefraction),
    Reader("CarbonTracker fluxes", _is_flux, _read_flux),
)
