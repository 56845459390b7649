"""Axes of input: names found by CF attributes, order, spacing, repeats and gaps."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.refusal import refusal
from gencarbon.data.units import check_degrees

ALIASES = {
    "member": ("realization", "ensemble", "number", "sample"),
    "time": ("Times", "valid_time"),
    "level": ("lev", "layer", "plev", "z", "height", "model_level"),
    "lat": ("latitude", "y"),
    "lon": ("longitude", "x"),
    "level_interface": ("ilev", "hlevel", "interface", "half_level"),
}
_CF_KEYS = {"member": "realization", "time": "time", "level": "Z", "lat": "latitude", "lon": "longitude"}
ANGLE_TOLERANCE = 1e-4  # degrees, as in LatLonGrid.from_dataset
DATES = ("1900-01-01", "2200-01-01")  # those of data; others come of wrong units: milliseconds, another epoch


def rename_axes(ds: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """`ds` with our dims, found by CF attributes or else by common names, and what was renamed."""
    import cf_xarray  # noqa: F401  (the accessor)

    renamed = {}
    for axis, aliases in ALIASES.items():
        if axis in ds.dims or axis in ds.coords:
            continue
        found = _by_attributes(ds, axis) or [name for name in aliases if name in ds.dims]
        if len(found) == 1 and found[0] not in renamed:
            renamed[found[0]] = axis
    return ds.rename(renamed), [f"{old} renamed to {new}" for old, new in renamed.items()]


def _by_attributes(ds: xr.Dataset, axis: str) -> list[str]:
    if axis not in _CF_KEYS:
        return []
    key = _CF_KEYS[axis]
    known = {**ds.cf.standard_names, **ds.cf.coordinates, **ds.cf.axes}
    return [str(name) for name in known.get(key, []) if ds[name].ndim <= 1]


def check_latitude(lat: xr.DataArray, role: str) -> None:
    """Degrees, south to north, without repeats, from pole to pole."""
    where, values = f"{role}: lat", axis_values(lat, "lat", role)
    check_degrees(lat, "lat", role)
    _refuse_repeats(where, values, "lat")
    if not (np.diff(values) > 0).all():
        raise refusal(where, "latitudes from south to north", f"{_ends(values)}", 'use ds.sortby("lat")')
    spacing = float(np.diff(values).max())
    if values[0] < -90 - ANGLE_TOLERANCE or values[-1] > 90 + ANGLE_TOLERANCE:
        raise refusal(
            where, "latitudes within -90..90 degrees", _ends(values), "correct the coordinate or its units"
        )
    if values[0] + 90 > spacing or 90 - values[-1] > spacing:
        raise refusal(where, "global fields, from pole to pole", _ends(values), "give all latitudes")


def check_longitude(lon: xr.DataArray, role: str) -> None:
    """Degrees, eastward, without repeats, evenly once round the globe, starting in [0, dx)."""
    where, values = f"{role}: lon", axis_values(lon, "lon", role)
    check_degrees(lon, "lon", role)
    _refuse_repeats(where, values, "lon")
    if not (np.diff(values) > 0).all():
        raise refusal(where, "longitudes eastward", _ends(values), 'use ds.sortby("lon")')
    if values[-1] - values[0] > 360 - ANGLE_TOLERANCE:
        got = f"{_ends(values)}, where the first meridian comes again"
        raise refusal(where, "each meridian once", got, "drop the repeat: ds.isel(lon=slice(None, -1))")
    spacing = 360.0 / values.size
    if not np.allclose(np.diff(values), spacing, atol=ANGLE_TOLERANCE):
        expected = f"{values.size} longitudes {spacing:.6g} degrees apart, once round the globe"
        raise refusal(where, expected, _ends(values), "give global fields on an even grid")
    if not -ANGLE_TOLERANCE <= values[0] < spacing - ANGLE_TOLERANCE:
        remedy = 'use ds.assign_coords(lon=ds.lon % 360).sortby("lon")'
        raise refusal(where, f"a first longitude in [0, {spacing:.6g})", _ends(values), remedy)


def check_level(ds: xr.Dataset, role: str) -> tuple[xr.Dataset, str | None]:
    """Levels are counted 1..L from the surface up; a dimension without coordinate gets them."""
    count = ds.sizes["level"]
    counted = np.arange(1, count + 1)
    if "level" not in ds.coords:
        return ds.assign_coords(level=counted), f"level counted 1..{count}, taken as from the surface up"
    values = np.asarray(ds["level"].values)
    where, remedy = (
        f"{role}: level",
        f"order the levels from the surface up, then ds.assign_coords(level=range(1, {count + 1}))",
    )
    if values.shape == counted.shape and (values == counted).all():
        return ds, None
    if values.shape == counted.shape and (values == counted[::-1]).all():
        remedy = "use ds.isel(level=slice(None, None, -1)), hybrid coefficients too"
    raise refusal(where, f"1..{count} from the surface up", _ends(values), remedy)


def check_time(time: xr.DataArray, role: str) -> None:
    """Dates that increase by one even step, without a gap."""
    where = f"{role}: time"
    if time.ndim != 1 or time.dtype.kind != "M":
        remedy = (
            "give time CF units (hours since ...) in a standard calendar: ds.convert_calendar('standard')"
        )
        raise refusal(
            where, "dates (datetime64) on a time axis", f"dtype {time.dtype} on {time.dims}", remedy
        )
    values = time.values.astype("datetime64[ns]")
    if np.isnat(values).any():
        first = int(np.argmax(np.isnat(values)))
        raise refusal(where, "a date for every frame", f"none at index {first}", "drop or date that frame")
    check_years(values, where)
    steps = np.diff(values)
    if (steps <= np.timedelta64(0)).any():
        first = int(np.argmax(steps <= np.timedelta64(0)))
        kind = "the same date twice" if steps[first] == np.timedelta64(0) else "a step back"
        got = f"{kind}: {_date(values[first])} then {_date(values[first + 1])}"
        raise refusal(where, "increasing dates", got, 'use ds.sortby("time").drop_duplicates("time")')
    if steps.size and (steps != steps[0]).any():
        _refuse_uneven(where, values, steps)


def check_years(dates: np.ndarray, where: str) -> None:
    """Refuse dates (datetime64) that no data have."""
    first, last = (np.datetime64(date) for date in DATES)
    wrong = (dates < first) | (dates >= last)
    if wrong.any():
        remedy = "correct the units of time in the file, such as hours since 2018-01-01"
        raise refusal(where, f"dates within {DATES[0]}..{DATES[1]}", _date(dates[np.argmax(wrong)]), remedy)


def _refuse_uneven(where: str, values: np.ndarray, steps: np.ndarray) -> None:
    kinds, counts = np.unique(steps, return_counts=True)
    step = kinds[np.argmax(counts)]
    first = int(np.argmax(steps != step))
    between = f"{_date(values[first])} and {_date(values[first + 1])}"
    missing = steps[first] / step - 1
    if missing >= 1 and missing == int(missing):
        got = f"a gap of {int(missing)} frames between {between}"
        raise refusal(
            where, f"a frame every {hours(step)}", got, "fill the gap or select the frames on one side of it"
        )
    got = f"{hours(steps[first])} between {between}"
    raise refusal(where, f"a frame every {hours(step)}", got, "interpolate or average to one even step")


def step_of(time: xr.DataArray) -> np.timedelta64:
    """The step of an even axis of at least two dates."""
    values = time.values.astype("datetime64[ns]")
    return values[1] - values[0]


def hours(step: np.timedelta64) -> str:
    """A time step for a message, such as `6 h`."""
    return f"{step / np.timedelta64(1, 'h'):g} h"


def axis_values(axis: xr.DataArray, name: str, role: str) -> np.ndarray:
    """Latitudes or longitudes: at least two finite numbers in degrees."""
    if axis.ndim != 1 or axis.size < 2:
        raise refusal(
            f"{role}: {name}",
            "a 1-D axis of at least 2 points",
            f"shape {axis.shape}",
            "give fields on a latitude-longitude grid",
        )
    values = np.asarray(axis.values, dtype=np.float64)
    if not np.isfinite(values).all():
        index = int(np.argmax(~np.isfinite(values)))
        raise refusal(
            f"{role}: {name}",
            "finite coordinates",
            f"{values[index]} at index {index}",
            "correct the coordinate",
        )
    # a global axis in degrees spans 100 and more
    if np.ptp(values) > 2 and np.abs(values).max() <= 2 * np.pi:
        raise refusal(
            f"{role}: {name}", "degrees", f"{_ends(values)}, as if in radians", f"use np.rad2deg on {name}"
        )
    return values


def _refuse_repeats(where: str, values: np.ndarray, axis: str) -> None:
    unique, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        twice = unique[np.argmax(counts > 1)]
        raise refusal(
            where,
            "each coordinate once",
            f"{twice:g} {counts.max()} times",
            f'use ds.drop_duplicates("{axis}")',
        )


def _ends(values: np.ndarray) -> str:
    """`a, b, ... z` of an axis, for a message."""
    shown = [f"{v:g}" if isinstance(v, (float, np.number)) else str(v) for v in values]
    return ", ".join(shown) if len(shown) < 4 else f"{shown[0]}, {shown[1]}, ... {shown[-1]}"


def _date(value: np.datetime64) -> str:
    return str(value.astype("datetime64[s]"))
