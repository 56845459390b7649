"""The variables of gencarbon: names, units, CF names. One table, used by readers, writers and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from gencarbon.grid import HybridLevels

DIMS = ("member", "time", "level", "lat", "lon")


@dataclass(frozen=True)
class Variable:
    """One physical field: its CF units, long name and, where CF has one, standard name. accepted: other standard names of files that hold it."""

    name: str
    units: str
    long_name: str
    standard_name: str | None = None
    accepted: tuple[str, ...] = ()

    @property
    def attrs(self) -> dict[str, str]:
        """The CF attributes of the variable."""
        attrs = {"units": self.units, "long_name": self.long_name}
        return attrs if self.standard_name is None else attrs | {"standard_name": self.standard_name}

    @property
    def standard_names(self) -> tuple[str, ...]:
        """Those by which it is found in a file."""
        return (*filter(None, (self.standard_name,)), *self.accepted)


_DRY_CO2 = "mole_fraction_of_carbon_dioxide_in_dry_air"

VARIABLES = {
    v.name: v
    for v in (
        Variable(
            "co2",
            "1e-6",
            "dry-air mole fraction of CO2 (ppm)",
            _DRY_CO2,
            accepted=("mole_fraction_of_carbon_dioxide_in_air",),
        ),
        Variable("co2_background", "1e-6", "dry-air mole fraction of CO2 of the coarse run (ppm)", _DRY_CO2),
        Variable("co2_refined", "1e-6", "dry-air mole fraction of CO2 of the refined run (ppm)", _DRY_CO2),
        Variable(
            "co2_mean_network", "1e-6", "dry-air mole fraction of CO2 of the mean network (ppm)", _DRY_CO2
        ),
        Variable(
            "co2_van_leer",
            "1e-6",
            "dry-air mole fraction of CO2 of a limited van Leer coarse run (ppm)",
            _DRY_CO2,
        ),
        Variable(
            "co2_ppm", "1e-6", "dry-air mole fraction of CO2 of a limited PPM coarse run (ppm)", _DRY_CO2
        ),
        Variable("tracer", "1e-6", "tagged CO2 tracer, reference transport (ppm)"),
        Variable(
            "tracer_background_diffusive", "1e-6", "tagged CO2 tracer, first-order coarse transport (ppm)"
        ),
        Variable(
            "tracer_background_wide", "1e-6", "tagged CO2 tracer, transport on cells twice as wide (ppm)"
        ),
        Variable("tracer_background", "1e-6", "tagged CO2 tracer, coarse transport (ppm)"),
        Variable("tracer_refined", "1e-6", "tagged CO2 tracer, coarse fluxes on finer cells (ppm)"),
        Variable("tracer_variance", "1e-12", "tracer of variance, of a pair of tagged tracers (ppm2)"),
        Variable(  # CF has no name for a mass flux of CO2 itself
            "flux",
            "kg m-2 s-1",
            "upward surface flux of CO2",
            accepted=(
                "surface_upward_mole_flux_of_carbon_dioxide",
                "surface_upward_mass_flux_of_carbon_dioxide",
            ),
        ),
        Variable("tracer_flux", "kg m-2 s-1", "upward surface flux of the tagged CO2 tracer"),
        Variable("u", "m s-1", "eastward wind", "eastward_wind"),
        Variable("v", "m s-1", "northward wind", "northward_wind"),
        Variable("surface_pressure", "Pa", "surface pressure of dry air", "surface_air_pressure"),
        Variable(
            "eastward_air_mass_flux", "kg s-1", "air mass flux through the western face, mean over the step"
        ),
        Variable(
            "northward_air_mass_flux", "kg s-1", "air mass flux through the southern face, mean over the step"
        ),
        Variable(
            "eastward_air_mass_flux_fine",
            "kg s-1",
            "as eastward_air_mass_flux, of the cells of the reference",
        ),
        Variable(
            "northward_air_mass_flux_fine",
            "kg s-1",
            "as northward_air_mass_flux, of the cells of the reference",
        ),
        Variable("air_mass", "kg", "mass of dry air in the cell"),
        Variable("cell_area", "m2", "area of the cell", "cell_area"),
        Variable("hybrid_a", "Pa", "hybrid coefficient a at layer interfaces"),
        Variable("hybrid_b", "1", "hybrid coefficient b at layer interfaces"),
        Variable(
            "budget_correction", "1e-6", "air-mass-weighted mean moved by the final mass projection (ppm)"
        ),
        Variable("member", "1", "ensemble member", "realization"),
    )
}

_AXES = {
    "lat": {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"},
    "lon": {"units": "degrees_east", "standard_name": "longitude", "axis": "X"},
    "time": {"standard_name": "time", "axis": "T", "units_metadata": "leap_seconds: none"},
    "level": {"units": "1", "long_name": "model layer, from the surface up", "axis": "Z", "positive": "up"},
    "level_interface": {"units": "1", "long_name": "layer interface, from the surface up"},
}


def describe(ds: xr.Dataset) -> xr.Dataset:
    """A copy of `ds` in which every known variable and axis carries its CF attributes."""
    ds = ds.copy()
    for name in list(ds.variables):
        if name in VARIABLES:
            ds[name].attrs.update(VARIABLES[name].attrs)
        if name in _AXES:
            ds[name].attrs.update(_AXES[name])
            ds[name].encoding.setdefault("_FillValue", None)  # CF: coordinates have none missing
    ds.attrs.setdefault("Conventions", "CF-1.11")
    return ds


def level_coordinates(levels: HybridLevels) -> dict[str, tuple[str, np.ndarray]]:
    """The variables `level`, `hybrid_a` and `hybrid_b` of a `grid.HybridLevels`."""
    return {
        "level": ("level", np.arange(1, levels.count + 1)),
        "hybrid_a": ("level_interface", np.array(levels.a)),
        "hybrid_b": ("level_interface", np.array(levels.b)),
    }
