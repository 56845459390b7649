"""HS-CO2: winds, fluxes, fine reference and coarse background, built by one command and resumable at any time.

One Zarr store per split. Tagged tracers are carried separately by schemes that are linear in the tracer, so any combination of
them is a valid reference/background pair. The state after every chunk of days is saved; a killed build goes on from there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import torch
import xarray as xr

from gencarbon.data.checks import refuse_other_config
from gencarbon.data.files import open_dataset, write_whole
from gencarbon.data.fluxes import IN_TOTAL, TRACERS, SyntheticFluxes
from gencarbon.data.heldsuarez import HeldSuarez, pad_spectrum
from gencarbon.data.settings import DataConfig, SplitConfig
from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean, coarsen_sum
from gencarbon.threads import one_thread
from gencarbon.transport.continuity import coarsen_fluxes, face_fluxes
from gencarbon.transport.solver import Transport
from gencarbon.variables import describe, level_coordinates

BASE_CO2 = 400.0  # ppm, carried by no tracer
# kept of splits with `fine_winds`
FINE_FLUXES = "eastward_air_mass_flux_fine", "northward_air_mass_flux_fine"


@dataclass(frozen=True)
class Build:
    """One split of the benchmark under construction."""

    config: DataConfig
    split: SplitConfig
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.split.name}.zarr"

    @property
    def partial(self) -> Path:
        return self.folder / f"{self.split.name}.zarr.partial"

    @cached_property
    def fine(self) -> Transport:
        c = self.config
        grid = LatLonGrid.equiangular(c.nlat * c.refinement, 2 * c.nlat * c.refinement)
        levels = HybridLevels.sigma(c.levels)
        return Transport(grid, levels, c.reference_scheme, limited=False, dtype=torch.float32)

    @cached_property
    def coarse(self) -> Transport:
        c = self.config
        return Transport(
            LatLonGrid.equiangular(c.nlat, 2 * c.nlat), self.fine.levels, c.background_scheme, limited=False
        )

    @cached_property
    def dynamics(self) -> HeldSuarez:
        return HeldSuarez(self.config.truncation, self.config.levels, self.fine.grid.shape[0])

    @cached_property
    def fluxes(self) -> SyntheticFluxes:
        return SyntheticFluxes(self.fine.grid, self.config.seed, self.split.seed)

    @property
    def frames(self) -> int:
        return self.split.days * 24 // self.config.step_hours + 1

    def spun_up(self) -> dict[str, np.ndarray]:
        """A developed circulation: spin-up at T21, then at the final truncation until the runs have forgotten each other."""
        c = self.config
        low = HeldSuarez(21, c.levels, self.fine.grid.shape[0])
        state = low.hours(low.rest(1000 * c.seed + self.split.seed), 24 * c.spinup_days_t21)
        if c.truncation != 21:
            state = pad_spectrum(state, low, self.dynamics)
        return self.dynamics.hours(state, 24 * c.spinup_days)

    def start(self) -> dict:
        """Everything that evolves, at the first hour of the tracer spin-up."""
        dynamics = self.spun_up()
        tracers = self.fluxes.initial_state(self.config.levels)
        ps = self.dynamics.winds(dynamics)[2]
        air = self.fine.levels.air_mass(ps, self.fine.grid)
        background = coarsen_mean(tracers, self.config.refinement, air)
        return {
            "hour": -24 * self.split.tracer_spinup_days,
            "dynamics": dynamics,
            "air": float((ps * self.fine.grid.area).sum()),
            "tracers": tracers,
            "background": background,
        }

    def frame(self, state: dict) -> dict[str, np.ndarray]:
        """The fields of one frame, on the model grid, without the fluxes of the step that follows."""
        u, v, ps = self._winds(state)
        factor, air = self.config.refinement, self.fine.levels.air_mass(ps.numpy(), self.fine.grid)
        return {
            "u": coarsen_mean(u.numpy(), factor, air),
            "v": coarsen_mean(v.numpy(), factor, air),
            "surface_pressure": coarsen_mean(ps.numpy(), factor, self.fine.grid.area),
            "tracer": coarsen_mean(state["tracers"], factor, air),
            "tracer_background": state["background"],
        }

    def advance(self, state: dict) -> tuple[dict, dict[str, np.ndarray]]:
        """The state one frame later, and the fluxes of the step."""
        c, factor = self.config, self.config.refinement
        tracers = torch.tensor(state["tracers"])
        u, v, ps = self._winds(state)
        ps_start = ps
        sums: list[Any] = [0.0, 0.0, 0.0]
        for _ in range(c.step_hours):
            state = state | {"dynamics": self.dynamics.hours(state["dynamics"], 1), "hour": state["hour"] + 1}
            u1, v1, ps1 = self._winds(state)
            faces = face_fluxes((u + u1) / 2, (v + v1) / 2, (ps + ps1) / 2, self.fine.grid, self.fine.levels)
            air = self.fine.close(*faces, ps, ps1, 3600.0)
            flux = torch.tensor(self.fluxes.at(self._second_of_year(state["hour"] - 0.5)))
            tracers = self.fine.step(tracers, air, flux, 3600.0)
            sums = [a + b for a, b in zip(sums, (air.east, air.north, flux))]
            u, v, ps = u1, v1, ps1
        fine_east, fine_north, flux = (a / c.step_hours for a in sums)
        east, north = coarsen_fluxes(fine_east, fine_north, factor)
        area = self.fine.grid.area
        coarse_flux = coarsen_sum(flux.numpy() * area, factor) / self.coarse.grid.area
        to_coarse = lambda p: torch.tensor(coarsen_mean(p.numpy(), factor, area))  # noqa: E731
        air = self.coarse.close(east, north, to_coarse(ps_start), to_coarse(ps), 3600.0 * c.step_hours)
        background = self.coarse.step(
            torch.tensor(state["background"]), air, torch.tensor(coarse_flux), 3600.0 * c.step_hours
        )
        state = state | {"tracers": tracers.numpy(), "background": background.numpy()}
        fluxes = {
            "eastward_air_mass_flux": air.east.numpy(),
            "northward_air_mass_flux": air.north.numpy(),
            "tracer_flux": coarse_flux,
        }
        if self.split.fine_winds:
            fluxes |= {name: flux.numpy() for name, flux in zip(FINE_FLUXES, (fine_east, fine_north))}
        return state, fluxes

    def _winds(self, state: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        u, v, ps = self.dynamics.winds(state["dynamics"])
        ps = ps * (
            state["air"] / (ps * self.fine.grid.area).sum()
        )  # the spectral core does not conserve air exactly
        return torch.tensor(u), torch.tensor(v), torch.tensor(ps)

    def _second_of_year(self, hour: float) -> float:
        start = np.datetime64(self.split.start, "s")
        return (
            float((start - start.astype("datetime64[Y]").astype("datetime64[s]")).astype(int)) + 3600.0 * hour
        )

    def template(self) -> xr.Dataset:
        """The empty store: coordinates, attributes, units."""
        c, grid = self.config, self.coarse.grid
        step = np.timedelta64(c.step_hours, "h")
        time = np.datetime64(self.split.start, "ns") + step * np.arange(self.frames)
        shapes = {
            **dict.fromkeys(
                ("u", "v", "eastward_air_mass_flux", "northward_air_mass_flux"),
                ("time", "level", "lat", "lon"),
            ),
            "surface_pressure": ("time", "lat", "lon"),
            **dict.fromkeys(("tracer", "tracer_background"), ("tracer_name", "time", "level", "lat", "lon")),
            "tracer_flux": ("tracer_name", "time", "lat", "lon"),
        }
        if self.split.fine_winds:
            shapes |= dict.fromkeys(FINE_FLUXES, ("time", "level", "lat_fine", "lon_fine"))
        sizes = {
            "tracer_name": len(TRACERS),
            "time": self.frames,
            "level": c.levels,
            "lat": grid.shape[0],
            "lon": grid.shape[1],
            "lat_fine": self.fine.grid.shape[0],
            "lon_fine": self.fine.grid.shape[1],
        }
        chunk = {"time": self.chunk_frames, "tracer_name": len(TRACERS)}
        data = {
            name: (
                dims,
                dask.array.zeros(
                    [sizes[d] for d in dims],
                    chunks=[chunk.get(d, sizes[d]) for d in dims],
                    dtype=_dtype(name),
                ),
            )
            for name, dims in shapes.items()
        }
        coords = {
            "time": time,
            **grid.coordinates(),
            **level_coordinates(self.coarse.levels),
            "tracer_name": list(TRACERS),
        }
        coords["in_total"] = ("tracer_name", np.array(IN_TOTAL))
        ds = describe(xr.Dataset(data, coords))
        ds.attrs |= {
            "title": f"HS-CO2 {c.name}, split {self.split.name}",
            "base_co2_ppm": BASE_CO2,
            "step_seconds": 3600.0 * c.step_hours,
            "config": c.model_dump_json(),
            "split": self.split.name,
        }
        return ds.assign(cell_area=(("lat", "lon"), grid.area, {"units": "m2", "standard_name": "cell_area"}))

    @property
    def chunk_frames(self) -> int:
        return 5 * 24 // self.config.step_hours

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
        """Builds or continues the split; returns the finished store. On one thread: splits that are built side by side on several
        would wait for one another, four times as long."""
        if not self.path.exists():
            with one_thread():
                self._build(progress)
        refuse_other_config(self.path, open_dataset(self.path).attrs["config"], self.config.model_dump_json())
        return self.path

    def _build(self, progress: Callable[[int, int], None]) -> None:
        state, done = self._resume()
        for first in range(done, self.frames, self.chunk_frames):
            count = min(self.chunk_frames, self.frames - first)
            rows = []
            for k in range(count):
                here = self.frame(state)
                state, step_fluxes = self.advance(state)
                rows.append(here | step_fluxes)
                progress(first + k + 1, self.frames)
            self._write(rows, first)
            self._save(state, first + count)
        self._state_file.unlink()
        self.partial.rename(self.path)

    def _resume(self) -> tuple[dict, int]:
        if self._state_file.exists() and self.partial.exists():
            saved = np.load(self._state_file, allow_pickle=False)
            refuse_other_config(self.partial, str(saved["config"]), self._fingerprint)
            dynamics = {
                k.removeprefix("dynamics."): saved[k] for k in saved.files if k.startswith("dynamics.")
            }
            return {k: saved[k] for k in ("tracers", "background")} | {
                "hour": int(saved["hour"]),
                "air": float(saved["air"]),
                "dynamics": dynamics,
            }, int(saved["done"])
        shutil.rmtree(self.partial, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.start()
        while state["hour"] < 0:
            state, _ = self.advance(state)
        self.template().to_zarr(self.partial, compute=False, zarr_format=3, consolidated=False)
        return state, 0

    @property
    def _fingerprint(self) -> str:
        return self.config.model_dump_json() + self.split.model_dump_json()

    @property
    def _state_file(self) -> Path:
        return self.folder / f"{self.split.name}.state.npz"

    def _save(self, state: dict, done: int) -> None:
        flat = {f"dynamics.{k}": v for k, v in state["dynamics"].items()}
        flat |= {k: state[k] for k in ("tracers", "background", "hour", "air")}
        write_whole(self._state_file, partial(np.savez, done=done, config=self._fingerprint, **flat))

    def _write(self, rows: list[dict[str, np.ndarray]], first: int) -> None:
        axes = {"tracer": 1, "tracer_background": 1, "tracer_flux": 1}
        template = self.template()
        data = {
            name: (
                template[name].dims,
                np.stack([row[name] for row in rows], axis=axes.get(name, 0)).astype(_dtype(name)),
            )
            for name in rows[0]
        }
        xr.Dataset(data).to_zarr(
            self.partial, region={"time": slice(first, first + len(rows))}, consolidated=False
        )


def _dtype(name: str) -> type[np.floating]:
    return np.float64 if name == "surface_pressure" else np.float32
