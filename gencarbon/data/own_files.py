"""A training set from files: CO2, winds and fluxes of any reader on the model grid with a coarse run beside them, kept as the benchmark keeps
its own, so that `gencarbon train` makes no difference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import xarray as xr
from pydantic import Field, model_validator

from gencarbon.config import Config, IsoDate, register
from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.checks import refuse_other_config
from gencarbon.data.files import open_dataset
from gencarbon.data.prepare import frame_times, matching, prepared
from gencarbon.data.settings import Scheme
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import conserve_air, face_fluxes
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.variables import describe, level_coordinates

BASE_CO2 = 400.0  # ppm, carried by no tracer
CHUNK = 20  # frames
TRACER = ("tracer_name", "time", "level", "lat", "lon")


class PeriodConfig(Config):
    """A split: a period of its own, at least some weeks from the others."""

    name: Literal["train", "validation", "test"]
    start: IsoDate = Field(description="first frame, ISO date")
    days: float = Field(gt=0)


@register("files")
class FilesConfig(Config):
    """Files whose CO2 is the reference. Paths or patterns, from where the command is given."""

    kind: Literal["files"]
    name: str
    co2: tuple[str, ...]
    winds: tuple[str, ...]
    fluxes: tuple[str, ...]
    nlat: int = Field(32, ge=4)
    hybrid_a: tuple[float, ...] = Field(description="Pa, at layer interfaces, surface first")
    hybrid_b: tuple[float, ...]
    step_hours: int = Field(6, gt=0, le=24)
    background_scheme: Scheme = "van_leer"
    restart_days: int = Field(
        30, gt=0, description="the coarse run begins again from the files' CO2 after so many days"
    )
    splits: tuple[PeriodConfig, ...]

    @model_validator(mode="after")
    def _layers(self) -> FilesConfig:
        HybridLevels(self.hybrid_a, self.hybrid_b)
        return self


@dataclass(frozen=True)
class FilesBuild:
    """One split under construction, segment by segment of the coarse run; a killed one goes on with the next segment."""

    config: FilesConfig
    split: PeriodConfig
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.split.name}.zarr"

    @cached_property
    def times(self) -> np.ndarray:
        return frame_times(self.split.start, self.split.days, 3600.0 * self.config.step_hours)

    @property
    def frames(self) -> int:
        return self.times.size

    @cached_property
    def place(self) -> tuple[LatLonGrid, HybridLevels]:
        nlat = self.config.nlat
        return LatLonGrid.equiangular(nlat, 2 * nlat), HybridLevels(
            self.config.hybrid_a, self.config.hybrid_b
        )

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
        """Builds or continues the split; returns the finished store. Raises InputError before anything is written."""
        fingerprint = self.config.model_dump_json()
        if self.path.exists():
            refuse_other_config(self.path, open_dataset(self.path).attrs["config"], fingerprint)
            return self.path
        given = {"winds": self.config.winds, "fluxes": self.config.fluxes, "background": self.config.co2}
        sets = {
            role: prepared(role, matching(files), self.times, *self.place) for role, files in given.items()
        }
        partial = self.path.with_name(f"{self.path.name}.partial")
        asked = partial / "config.json"
        if not asked.exists() or asked.read_text() != fingerprint:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            asked.write_text(fingerprint)
        length = round(self.config.restart_days * SECONDS_PER_DAY / self.step_seconds)
        air = sets["winds"]["surface_pressure"][:1].values
        parts = []
        for first in range(0, self.frames, length):
            part, last = partial / f"{first}.zarr", min(first + length, self.frames)
            if not part.exists():
                temporary = partial / "segment.tmp"
                made = self.segment(
                    {role: ds.isel(time=slice(first, last + 1)) for role, ds in sets.items()},
                    last - first,
                    air,
                )
                made.chunk(time=CHUNK).to_zarr(temporary, mode="w", zarr_format=3, consolidated=False)
                temporary.rename(part)
            parts.append(part)
            progress(last, self.frames)
        whole = xr.concat(
            [open_dataset(part) for part in parts],
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
        )
        whole = whole.chunk(time=CHUNK).drop_encoding().assign_attrs(self._attrs(fingerprint))
        whole.to_zarr(partial / "whole", mode="w", zarr_format=3, consolidated=False)
        (partial / "whole").rename(self.path)
        shutil.rmtree(partial)
        return self.path

    @property
    def step_seconds(self) -> float:
        return 3600.0 * self.config.step_hours

    def segment(self, sets: dict[str, xr.Dataset], frames: int, first_air: np.ndarray) -> xr.Dataset:
        """`frames` frames of the store, in which the coarse run begins from the files' CO2. sets: one frame more, where there is one, at
        which the last step ends. first_air: surface pressure with the air that every frame is to have."""
        grid, levels = self.place
        load = lambda role, name: torch.tensor(np.asarray(sets[role][name].values, np.float64))  # noqa: E731
        ps = conserve_air(torch.cat([torch.tensor(first_air), load("winds", "surface_pressure")]), grid)[1:]
        u, v = load("winds", "u"), load("winds", "v")
        middle = lambda x: torch.cat([(x[:-1] + x[1:]) / 2, x[-1:]])[:frames]  # noqa: E731
        east, north = (face.numpy() for face in face_fluxes(middle(u), middle(v), middle(ps), grid, levels))
        co2, flux = (load(*of)[:frames].numpy() for of in (("background", "co2"), ("fluxes", "flux")))
        tracer, pressure = (co2 - BASE_CO2)[None], ps[:frames].numpy()
        run = OfflineRun(grid, levels, self.config.background_scheme)
        states = run.states(tracer[:, 0], flux[None], AirMotion(pressure, east, north, self.step_seconds))
        field = TRACER[1:]
        ds = xr.Dataset(
            {
                "u": (field, u[:frames].numpy()),
                "v": (field, v[:frames].numpy()),
                "surface_pressure": (("time", "lat", "lon"), pressure),
                "eastward_air_mass_flux": (field, east),
                "northward_air_mass_flux": (field, north),
                "tracer": (TRACER, tracer),
                "tracer_background": (TRACER, np.stack(list(states), axis=1)),
                "tracer_flux": (("tracer_name", "time", "lat", "lon"), flux[None]),
                "cell_area": (("lat", "lon"), grid.area),
            },
            {
                "time": sets["winds"]["time"].values[:frames],
                **grid.coordinates(),
                **level_coordinates(levels),
            },
        )
        small = [name for name in ds.data_vars if name not in ("surface_pressure", "cell_area")]
        ds = ds.assign({name: ds[name].astype(np.float32) for name in small})
        return describe(ds.assign_coords(tracer_name=["total"], in_total=("tracer_name", [1.0])))

    def _attrs(self, fingerprint: str) -> dict[str, str | float]:
        return {
            "title": f"{self.config.name}, split {self.split.name}",
            "base_co2_ppm": BASE_CO2,
            "step_seconds": self.step_seconds,
            "config": fingerprint,
            "split": self.split.name,
        }
