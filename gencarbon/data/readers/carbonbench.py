"""CarbonBench: CarbonTracker on coarser cells and layers, two stacked float32 arrays in one Zarr store (a folder, or zipped)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.data.readers import base
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.grid import LatLonGrid

STACKS = {"variables_2d": "vari_2d", "variables_3d": "vari_3d"}
FLUXES = ("co2flux_anthro", "co2flux_land", "co2flux_ocean")
UNITS = dict.fromkeys(FLUXES, "kg m-2 s-1") | {
    "cell_area": "m2",
    "airmass": "Pg",
    "co2massmix": "1e-6 kg kg-1",
    "q": "kg kg-1",
    "u": "m s-1",
    "v": "m s-1",
}
M_CO2 = (
    44.009e-3  # kg mol-1     of the benchmark, with which it made mass from CarbonTracker's mole fractions
)
M_AIR = 28.9652e-3  # kg mol-1     likewise


def _recognises(ds: xr.Dataset) -> bool:
    return any(stack in ds.data_vars and rows in ds.dims for stack, rows in STACKS.items())


def _unstacked(ds: xr.Dataset, source: str) -> xr.Dataset:
    """One variable per row of the two stacks, in the units of the benchmark's code: a stack of many units has no units of its own."""
    made = {}
    for stack, rows in STACKS.items():
        said = ds[stack].attrs.get("units")
        for name, row in ds[stack].to_dataset(rows).data_vars.items():
            units = UNITS.get(str(name))
            if said and units and said != units:
                where = f"{source}: variable {name} in {stack}"
                raise refusal(
                    where, f"units {units}", f"units {said!r}", "give the store as the benchmark wrote it"
                )
            made[name] = row.drop_attrs() if units is None else row.assign_attrs(units=units)
    note = "units are those of the benchmark's code, as its stacked arrays have no units attribute"
    return base.with_note(xr.Dataset(made), note)


def _read(ds: xr.Dataset) -> xr.Dataset:
    source, remedy = "CarbonBench", "give the store as the benchmark wrote it"
    base.needed(ds, tuple(STACKS), source, remedy)
    ds = _unstacked(ds, source)
    base.needed(ds, tuple(UNITS), source, remedy)
    ds = base.upright(ds, source)
    co2 = ds["co2massmix"].astype(np.float64) * (M_AIR / M_CO2)
    air = base.numbers(ds, "airmass", "air_mass", source)
    flux = base.total_flux(ds, FLUXES, source)
    area = base.numbers(ds, "cell_area", "cell_area", source).isel(time=0).astype(np.float64)
    wind = {name: base.numbers(ds, name, name, source) for name in ("u", "v")}
    # TM5's air lies on a sphere of 6371.0 km. The benchmark's cells, of 6378.1 km, are larger by 0.22 %, about what vapour weighs, and
    # would make moist air look dry; they belong to the fluxes, which the benchmark rescaled on them until CO2 closed.
    sphere = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    ds = base.dried(ds.assign(wind).assign(co2=co2, flux=flux, cell_area=sphere), air, source, ds["q"])
    closed = f"flux is the sum of {', '.join(FLUXES)}, which the benchmark rescaled until CO2 closed on its own air mass and cell_area"
    ds = base.with_note(ds.assign(cell_area=area), "ppm by the benchmark's molar masses", closed)
    names = ("co2", "u", "v", "air_mass", "surface_pressure", "flux")
    return base.finished(base.intervals(ds, source, centred=False), source, *names)


READERS = (Reader("CarbonBench", _recognises, _read),)
