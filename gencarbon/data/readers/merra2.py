"""NASA GMAO: MERRA-2 (upper case names), GEOS-FP (lower case) and GEOS-IT (surface first) on model layers, `inst3_3d_asm_Nv`."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.grid import LatLonGrid

NEEDED = ("U", "V", "QV", "DELP")
MASS_FLUXES = ("MFXC", "MFYC")


def _named(ds: xr.Dataset) -> xr.Dataset:
    return base.renamed(ds, {name.lower(): name for name in (*NEEDED, *MASS_FLUXES)} | {"lev": "level"})


def _is_geos(ds: xr.Dataset) -> bool:
    return "DELP" in ds.data_vars or "delp" in ds.data_vars


def _read(ds: xr.Dataset) -> xr.Dataset:
    source = "MERRA-2 or GEOS-FP"
    ds = _named(ds)
    base.needed(ds, NEEDED, source, "give files of the collection inst3_3d_asm_Nv")
    base.needed(ds, ("lat", "lon"), source, "give files on latitudes and longitudes, not on a cubed sphere")
    ds = base.upright(ds, source, top_first=_thin_first(ds["DELP"]))
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    air = base.air_of_layers(base.numbers(ds, "DELP", "surface_pressure", source), area)
    wind = {name: base.numbers(ds, name.upper(), name, source) for name in ("u", "v")}
    fluxes = [name for name in MASS_FLUXES if name in ds]
    note = f"{', '.join(fluxes)} not read: sums over 450 s, not over the file's step" if fluxes else None
    ds = base.with_note(ds.assign(wind | {"cell_area": area}), note)
    ds = base.dried(ds, air, source, ds["QV"])
    return base.finished(ds, source, "u", "v", "air_mass", "surface_pressure")


def _thin_first(thickness: xr.DataArray) -> bool:
    """Whether the first layer is the uppermost: layers are thin at the top."""
    column = np.asarray(thickness.isel({dim: 0 for dim in thickness.dims if dim != "level"}))
    return bool(column[0] < column[-1])


READERS = (Reader("MERRA-2 or GEOS-FP", _is_geos, _read),)
