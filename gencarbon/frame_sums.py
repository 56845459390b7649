"""What one frame of an ensemble adds to its scores: sums and weights by level, ranks, masses, spectra, and the values at probes.

Pure functions of one frame, so that any chunking, any number of threads and any cluster give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gencarbon.budget import co2_mass
from gencarbon.errors import InputError
from gencarbon.metrics import Mean, crps_fair, energy_score_fair, variogram_score, weighted_variance
from gencarbon.metrics.field import Array, absolute_error, error
from gencarbon.metrics.moments import moments
from gencarbon.metrics.ranks import break_ties, count_ranks, interval_ranks, shares_inside
from gencarbon.metrics.spectra import degree_power

RANK_SEED = 0  # ties of the rank histogram; each frame has its own stream
SPECTRUM_MEMBERS = 16  # of a large ensemble, these give the members' spectrum


@dataclass(frozen=True)
class Frame:
    """One frame in memory. co2: (member, level, lat, lon) ppm; truth, air (kg, the weights): (level, lat, lon); rivals: name -> like
    truth; own_air: the ensemble's own air, kg, for all members or each; None where it has none."""

    time: np.datetime64
    co2: NDArray
    truth: NDArray
    air: Array
    rivals: Mapping[str, NDArray]
    own_air: Array | None


@dataclass(frozen=True)
class Plan:
    """What is wanted of a frame. probes: (2, point) rows and columns; lat: degrees, None where the grid has no spectrum."""

    probes: NDArray[np.int64]
    lat: Array | None
    mask_nan: bool


@dataclass(frozen=True)
class FrameSums:
    """means: name -> Mean (level,); rank_count: (level, M + 1); mass: (member,) kg; members, truth: at the probes, (member, level, point)
    and (level, point); spectra: name -> (level, degree) ppm2; masked: cells left out."""

    means: dict[str, Mean]
    rank_count: NDArray[np.int64]
    mass: Array
    members: Array
    truth: Array
    spectra: dict[str, Array]
    masked: int


def frame_sums(frame: Frame, plan: Plan, spectrum: bool) -> FrameSums:
    """All sums of one frame, with spectra if asked for. Raises InputError at a NaN that is not to be masked."""
    if frame.air.min() < 0 or (frame.own_air is not None and frame.own_air.min() < 0):
        raise InputError(f"expected air_mass above 0, got a negative one at {frame.time}; correct the sign")
    frame, bad = _masked(frame, plan.mask_nan)
    masked = int(bad.sum())
    rng = _stream(frame.time)
    levels = [_level_sums(frame, k, plan, rng, ~bad[k]) for k in range(len(frame.truth))]
    at = (..., *plan.probes)
    gaps = np.where(bad[at], np.nan, 0.0)  # a probe that is masked has no value, not 0
    means = {name: Mean.stack([means[name] for means, _ in levels]) for name in levels[0][0]}
    means["co2_variance_frame"] = _whole_variance(frame)
    return FrameSums(
        means,
        np.stack([count for _, count in levels]),
        _mass(frame, masked),
        np.ascontiguousarray(frame.co2[at] + gaps, np.float64),  # sums over it depend on its order in memory
        np.ascontiguousarray(frame.truth[at] + gaps, np.float64),
        _spectra(frame, plan.lat) if spectrum and plan.lat is not None and not masked else {},
        masked,
    )


def _level_sums(
    frame: Frame, k: int, plan: Plan, rng: np.random.Generator, there: NDArray[np.bool_]
) -> tuple[dict[str, Mean], NDArray[np.int64]]:
    """Sums of a layer; there: cells that are not masked."""
    co2, truth, air = np.ascontiguousarray(frame.co2[:, k]), frame.truth[k], frame.air[k]
    M, found = len(co2), moments(co2, truth)
    rank = break_ties(found.below, found.ties, rng)
    low, high = interval_ranks(M)
    maps = {
        "crps": crps_fair(co2, truth),
        "variance": found.variance,
        "error": found.error,
        "squared_error": found.error**2,
        "coverage": ((rank > low) & (rank <= high)).astype(np.float64),
        "coverage90": shares_inside(M)[rank],
    }
    for name, values in frame.rivals.items():
        gap = error(values[k], truth)
        maps |= {
            f"{name}_error": gap,
            f"{name}_absolute_error": absolute_error(values[k], truth),
            f"{name}_squared_error": gap**2,
        }
    means = {name: Mean.of(values, air) for name, values in maps.items()}
    total = air.sum()
    variance: Any = weighted_variance(truth, air) * total if total else 0.0
    means["co2_variance"] = Mean(variance, total)
    share = air / total if total else air
    means["energy_score"] = Mean(energy_score_fair(co2, truth, share) * total, total)
    seen = plan.probes[:, there[tuple(plan.probes)]]
    points = co2[(slice(None), *seen)], truth[tuple(seen)]
    pairs = max(points[1].size * (points[1].size - 1), 1)
    means["variogram_score"] = Mean(variogram_score(*points) / pairs * total, total)
    return means, count_ranks(rank[air > 0], M)


def _whole_variance(frame: Frame) -> Mean:
    """Variance over all levels, as a Mean of one value."""
    total = frame.air.sum()
    value = weighted_variance(frame.truth, frame.air) * total if total else 0.0
    return Mean(np.array([value]), total[np.newaxis])


def _spectra(frame: Frame, lat: Array) -> dict[str, Array]:
    """Power by degree of deviations from each level's mean: of the reference, of members (averaged), of the ensemble mean."""
    power = lambda x: degree_power(x - x.mean(axis=(-2, -1), keepdims=True), lat)  # noqa: E731
    truth = np.asarray(frame.truth, np.float64)
    members = [np.asarray(m, np.float64) for m in frame.co2[:SPECTRUM_MEMBERS]]
    return {
        "spectrum_reference": power(truth),
        "spectrum_members": cast(Array, sum(power(m) for m in members)) / len(members),
        "spectrum_mean": power(frame.co2.mean(axis=0, dtype=np.float64)),
    }


def _mass(frame: Frame, masked: int) -> Array:
    """CO2 of each member, kg; NaN where it cannot be known."""
    if masked or frame.own_air is None:
        return np.full(len(frame.co2), np.nan)
    return co2_mass(frame.co2, frame.own_air)


def _masked(frame: Frame, mask_nan: bool) -> tuple[Frame, NDArray[np.bool_]]:
    """The frame and which cells are left out: cells with a NaN in any field get no weight where that is asked for; else the first is refused."""
    fields = {
        "co2 in the ensemble": frame.co2,
        "co2 in the reference": frame.truth,
        "air_mass in the reference": frame.air,
    }
    if frame.own_air is not None:
        fields["air_mass in the ensemble"] = frame.own_air
    fields |= {f"co2 of the {name} run": values for name, values in frame.rivals.items()}
    bad = np.zeros(frame.truth.shape, bool)
    for name, values in fields.items():
        if np.isfinite(values.sum(dtype=np.float64)):
            continue  # one NaN or infinity spoils a sum, and a sum makes no copy
        wrong = ~np.isfinite(values)
        if not mask_nan:
            raise _nan(name, wrong, frame.time)
        bad |= wrong.any(axis=0) if wrong.ndim > bad.ndim else wrong
    if not bad.any():
        return frame, bad
    keep = lambda x: np.where(bad, 0.0, x)  # noqa: E731
    rivals = {name: keep(values) for name, values in frame.rivals.items()}
    fields_left = keep(frame.co2), keep(frame.truth), keep(frame.air)
    return Frame(frame.time, *fields_left, rivals, frame.own_air), bad


def _nan(name: str, wrong: NDArray[np.bool_], time: np.datetime64) -> InputError:
    who = f" of member {int(np.argwhere(wrong)[0][0])}" if wrong.ndim == 4 else ""
    return InputError(
        f"expected finite {name}, got NaN or infinity{who} at {time} ({int(wrong.sum())} values); "
        "sample that frame again, leave it out, or leave those cells out with --mask-nan (mask_nan=True)"
    )


def _stream(time: np.datetime64) -> np.random.Generator:
    """Random numbers that belong to the date of a frame: the same alone or in any pool of ensembles."""
    seconds = int(time.astype("datetime64[s]").astype(np.int64))
    return np.random.default_rng([RANK_SEED, seconds % 2**63])
