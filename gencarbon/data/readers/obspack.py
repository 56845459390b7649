"""NOAA ObsPack (GLOBALVIEWplus): CO2 of one laboratory at one site, or along the way of an aircraft or a ship.

Masarie et al. (2014), doi:10.5194/essd-6-375-2014. A file is a list of samples, each with its position; a site that stays is a station, a
platform that moves keeps the position of every sample.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.data.store import PLAUSIBLE
from gencarbon.data.units import check_degrees

NAMES = ("value", "time", "latitude", "longitude", "altitude")
NOWHERE = -1e34  # site_longitude of what has no site; also the fill value of positions
METRES = ("m", "meter", "meters", "metre", "metres", "masl")
SAME_PLACE = 1e-3  # degrees
PLACE, SERIES = ("time", "lat", "lon", "altitude"), ("co2", "co2_error", "altitude")
PPM = {"units": "1e-6"}
ATTRS: dict[str, dict[str, str]] = {
    "co2": PPM | {"long_name": "dry-air mole fraction of CO2 (ppm)"},
    "co2_error": PPM | {"long_name": "1 sigma of co2 (ppm)"},
    "time": {},
    "lat": {"units": "degrees_north"},
    "lon": {"units": "degrees_east"},
    "altitude": {"units": "m", "long_name": "altitude above sea level"},
}


def _is_obspack(ds: xr.Dataset) -> bool:
    return set(NAMES) <= set(ds.variables) and ds["value"].ndim == 1


def _read(ds: xr.Dataset) -> xr.Dataset:
    source = f"ObsPack {ds.attrs.get('dataset_name', 'data set')}"
    ds = ds[[name for name in (*NAMES, "value_std_dev", "qcflag") if name in ds]].load()
    _check_axes(ds, source)
    fields = {"co2": base.numbers(ds, "value", "co2", source).values, "time": ds["time"].values}
    fields |= {"lat": ds["latitude"].values, "lon": ds["longitude"].values, "altitude": ds["altitude"].values}
    notes = []
    if "value_std_dev" in ds:
        spread = base.numbers(ds, "value_std_dev", "co2", source).values
        fields["co2_error"] = np.where(spread > 0, spread, np.nan)
        notes.append("co2_error is value_std_dev, the spread within the averaging interval")
    if "qcflag" not in ds:
        notes.append("no qcflag: nothing is rejected by one")
    placed = np.all([fields[name] > NOWHERE / 10 for name in PLACE[1:]], axis=0)  # and so not NaN
    reasons = {
        "rejected by qcflag": ~_accepted(ds["qcflag"]) if "qcflag" in ds else np.zeros(placed.size, bool),
        "without a value": ~np.isfinite(fields["co2"]),
        "without a time or a position": ~placed | np.isnat(fields["time"]),
    }
    made = xr.Dataset({name: ("observation", values, ATTRS[name]) for name, values in fields.items()})
    made, left_out = without(made, "observation", reasons, source)
    check_plausible(made["co2"], source)
    moving = _moves(made, ds.attrs)
    notes.append("a moving platform: every observation has its position" if moving else "a fixed site")
    made = made.set_coords(PLACE) if moving else _station(made, str(ds.attrs.get("site_code", "site")))
    return base.with_note(made.assign_attrs(source=source), *left_out, *notes)


def _accepted(flag: xr.DataArray) -> NDArray[np.bool_]:
    """Whether characters 1 (rejection) and 2 (selection) are `.`; the third is a remark."""
    return np.char.startswith(np.asarray(flag.values).astype("S"), b"..")


def _moves(ds: xr.Dataset, attrs: dict[str, object]) -> bool:
    """Whether the file says that it has no site, or its samples are at different places."""
    nowhere = float(np.asarray(attrs.get("site_longitude", 0.0)).item()) < NOWHERE / 10
    return nowhere or any(float(ds[axis].max() - ds[axis].min()) > SAME_PLACE for axis in ("lat", "lon"))


def _station(ds: xr.Dataset, name: str) -> xr.Dataset:
    """One station with its series, (station, time)."""
    series = {v: (("station", "time"), ds[v].values[None], ATTRS[v]) for v in SERIES if v in ds}
    altitude = series.pop("altitude")
    lat, lon = (("station", ds[axis].values[:1], ATTRS[axis]) for axis in ("lat", "lon"))
    where = {"lat": lat, "lon": lon, "altitude": altitude, "station_name": ("station", [name])}
    return xr.Dataset(series, {"time": ds["time"].values, **where})


def _check_axes(ds: xr.Dataset, source: str) -> None:
    check_degrees(ds["latitude"], "lat", source)
    check_degrees(ds["longitude"], "lon", source)
    units = str(ds["altitude"].attrs.get("units", "")).strip()
    if units not in METRES:
        got = f"units {units!r}" if units else "no units attribute"
        raise refusal(f"{source}: altitude", "units m", got, "convert it to m above sea level")
    check_dates(ds["time"], source)


def check_dates(time: xr.DataArray, source: str) -> None:
    """Refuses times that are not dates."""
    if time.dtype.kind != "M":
        remedy = "open it with its CF units (seconds since 1970-01-01)"
        raise refusal(f"{source}: time", "dates", f"dtype {time.dtype}", remedy)


def without(
    ds: xr.Dataset, dim: str, reasons: dict[str, NDArray[np.bool_]], source: str
) -> tuple[xr.Dataset, list[str]]:
    """`ds` without what a reason leaves out of `dim`, and how many each did, the first reason first. Refused where nothing is left."""
    left, notes = np.ones(ds.sizes[dim], bool), []
    for reason, wrong in reasons.items():
        if count := int((left & wrong).sum()):
            notes.append(f"{count} of {left.size} {reason}, left out")
        left &= ~wrong
    if not left.any():
        got = "; ".join(notes) or "an empty file"
        raise refusal(source, "some usable data", got, "give another file")
    return ds.isel({dim: np.flatnonzero(left)}), notes


def check_plausible(values: xr.DataArray, source: str) -> None:
    """Refuses mole fractions (ppm) that no air has: another gas, or units that are not what they say."""
    low, high = PLAUSIBLE["co2"]
    smallest, largest = float(values.min()), float(values.max())
    if not low <= smallest <= largest <= high:
        got = f"{smallest:g} .. {largest:g} ppm"
        remedy = "check that it is CO2, and its units"
        raise refusal(f"{source}: {values.name}", f"{low:g} .. {high:g} ppm", got, remedy)


READERS = (Reader("ObsPack", _is_obspack, _read),)
