"""What files in a layout of others are, what was converted, and what they amount to."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gencarbon.budget import co2_mass, mass_to_ppm
from gencarbon.constants import SECONDS_PER_YEAR, kg_co2_to_pgc
from gencarbon.data.axes import check_time
from gencarbon.data.files import open_dataset
from gencarbon.data.readers import open_source, reader_of
from gencarbon.data.readers.find import Reader
from gencarbon.data.regrid import AIR
from gencarbon.data.store import check_values
from gencarbon.errors import InputError
from gencarbon.grid import LatLonGrid


def by_source(paths: list[str]) -> tuple[list[tuple[Reader, list[str]]], list[str]]:
    """Files of each known layout, and those of none, which may be in ours. Files that cannot be opened are among the latter."""
    found: dict[str, tuple[Reader, list[str]]] = {}
    ours = []
    for path in paths:
        try:
            reader = reader_of(open_dataset(path))
        except InputError:
            reader = None
        if reader is None:
            ours.append(path)
        else:
            found.setdefault(reader.name, (reader, []))[1].append(path)
    return list(found.values()), ours


def source_facts(reader: Reader, paths: list[str]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The fields of a source, every value checked, and what they amount to. Raises InputError."""
    ds = reader.read(open_source(paths))
    if "time_bounds" not in ds:
        check_time(ds["time"], reader.name)
    for name in map(str, ds.data_vars):
        if name != "time_bounds":
            check_values(ds[name], name, reader.name)
    facts: dict[str, Any] = {
        "layout": reader.name,
        "holds": ", ".join(n for n in map(str, ds.data_vars) if n != "time_bounds"),
    }
    facts |= {"repairs": ds.attrs.get("repairs", "none")}
    return ds, facts | _amounts(ds)


def _amounts(ds: xr.Dataset) -> dict[str, float]:
    """PgC per year of a flux, mean over its intervals; ppm of CO2 and weight of dry air (hPa) of the first frame."""
    made: dict[str, float] = {}
    if "flux" in ds:
        area = ds["cell_area"] if "cell_area" in ds else LatLonGrid.from_dataset(ds).area
        seconds = (ds["time_bounds"][:, 1] - ds["time_bounds"][:, 0]) / np.timedelta64(1, "s")
        total = (ds["flux"].astype(np.float64) * area).sum(("lat", "lon"))
        made["flux_pgc_per_year"] = float(
            kg_co2_to_pgc((total * seconds).sum() / seconds.sum() * SECONDS_PER_YEAR)
        )
    first = ds.isel(time=0) if "time" in ds.dims else ds
    air = next((first[name] for name in AIR if name in first), None)
    if air is not None and "co2" in first:
        made["global_mean_ppm"] = float(mass_to_ppm(co2_mass(first["co2"].values, air.values), air.values))
    if "surface_pressure" in first:
        made["mean_dry_surface_pressure_hpa"] = (
            float(first["surface_pressure"].weighted(first["cell_area"]).mean()) / 100
        )
    return made
