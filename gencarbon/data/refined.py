"""The refined run of a benchmark split: the coarse air mass fluxes on finer cells, begun again every few weeks as forecasts are.

Written into a finished store as `tracer_refined`, segment by segment, so that a killed build goes on. A window of training
lies within one segment.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from gencarbon.data.settings import DataConfig
from gencarbon.data.store import open_dataset
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.variables import describe

FROM_BACKGROUND = 4  # every fourth segment begins from the coarse run, as a forecast without a known one does


def add_refined(
    path: Path, config: DataConfig, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Adds `tracer_refined` to the store at `path`, if it is not there yet; returns `path`."""
    store = open_dataset(path)
    if "tracer_refined" in store:
        return path
    parts = path.with_suffix(".refined")
    parts.mkdir(exist_ok=True)
    frames = store.sizes["time"]
    segment = config.refined_segment_days * 24 // config.step_hours
    firsts = range(0, frames, segment)
    for number, first in enumerate(firsts):
        file = parts / f"{first}.npy"
        if not file.exists():
            made = _segment(store.isel(time=slice(first, first + segment)), config, number)
            temporary = file.with_suffix(".tmp.npy")
            np.save(temporary, made)
            temporary.rename(file)
        progress(min(first + segment, frames), frames)
    values = np.concatenate([np.load(parts / f"{first}.npy") for first in firsts], axis=1)
    added = describe(xr.Dataset({"tracer_refined": (store["tracer"].dims, values)}))
    added["tracer_refined"].attrs |= {
        "segment_frames": segment,
        "scheme": config.refined_scheme,
        "factor": config.refined_factor,
    }
    chunks = tuple(c[0] for c in store["tracer"].chunks)
    whole = parts / "store.zarr"
    added.to_zarr(
        whole, mode="w", zarr_format=3, consolidated=False, encoding={"tracer_refined": {"chunks": chunks}}
    )
    (whole / "tracer_refined").rename(path / "tracer_refined")  # at once: a kill never leaves half of it
    shutil.rmtree(parts)
    return path


def _segment(part: xr.Dataset, config: DataConfig, number: int) -> np.ndarray:
    """(tracer, time, level, lat, lon) ppm, float32."""
    load = lambda name: part[name].values.astype(np.float64)  # noqa: E731
    air = AirMotion(
        load("surface_pressure"),
        load("eastward_air_mass_flux"),
        load("northward_air_mass_flux"),
        float(part.attrs["step_seconds"]),
    )
    run = OfflineRun(
        LatLonGrid.from_dataset(part),
        HybridLevels.from_dataset(part),
        config.refined_scheme,
        config.refined_factor,
        torch.float32,
    )
    known = number % FROM_BACKGROUND != FROM_BACKGROUND - 1
    begin = load("tracer" if known else "tracer_background")[:, 0]
    return np.stack([q.astype(np.float32) for q in run.states(begin, load("tracer_flux"), air)], axis=1)
