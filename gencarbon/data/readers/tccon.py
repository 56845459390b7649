"""TCCON GGG2020, public files: columns seen from the ground. Laughner et al. (2024), doi:10.5194/essd-16-2197-2024.

Kernel and prior belong to **wet** mole fractions: XCO2 = XCO2_a + sum_k o_k a_k (x_wet,k - x_wet,a,k), with the file's integration operator o.
The model's are dry, x_wet = x (1 - f) with the prior's water vapour f (mol per mol of moist air), so the same column is

    XCO2 = XCO2_a + sum_k h_k a_k (x_k - x_a,k)  with  x_a = prior_co2 / (1 - f)  and  h = o (1 - f), divided by its sum.

That sum is 1 but for the retrieved oxygen column, some tenths of a percent.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.readers.oco2 import soundings
from gencarbon.data.refusal import refusal

PPM_NAMES = ("xco2", "xco2_error", "prior_xco2", "prior_co2")
PROFILES = ("prior_co2", "prior_h2o", "prior_pressure", "integration_operator")
MOLE_FRACTIONS = {"": 1.0, "1": 1.0, "parts": 1.0, "mol mol-1": 1.0, "ppm": 1e-6}
MOST_VAPOUR = 0.1  # mol mol-1     no air holds more
OWN_COLUMN = 5e-3  # the operator gives the prior's own column but for this


def _is_tccon(ds: xr.Dataset) -> bool:
    return {"ak_xco2", "prior_co2", "xco2", "long"} <= set(ds.variables)


def _read(ds: xr.Dataset) -> xr.Dataset:
    source = "TCCON"
    wet = "the prior is that of wet air and cannot be dried without it: give the public GGG2020 file"
    base.needed(ds, ("prior_h2o",), source, wet)
    public = "give the public GGG2020 file (.public.qc.nc)"
    base.needed(ds, (*PPM_NAMES, *PROFILES, "ak_xco2", "time", "lat", "long"), source, public)
    _check_profiles(ds, source, public)
    xco2, error, prior, wet_profile = (base.numbers(ds, name, "co2", source) for name in PPM_NAMES)
    pressure = base.numbers(ds, "prior_pressure", "surface_pressure", source)
    dry, operator = 1 - _vapour(ds["prior_h2o"], source), ds["integration_operator"]
    own = (operator * wet_profile).sum("prior_altitude") / prior
    weight = operator * dry
    profiles = {
        "co2_prior": wet_profile / dry,
        "pressure_weight": weight / weight.sum("prior_altitude"),
        "pressure_level": pressure,
        "averaging_kernel": ds["ak_xco2"],
    }
    levels = {"prior_altitude": "retrieval_level", "ak_altitude": "retrieval_level"}
    fields = {"xco2": xco2, "xco2_error": error, "xco2_prior": prior, "lat": ds["lat"], "lon": ds["long"]}
    fields |= {name: base.renamed(v.to_dataset(name=name), levels)[name] for name, v in profiles.items()}
    made = xr.Dataset({name: v.drop_vars(list(v.coords)) for name, v in fields.items()})
    made = made.rename_dims(time="sounding").assign(time=("sounding", ds["time"].values))
    reasons = {"whose integration operator does not give prior_xco2": ~(abs(own - 1) < OWN_COLUMN).values}
    scale = ds["xco2"].attrs.get("wmo_or_analogous_scale")
    dried = "prior dried by its own water vapour"
    return soundings(made, reasons, source, dried, f"xco2 is on the scale {scale}" if scale else None)


def _check_profiles(ds: xr.Dataset, source: str, remedy: str) -> None:
    """Refuses profiles that do not stand beside each sounding, or kernels on other levels than the prior."""
    for name in (*PROFILES, "ak_xco2"):
        dims = ("time", "ak_altitude" if name == "ak_xco2" else "prior_altitude")
        if ds[name].dims != dims:
            raise refusal(f"{source}: {name}", f"dims {dims}", f"{ds[name].dims}", remedy)
    a, b = (ds[name].values for name in ("ak_altitude", "prior_altitude"))
    if a.shape != b.shape or not np.allclose(a, b, atol=1e-3):
        raise refusal(
            f"{source}: ak_altitude", "the levels of the prior", f"{a.size} others ({b.size} levels)", remedy
        )
    if str(ds["prior_co2"].attrs.get("standard_name", "")).startswith("dry"):
        got = f"standard_name {ds['prior_co2'].attrs['standard_name']!r}"
        raise refusal(f"{source}: prior_co2", "a wet mole fraction, as GGG2020 writes it", got, remedy)


def _vapour(array: xr.DataArray, source: str) -> xr.DataArray:
    """Water vapour in mol per mol of moist air, by the units of the file, an empty one being 1 in GGG."""
    units = array.attrs.get("units")
    if units not in MOLE_FRACTIONS:
        got = "no units attribute" if units is None else f"units {units!r}"
        raise refusal(
            f"{source}: prior_h2o", "units 1", got, "set them once you know them, as GGG does: units 1"
        )
    f = array.astype(np.float64) * MOLE_FRACTIONS[units]
    if not 0 <= (largest := float(f.max())) < MOST_VAPOUR:
        got = f"as much as {largest:g}"
        raise refusal(f"{source}: prior_h2o", f"mol mol-1 below {MOST_VAPOUR:g}", got, "check its units")
    return f


READERS = (Reader("TCCON", _is_tccon, _read),)
