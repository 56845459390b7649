"""OCO-2 and OCO-3 column averages: NASA's Lite files, and the 10-second averages of the OCO-2 model intercomparison (MIP).

O'Dell et al. (2018), doi:10.5194/amt-11-6539-2018; Baker et al. (2022), doi:10.5194/gmd-15-649-2022. Kernel, weights and prior stand on the
20 pressure levels of the retrieval, from the top down; where the MIP's files give sigma, the pressure is sigma times that of the surface.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.readers.obspack import check_dates, check_plausible, without
from gencarbon.data.units import check_degrees

NAMES = {"sounding_id": "sounding", "levels": "retrieval_level", "latitude": "lat", "longitude": "lon"}
VALUES = (
    "xco2_x2019",
    "xco2_2019_scale",
    "xco2",
)  # the first that is there: that of the stations' scale, WMO X2019
COLUMN = ("xco2_uncertainty", "xco2_apriori", "co2_profile_apriori")
KERNEL = ("xco2_averaging_kernel", "pressure_weight")
OTHERS = ("xco2_quality_flag", "time", "lat", "lon")
PPM, PASCAL = {"units": "1e-6"}, {"units": "Pa", "long_name": "pressure of the retrieval levels"}


def _is_lite(ds: xr.Dataset) -> bool:
    return {"xco2_averaging_kernel", "co2_profile_apriori", "pressure_levels"} <= set(ds.variables)


def _is_mip(ds: xr.Dataset) -> bool:
    names = {"xco2_averaging_kernel", "co2_profile_apriori", "sigma_levels", "psurf"}
    return names <= set(ds.variables) and not _is_lite(ds)


def _read_lite(ds: xr.Dataset) -> xr.Dataset:
    source = "OCO-2 Lite"
    return _read(ds, base.numbers(ds, "pressure_levels", "surface_pressure", source), source)


def _read_mip(ds: xr.Dataset) -> xr.Dataset:
    source = "OCO-2 MIP 10-second averages"
    return _read(ds, ds["sigma_levels"] * base.numbers(ds, "psurf", "surface_pressure", source), source)


def _read(ds: xr.Dataset, pressure: xr.DataArray, source: str) -> xr.Dataset:
    ds = base.renamed(ds.assign(pressure_level=pressure), NAMES)
    value = next((name for name in VALUES if name in ds), "xco2")
    remedy = "give the file as its maker wrote it"
    base.needed(ds, (value, *COLUMN, *KERNEL, *OTHERS), source, remedy)
    error, prior, profile = (base.numbers(ds, name, "co2", source) for name in COLUMN)
    made = xr.Dataset(
        {
            "xco2": base.numbers(ds, value, "co2", source),
            "xco2_error": error,
            "xco2_prior": prior,
            "co2_prior": profile,
            "averaging_kernel": ds["xco2_averaging_kernel"],
            "pressure_weight": ds["pressure_weight"],
            "pressure_level": ds["pressure_level"],
            **{name: ds[name] for name in ("time", "lat", "lon")},
        }
    )
    reasons = {"of bad quality (xco2_quality_flag not 0)": ds["xco2_quality_flag"].values != 0}
    return soundings(made, reasons, source, f"xco2 is {value}" if value != "xco2" else None)


def soundings(
    ds: xr.Dataset, reasons: dict[str, NDArray[np.bool_]], source: str, *notes: str | None
) -> xr.Dataset:
    """The canonical layout (`data.observations`), lazily, without what a reason leaves out."""
    check_dates(ds["time"], source)
    for axis in ("lat", "lon"):
        check_degrees(ds[axis], axis, source)
    missing = ~np.isfinite(ds["xco2"].values) | np.isnat(ds["time"].values)
    ds, left_out = without(ds, "sounding", reasons | {"without a value or a time": missing}, source)
    check_plausible(ds["xco2"], source)
    for name in ("xco2", "xco2_error", "xco2_prior", "co2_prior"):
        ds[name].attrs = PPM
    ds["pressure_level"].attrs = PASCAL
    ds = ds.set_coords(["time", "lat", "lon"]).transpose("sounding", ...)
    ds = ds.drop_vars([name for name in ds.coords if name not in ("sounding", "time", "lat", "lon")])
    return base.with_note(ds.assign_attrs(source=source), *left_out, *notes)


READERS = (
    Reader("OCO-2 Lite", _is_lite, _read_lite),
    Reader("OCO-2 MIP 10-second averages", _is_mip, _read_mip),
)
