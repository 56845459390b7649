"""`CO2Pipeline`: winds and surface fluxes in, an ensemble of CO2 fields out."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import logging
from safetensors import SafetensorError

from gencarbon.data.input_members import by_input_member, united
from gencarbon.data.normalize import Normalizer
from gencarbon.errors import InputError
from gencarbon.model import ResidualDenoiser, WindNetwork
from gencarbon.sampling.coarse_run import refined_run, variance_of
from gencarbon.sampling.components import ModelGrid, NoiseSchedule
from gencarbon.sampling.ensemble import Forecast, mean_network_run, run_members, window_starts
from gencarbon.sampling.given import Given
from gencarbon.variables import DIMS, describe

SHIPPED = files("gencarbon") / "checkpoints"
logging.disable_progress_bar()  # four small files


class CO2Pipeline(DiffusionPipeline):
    """The generator with everything it needs, as a diffusers pipeline.

    denoiser: mean network, denoiser and, where there is one, the network that samples in one step; scheduler: sampler and spread knob;
    normalizer: scales; grid: cells, levels and step; winds: what finer winds add to the refined run, None for interpolated winds only.
    """

    _optional_components: ClassVar[list[str]] = ["winds"]  # type: ignore[misc]
    denoiser: ResidualDenoiser
    scheduler: NoiseSchedule
    normalizer: Normalizer
    grid: ModelGrid
    winds: WindNetwork | None
    source: str

    def __init__(
        self,
        denoiser: ResidualDenoiser,
        scheduler: NoiseSchedule,
        normalizer: Normalizer,
        grid: ModelGrid,
        winds: WindNetwork | None = None,
    ):
        super().__init__()
        for network in filter(None, (denoiser, winds)):
            network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-arg]
            for (
                parameter
            ) in network.parameters():  # loaded weights lie where the file put them; sums depend on alignment
                parameter.data = parameter.data.clone()
        self.register_modules(
            denoiser=denoiser, scheduler=scheduler, normalizer=normalizer, grid=grid, winds=winds
        )

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **kwargs: Any) -> CO2Pipeline:  # type: ignore[override]
        """A shipped checkpoint by name ("hsco2"), a folder, or a hub id. Safetensors only."""
        shipped = SHIPPED / str(name)
        path = str(shipped) if shipped.is_dir() else str(name)
        if not Path(path).is_dir() and str(name).count("/") != 1:
            names = sorted(p.name for p in SHIPPED.iterdir()) if SHIPPED.is_dir() else []
            raise InputError(
                f"checkpoint: expected a shipped name {names}, a folder or a hub id owner/name, got {str(name)!r}; check the path"
            )
        if Path(path).is_dir() and not (Path(path) / "model_index.json").exists():
            raise InputError(
                f"checkpoint: expected a folder with model_index.json, got {path}; give the folder that save_pretrained wrote"
            )
        try:
            pipe = super().from_pretrained(path, use_safetensors=True, **kwargs)
        except (OSError, ValueError) as error:  # as the hub and safetensors tell it
            raise InputError(
                f"checkpoint: expected a readable one, got {str(name)!r} ({str(error).splitlines()[0]}); check the path or the hub id"
            ) from error
        pipe.source = str(name)
        return pipe

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:  # type: ignore[override]
        """As diffusers does it, without the name of the folder that the components once came from. Raises OSError where a disk is full."""
        try:
            super().save_pretrained(save_directory, **kwargs)
        except SafetensorError as error:  # which has the system's number in its words only
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(save_directory)) from error
        for path in Path(save_directory).rglob("*.json"):
            values = json.loads(path.read_text())
            if values.pop("_name_or_path", None) is not None:
                path.write_text(json.dumps(values, indent=2) + "\n")

    @property
    def frames(self) -> int:
        """Frames per window."""
        return self.denoiser.config.frames

    @property
    def sampling_network(self) -> torch.nn.Module:
        """The network that the sampler of `scheduler` asks; InputError where the checkpoint lacks it."""
        if self.scheduler.config.sampler != "one_step":
            return self.denoiser.remainder_net
        if self.denoiser.one_step_net is None:
            raise InputError(
                "the sampler one_step needs a network of its own, and this checkpoint has none; train one with `one_step` in the "
                "config, or choose another sampler"
            )
        return self.denoiser.one_step_net

    @property
    def digest(self) -> str:
        """SHA-256 over all weights and configs: what an ensemble records of the checkpoint that made it."""
        total = hashlib.sha256()
        for part in filter(None, (self.denoiser, self.normalizer, self.grid, self.winds)):
            for key, value in sorted(part.state_dict().items()):
                total.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
            shape = {k: v for k, v in part.config.items() if not k.startswith("_")}
            total.update(json.dumps(shape, sort_keys=True).encode())
        total.update(json.dumps(self.scheduler.settings, sort_keys=True).encode())
        return total.hexdigest()

    def read(
        self,
        winds: xr.Dataset,
        fluxes: xr.Dataset,
        background: xr.Dataset | None = None,
        initial: xr.Dataset | None = None,
        conserve: bool = False,
        members: int = 1,
    ) -> list[Given]:
        """Checked inputs of an ensemble of `members`, one for each input member. Raises InputError before any work."""
        _ = self.sampling_network  # refused now rather than after the coarse run
        sets: dict[str, Any] = {
            "winds": winds,
            "fluxes": fluxes,
            "background": background,
            "initial": initial,
        }
        given = [Given.read(self.grid, **one, conserve=conserve) for one in by_input_member(sets)[:members]]
        window_starts(
            len(given[0].flux), self.frames, given[0].initial is not None
        )  # refuses a period that is too short
        return given

    def forecasts(self, given: Sequence[Given], members: int = 1) -> tuple[list[Forecast], xr.Dataset]:
        """One `Forecast` per input member, each with its refined run, and the template of an ensemble of `members`."""
        made = [self._forecast(one) for one in given]
        template = united([one.template(DIMS[1:]) for one in made], members)
        template.attrs |= {
            "checkpoint": str(getattr(self, "source", "in memory")),
            "checkpoint_sha256": self.digest,
            "sampler": json.dumps(self.scheduler.settings),
        }
        return made, template

    def _forecast(self, given: Given) -> Forecast:
        cells, layers, how = self.grid.cells, self.grid.layers, self.grid.config
        scheme, factor, winds = how.refined_scheme, how.refined_factor, self.winds
        run = refined_run(
            given.air, given.flux, given.first, cells, layers, scheme, factor, winds, given.cell_winds
        )
        variance = variance_of(run, given.air, cells, layers, given.initial is not None)
        return Forecast(self, given, run, variance)

    def __call__(
        self,
        winds: xr.Dataset,
        fluxes: xr.Dataset,
        background: xr.Dataset | None = None,
        initial: xr.Dataset | None = None,
        members: int = 16,
        seed: int = 0,
        conserve: bool = False,
        mean_network: bool = False,
        workers: int | None = None,
    ) -> xr.Dataset:
        """An ensemble in memory; `gencarbon sample` writes a Zarr store instead.

        winds: u, v (m s-1), surface_pressure (Pa), hybrid levels; fluxes: flux (kg m-2 s-1); background: co2 (ppm) of a coarse run, also on
        cells a whole number of times wider; initial: co2 (ppm), the known first frame. One of the two is needed; without a background
        winds and fluxes alone lead on. Inputs may carry members of their own (`data.input_members`).

        conserve: members keep the means of the background's wide cells. mean_network: add the deterministic twin. Returns `co2` (member,
        time, level, lat, lon) ppm with what is needed to score it. Raises InputError.
        """
        given = self.read(winds, fluxes, background, initial, conserve, members)
        forecasts, ds = self.forecasts(given, members)
        workers = workers or torch.get_num_threads()
        made = list(run_members(forecasts, seed, range(members), workers))
        ds["co2"] = (DIMS, np.stack([co2 for _, co2, _ in made]))
        ds["budget_correction"] = (DIMS[:2], np.stack([correction for _, _, correction in made]))
        if mean_network:
            ds["co2_mean_network"] = (DIMS[1:], mean_network_run(forecasts))
        ds.attrs["seed"] = seed
        return describe(ds.assign_coords(member=np.arange(members)))
