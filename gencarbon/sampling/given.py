"""What a run of CO2 is given: winds, fluxes, a coarse run, perhaps a known state. The border from xarray to arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.data.backgrounds import interpolated
from gencarbon.data.checks import check_sampling_inputs
from gencarbon.data.normalize import face_winds
from gencarbon.errors import InputError
from gencarbon.grid import coarsen_mean
from gencarbon.sampling.coarse_run import air_motion, coarse_run, has_mass_fluxes
from gencarbon.sampling.components import ModelGrid
from gencarbon.transport.offline import AirMotion

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Given:
    """Arrays float64: level fields (time, level, lat, lon), surface fields (time, lat, lon); coarse (as given), initial ppm.

    about: attributes of an ensemble that say what was done to the inputs. blocks: cells on a side of one of the coarse run's, whose
    means members keep; None where they keep the budget of whole frames.
    """

    grid: ModelGrid
    winds: xr.Dataset
    time: NDArray[np.datetime64]
    u: Array
    v: Array
    surface_pressure: Array
    air: AirMotion
    flux: Array
    coarse: Array | None
    initial: Array | None
    about: dict[str, str]
    blocks: int | None = None

    @classmethod
    def read(
        cls,
        grid: ModelGrid,
        winds: xr.Dataset,
        fluxes: xr.Dataset,
        background: xr.Dataset | None = None,
        initial: xr.Dataset | None = None,
        conserve: bool = False,
    ) -> Given:
        """Checked inputs. conserve: members keep the means of the background's cells, which are wider. Raises InputError before any work."""
        place = grid.cells, grid.layers
        inputs = check_sampling_inputs(winds, fluxes, background, initial, *place, grid.step_seconds)
        if inputs.background is None and inputs.initial is None:
            raise InputError(
                "sampling needs a coarse run or a state to start one from, got neither; give --background or --initial"
            )
        width = inputs.background_width
        if conserve and width == 1:
            raise InputError(
                "conserving the means of coarse cells needs a coarse run on wider cells than the checkpoint's, whole numbers of "
                f"{grid.cells.shape[0]} x {grid.cells.shape[1]}; got "
                + ("none" if background is None else "one on the same cells")
                + "; give a background (--coarse) on such cells, or do not conserve"
            )
        load = lambda ds, name: np.asarray(ds[name].values, np.float64)  # noqa: E731
        start = None if inputs.initial is None else load(inputs.initial.squeeze(drop=True), "co2")
        air, flux = air_motion(inputs.winds, *place, grid.step_seconds), load(inputs.fluxes, "flux")
        coarse = None if inputs.background is None else load(inputs.background, "co2")
        if coarse is not None and width > 1:
            air_mass = grid.layers.air_mass(load(inputs.winds, "surface_pressure"), grid.cells)
            coarse = interpolated(coarse, width, air_mass)
        about = {
            "initial_frame": "generated" if start is None else "known",
            "air_mass_fluxes": "as given"
            if has_mass_fluxes(inputs.winds)
            else "estimated from winds at cell centres",
            "keeps": f"means of the coarse run over {width} x {width} cells"
            if conserve
            else "the budget of every frame",
            "notes": "; ".join(inputs.notes) or "inputs used as given",
        }
        u, v, ps = (load(inputs.winds, name) for name in ("u", "v", "surface_pressure"))
        blocks = width if conserve else None
        time = inputs.winds["time"].values
        made = cls(grid, inputs.winds, time, u, v, ps, air, flux, coarse, start, about, blocks)
        return made if blocks is None else replace(made, about=about | made._departures())

    def _departures(self) -> dict[str, str]:
        """How far a coarse run whose means are kept is from the budget of the fluxes, and from the known state."""
        assert self.coarse is not None and self.blocks is not None
        mass = co2_mass(self.coarse, self.air_mass)
        added = accumulated_flux(self.flux, self.grid.cells.area, self.grid.step_seconds)
        found = {"coarse_budget_error": f"{np.abs(mass - mass[0] - added).max() / np.abs(added).max():.2g}"}
        if self.initial is not None:
            means = [coarsen_mean(x, self.blocks, self.air_mass[0]) for x in (self.initial, self.coarse[0])]
            found["coarse_minus_known_ppm"] = f"{np.abs(np.subtract(*means)).max():.2g}"
        return found

    @cached_property
    def background(self) -> Array:
        """The coarse run that was given, else our own from `initial`, (time, level, lat, lon) ppm."""
        if self.coarse is not None:
            return self.coarse
        assert self.initial is not None
        return coarse_run(self.air, self.flux, self.initial, self.grid.cells, self.grid.layers)

    @property
    def first(self) -> Array:
        """The state from which runs begin: the known one, else the coarse run's, (level, lat, lon) ppm."""
        return self.background[0] if self.initial is None else self.initial

    @property
    def cell_winds(self) -> tuple[Array, Array] | None:
        """Winds of cells where they tell more than the air mass fluxes, which may have been estimated from them."""
        return (self.u, self.v) if has_mass_fluxes(self.winds) else None

    @cached_property
    def air_mass(self) -> Array:
        """kg of dry air, (time, level, lat, lon)."""
        return self.grid.layers.air_mass(self.surface_pressure, self.grid.cells)

    @cached_property
    def face_winds(self) -> tuple[Array, Array]:
        """Winds through western and southern faces, (time, level, lat, lon) m s-1."""
        return face_winds(self.air.east, self.air.north, self.air_mass, self.grid.cells)

    @cached_property
    def target_mass(self) -> Array:
        """What every frame must hold, (time,) kg CO2: initial mass + accumulated flux."""
        added = accumulated_flux(self.flux, self.grid.cells.area, self.grid.step_seconds)
        return co2_mass(self.first, self.air_mass[0]) + added

    def template(self) -> xr.Dataset:
        """Everything of an ensemble dataset but its members, with the coordinates of the winds."""
        dims = ("time", "level", "lat", "lon")
        coords: dict[str, Any] = {name: self.winds[name] for name in ("time", "lat", "lon")}
        ds = xr.Dataset(coords=coords | {"level": np.arange(1, self.background.shape[1] + 1)})
        ds["air_mass"] = (dims, self.air_mass)
        ds["flux"] = (("time", "lat", "lon"), self.flux)
        ds["cell_area"] = (("lat", "lon"), self.grid.cells.area)
        ds["co2_background"] = (dims, self.background)
        ds["hybrid_a"] = ("level_interface", np.array(self.grid.layers.a))
        ds["hybrid_b"] = ("level_interface", np.array(self.grid.layers.b))
        ds.attrs = {
            "title": "Ensemble of CO2 fields sampled with gencarbon",
            "Conventions": "CF-1.11",
            "gencarbon_version": version("gencarbon"),
            **self.about,
        }
        return ds
