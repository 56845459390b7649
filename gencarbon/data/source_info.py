"""What files in a layout of others are, what was converted, and what they amount to."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gencarbon.budget import co2_mass, mass_to_ppm
from gencarbon.data.axes import check_time, check_years
from gencarbon.data.blocks import lost_chunks, reading
from gencarbon.data.files import open_dataset
from gencarbon.data.observations import OBSERVATION_READERS, usable
from gencarbon.data.readers import open_source, reader_of
from gencarbon.data.readers.find import Reader
from gencarbon.data.refusal import refusal
from gencarbon.data.regrid import AIR
from gencarbon.data.store import (
    FIELD,
    SURFACE,
    Dims,
    check_area,
    check_stored,
    check_total,
    check_values,
    pgc_per_year,
)
from gencarbon.errors import InputError
from gencarbon.grid import LatLonGrid

FIELDS: dict[str, Dims] = dict.fromkeys(("co2", "u", "v", *AIR), FIELD)
FIELDS |= dict.fromkeys(("surface_pressure", "flux"), SURFACE)
Files = dict[str, xr.Dataset]  # by their paths
# PgC yr-1      net, either way: an inventory of one sector may be below, some hours of summer above
LIKELY_FLUX = (0.1, 100.0)


def layout_of(ds: xr.Dataset) -> Reader | None:
    """The reader of a layout of others, of fields or of observations; None where `ds` may be in ours."""
    observed = [reader for reader in OBSERVATION_READERS if reader.recognises(ds)]
    return observed[0] if observed else reader_of(ds)


def by_source(paths: list[str]) -> tuple[list[tuple[Reader, Files]], list[str]]:
    """Files of each known layout, each file of observations by itself, and those of none, which may be in ours. Files that cannot be
    opened are among the latter."""
    found: dict[str, tuple[Reader, Files]] = {}
    ours = []
    for path in dict.fromkeys(paths):
        try:
            ds = open_dataset(path)
            reader = layout_of(ds)
        except InputError:
            reader = None
        if reader is None:
            ours.append(path)
        else:
            key = path if reader in OBSERVATION_READERS else reader.name
            found.setdefault(key, (reader, {}))[1][path] = ds
    return list(found.values()), ours


def source_facts(reader: Reader, files: Files) -> dict[str, Any]:
    """What a source holds, every value checked, and what it amounts to. Raises InputError."""
    facts: dict[str, Any] = {"layout": reader.name}
    with reading(files.items):
        if reader in OBSERVATION_READERS:
            (raw,) = files.values()
            return facts | _observed(reader, raw)
        for store in files.values():
            check_stored(store, lost_chunks(store), reader.name)
        ds = reader.read(open_source(files))
        _check_fields(ds, reader.name)
        facts["holds"] = ", ".join(n for n in map(str, ds.data_vars) if n != "time_bounds")
        amounts = _amounts(ds)
    notes = [ds.attrs.get("repairs", ""), _suspicion(amounts.get("flux_pgc_per_year"), reader.name)]
    return facts | {"repairs": "; ".join(filter(None, notes)) or "none"} | amounts


def _check_fields(ds: xr.Dataset, source: str) -> None:
    """Refuses axes and values that cannot be."""
    if "time" not in ds.dims or "time" not in ds.coords:
        raise refusal(
            f"{source}: time", "a time axis", f"dims {tuple(ds.dims)}", "give files with their dates"
        )
    if "time_bounds" in ds:
        _check_bounds(ds["time_bounds"].values, source)
    else:
        check_time(ds["time"], source)
    if "cell_area" in ds:
        check_area(ds["cell_area"], source)
    for name in (name for name in map(str, ds.data_vars) if name != "time_bounds"):
        if name in FIELDS and set(ds[name].dims) != set(FIELDS[name]):
            remedy = "select one of the others: ds.isel(...)"
            raise refusal(f"{source}: {name}", f"dims {FIELDS[name]}", f"{ds[name].dims}", remedy)
        check_values(ds[name], name, source)


def _check_bounds(bounds: np.ndarray, source: str) -> None:
    """Refuses intervals that do not follow one another."""
    check_years(bounds[:, 0], f"{source}: time")
    apart = bounds[1:, 0] != bounds[:-1, 1]
    if apart.any():
        end, begin = (
            str(t.astype("datetime64[m]")) for t in (bounds[:-1, 1][apart][0], bounds[1:, 0][apart][0])
        )
        got = f"one that ends {end} and then one that begins {begin}"
        raise refusal(
            f"{source}: time", "intervals that follow one another", got, "give the files between, each once"
        )


def _suspicion(total: float | None, source: str) -> str | None:
    """What to say of a flux in PgC yr-1 that the globe may hardly have; refused where it cannot."""
    if total is None:
        return None
    check_total(total, source)
    low, high = LIKELY_FLUX
    likely = low <= abs(total) <= high
    return None if likely else f"suspicious: a net flux of {total:.3g} PgC a year, check the units"


def _observed(reader: Reader, raw: xr.Dataset) -> dict[str, Any]:
    """How many observations are good, why others are not, and when they were made."""
    ds = reader.read(raw)
    good = usable(ds)
    dates = ds["time"].values.astype("datetime64[s]")
    check_years(dates, f"{reader.name}: time")
    notes = [ds.attrs.get("repairs", "")]
    if bad := int((~good).sum()):
        notes.append(f"{bad} with NaN or a fill value, left out")
    if not good.any():
        raise refusal(reader.name, "some usable data", "; ".join(filter(None, notes)), "give another file")
    return {
        "observations": int(good.sum()),
        "rejected": raw["time"].size - int(good.sum()),
        "period": f"{dates.min()} to {dates.max()}",
        "repairs": "; ".join(filter(None, notes)) or "none",
    }


def _amounts(ds: xr.Dataset) -> dict[str, float]:
    """PgC per year of a flux, mean over its intervals; ppm of CO2 and weight of dry air (hPa) of the first frame."""
    made: dict[str, float] = {}
    if "flux" in ds:
        area = ds["cell_area"] if "cell_area" in ds else LatLonGrid.from_dataset(ds).area
        seconds = (ds["time_bounds"][:, 1] - ds["time_bounds"][:, 0]) / np.timedelta64(1, "s")
        mean = (ds["flux"].astype(np.float64) * seconds).sum("time") / seconds.sum()
        made["flux_pgc_per_year"] = pgc_per_year(mean, area)
    first = ds.isel(time=0) if "time" in ds.dims else ds
    air = next((first[name] for name in AIR if name in first), None)
    if air is not None and "co2" in first:
        made["global_mean_ppm"] = float(mass_to_ppm(co2_mass(first["co2"].values, air.values), air.values))
    if "surface_pressure" in first:
        made["mean_dry_surface_pressure_hpa"] = (
            float(first["surface_pressure"].weighted(first["cell_area"]).mean()) / 100
        )
    return made
