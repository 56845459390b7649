"""Ranks of the observation among the members, and tests of their flatness on points that know little of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from gencarbon.metrics.crps import members_first
from gencarbon.metrics.field import Array

INTERVAL = 0.9  # central interval whose coverage is counted by ranks
LEAST_EXPECTED = 5  # counts per rank below which a chi-squared is not one; neighbouring ranks are then joined


def ranks(ens: ArrayLike, obs: ArrayLike, rng: np.random.Generator, axis: int = 0) -> NDArray[np.int64]:
    """Rank of the observation among the members, 0..M: #(x < y) + U{0..ties}, ties broken by `rng`. (...)"""
    x, y = members_first(ens, obs, axis)
    return break_ties(np.count_nonzero(x < y, axis=0), np.count_nonzero(x == y, axis=0), rng)


def break_ties(
    below: NDArray[np.int64], ties: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Ranks from the counts of members below and equal to the observation."""
    return below + rng.integers(0, ties + 1)


def rank_histogram(
    ens: ArrayLike, obs: ArrayLike, rng: np.random.Generator, axis: int = 0, keep: int = 0
) -> NDArray[np.int64]:
    """How often the observation has each rank. Counts, (first `keep` axes of obs..., M + 1).

    Flat for a calibrated ensemble. Neighbouring cells are correlated: read its shape, and test flatness with `flatness` on
    `decorrelated_points` only (on all grid points a chi-squared cries wolf in 32-94 % of cases).
    """
    return count_ranks(ranks(ens, obs, rng, axis), np.shape(ens)[axis], keep)


def count_ranks(rank: NDArray[np.int64], members: int, keep: int = 0) -> NDArray[np.int64]:
    """Histogram of ranks over all but the first `keep` axes: (..., M + 1)."""
    rows = rank.reshape(*rank.shape[:keep], -1)
    return np.stack([(rows == k).sum(axis=-1) for k in range(members + 1)], axis=-1)


def reliability_index(counts: ArrayLike) -> Array:
    """sum_k |share_k - 1 / (M + 1)| over the ranks, last axis: 0 if flat, at most 2 (Delle Monache et al. 2006,
    doi:10.1029/2005JD006917)."""
    n = np.asarray(counts, np.float64)
    share = n / n.sum(axis=-1, keepdims=True)
    return np.abs(share - 1 / n.shape[-1]).sum(axis=-1)


def flatness(counts: ArrayLike) -> tuple[float, float]:
    """(chi2 / degrees of freedom, p) of one histogram of independent ranks. Neighbouring ranks are joined, evenly, until each bin
    expects five counts. NaN for too few counts for two bins."""
    n = np.asarray(counts, np.float64)
    bins = min(n.size, int(n.sum() // LEAST_EXPECTED))
    if bins < 2:
        return np.nan, np.nan
    edges = np.linspace(0, n.size, bins + 1).round().astype(int)
    joined, expected = np.add.reduceat(n, edges[:-1]), n.sum() * np.diff(edges) / n.size
    statistic = float(((joined - expected) ** 2 / expected).sum())
    return statistic / (bins - 1), float(chi2.sf(statistic, bins - 1))


def decorrelated_points(
    errors: ArrayLike, lat: ArrayLike, lon: ArrayLike, limit: float = 0.05
) -> tuple[int, NDArray[np.int64]]:
    """(step, points): every step-th time and these points have errors that correlate by less than about `limit`.

    errors: (time, point) or (run, time, point), of the ensemble mean; lat, lon: (point,) degrees. The step is the first lag whose
    pooled autocorrelation is below `limit`. Points are taken one by one, each at least as far from the others as the distance where the
    correlation of pairs, averaged in bins of 5 degrees, first falls below `limit`. Few times leave few points: that is honest.
    """
    e = np.asarray(errors, np.float64)
    e = e if e.ndim == 3 else e[np.newaxis]
    e = (e - e.mean()) / (np.sqrt((e**2).mean(axis=(0, 1))) + np.finfo(float).tiny)
    power = (e**2).mean()
    times = e.shape[1]
    lags = (k for k in range(1, times) if (e[:, k:] * e[:, : times - k]).mean() < limit * power)
    step = next(lags, times)
    e = e.reshape(-1, e.shape[-1])
    n = len(e)
    apart = np.rad2deg(great_circle(np.asarray(lat, np.float64), np.asarray(lon, np.float64)))
    pairs = np.triu_indices(len(apart), 1)
    bins = (apart[pairs] / 5).astype(int)
    together = np.bincount(bins, (e.T @ e / n)[pairs], 37) / np.maximum(np.bincount(bins, minlength=37), 1)
    filled = np.bincount(bins, minlength=37) > 0
    below = [k for k in range(37) if filled[k] and together[k] < limit * power]
    far = 5.0 * (below[0] if below else 37)
    chosen: list[int] = []
    for point in range(len(apart)):
        if all(apart[point, other] >= far for other in chosen):
            chosen.append(point)
    return step, np.array(chosen)


def interval_ranks(members: int) -> tuple[int, int]:
    """(low, high): a reference of rank low < r <= high lies in the central interval, whose exact probability is
    (high - low) / (M + 1), the nearest to `INTERVAL` that M members can have."""
    outside = max(1, round((1 - INTERVAL) / 2 * (members + 1)))
    return outside - 1, members - outside


def shares_inside(members: int, level: float = INTERVAL) -> Array:
    """How much of each rank 0..M lies in the central interval of probability `level`, (M + 1,): the outermost in part. M members have no
    interval of just that probability, and this one has it exactly for a calibrated ensemble."""
    below, outside = np.arange(members + 1), (1 - level) / 2 * (members + 1)
    return np.clip(below + 1 - outside, 0, 1) * np.clip(members + 1 - below - outside, 0, 1)


def nominal_coverage(members: int) -> float:
    """Probability that a calibrated reference lies in the interval whose coverage is counted."""
    low, high = interval_ranks(members)
    return (high - low) / (members + 1)


def great_circle(lat: Array, lon: Array, rows: slice = slice(None)) -> Array:
    """Angles of some points from all (n,) on the sphere, (row, n) radians: 2 arcsin(|u - v| / 2) of unit vectors u, v. Degrees in."""
    a, b = np.deg2rad(lat), np.deg2rad(lon)
    unit = np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)
    chord = np.sqrt(sum((u[rows, None] - u) ** 2 for u in unit))
    return 2 * np.arcsin(np.minimum(chord / 2, 1.0))
