"""Fluxes given as totals per cell: GridFED (kg CO2 a month), EDGAR (tonnes CO2 a year) and Jena CarboScope (PgC a year)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from gencarbon.constants import SECONDS_PER_YEAR, pgc_to_kg_co2
from gencarbon.data.axes import check_time
from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.data.store import check_area
from gencarbon.grid import LatLonGrid


@dataclass(frozen=True)
class Inventory:
    """Files of one year each, whose name alone says which. kg: of CO2, what one of `units` is."""

    source: str
    variable: str
    frames: int  # intervals in a year
    name: str  # of a file, as an example
    year: str  # where the year stands in it
    kg: float
    units: tuple[str, ...]


GRIDFED = Inventory(
    "GridFED", "CO2/TOTAL", 12, "GCP-GridFEDv2024.0_2020.nc", r"_((?:19|20)\d\d)\.", 1.0, ("kg month", "kg")
)
_NAME, _UNITS = "EDGAR_2024_GHG_CO2_2020_TOTALS_emi.nc", ("tonnes", "tonnes yr", "tonnes year")
EDGAR = Inventory("EDGAR", "emissions", 1, _NAME, r"_CO2_((?:19|20)\d\d)_", 1e3, _UNITS)
PARTS = ("co2flux_land", "co2flux_ocean", "co2flux_subt", "co2flux_excl")
PGC_PER_YEAR = pgc_to_kg_co2(1.0) / SECONDS_PER_YEAR  # kg s-1


def _amount(ds: xr.Dataset, name: str, source: str, factor: float, units: tuple[str, ...]) -> xr.DataArray:
    """A total per cell times `factor`. Its units, without `CO2`, `cell` and signs, are one of `units`."""
    given = str(ds[name].attrs.get("units", "")).strip()
    words = re.findall("[a-z]+", given.lower().replace("co2", " "))
    if " ".join(word for word in words if word not in ("per", "cell")) not in units:
        where, got = f"{source}, variable {name}", f"units {given!r}" if given else "no units attribute"
        remedy = "give the source's own totals per cell, with their units"
        raise refusal(where, f"totals per cell in {units[0]}", got, remedy)
    return ds[name].astype(np.float64) * factor


def _dated(kind: Inventory, ds: xr.Dataset) -> xr.Dataset:
    """The one variable, with the intervals of the year in the file's name."""
    if "time_bounds" in ds:
        return ds
    name = Path(str(ds.encoding.get("source", ""))).name
    year = re.search(kind.year, name)
    if year is None:
        got = repr(name) if name else "no file name"
        raise refusal(kind.source, f"a name with the year, as {kind.name}", got, "keep the source's own name")
    if (frames := ds.sizes.get("time", 1)) != kind.frames:
        raise refusal(
            name, f"{kind.frames} intervals of a year", f"{frames}", f"give a file like {kind.name}"
        )
    ds = ds[[kind.variable]] if "time" in ds.dims else ds[[kind.variable]].expand_dims("time")
    edges = np.datetime64(year[1], "M") + np.arange(0, 13, 12 // kind.frames)
    edges = edges.astype("datetime64[ns]")
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    return ds.assign_coords(time=edges[:-1]).assign(time_bounds=(("time", "bounds"), bounds))


def _holds(kind: Inventory, ds: xr.Dataset) -> bool:
    return kind.variable in ds.data_vars


def _read_inventory(kind: Inventory, ds: xr.Dataset) -> xr.Dataset:
    ds = base.upright(_dated(kind, ds), kind.source)
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    seconds = ds["time_bounds"].diff("bounds").squeeze("bounds", drop=True) / np.timedelta64(1, "s")
    flux = _amount(ds, kind.variable, kind.source, kind.kg, kind.units) / seconds / area
    note = "totals per cell divided by its area and by the length of the interval in the file's name"
    ds = base.with_note(ds.assign(flux=flux, cell_area=area), note)
    return base.finished(ds, kind.source, "flux")


def _is_carboscope(ds: xr.Dataset) -> bool:
    return "mtime" in ds.dims and {"co2flux_land", "co2flux_ocean"} <= set(ds.data_vars)


def _fluxes_alone(ds: xr.Dataset) -> xr.Dataset:
    """Without the inversion's own steps, which are on a dim `time`."""
    return ds[[name for name in (*PARTS, "dxyp") if name in ds]]


def _read_carboscope(ds: xr.Dataset) -> xr.Dataset:
    source = "CarboScope"
    ds = _fluxes_alone(ds).rename(mtime="time")
    base.needed(ds, ("dxyp",), source, "the areas of its cells are needed: give the file as Jena wrote it")
    ds = base.upright(ds, source)
    check_time(ds["time"], source)
    parts = [name for name in PARTS if name in ds]
    area = base.numbers(ds, "dxyp", "cell_area", source)
    check_area(area, source)
    total = sum(_amount(ds, name, source, PGC_PER_YEAR, ("pgc yr", "pgc year")) for name in parts)
    note = f"flux is the sum of {', '.join(parts)}"
    ds = base.with_note(ds.assign(flux=total / area, cell_area=area), note)
    # days are stamped at noon; a stamp at midnight is the begin of its day
    noon = bool((ds["time"].dt.hour != 0).all())
    return base.finished(base.intervals(ds, source, centred=noon), source, "flux")


READERS = (
    *(
        Reader(kind.source, partial(_holds, kind), partial(_read_inventory, kind), partial(_dated, kind))
        for kind in (GRIDFED, EDGAR)
    ),
    Reader("CarboScope", _is_carboscope, _read_carboscope, _fluxes_alone),
)
