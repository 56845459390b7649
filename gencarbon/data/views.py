"""The canonical datasets inside a benchmark store: what a user of HS-CO2 samples from and scores against."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean
from gencarbon.variables import describe, level_coordinates

WINDS = ("u", "v", "surface_pressure", "eastward_air_mass_flux", "northward_air_mass_flux")


def canonical_datasets(
    store: xr.Dataset, period: slice = slice(None), weights: np.ndarray | None = None
) -> dict[str, xr.Dataset]:
    """`winds`, `fluxes`, `background`, `reference` and `initial` of the benchmark's CO2 over frames `period`.

    CO2 is the base mole fraction plus the tagged tracers that belong to the total; weights: another mixture of them.
    """
    ds = store.isel(time=period)
    weights = store["in_total"].values if weights is None else weights
    total = lambda name: np.tensordot(weights, ds[name].values.astype(np.float64), axes=1)  # noqa: E731
    base, dims = float(store.attrs["base_co2_ppm"]), ("time", "level", "lat", "lon")
    grid, levels = LatLonGrid.from_dataset(store), HybridLevels.from_dataset(store)
    coords = {name: ds[name] for name in ("time", "lat", "lon")} | level_coordinates(levels)
    made: dict[str, dict[str, Any]] = {
        "winds": {name: (ds[name].dims, ds[name].values) for name in WINDS},
        "fluxes": {"flux": (("time", "lat", "lon"), total("tracer_flux"))},
        "background": {"co2": (dims, base + total("tracer_background"))},
        "reference": {
            "co2": (dims, base + total("tracer")),
            "air_mass": (dims, levels.air_mass(ds["surface_pressure"].values, grid)),
        },
    }
    title = store.attrs.get("title", "HS-CO2")
    sets = {
        role: describe(xr.Dataset(fields, coords)).assign_attrs(title=f"{title}: {role}")
        for role, fields in made.items()
    }
    sets["fluxes"] = sets["fluxes"].drop_vars(["hybrid_a", "hybrid_b", "level"])
    sets["initial"] = sets["reference"][["co2"]].isel(time=0)
    return sets


def widened(sets: dict[str, xr.Dataset], factor: int) -> xr.Dataset:
    """The reference's means over cells `factor` times as wide, as a coarse run to downscale. sets: of `canonical_datasets`."""
    truth, air = sets["reference"].co2, sets["reference"].air_mass.values
    coarse = sets["background"].drop_vars(["co2", "lat", "lon"])
    coarse = coarse.assign_coords(LatLonGrid.from_dataset(sets["background"]).coarsen(factor).coordinates())
    return coarse.assign(co2=(truth.dims, coarsen_mean(truth.values, factor, air), truth.attrs))
