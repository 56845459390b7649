"""Scores of whole fields at once: they see the structure that point scores are blind to."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike

from gencarbon.metrics.crps import COMPILED, count_members, members_first
from gencarbon.metrics.field import Array


def energy_score_fair(ens: ArrayLike, obs: ArrayLike, weight: ArrayLike = 1.0) -> float:
    """mean_m ||x_m - y|| - sum_ij ||x_i - x_j|| / (2 M (M - 1)), unbiased in the ensemble size M.

    Gneiting and Raftery (2007), doi:10.1198/016214506000001437. ||z||^2 = sum w z^2: weights that sum to 1 make it an RMS. In one
    dimension it is the fair CRPS. ens: (member, ...), obs: (...), weight broadcast to obs; the unit of the field.
    """
    x, y = members_first(ens, obs, 0)
    M = count_members(x, 2, "fair energy score")
    w = np.broadcast_to(np.asarray(weight, np.float64), y.shape).reshape(-1)
    to_obs, apart = _distances(np.ascontiguousarray(x).reshape(M, -1), np.ascontiguousarray(y).reshape(-1), w)
    return to_obs / M - apart / (M * (M - 1))


def variogram_score(ens: ArrayLike, obs: ArrayLike, p: float = 0.5) -> float:
    """sum_ij (|y_i - y_j|^p - mean_m |x_mi - x_mj|^p)^2 over all *ordered* pairs of points, biased in the ensemble size.

    Scheuerer and Hamill (2015), doi:10.1175/MWR-D-14-00269.1. Blind to a common shift, sharp on differences between points. ens:
    (member, point), obs: (point,). For D independent N(0, 1) points it is D (D - 1) .1724 (1 + 1/M).
    """
    x, y = members_first(ens, obs, 0)
    M = count_members(x, 2, "variogram score")
    x, y = x.reshape(M, -1).astype(np.float64), y.ravel().astype(np.float64)
    expected = sum(np.abs(m[:, None] - m) ** p for m in x) / M
    return float(((np.abs(y[:, None] - y) ** p - expected) ** 2).sum())


@numba.njit(**COMPILED)
def _distances(x: Array, y: Array, w: Array) -> tuple[float, float]:
    """sum_m ||x_m - y|| and sum_(i<j) ||x_i - x_j||. x: (member, point). Not by a matrix product: its bits depend on the number of
    BLAS threads, and it cancels."""
    to_obs, apart = 0.0, 0.0
    for i in range(len(x)):
        a, square = x[i], 0.0
        for p in range(a.size):
            d = np.float64(a[p]) - np.float64(y[p])
            square += w[p] * d * d
        to_obs += np.sqrt(square)
        for j in range(i):
            b, square = x[j], 0.0
            for p in range(a.size):
                d = np.float64(a[p]) - np.float64(b[p])
                square += w[p] * d * d
            apart += np.sqrt(square)
    return to_obs, apart
