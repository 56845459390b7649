"""Spread against error, events, quantiles and intervals of an ensemble. It has the observation's shape plus one member axis."""

from __future__ import annotations

import numpy as np
import properscoring
from numpy.typing import ArrayLike

from gencarbon.metrics.crps import centred_last, count_members, members_first
from gencarbon.metrics.field import Array, weighted_mean


def ensemble_variance(ens: ArrayLike, axis: int = 0) -> Array:
    """Variance over the members with M - 1 in the denominator, in float64."""
    x = np.asarray(ens, dtype=np.float64)
    count_members(x, 2, "ensemble variance", axis)
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
    z = centred_last(ens, obs, axis)
    M = count_members(z, 2, "spread-skill", axis=-1)
    variance = weighted_mean(z.var(axis=-1, ddof=1), weight)
    return spread_skill_ratio(variance, weighted_mean(z.mean(axis=-1) ** 2, weight), M)


def brier_fair(ens: ArrayLike, obs: ArrayLike, threshold: float, axis: int = 0) -> Array:
    """(p - o)^2 - p (1 - p) / (M - 1) of the event "above `threshold`", unbiased in the ensemble size M.

    p: share of the members, o: 0 or 1. Ferro et al. (2008), doi:10.1002/met.45. A calibrated forecast of an event of
    probability P scores P (1 - P). Shapes as in `crps_fair`.
    """
    z = centred_last(ens, obs, axis)
    M = count_members(z, 2, "fair Brier score", axis=-1)
    p, o = (np.moveaxis(np.asarray(ens), axis, -1) > threshold).mean(axis=-1), np.asarray(obs) > threshold
    return (p - o) ** 2 - p * (1 - p) / (M - 1)


def brier_biased(ens: ArrayLike, obs: ArrayLike, threshold: float, axis: int = 0) -> Array:
    """(p - o)^2 of the event "above `threshold`" as `properscoring` has it: grows as the ensemble shrinks."""
    members_first(ens, obs, axis)  # for its checks
    y = np.atleast_1d(np.asarray(obs, np.float64))  # a scalar observation would raise
    x = np.moveaxis(np.asarray(ens, np.float64), axis, -1).reshape(*y.shape, -1)
    return np.asarray(properscoring.threshold_brier_score(y, x, threshold)).reshape(np.shape(obs))


def interval_coverage(ens: ArrayLike, obs: ArrayLike, level: float, axis: int = 0) -> Array:
    """1 where the observation lies in the central interval that holds `level` of the probability, else 0; its mean is `level`
    if calibrated.

    A calibrated observation falls below the k-th of M sorted members with probability k / (M + 1) exactly. The interval's ends are
    interpolated between members at those probabilities; where M is too small for the level they are the extremes.
    """
    if not 0 < level < 1:
        raise ValueError(
            f"level is a probability, expected 0 < level < 1, got {level}; 0.9 is a 90 % interval"
        )
    z = centred_last(ens, obs, axis)
    count_members(z, 2, "interval coverage", axis=-1)
    low, high = np.quantile(z, [(1 - level) / 2, (1 + level) / 2], axis=-1, method="weibull")
    return ((low <= 0) & (high >= 0)).astype(np.float64)


def ratio(score: ArrayLike, reference_score: ArrayLike) -> Array:
    """S / S_ref of two sums or means over the same cases (never a mean of ratios). NaN where S_ref is 0."""
    ref = np.asarray(reference_score, np.float64)
    return np.asarray(score, np.float64) / np.where(ref == 0, np.nan, ref)


def skill(score: ArrayLike, reference_score: ArrayLike) -> Array:
    """1 - S / S_ref: 1 is perfect, 0 no better than the reference."""
    return 1.0 - ratio(score, reference_score)
