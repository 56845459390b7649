"""The refined run of a benchmark split: the coarse air mass fluxes on finer cells, begun again every few weeks as forecasts are.

Made segment by segment, so that a killed one goes on. A window of training lies within one segment. Forecasts begin more often than
segments of weeks do, from known states and from backgrounds, so there are short ones besides (`beginnings_of`). Beside a refined run
lies what it may be off (`variances_of`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from gencarbon.data.backgrounds import REFERENCE, SEGMENTS, state_of
from gencarbon.data.files import open_dataset, write_whole
from gencarbon.data.settings import RefinedConfig
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.transport.variance import pairs, variances
from gencarbon.variables import describe

PAIRED = "time", "pair", "level", "lat", "lon"
Subgrid = Callable[[int], tuple[Tensor, Tensor]]
SubgridOf = Callable[[AirMotion, tuple[np.ndarray, np.ndarray]], Subgrid]  # of air and cell winds u, v


def refined_run_of(
    store: xr.Dataset,
    config: RefinedConfig,
    path: Path,
    subgrid_of: SubgridOf | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    frames: int | None = None,
    begins_from: Sequence[str] = SEGMENTS,
) -> xr.DataArray:
    """`tracer_refined` of a split, (tracer_name, time, level, lat, lon) ppm, kept in the Zarr store `path`, made first where missing.

    store: with its `background_runs`. subgrid_of: what finer winds add to the interpolated fluxes, as for `OfflineRun`. frames: of a segment;
    None: `config.segment_days`. begins_from: what the segments begin from, in turn.
    """
    if not path.exists():
        parts = path.with_suffix(".parts")
        parts.mkdir(parents=True, exist_ok=True)
        total = store.sizes["time"]
        segment = frames or round(config.segment_days * 86400 / float(store.attrs["step_seconds"]))
        firsts = range(0, total, segment)
        for number, first in enumerate(firsts):
            file = parts / f"{first}.npy"
            if not file.exists():
                begun = begins_from[number % len(begins_from)]
                made = _segment(store.isel(time=slice(first, first + segment)), config, begun, subgrid_of)
                write_whole(file, partial(np.save, arr=made))
            progress(min(first + segment, total), total)
        values = np.concatenate([np.load(parts / f"{first}.npy") for first in firsts], axis=1)
        added = describe(xr.Dataset({"tracer_refined": (store["tracer"].dims, values)}))
        about = {"segment_frames": segment, "scheme": config.scheme, "factor": config.factor}
        added["tracer_refined"].attrs |= about | {"begins_from": list(begins_from)}
        whole = parts / "store.zarr"
        added.to_zarr(whole, mode="w", zarr_format=3, consolidated=False)
        whole.rename(path)  # at once: a kill never leaves half of it
        shutil.rmtree(parts)
    return open_dataset(path)["tracer_refined"]


def variances_of(
    store: xr.Dataset, path: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> xr.DataArray:
    """`tracer_variance` of a split with its `tracer_refined`, (time, pair, level, lat, lon) ppm2, float32, see `transport.variance`.

    Kept in the NumPy file `path`, made first where missing, and read from there as it is needed: pairs of tracers are many.
    """
    shape = _shape_of_variances(store)
    if not path.exists():
        refined, total = store["tracer_refined"], store.sizes["time"]
        segment, begins_from = (refined.attrs[name] for name in ("segment_frames", "begins_from"))
        frame = np.prod(shape[1:]).item() * 4
        partial = path.with_suffix(".partial")
        partial.touch()
        with partial.open("r+b") as file:
            about = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, about)
            file.flush()
            begin = file.tell()
            done = max(partial.stat().st_size - begin, 0) // frame // segment * segment  # of whole segments
            file.truncate(begin + done * frame)
            file.seek(0, os.SEEK_END)
            for first in range(done, total, segment):
                part = store.isel(time=slice(first, first + segment))
                known = begins_from[first // segment % len(begins_from)] == REFERENCE
                place = LatLonGrid.from_dataset(part), HybridLevels.from_dataset(part)
                made = variances(part["tracer_refined"].values, _air_of(part), *place, known)
                file.write(np.stack(list(made)).astype("<f4").tobytes())
                progress(min(first + segment, total), total)
        partial.rename(path)  # at once: a kill never leaves half of it
    return xr.DataArray(np.load(path, mmap_mode="r"), dims=PAIRED, name="tracer_variance")


def no_variances(store: xr.Dataset) -> xr.DataArray:
    """As `variances_of`, 0 everywhere and a single number in memory, for networks that do not see it."""
    return xr.DataArray(np.broadcast_to(np.float32(0), _shape_of_variances(store)), dims=PAIRED)


def _shape_of_variances(store: xr.Dataset) -> tuple[int, ...]:
    count = len(pairs(store.sizes["tracer_name"])[0])
    return (store.sizes["time"], count, *(store.sizes[name] for name in PAIRED[2:]))


def beginnings_of(store: xr.Dataset, frames: int, count: int) -> xr.Dataset:
    """`count` stretches of `frames` frames, spread evenly over a split, one after the other."""
    firsts = np.linspace(0, store.sizes["time"] - frames, count).round().astype(int)
    return store.isel(time=(firsts[:, None] + np.arange(frames)).ravel())


def _segment(part: xr.Dataset, config: RefinedConfig, begun: str, subgrid_of: SubgridOf | None) -> np.ndarray:
    """(tracer, time, level, lat, lon) ppm, float32."""
    load = lambda name: part[name].values.astype(np.float64)  # noqa: E731
    air = _air_of(part)
    run = OfflineRun(
        LatLonGrid.from_dataset(part),
        HybridLevels.from_dataset(part),
        config.scheme,
        config.factor,
        torch.float32,
        subgrid_of and subgrid_of(air, (load("u"), load("v"))),
    )
    begin = state_of(part, begun, 0)
    return np.stack([q.astype(np.float32) for q in run.states(begin, load("tracer_flux"), air)], axis=1)


def _air_of(part: xr.Dataset) -> AirMotion:
    load = lambda name: part[name].values.astype(np.float64)  # noqa: E731
    east, north = load("eastward_air_mass_flux"), load("northward_air_mass_flux")
    return AirMotion(load("surface_pressure"), east, north, float(part.attrs["step_seconds"]))
