"""CAMS greenhouse gas inversion: concentrations on hybrid levels, 3-hourly, and fluxes by calendar month."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr

from gencarbon.constants import M_CARBON, M_CO2
from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.grid import LatLonGrid

FLUXES = ("flux_apos_bio", "flux_apos_ocean", "flux_foss")
FLUX_UNITS = "kgC m-2 month-1"
AXES = {"latitude": "lat", "longitude": "lon"}
# ..._YYYYMM.nc, in older releases ..._YYYYMM_...
MONTH = re.compile(r"_((?:19|20)\d\d)(0[1-9]|1[0-2])(?=[_.])")


def _is_concentration(ds: xr.Dataset) -> bool:
    return "CO2" in ds.data_vars and ("Psurf" in ds or "hlevel" in ds.dims)


def _read_concentration(ds: xr.Dataset) -> xr.Dataset:
    source = "CAMS concentrations"
    base.needed(ds, ("CO2", "Psurf", "ap", "bp"), source, "give the file as CAMS wrote it")
    ds = base.renamed(ds, AXES)
    ap, bp = base.numbers(ds, "ap", "hybrid_a", source), base.numbers(ds, "bp", "hybrid_b", source)
    p = ap + bp * base.numbers(ds, "Psurf", "surface_pressure", source).astype(np.float64)
    _check_interfaces(ap, bp, source)
    thickness = abs(p.diff("hlevel")).rename(hlevel="level").drop_vars("level", errors="ignore")
    top_first = bool(bp[0] < bp[-1])
    ds = base.upright(ds.assign(thickness=thickness), source, top_first)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    co2 = base.numbers(ds, "CO2", "co2", source)
    air = base.air_of_layers(ds["thickness"], area)
    ds = base.dried(ds.assign(co2=co2, cell_area=area), air, source)
    return base.finished(ds, source, "co2", "air_mass", "moist_air_mass", "surface_pressure")


def _check_interfaces(ap: xr.DataArray, bp: xr.DataArray, source: str) -> None:
    """Refuses coefficients whose pressures go up and down."""
    pressure = np.asarray(ap + bp * 1e5)
    if len(set(np.sign(np.diff(pressure)))) != 1:
        got = f"{', '.join(f'{p / 100:.4g}' for p in pressure[:6])} ... hPa over 1000 hPa"
        remedy = "give the file as CAMS wrote it"
        raise refusal(f"{source}: ap, bp", "pressures that fall from interface to interface", got, remedy)


def _is_flux(ds: xr.Dataset) -> bool:
    return len(set(FLUXES) & set(map(str, ds.data_vars))) > 1


def _dated(ds: xr.Dataset) -> xr.Dataset:
    """The month of one file, which stands in its name alone, as its time axis."""
    if "time_bounds" in ds:
        return ds
    path = str(ds.encoding.get("source", ""))
    found = MONTH.search(Path(path).name)
    if found is None or ds.sizes.get("time", 1) != 1:
        got = f"{ds.sizes['time']} dates" if found else f"the name {Path(path).name!r}"
        remedy = "give CAMS's own files, one a month, by their own names"
        raise refusal(
            f"{path or 'CAMS fluxes'}: time", "one month, in a file named ..._YYYYMM.nc", got, remedy
        )
    month = np.datetime64("-".join(found.groups()), "M")
    begin, end = month.astype("datetime64[ns]"), (month + 1).astype("datetime64[ns]")
    ds = ds.isel(time=0) if "time" in ds.dims else ds
    ds = ds.drop_vars("time", errors="ignore")
    ds = ds.assign({name: ds[name].expand_dims(time=[begin]) for name in FLUXES if name in ds})
    return ds.assign(time_bounds=(("time", "bounds"), [[begin, end]]))


def _read_flux(ds: xr.Dataset) -> xr.Dataset:
    source = "CAMS fluxes"
    base.needed(
        ds, (*FLUXES, "area"), source, "the total is the sum of all three: give the file as CAMS wrote it"
    )
    for name in FLUXES:
        units = str(ds[name].attrs.get("units", "none"))
        if " ".join(units.split()) != FLUX_UNITS:
            remedy = "give the file as CAMS wrote it, or convert it and set the units"
            raise refusal(f"{source}: {name}", f"units {FLUX_UNITS}", f"units {units!r}", remedy)
    ds = base.upright(base.renamed(_dated(ds), AXES), source)
    begin, end = ds["time_bounds"].transpose("bounds", "time").values
    if (begin[1:] != end[:-1]).any():
        got = ", ".join(str(month)[:7] for month in begin)
        raise refusal(f"{source}: time", "months that follow one another", got, "give every month once")
    seconds = xr.DataArray((end - begin) / np.timedelta64(1, "s"), dims="time")
    carbon = sum(ds[name].astype(np.float64) for name in FLUXES)
    flux = carbon * (M_CO2 / M_CARBON) / seconds
    area = base.numbers(ds, "area", "cell_area", source)
    note = f"flux is the sum of {', '.join(FLUXES)}, the mean over the calendar month in the file's name"
    return base.finished(base.with_note(ds.assign(flux=flux, cell_area=area), note), source, "flux")


READERS = (
    Reader("CAMS concentrations", _is_concentration, _read_concentration),
    Reader("CAMS fluxes", _is_flux, _read_flux, prepare=_dated),
)
