"""The mixture of coarse runs that the networks learn to correct: each errs in its own way, and a user's errs in yet another.

    coarse       the benchmark's own
    diffusive    a first-order scheme on the same cells
    wide         cells twice as wide, with the air mass fluxes of pairs of faces
    blocks       no run at all: the reference's means over such wide cells, which members have to keep

The last two are interpolated to the model grid with the means of the wide cells kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from gencarbon.data.files import open_dataset, write_whole
from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean
from gencarbon.transport.continuity import coarsen_fluxes
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.transport.refine import refine_mole_fraction
from gencarbon.variables import describe

KINDS = "coarse", "diffusive", "wide", "blocks"
REFERENCE = "reference"
# What refined runs begin from, in turn: the reference, as a forecast from a known state, or a background, as what corrects a coarse run.
# The diffusive run's errors are too large to begin from: a few such windows would rule what the networks learn.
CORRECTIONS = "coarse", "blocks", "wide", "blocks"
SEGMENTS = tuple(kind for background in CORRECTIONS for kind in (REFERENCE, REFERENCE, background))
RESTART_DAYS = 90  # of the runs below: three segments, so that no window of training sees a restart
WIDER = 2  # cells on a side of a wide one
RUNS = {"diffusive": ("upwind", 1), "wide": ("van_leer", WIDER)}  # scheme, width
NAMES = {"coarse": "tracer_background"} | {kind: f"tracer_background_{kind}" for kind in RUNS}


def state_of(store: xr.Dataset, kind: str, frame: int) -> np.ndarray:
    """Mole fractions of the tagged tracers in one frame of a background, or of the reference: (tracer, level, lat, lon) ppm."""
    part = store.isel(time=frame)
    if kind != "blocks":
        return part["tracer" if kind == REFERENCE else NAMES[kind]].values.astype(np.float64)
    air_mass = HybridLevels.from_dataset(store).air_mass(
        part["surface_pressure"].values, LatLonGrid.from_dataset(store)
    )
    return with_blocks_of(part["tracer"].values.astype(np.float64), WIDER, air_mass)


def with_blocks_of(field: np.ndarray, factor: int, air_mass: np.ndarray) -> np.ndarray:
    """Mole fractions (..., lat, lon) that know the blocks of `field`, factor x factor cells, alone: their means, interpolated.

    air_mass: kg, broadcast against `field`. The air-mass-weighted mean of every block is that of `field`.
    """
    return interpolated(coarsen_mean(field, factor, air_mass), factor, air_mass)


def interpolated(wide: np.ndarray, factor: int, air_mass: np.ndarray) -> np.ndarray:
    """Mole fractions of wide cells on cells `factor` times finer of `air_mass` (kg), each wide cell's tracer mass kept."""
    exact = torch.tensor(np.asarray(wide, np.float64))
    return refine_mole_fraction(exact, factor, torch.tensor(np.asarray(air_mass, np.float64))).numpy()


def background_runs(
    store: xr.Dataset, path: Path, progress: Callable[[str, int, int], None] = lambda kind, done, total: None
) -> xr.Dataset:
    """`tracer_background_diffusive` and `_wide` of a split, dims as `tracer` ppm, kept in the Zarr store `path`, made where missing.

    Both begin from the benchmark's coarse run, and again every `RESTART_DAYS`: their errors would grow for years. A killed one goes on
    with the next of these parts.
    """
    if not path.exists():
        parts = path.with_suffix(".parts")
        parts.mkdir(parents=True, exist_ok=True)
        frames = store.sizes["time"]
        length = round(RESTART_DAYS * 86400 / float(store.attrs["step_seconds"]))
        firsts, made = range(0, frames, length), {}
        for kind, (scheme, width) in RUNS.items():
            for first in firsts:
                file = parts / f"{kind}-{first}.npy"
                if not file.exists():
                    progress(kind, first, frames)
                    part = _run(store.isel(time=slice(first, first + length)), scheme, width)
                    write_whole(file, partial(np.save, arr=part))
            whole = np.concatenate([np.load(parts / f"{kind}-{first}.npy") for first in firsts], axis=1)
            made[NAMES[kind]] = (store["tracer"].dims, whole)
        describe(xr.Dataset(made)).to_zarr(parts / "store.zarr", mode="w", zarr_format=3, consolidated=False)
        (parts / "store.zarr").rename(path)  # at once: a kill never leaves half of it
        shutil.rmtree(parts)
    return open_dataset(path)


def _run(store: xr.Dataset, scheme: str, width: int) -> np.ndarray:
    """(tracer, time, level, lat, lon) ppm on the model grid, float32."""
    grid, levels = LatLonGrid.from_dataset(store), HybridLevels.from_dataset(store)
    ps, flux = store["surface_pressure"].values, store["tracer_flux"].values.astype(np.float64)
    east, north = (
        store[f"{name}_air_mass_flux"].values.astype(np.float64) for name in ("eastward", "northward")
    )
    start = store["tracer_background"].isel(time=0).values.astype(np.float64)
    air_mass = levels.air_mass(ps, grid)
    if width > 1:
        wide = coarsen_fluxes(torch.tensor(east), torch.tensor(north), width)
        east, north = (f.numpy() for f in wide)
        start = coarsen_mean(start, width, air_mass[0])
        ps, flux = (coarsen_mean(x, width, grid.area) for x in (ps, flux))
    air = AirMotion(ps, east, north, float(store.attrs["step_seconds"]))
    states = OfflineRun(grid.coarsen(width), levels, scheme).states(start, flux, air)
    if width > 1:
        states = (interpolated(state, width, air_mass[k]) for k, state in enumerate(states))
    return np.stack([state.astype(np.float32) for state in states], axis=1)
