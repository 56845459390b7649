"""An ensemble against reference transport: checks first, then one frame at a time; lazy stores stay lazy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.errors import InputError
from gencarbon.metrics import (
    Mean,
    absolute_error,
    budget_error_of_masses,
    crps_fair,
    ensemble_variance,
    rank_histogram,
    weighted_variance,
)
from gencarbon.metrics.field import Array, error
from gencarbon.scorecard import scorecard, write_scores
from gencarbon.scores import BASELINES, Scores

__all__ = ["Scores", "accumulate", "evaluate", "scorecard", "write_scores"]

RANK_SEED = 0  # ties of the rank histogram; each frame has its own stream
PPM_UNITS = ("1e-6", "ppm", "ppmv", "umol mol-1", "1e-6 mol mol-1", "micromol mol-1", "umol/mol")
ENSEMBLE = {
    "co2": ("member", "time", "level", "lat", "lon"),
    "air_mass": ("time", "level", "lat", "lon"),
    "flux": ("time", "lat", "lon"),
    "cell_area": ("lat", "lon"),
}
REFERENCE = {"co2": ("time", "level", "lat", "lon"), "air_mass": ("time", "level", "lat", "lon")}
PROVENANCE = ("seed", "checkpoint", "checkpoint_sha256", "gencarbon_version", "commit", "sampler", "steps")


def evaluate(ensemble: xr.Dataset, reference: xr.Dataset) -> xr.Dataset:
    """Scores of `ensemble` (canonical E) against `reference` (canonical R), in ppm; see `Scores.to_dataset`.

    The reference may hold more times than the ensemble. Lead time counts from the ensemble's first frame,
    which is left out where the attribute `initial_frame` is "known". Raises InputError before any work for
    input that does not fit, and at the first NaN.
    """
    return accumulate(ensemble, reference).to_dataset()


def accumulate(ensemble: xr.Dataset, reference: xr.Dataset) -> Scores:
    """The open sums behind `evaluate`; add those of several initial dates before `.to_dataset()`."""
    check(ensemble, reference)
    reference = reference.sel(time=ensemble.time)
    baselines = {key: name for key, name in BASELINES.items() if name in ensemble}
    first = 1 if ensemble.attrs.get("initial_frame") == "known" else 0
    area, times = _values(ensemble.cell_area, ("lat", "lon")), ensemble.time.values
    frames, counts, masses = [], [], []
    for n, time in enumerate(times):
        co2, air = _frame(ensemble, "co2", n, "member"), _frame(ensemble, "air_mass", n)
        masses.append(co2_mass(co2, air))
        if n < first:
            continue
        truth, weight = (
            _frame(reference, "co2", n, owner="reference"),
            _frame(reference, "air_mass", n, owner="reference"),
        )
        rivals = {key: _frame(ensemble, name, n) for key, name in baselines.items()}
        frames.append(_frame_means(co2, truth, weight, rivals))
        counts.append(rank_histogram(co2, truth, _rank_stream(time), keep=1))
    flux = np.stack([_values(ensemble.flux.isel(time=n), ("lat", "lon")) for n in range(times.size)])
    seconds = _step_seconds(times)
    budget = budget_error_of_masses(np.stack(masses, axis=-1), accumulated_flux(flux, area, seconds))
    return Scores(
        lead_time=((times - times[0]) / np.timedelta64(1, "D"))[first:],
        level=ensemble.level.values.astype(np.int64),
        means={name: Mean.stack([frame[name] for frame in frames]) for name in frames[0]},
        rank_count=np.stack(counts).astype(np.float64),
        budget_error=budget[np.newaxis, :, first:],
        start=times[:1].astype("datetime64[ns]"),
        attrs={k: _plain(ensemble.attrs[k]) for k in PROVENANCE if k in ensemble.attrs}
        | {"rank_seed": RANK_SEED},
    )


def _frame_means(co2: Array, truth: Array, weight: Array, rivals: dict[str, Array]) -> dict[str, Mean]:
    """The sums of one frame, (level,). co2: (member, level, lat, lon); the others: (level, lat, lon)."""
    miss = error(co2, truth).mean(axis=0)
    maps = {
        "crps": crps_fair(co2, truth),
        "variance": ensemble_variance(co2 - truth),
        "error": miss,
        "squared_error": miss**2,
    }
    for key, rival in rivals.items():
        maps |= {
            f"{key}_error": error(rival, truth),
            f"{key}_absolute_error": absolute_error(rival, truth),
            f"{key}_squared_error": error(rival, truth) ** 2,
        }
    means = {name: Mean.of(values, weight, axis=(-2, -1)) for name, values in maps.items()}
    air = weight.sum(axis=(-2, -1))
    means["co2_variance"] = Mean(weighted_variance(truth, weight, (-2, -1)) * air, air)
    means["co2_variance_frame"] = Mean(
        weighted_variance(truth, weight)[np.newaxis] * air.sum(), air.sum()[np.newaxis]
    )
    return means


def _rank_stream(time: np.datetime64) -> np.random.Generator:
    """Random numbers that belong to the date of a frame: the same alone or in any pool of ensembles."""
    seconds = int(time.astype("datetime64[s]").astype(np.int64))
    return np.random.default_rng([RANK_SEED, seconds % 2**63])


def _values(array: xr.DataArray, dims: Iterable[str]) -> Array:
    return np.asarray(array.transpose(*dims).values, dtype=np.float64)


def _frame(ds: xr.Dataset, name: str, n: int, *more: str, owner: str = "ensemble") -> Array:
    """Frame `n` of a variable, (*more, level, lat, lon) float64, read now and refused if it holds a NaN."""
    values = _values(ds[name].isel(time=n), (*more, "level", "lat", "lon"))
    if not np.isfinite(values).all():
        where = np.argwhere(~np.isfinite(values))[0]
        who = f" of member {int(where[0])}" if more else ""
        raise InputError(
            f"expected finite {name} in the {owner}, got NaN or infinity{who} at {ds.time.values[n]}; "
            "sample that frame again or leave it out"
        )
    return values


def _step_seconds(times: np.ndarray) -> float:
    return float((times[1] - times[0]) / np.timedelta64(1, "s"))


def _plain(value: object) -> str | int:
    return int(value) if isinstance(value, int | np.integer) else str(value)


def check(ensemble: xr.Dataset, reference: xr.Dataset) -> None:
    """Refuse, before any field is read, what cannot be scored."""
    optional = {name: REFERENCE["co2"] for name in BASELINES.values() if name in ensemble}
    _check_variables(ensemble, ENSEMBLE | optional, "ensemble")
    _check_variables(reference, REFERENCE, "reference")
    if ensemble.sizes["member"] < 2:
        raise InputError(
            f"scores need at least 2 members, got {ensemble.sizes['member']}; sample more with --members"
        )
    for name in ("co2", *optional):
        _check_ppm(ensemble[name], "ensemble")
    _check_ppm(reference["co2"], "reference")
    _check_times(ensemble.time.values, reference.time.values)
    _check_grid(ensemble, reference)


def _check_variables(ds: xr.Dataset, wanted: Mapping[str, tuple[str, ...]], owner: str) -> None:
    if missing := [name for name in wanted if name not in ds]:
        raise InputError(
            f"the {owner} needs the variables {list(wanted)}, got no {missing} (it has "
            f"{list(ds.data_vars)}); "
            f"rename yours or write them with `gencarbon {'sample' if owner == 'ensemble' else 'data build'}`"
        )
    for name, dims in wanted.items():
        if set(ds[name].dims) != set(dims):
            raise InputError(
                f"{name} of the {owner} needs the dimensions {dims}, got {ds[name].dims}; rename or select "
                f"them"
            )


def _check_ppm(co2: xr.DataArray, owner: str) -> None:
    units = co2.attrs.get("units")
    if units not in PPM_UNITS:
        raise InputError(
            f"{co2.name} of the {owner} must be a dry-air mole fraction with units '1e-6' (ppm), got "
            f"{units!r}; "
            "convert a mass mixing ratio with gencarbon.constants.kgkg_to_ppm, then set attrs['units'] = "
            "'1e-6'"
        )


def _check_times(times: np.ndarray, available: np.ndarray) -> None:
    steps = np.diff(times)
    if times.size < 2 or np.any(steps <= np.timedelta64(0)) or np.any(steps != steps[0]):
        raise InputError(
            f"the ensemble needs at least 2 frames with one regular step, got {times.size} frames with steps "
            f"{sorted({str(s) for s in steps})[:3]}; select evenly spaced times"
        )
    if np.unique(available).size != available.size:
        raise InputError(
            f"expected each time once in the reference, got {available.size - np.unique(available).size} "
            f"repeated; "
            "drop them: reference.drop_duplicates('time')"
        )
    missing = times[~np.isin(times, available)]
    if missing.size:
        raise InputError(
            f"expected every time of the ensemble ({times[0]} .. {times[-1]}) in the reference, got "
            f"{missing.size} of "
            f"{times.size} missing, first {missing[0]} (reference: {available.min()} .. {available.max()}); "
            "give the reference of the same period and step"
        )


def _check_grid(ensemble: xr.Dataset, reference: xr.Dataset) -> None:
    for name in ("level", "lat", "lon", "hybrid_a", "hybrid_b"):
        if name not in ensemble.variables or name not in reference.variables:
            continue
        mine, theirs = ensemble[name].values, reference[name].values
        if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=1e-6, atol=1e-6):
            raise InputError(
                f"expected the {name} of the ensemble in the reference, {mine.size} values {_brief(mine)}, "
                f"got {theirs.size} values {_brief(theirs)}; coarsen the reference to the ensemble's grid "
                f"and levels "
                "(gencarbon.grid.coarsen_mean)"
            )


def _brief(values: np.ndarray) -> str:
    return f"{values.flat[0]:.6g} .. {values.flat[-1]:.6g}"
