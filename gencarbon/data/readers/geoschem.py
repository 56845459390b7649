"""GEOS-Chem: CO2 of SpeciesConc files and the air of StateMet files beside them, on latitudes and longitudes, versions 12 to 14."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal

CO2 = ("SpeciesConcVV_CO2", "SpeciesConc_CO2")  # from version 14, and before
AIR = ("Met_DELPDRY", "Met_AD")
WINDS = {"u": "Met_U", "v": "Met_V"}


def _recognises(ds: xr.Dataset) -> bool:
    return any(
        name in (*AIR, "Met_PEDGE") or name.startswith("SpeciesConc") for name in map(str, ds.data_vars)
    )


def _first(ds: xr.Dataset, names: tuple[str, ...]) -> str:
    """The first of `names` that is there; where none is, the first, which will be missed by its name."""
    return next((name for name in names if name in ds), names[0])


def _air(ds: xr.Dataset, source: str) -> xr.DataArray:
    """kg per cell, of the pressure that dry air has in a layer, else the model's own mass. Whether it is dry is tested, not believed."""
    if "Met_DELPDRY" not in ds:
        return base.numbers(ds, "Met_AD", "air_mass", source)
    return base.air_of_layers(base.numbers(ds, "Met_DELPDRY", "surface_pressure", source), ds["cell_area"])


def _check_levels(ds: xr.Dataset, top_first: bool, source: str) -> None:
    """Refuses `lev`, where it is a share of the surface pressure, that rises while the interfaces fall."""
    lev = ds["lev"].values if "lev" in ds.coords else np.zeros(1)
    if "hybi" in ds and 0 < lev.max() <= 1 and (lev[0] < lev[-1]) != top_first:
        got = f"{lev[0]:.4g} ... {lev[-1]:.4g}, while hybi goes from {float(ds['hybi'][0]):.4g} to {float(ds['hybi'][-1]):.4g}"
        remedy = "give the files as GEOS-Chem wrote them, or turn lev and ilev alike"
        raise refusal(f"{source}: lev", "levels in the order of the interfaces, hybi", got, remedy)


def _read(ds: xr.Dataset) -> xr.Dataset:
    source = "GEOS-Chem"
    name, air = _first(ds, CO2), _first(ds, AIR)
    base.needed(ds, (name,), source, "give the SpeciesConc file along")
    base.needed(ds, (air, "AREA"), source, "air is missing: give the StateMet file of the same dates along")
    # `lev` falls with height and is no count of levels: hybi, 1 at the surface and 0 at the top, tells which end is up
    top_first = "hybi" in ds and bool(ds["hybi"][0] < ds["hybi"][-1])
    _check_levels(ds, top_first, source)
    ds = base.upright(base.renamed(ds, {"lev": "level"}), source, top_first)
    units = str(ds[name].attrs.get("units", "")).removesuffix("dry").strip()  # mol mol-1 dry
    ds = ds.assign({name: ds[name].assign_attrs(units=units)})
    co2 = base.numbers(ds, name, "co2", source)
    # the polar boxes are half as high as the others, so that edges midway between latitudes are not theirs
    ds = ds.assign(co2=co2, cell_area=base.numbers(ds, "AREA", "cell_area", source))
    ds = ds.assign(
        {ours: base.numbers(ds, theirs, ours, source) for ours, theirs in WINDS.items() if theirs in ds}
    )
    ds = base.dried(ds, _air(ds, source), source)
    method = ds[name].attrs.get("averaging_method")
    ds = base.with_note(ds, method and f"co2 is {method}, stamped as in the file")
    return base.finished(ds, source, "co2", "u", "v", "air_mass", "moist_air_mass", "surface_pressure")


READERS = (Reader("GEOS-Chem", _recognises, _read),)
