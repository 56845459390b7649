"""Scores of an ensemble against one truth. The ensemble has the observation's shape plus one member axis."""

from __future__ import annotations

import numpy as np
import properscoring
from numpy.typing import ArrayLike, NDArray

from gencarbon.metrics.field import weighted_mean

Array = NDArray[np.float64]


def crps_fair(ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Array:
    """mean |x_m - y| - sum_ij |x_i - x_j| / (2 M (M - 1)), unbiased in the ensemble size M.

    Ferro (2014), doi:10.1002/qj.2270. With members sorted, sum_(i<j) |x_i - x_j| = sum_k (2k - M + 1) x_(k),
    k = 0..M-1: one sort instead of M^2 pairs. Members are centred on the observation before they are sorted,
    so that differences of .1 ppm are not lost at 420 ppm.
    ens: (..., member at `axis`, ...), obs: (...), same units; returns (...) in those units.
    Raises ValueError for fewer than two members or shapes that do not fit.
    """
    z = _centred(ens, obs, axis)
    M = _count(z, "fair CRPS")
    to_obs = np.abs(z).mean(axis=-1)
    z.sort(axis=-1)
    pairs = z @ (2.0 * np.arange(M) - M + 1.0)
    return to_obs - pairs / (M * (M - 1))


def crps_biased(ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Array:
    """mean |x_m - y| - sum_ij |x_i - x_j| / (2 M^2), the estimator of `properscoring` and most others.

    It is (1 + 1/M) x the fair score for a calibrated ensemble and rewards too little spread; it is here for
    comparison with published numbers only. Shapes as in `crps_fair`.
    """
    z = _centred(ens, obs, axis)
    _count(z, "biased CRPS")
    return np.asarray(properscoring.crps_ensemble(np.zeros(z.shape[:-1]), z), dtype=np.float64)


def ensemble_variance(ens: ArrayLike, axis: int = 0) -> Array:
    """Variance over the members with M - 1 in the denominator, in float64."""
    x = np.asarray(ens, dtype=np.float64)
    if x.shape[axis] < 2:
        raise ValueError(
            f"ensemble variance needs at least 2 members, got {x.shape[axis]}; draw more members"
        )
    return np.asarray(x.var(axis=axis, ddof=1))


def spread_skill_ratio(variance: ArrayLike, squared_error: ArrayLike, members: int) -> Array:
    """sqrt((M + 1) / M x mean variance / mean squared error of the ensemble mean); 1 if calibrated.

    Fortin et al. (2014), doi:10.1175/JHM-D-14-0008.1. Both arguments are means already; the root comes last.
    NaN where the squared error is 0.
    """
    v, e = np.broadcast_arrays(np.asarray(variance, np.float64), np.asarray(squared_error, np.float64))
    return np.sqrt((members + 1) / members * v / np.where(e == 0, np.nan, e))


def spread_skill(ens: ArrayLike, obs: ArrayLike, weight: ArrayLike = 1.0, axis: int = 0) -> Array:
    """Spread-skill ratio over all points of `obs`, the weights (broadcast to `obs`) inside both means."""
    z = _centred(ens, obs, axis)
    M = _count(z, "spread-skill")
    variance = weighted_mean(z.var(axis=-1, ddof=1), weight)
    return spread_skill_ratio(variance, weighted_mean(z.mean(axis=-1) ** 2, weight), M)


def ranks(ens: ArrayLike, obs: ArrayLike, rng: np.random.Generator, axis: int = 0) -> NDArray[np.int64]:
    """Rank of the observation among the members, 0..M: #(x < y) + U{0..ties}, ties broken by `rng`. (...)"""
    z = _centred(ens, obs, axis)
    below, ties = (z < 0).sum(axis=-1), (z == 0).sum(axis=-1)
    return below + rng.integers(0, ties + 1)


def rank_histogram(
    ens: ArrayLike, obs: ArrayLike, rng: np.random.Generator, axis: int = 0, keep: int = 0
) -> NDArray[np.int64]:
    """How often the observation has each rank. Counts, (first `keep` axes of obs..., M + 1).

    Flat for a calibrated ensemble. Neighbouring cells are correlated: read its shape, and never test it with
    a chi-squared over all grid points (false positives in 32-94 % of cases).
    """
    M = np.shape(ens)[axis]
    r = ranks(ens, obs, rng, axis)
    rows = r.reshape(*r.shape[:keep], -1)
    return np.stack([(rows == k).sum(axis=-1) for k in range(M + 1)], axis=-1)


def ratio(score: ArrayLike, reference_score: ArrayLike) -> Array:
    """S / S_ref of two sums or means over the same cases (never a mean of ratios). NaN where S_ref is 0."""
    ref = np.asarray(reference_score, np.float64)
    return np.asarray(score, np.float64) / np.where(ref == 0, np.nan, ref)


def skill(score: ArrayLike, reference_score: ArrayLike) -> Array:
    """1 - S / S_ref: 1 is perfect, 0 no better than the reference."""
    return 1.0 - ratio(score, reference_score)


def _centred(ens: ArrayLike, obs: ArrayLike, axis: int) -> Array:
    """Members minus observation, float64, the member axis last and contiguous (a fresh array)."""
    x, y = np.moveaxis(np.asarray(ens), axis, -1), np.asarray(obs, dtype=np.float64)
    if x.shape[:-1] != y.shape:
        raise ValueError(
            f"an ensemble has the observation's shape plus one member axis: expected {y.shape} beside the "
            f"member "
            f"axis {axis}, got {x.shape[:-1]}; select or transpose the ensemble first"
        )
    return np.ascontiguousarray(x.astype(np.float64) - y[..., np.newaxis])


def _count(z: Array, name: str) -> int:
    M = z.shape[-1]
    if M < 2:
        raise ValueError(f"{name} needs at least 2 members, got {M}; draw more members")
    return M
