"""An ensemble against reference transport: checks first, then one frame at a time, each read once; lazy stores stay lazy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.budget import accumulated_flux
from gencarbon.data.input_members import expanded
from gencarbon.errors import InputError
from gencarbon.evaluation_checks import BUDGET, FIELD, PPM_UNITS, check
from gencarbon.frame_sums import RANK_SEED, Frame, FrameSums, Plan, frame_sums
from gencarbon.metrics import Mean, budget_error_of_masses
from gencarbon.metrics.field import Array
from gencarbon.metrics.spectra import degree_power
from gencarbon.scorecard import scorecard, write_scores
from gencarbon.scores import BASELINES, Probes, Scores
from gencarbon.workers import mapped

__all__ = ["PPM_UNITS", "Scores", "accumulate", "evaluate", "scorecard", "write_scores"]

PROVENANCE = ("seed", "checkpoint", "checkpoint_sha256", "gencarbon_version", "commit", "sampler", "steps")
BLOCK_BYTES = 2**27  # of the ensemble's frames that one task holds
PROBES = (8, 8)  # latitudes x longitudes where whole time series are kept
SPECTRUM_FRAMES = 8  # of a run, evenly spread, give its spectra


def evaluate(
    ensemble: xr.Dataset,
    reference: xr.Dataset,
    mask_nan: bool = False,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> xr.Dataset:
    """Scores of `ensemble` (canonical E) against `reference` (canonical R), in ppm; see `Scores.to_dataset`.

    Any ensemble with co2 (member, time, level, lat, lon); with air_mass, flux and cell_area its mass budget is scored too.
    The reference may hold more times than the ensemble. Lead time counts from the ensemble's first frame,
    which is left out where the attribute `initial_frame` is "known". mask_nan: leave out cells where any field has a NaN, and count
    them, instead of refusing. scheduler: address of a dask.distributed scheduler; by default the threads of this machine. The scores
    do not depend on either, nor on chunks, by a single bit. Raises InputError before any work for input that does not fit,
    and at the first NaN.
    """
    return accumulate(ensemble, reference, mask_nan, scheduler, progress).to_dataset()


def accumulate(
    ensemble: xr.Dataset,
    reference: xr.Dataset,
    mask_nan: bool = False,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scores:
    """The open sums behind `evaluate`; add those of several initial dates before `.to_dataset()`."""
    ensemble = expanded(ensemble)
    check(ensemble, reference)
    reference = reference.sel(time=ensemble.time)
    added = _added(ensemble)
    scored = slice(1 if ensemble.attrs.get("initial_frame") == "known" else 0, None)
    sums = _all_frames(ensemble, reference, mask_nan, scheduler, progress)
    times = ensemble.time.values
    return Scores(
        lead_time=((times - times[0]) / np.timedelta64(1, "D"))[scored],
        level=ensemble.level.values.astype(np.int64),
        means={
            name: Mean.stack([Mean.stack([s.means[name] for s in sums[scored]])]) for name in sums[0].means
        },
        rank_count=np.stack([s.rank_count for s in sums[scored]]).astype(np.float64),
        budget_error=_budget_error(added, sums)[np.newaxis, :, scored],
        probes=_probes(ensemble, sums[scored]),
        spectra=_spectra(sums[scored]),
        start=times[:1].astype("datetime64[ns]"),
        attrs={k: _plain(ensemble.attrs[k]) for k in PROVENANCE if k in ensemble.attrs}
        | {"rank_seed": RANK_SEED}
        | ({"masked_cells": sum(s.masked for s in sums[scored])} if mask_nan else {}),
    )


def _all_frames(
    ensemble: xr.Dataset,
    reference: xr.Dataset,
    mask_nan: bool,
    scheduler: str | None,
    progress: Callable[[int, int], None],
) -> list[FrameSums]:
    """Every frame's sums in order, in tasks of a few frames."""
    wanted = ["co2", *(name for name in ("air_mass", *BASELINES.values()) if name in ensemble)]
    fields, truth = ensemble[wanted], reference[["co2", "air_mass"]]
    frames = fields.sizes["time"]
    spectrum = np.unique(np.linspace(frames - 1, 0, min(frames, SPECTRUM_FRAMES)).round().astype(int))
    plan = Plan(probe_indices(ensemble), _spectral_latitudes(ensemble), mask_nan)
    parts = [
        Part(fields.isel(time=part), truth.isel(time=part), plan, np.isin(np.arange(frames)[part], spectrum))
        for part in _blocks(ensemble.co2)
    ]
    return [sums for block in mapped(_part_sums, parts, scheduler, progress) for sums in block]


@dataclass(frozen=True)
class Part:
    """Some frames, not read yet, and for each whether its spectra are wanted."""

    ensemble: xr.Dataset
    truth: xr.Dataset
    plan: Plan
    spectrum: NDArray[np.bool_]


def _part_sums(part: Part) -> list[FrameSums]:
    """Sums of some frames, read here and now."""
    ensemble, truth = (ds.load(scheduler="synchronous") for ds in (part.ensemble.copy(), part.truth.copy()))
    keys = {name: key for key, name in BASELINES.items() if name in ensemble}
    found = []
    for n, time in enumerate(ensemble.time.values):
        now, then = ensemble.isel(time=n), truth.isel(time=n)
        own = (
            [dim for dim in ("member", *FIELD[1:]) if dim in now.air_mass.dims] if "air_mass" in now else None
        )
        frame = Frame(
            time,
            _values(now.co2, ("member", *FIELD[1:])),
            _values(then.co2, FIELD[1:]),
            _values(then.air_mass, FIELD[1:]).astype(np.float64),
            {key: _values(now[name], FIELD[1:]) for name, key in keys.items()},
            _values(now.air_mass, own).astype(np.float64) if own else None,
        )
        found.append(frame_sums(frame, part.plan, bool(part.spectrum[n])))
    return found


def _blocks(co2: xr.DataArray) -> Iterator[slice]:
    """Frames of one task: the store's own chunks of time, cut where they hold more than `BLOCK_BYTES`."""
    frame_bytes = co2.dtype.itemsize * co2.size // co2.sizes["time"]
    most = max(1, BLOCK_BYTES // frame_bytes)
    chunks = co2.chunksizes.get("time", (1,) * co2.sizes["time"])
    first = 0
    for size in chunks:
        for start in range(first, first + size, most):
            yield slice(start, min(start + most, first + size))
        first += size


def probe_indices(ensemble: xr.Dataset) -> np.ndarray:
    """(2, point) rows and columns of cells spread over the globe, every other row shifted by half a step."""
    rows = np.unique(((np.arange(PROBES[0]) + 0.5) / PROBES[0] * ensemble.sizes["lat"]).astype(int))
    count = min(PROBES[1], ensemble.sizes["lon"])
    columns = [
        ((np.arange(count) + 0.5 * (k % 2)) / count * ensemble.sizes["lon"]).astype(int)
        for k in range(rows.size)
    ]
    return np.stack([np.repeat(rows, count), np.concatenate(columns)])


def _probes(ensemble: xr.Dataset, sums: list[FrameSums]) -> Probes:
    rows, columns = probe_indices(ensemble)
    members = np.stack([s.members for s in sums], axis=1)[np.newaxis]
    return Probes(
        ensemble.lat.values[rows],
        ensemble.lon.values[columns],
        members,
        np.stack([s.truth for s in sums])[np.newaxis],
    )


def _spectral_latitudes(ensemble: xr.Dataset) -> Array | None:
    """Latitudes (degrees) on which power by degree is defined, None on other grids."""
    lat = ensemble.lat.values.astype(np.float64)
    try:
        degree_power(np.zeros((lat.size, ensemble.sizes["lon"])), lat)
    except ValueError:
        return None
    return lat


def _spectra(sums: list[FrameSums]) -> dict[str, Mean]:
    """name -> Mean (level, degree) over the frames that have spectra."""
    having = [s.spectra for s in sums if s.spectra]
    return {
        name: Mean(
            cast(Array, sum(s[name] for s in having)),
            np.full(having[0][name].shape, float(len(having))),
        )
        for name in (having[0] if having else {})
    }


def _added(ensemble: xr.Dataset) -> Array | None:
    """CO2 that the fluxes have added by each frame, (time,) or (member, time) kg; None for an ensemble without air_mass, flux and
    cell_area."""
    if not all(name in ensemble for name in BUDGET):
        return None
    own = [dim for dim in ("member", "time", "lat", "lon") if dim in ensemble.flux.dims]
    area, flux = _values(ensemble.cell_area, ("lat", "lon")), _values(ensemble.flux, own)
    for name, values in {"flux": flux, "cell_area": area}.items():
        if not np.isfinite(values).all():
            raise InputError(
                f"expected finite {name} in the ensemble, got {int((~np.isfinite(values)).sum())} NaN or infinite; fill or drop it"
            )
    seconds = float((ensemble.time.values[1] - ensemble.time.values[0]) / np.timedelta64(1, "s"))
    several = flux if flux.ndim == 4 else flux[np.newaxis]
    added = np.stack([accumulated_flux(one, area, seconds) for one in several])
    return added if flux.ndim == 4 else added[0]


def _budget_error(added: Array | None, sums: list[FrameSums]) -> Array:
    """(member, time), NaN where it cannot be known."""
    mass = np.stack([s.mass for s in sums], axis=-1)
    return np.full(mass.shape, np.nan) if added is None else budget_error_of_masses(mass, added)


def _values(array: xr.DataArray, dims: Sequence[str]) -> Any:
    return array.transpose(*dims).values


def _plain(value: object) -> str | int:
    return int(value) if isinstance(value, int | np.integer) else str(value)
