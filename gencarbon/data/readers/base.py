"""What every reader makes of a source, and the repairs that they share.

A source is one raw dataset: a file, or files of one layout put together (`open_source`). A reader gives, lazily, fields among

    co2               (time, level, lat, lon)  ppm, dry mole fraction
    u, v              (time, level, lat, lon)  m s-1
    air_mass          (time, level, lat, lon)  kg of dry air per cell, tested; or moist_air_mass where the source cannot say how dry it is
    surface_pressure  (time, lat, lon)         Pa, weight of all dry air above
    flux              (time, lat, lon)         kg CO2 m-2 s-1 upward, mean from `time` to the next; `time_bounds` (time, bounds)
    cell_area         (lat, lon)               m2, the source's own where it has them

levels from the surface up counted 1..L, latitudes northward, longitudes eastward from the first one in [0, dx). What was done to the
file stands in the attribute `repairs`; what cannot be known is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from gencarbon.constants import GRAVITY
from gencarbon.data.axes import ANGLE_TOLERANCE, axis_values, check_latitude, check_time, hours
from gencarbon.data.refusal import refusal
from gencarbon.data.store import check_area
from gencarbon.data.units import convert
from gencarbon.variables import DIMS, describe

# mean over the globe, the year and the model's own gravity: Trenberth and Smith (2005), doi:10.1175/JCLI-3299.1
DRY_PRESSURE = 98305.0  # Pa
VAPOUR_PRESSURE = 244.0  # Pa
HUMIDITY = dict.fromkeys(("kg kg-1", "kg/kg", "kg kg**-1", "1"), 1.0) | dict.fromkeys(
    ("g kg-1", "g/kg"), 1e-3
)
STAMPS_AGREE = np.timedelta64(1, "m")  # round-off of dates that are stored in days


@dataclass(frozen=True)
class Reader:
    """One layout. recognises: by names and attributes alone, also of one of several files; prepare: done to each file before
    files are joined, where what joins them stands in none (a date in the name)."""

    name: str
    recognises: Callable[[xr.Dataset], bool]
    read: Callable[[xr.Dataset], xr.Dataset]
    prepare: Callable[[xr.Dataset], xr.Dataset] | None = None


def with_note(ds: xr.Dataset, *notes: str | None) -> xr.Dataset:
    """`ds` with notes added to its attribute `repairs`."""
    said = [note for note in (ds.attrs.get("repairs", ""), *notes) if note]
    return ds.assign_attrs(repairs="; ".join(said)) if said else ds


def renamed(ds: xr.Dataset, names: Mapping[str, str]) -> xr.Dataset:
    """Those of `names` (theirs to ours) that are there, unless ours is there already."""
    held = set(ds.variables) | set(ds.dims)
    return ds.rename({old: new for old, new in names.items() if old in held and new not in held})


def needed(ds: xr.Dataset, names: tuple[str, ...], source: str, remedy: str) -> None:
    """Refuses a source that lacks one of `names`."""
    missing = [name for name in names if name not in ds.variables]
    if missing:
        held = ", ".join(map(str, ds.data_vars)) or "no variable"
        raise refusal(source, f"variable {missing[0]}", held, remedy)


def numbers(ds: xr.Dataset, theirs: str, ours: str, source: str) -> xr.DataArray:
    """A variable in float64 and in the units of `variables.VARIABLES[ours]`, by its own units attribute, which must be there. What was
    converted stands in the attribute `converted`, of which `finished` makes a note."""
    array, said = convert(ds[theirs], ours, f"{source}, variable {theirs} as")
    array = array.astype(np.float64).rename(ours)
    return array.assign_attrs(converted=said) if said else array


def total_flux(ds: xr.Dataset, names: Iterable[str], source: str) -> xr.DataArray:
    """The sum of fluxes, each by its own units."""
    parts = [numbers(ds, name, "flux", source) for name in names]
    said = dict.fromkeys(part.attrs["converted"] for part in parts if "converted" in part.attrs)
    return sum(parts[1:], parts[0]).drop_attrs().assign_attrs({"converted": ", ".join(said)} if said else {})


def upright(ds: xr.Dataset, source: str, top_first: bool = False) -> xr.Dataset:
    """Latitudes northward, longitudes eastward from the first in [0, dx) with every meridian once, levels counted from the surface up."""
    notes = []
    for axis in ("lat", "lon"):
        if axis not in ds.dims or axis not in ds.coords:
            got = f"axes {', '.join(map(str, ds.dims))} with coordinates {', '.join(map(str, ds.coords)) or 'on none'}"
            remedy = f"rename yours to {axis}: ds.rename(...), or give it: ds.assign_coords({axis}=...)"
            raise refusal(f"{source}: {axis}", f"an axis {axis} with coordinates", got, remedy)
    lat = axis_values(ds["lat"], "lat", source)
    if lat.size > 1 and (np.diff(lat) < 0).all():
        ds = ds.isel(lat=slice(None, None, -1))
        notes.append("latitudes turned northward")
    check_latitude(ds["lat"], source)
    ds, said = _eastward(ds, source)
    notes += said
    if "level" in ds.dims:
        if top_first:
            ds = ds.isel(level=slice(None, None, -1))
            notes.append("levels turned from the surface up")
        ds = ds.assign_coords(level=np.arange(1, ds.sizes["level"] + 1))
    ds = ds.transpose(*(dim for dim in DIMS if dim in ds.dims), ...)
    return with_note(ds, *notes)


def _eastward(ds: xr.Dataset, source: str) -> tuple[xr.Dataset, list[str]]:
    lon, notes = axis_values(ds["lon"], "lon", source), []
    if lon.size > 2 and abs(lon[-1] - lon[0] - 360) < ANGLE_TOLERANCE:
        ds, lon = ds.isel(lon=slice(None, -1)), lon[:-1]
        notes.append("the last longitude, which repeats the first, left out")
    if not np.allclose(np.diff(lon), 360 / lon.size, atol=ANGLE_TOLERANCE):
        got = f"{lon.size} from {lon[0]:g} to {lon[-1]:g}"
        raise refusal(
            f"{source}: lon", "longitudes evenly once round the globe, eastward", got, "give global fields"
        )
    spacing = 360 / lon.size
    east = np.mod(lon + ANGLE_TOLERANCE, 360) - ANGLE_TOLERANCE
    if not np.allclose(east, lon, atol=ANGLE_TOLERANCE) or lon[0] >= spacing - ANGLE_TOLERANCE:
        ds = ds.assign_coords(lon=("lon", east, ds["lon"].attrs)).roll(
            lon=-int(np.argmin(east)), roll_coords=True
        )
        notes.append(f"longitudes turned to {float(ds['lon'][0]):g} .. {float(ds['lon'][-1]):g}")
    return ds, notes


def intervals(ds: xr.Dataset, source: str, centred: bool) -> xr.Dataset:
    """Fluxes stamped by the begin of their interval, with `time_bounds`; centred: stamps stand in the middle."""
    needed(ds, ("time",), source, "give files with a time axis")
    check_time(ds["time"], source)
    time = ds["time"].values.astype("datetime64[ns]")
    if time.size < 2:
        remedy = "give files that follow one another"
        raise refusal(f"{source}: time", "fluxes at even intervals", "one frame", remedy)
    steps = np.diff(time)
    begin = time - steps[0] / 2 if centred else time
    if centred:
        _check_centred(time[0], begin[0], steps[0], source)
    ds = ds.assign_coords(time=("time", begin, ds["time"].attrs))
    ds = ds.assign(time_bounds=(("time", "bounds"), np.stack([begin, begin + steps[0]], axis=1)))
    return with_note(ds, "stamps moved from the middle to the begin of their interval" if centred else None)


def _check_centred(stamp: np.datetime64, begin: np.datetime64, step: np.timedelta64, source: str) -> None:
    """Refuses stamps that are not the middle of an interval of the day: at its begin or end, the flux would move by half a step."""
    day = np.timedelta64(1, "D")
    late = (begin - begin.astype("datetime64[D]")) % step
    if day % step == np.timedelta64(0) and min(late, step - late) > STAMPS_AGREE:
        show = lambda t: str(t.astype("datetime64[m]"))  # noqa: E731
        expected = f"stamps in the middle of intervals of {hours(step)} from midnight on"
        got = f"{show(stamp)}, of an interval from {show(begin)} on"
        remedy = "give the file as its maker wrote it, its stamps were moved"
        raise refusal(f"{source}: time", expected, got, remedy)


def air_of_layers(thickness: xr.DataArray, area: xr.DataArray) -> xr.DataArray:
    """kg per cell of layers whose pressures differ by `thickness` Pa, on cells of `area` m2."""
    return thickness.astype(np.float64) * area / GRAVITY


def dried(ds: xr.Dataset, air: xr.DataArray, source: str, humidity: xr.DataArray | None = None) -> xr.Dataset:
    """`ds` with `air_mass` (kg of dry air), `surface_pressure` and a note on what `air` (kg) was found to be: its mean weight over the globe
    in the first frame tells dry from moist air, which weighs a quarter of a percent more.

    humidity: kg per kg of moist air. Without one, moist air becomes `moist_air_mass`, good as a weight alone.
    """
    check_area(ds["cell_area"], source)
    pressure = _mean_pressure(air, ds["cell_area"], source)
    moist = pressure > DRY_PRESSURE + VAPOUR_PRESSURE / 2
    if abs(pressure - DRY_PRESSURE - moist * VAPOUR_PRESSURE) > VAPOUR_PRESSURE / 2:
        raise refusal(
            f"{source}: air mass",
            f"{DRY_PRESSURE / 100:.2f} hPa of dry or {(DRY_PRESSURE + VAPOUR_PRESSURE) / 100:.2f} hPa of moist air, mean over the globe",
            f"{pressure / 100:.6g} hPa",
            "check units, levels and whether the whole column is there",
        )
    found = f"{pressure / 100:.2f} hPa over the globe"
    if moist and humidity is None:
        note = f"air mass is that of moist air ({found}) and humidity is not given: good as a weight alone"
        return with_note(ds.assign(moist_air_mass=air.assign_attrs(units="kg")), note)
    if humidity is not None:
        _check_upward(humidity, source)
    if moist and humidity is not None:
        air = air * (1 - _kg_per_kg(humidity, source))
        _check_dried(_mean_pressure(air, ds["cell_area"], source), source)
    note = f"air mass found to be {'moist, dried by its humidity' if moist else 'dry'} ({found})"
    ds = ds.assign(air_mass=air, surface_pressure=air.sum("level") * GRAVITY / ds["cell_area"])
    return with_note(ds, note)


def _first(x: xr.DataArray) -> xr.DataArray:
    return x.isel(time=0) if "time" in x.dims else x


def _mean_pressure(air: xr.DataArray, area: xr.DataArray, source: str) -> float:
    """Pa, of the first frame."""
    total = float(_first(air).sum(skipna=False))
    if not np.isfinite(total):
        remedy = "fill it or leave those frames out"
        raise refusal(
            f"{source}: air mass", "finite values", "NaN or infinite ones in the first frame", remedy
        )
    return total * GRAVITY / float(area.sum())


def _check_dried(pressure: float, source: str) -> None:
    """Refuses humidity whose units are not what they say: it leaves too much air, or too little."""
    if abs(pressure - DRY_PRESSURE) > VAPOUR_PRESSURE / 2:
        expected = f"{DRY_PRESSURE / 100:.2f} hPa of dry air, mean over the globe"
        got = f"{pressure / 100:.6g} hPa with this humidity taken off"
        raise refusal(
            f"{source}: humidity", expected, got, "check the units of humidity and the order of its levels"
        )


def _check_upward(humidity: xr.DataArray, source: str) -> None:
    """Refuses levels from the top down: there is a thousand times less vapour in the stratosphere than at the surface."""
    low, high = (float(_first(humidity).isel(level=k).mean()) for k in (0, -1))
    if low < high:
        got = f"{low:.3g} in the first level, {high:.3g} in the last"
        remedy = "turn them: ds.isel(level=slice(None, None, -1)), every variable on levels alike"
        raise refusal(
            f"{source}: level", "levels from the surface up, moist below and dry above", got, remedy
        )


def _kg_per_kg(humidity: xr.DataArray, source: str) -> xr.DataArray:
    units = str(humidity.attrs.get("units", "none"))
    if units not in HUMIDITY:
        expected = f"units kg kg-1 or g kg-1 of {humidity.name}"
        raise refusal(f"{source}: humidity", expected, f"units {units!r}", "set the units once you know them")
    return humidity.astype(np.float64) * HUMIDITY[units]


def finished(ds: xr.Dataset, source: str, *names: str) -> xr.Dataset:
    """The fields alone, described."""
    kept = [name for name in (*names, "cell_area", "time_bounds") if name in ds.variables]
    ds = with_note(ds, *(ds[name].attrs.get("converted") for name in kept))
    attrs = {"source": source} | {k: v for k, v in ds.attrs.items() if k == "repairs"}
    made = describe(ds[kept].reset_coords(drop=True)).assign_attrs(attrs)
    for name in kept:
        made[name].attrs.pop("converted", None)
    return made.drop_vars([name for name in made.coords if name not in made.dims])
