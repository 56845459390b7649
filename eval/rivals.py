"""Who the generator is held against: ensembles with its signature, and coarse runs that go on through a whole split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import track

from gencarbon import baselines
from gencarbon.baselines import Archive, Baseline
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sampling.components import ModelGrid, NoiseSchedule
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.terminal import cache_folder
from gencarbon.threads import one_thread
from gencarbon.transport.offline import AirMotion, OfflineRun

Ensemble = Callable[..., xr.Dataset]
LIMITED = {"co2_van_leer": "van_leer", "co2_ppm": "ppm"}  # scored beside every ensemble


def roster(pipe: CO2Pipeline, archive: Archive, data: dict[str, Any]) -> dict[str, Ensemble]:
    """Ensembles by name. data: `winds_amplitude` and `fluxes_amplitude`, chosen on validation; `twin`, a training run, or none."""
    place: ModelGrid = pipe.grid
    rules = {
        "coarse run from the known state": baselines.known_state,
        "persistence": baselines.persistence,
        "climatology": baselines.climatology(archive),
        "analogues": baselines.analogues(archive),
        "perturbed winds": baselines.perturbed_winds(archive, data["winds_amplitude"]),
        "ridge propagator": baselines.ridge(archive),
    }
    made: dict[str, Ensemble] = {name: Baseline(place, rule) for name, rule in rules.items()}
    made["perturbed fluxes"] = Baseline(
        place, baselines.perturbed_fluxes(data["fluxes_amplitude"]), closes=False
    )
    if data["twin"] is not None:
        made["CRPS twin"] = trained(data["twin"])
    return made


def trained(name: str) -> CO2Pipeline:
    """The pipeline of a training run in the cache folder. Raises InputError where it is missing."""
    folder = cache_folder() / "runs" / name / "calibrated"
    if not folder.exists():
        raise InputError(
            f"the benchmark holds the generator against {name}, found none in {folder}; train it as configs/train_{name}.yaml says"
            f" and calibrate it (gencarbon calibrate configs/calibrate_hsco2.yaml --checkpoint {folder.parent / 'pipeline'} --out {folder})"
        )
    return CO2Pipeline.from_pretrained(folder)


def with_sampler(pipe: CO2Pipeline, settings: dict[str, Any]) -> CO2Pipeline:
    """The same networks, sampled in another way."""
    other = CO2Pipeline(**pipe.components)
    other.scheduler = NoiseSchedule(**settings)
    return other


def limited_runs(store: xr.Dataset) -> dict[str, np.ndarray]:
    """Coarse runs with a limiter over the whole split, from the benchmark's own coarse run: name -> (time, level, lat, lon) ppm, float32."""
    grid, levels = LatLonGrid.from_dataset(store), HybridLevels.from_dataset(store)
    load = lambda name: store[name].values.astype(np.float64)  # noqa: E731
    total = lambda values: np.tensordot(store["in_total"].values, values, axes=1)  # noqa: E731
    east, north = (load(f"{name}_air_mass_flux") for name in ("eastward", "northward"))
    air = AirMotion(load("surface_pressure"), east, north, float(store.attrs["step_seconds"]))
    start = total(store["tracer_background"].isel(time=0).values.astype(np.float64))
    flux, base, made = total(load("tracer_flux")), float(store.attrs["base_co2_ppm"]), {}
    for name, scheme in LIMITED.items():
        states = OfflineRun(grid, levels, scheme, limited=True).states(start[None], flux[None], air)
        steps = track(states, f"limited {scheme} run", store.sizes["time"], console=Console(stderr=True))
        with one_thread():
            made[name] = np.stack([(base + state[0]).astype(np.float32) for state in steps])
    return made
