"""NOAA CarbonTracker: mole fractions on 3 x 2 degrees and fluxes on 1 x 1, CT2022 and the names of older releases."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.grid import LatLonGrid

FLUXES = ("bio_flux_opt", "ocn_flux_opt", "fossil_flux_imp", "fire_flux_imp")
OLDER = {"press": "pressure", "temp": "temperature", "date": "time", "fossil_imp": "fossil_flux_imp"}
AXES = {"latitude": "lat", "longitude": "lon", "boundary": "level_interface"}
LAYERS_AGREE = 0.1  # of a layer's share: vapour, in one of both, makes up a fiftieth
DROPPED = ("time_components", "decimal_time", "decimal_date", "date_components")


def _named(ds: xr.Dataset) -> xr.Dataset:
    ds = ds.drop_vars([name for name in DROPPED if name in ds.variables])
    return base.renamed(base.renamed(ds, OLDER), AXES)


def _is_molefraction(ds: xr.Dataset) -> bool:
    held = _named(ds)
    interfaces = [held[name] for name in ("pressure", "gph") if name in held]
    its_own = any("level_interface" in x.dims for x in interfaces) and "hybrid_a" not in held.variables
    known = "co2" in held.data_vars and "member" not in held.dims and bool(interfaces)
    return known and ("air_mass" in held.data_vars or its_own)


def _read_molefraction(ds: xr.Dataset) -> xr.Dataset:
    source = "CarbonTracker mole fractions"
    top_first = _falls_from_the_top(ds)
    ds = base.upright(_named(ds), source, top_first)
    base.needed(ds, ("air_mass",), source, "give the file as NOAA wrote it, or rename yours: ds.rename(...)")
    co2 = base.numbers(ds, "co2", "co2", source)
    air = base.numbers(ds, "air_mass", "air_mass", source)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    wind: dict[str, Any] = {name: base.numbers(ds, name, name, source) for name in ("u", "v") if name in ds}
    if "pressure" in ds and "level_interface" in ds["pressure"].dims:
        _check_layers(air, ds["pressure"], area, top_first, source)
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


def _check_layers(
    air: xr.DataArray, pressure: xr.DataArray, area: xr.DataArray, top_first: bool, source: str
) -> None:
    """Refuses layers whose shares of the air are not those of the pressures at their interfaces: one of them is upside down."""
    weight = abs((pressure.isel(time=0) * area).sum(("lat", "lon")).diff("level_interface")).values
    share = lambda x: x / (x.sum() or np.nan)  # noqa: E731
    expected = share(weight[::-1] if top_first else weight)
    got = share(air.isel(time=0).sum(("lat", "lon")).values)
    if got.shape != expected.shape or (abs(got / expected - 1) > LAYERS_AGREE).any():
        shown = [", ".join(f"{100 * x:.3g}" for x in some[:3]) for some in (expected, got)]
        remedy = "turn one of them, or give the file as NOAA wrote it"
        raise refusal(
            f"{source}: air_mass",
            f"layers that hold as much as pressure says, {shown[0]} ... % of the air",
            f"{shown[1]} ... %",
            remedy,
        )


def _is_flux(ds: xr.Dataset) -> bool:
    return {"bio_flux_opt", "ocn_flux_opt"} <= set(_named(ds).data_vars)


def _read_flux(ds: xr.Dataset) -> xr.Dataset:
    source = "CarbonTracker fluxes"
    ds = _named(ds)
    base.needed(ds, FLUXES, source, "the total is the sum of all four: give the file as NOAA wrote it")
    ds = base.upright(ds, source)
    flux = base.total_flux(ds, FLUXES, source)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    ds = base.with_note(ds.assign(flux=flux, cell_area=area), f"flux is the sum of {', '.join(FLUXES)}")
    return base.finished(base.intervals(ds, source, centred=True), source, "flux")


READERS = (
    Reader("CarbonTracker mole fractions", _is_molefraction, _read_molefraction),
    Reader("CarbonTracker fluxes", _is_flux, _read_flux),
)
