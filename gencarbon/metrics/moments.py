"""What a member ensemble has at each point beside its observation, in one pass and without copies of the ensemble."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gencarbon.metrics.crps import COMPILED, count_members, members_first
from gencarbon.metrics.field import Array


class Moments(NamedTuple):
    """Mean error (mean of the members less the observation), variance with M - 1, members below and equal to the observation."""

    error: Array
    variance: Array
    below: NDArray[np.int64]
    ties: NDArray[np.int64]


def moments(ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Moments:
    """All four, (...), in double precision from members of any. Shapes as in `crps_fair`; raises ValueError."""
    x, y = members_first(ens, obs, axis)
    M = count_members(x, 2, "ensemble variance")
    flat = np.ascontiguousarray(x).reshape(M, -1)
    out = [np.empty(y.shape, kind) for kind in (float, float, np.int64, np.int64)]
    _moments(flat, np.ascontiguousarray(y).reshape(-1), *(a.reshape(-1) for a in out))
    return Moments(*out)


@numba.njit(**COMPILED)
def _moments(x: Array, y: Array, mean: Array, variance: Array, below: Array, ties: Array) -> None:
    """x: (member, point); y and the results: (point,)."""
    M, points = x.shape
    mean[:], variance[:], below[:], ties[:] = 0, 0, 0, 0
    for m in range(M):
        row = x[m]
        for p in range(points):
            mean[p] += np.float64(row[p]) - np.float64(y[p])
            below[p] += row[p] < y[p]
            ties[p] += row[p] == y[p]
    for p in range(points):
        mean[p] /= M
    for m in range(M):
        row = x[m]
        for p in range(points):
            d = np.float64(row[p]) - np.float64(y[p]) - mean[p]
            variance[p] += d * d
    for p in range(points):
        variance[p] /= M - 1
