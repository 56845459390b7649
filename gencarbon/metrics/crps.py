"""The continuous ranked probability score of an ensemble, by the name of its estimator, and its weighted and Gaussian kin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import properscoring
from numpy.typing import ArrayLike, NDArray

from gencarbon.metrics.field import Array
from gencarbon.metrics.sorting import COMPILED, INTEGERS, LANES, key, sort_rows, workspace

STAGE = 1024  # points whose differences are held at once: runs of memory long enough to be read fast


def crps_fair(ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Array:
    """mean |x_m - y| - sum_ij |x_i - x_j| / (2 M (M - 1)), unbiased in the ensemble size M.

    Ferro (2014), doi:10.1002/qj.2270. With members sorted, sum_(i<j) |x_i - x_j| = sum_k (2k - M + 1) x_(k),
    k = 0..M-1: one sort instead of M^2 pairs. Members are centred on the observation before they are sorted,
    so that differences of .1 ppm are not lost at 420 ppm. Single precision members are sorted in single precision.
    ens: (..., member at `axis`, ...), obs: (...), same units; returns (...) in those units.
    Raises ValueError for fewer than two members or shapes that do not fit.
    """
    members, truth = members_first(ens, obs, axis)
    M = count_members(members, 2, "fair CRPS")
    out, room = np.empty(truth.shape), _room(M, np.float32 if members.dtype == np.float32 else np.float64)
    for x, y, score in _points(members, truth, out):
        _distance_less_pairs(x, y, room, score)
    return out


def crps_biased(ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Array:
    """mean |x_m - y| - sum_ij |x_i - x_j| / (2 M^2), the estimator of `properscoring` and most others.

    It is (1 + 1/M) x the fair score for a calibrated ensemble and rewards too little spread; it is here for
    comparison with published numbers only. Shapes as in `crps_fair`.
    """
    z = centred_last(ens, obs, axis)
    count_members(z, 2, "biased CRPS", axis=-1)
    return np.asarray(properscoring.crps_ensemble(np.zeros(z.shape[:-1]), z), dtype=np.float64)


def crps_gaussian(mean: ArrayLike, std: ArrayLike, obs: ArrayLike) -> Array:
    """CRPS of the normal distribution N(mean, std^2), closed form (Gneiting et al. 2005, doi:10.1175/MWR2904.1)."""
    m, s, y = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (mean, std, obs)))
    if (s <= 0).any():
        raise ValueError(
            f"a Gaussian needs a standard deviation above 0, got {s.min()}; use |mean - obs| there"
        )
    return np.asarray(properscoring.crps_gaussian(y - m, 0.0, s))


def crps_threshold_weighted(ens: ArrayLike, obs: ArrayLike, threshold: float, axis: int = 0) -> Array:
    """Fair CRPS of max(x, t): only what happens above `threshold` counts (Gneiting and Ranjan 2011,
    doi:10.1198/jbes.2010.08110). -inf gives the fair CRPS. Shapes as in `crps_fair`."""
    return crps_fair(np.maximum(np.asarray(ens), threshold), np.maximum(np.asarray(obs), threshold), axis)


def quantile_score(quantile: ArrayLike, obs: ArrayLike, tau: float) -> Array:
    """Pinball loss of a predicted `tau` quantile, (tau - [y < q]) (y - q); twice its mean over tau in (0, 1) is the CRPS."""
    if not 0 < tau < 1:
        raise ValueError(f"tau is a probability, expected 0 < tau < 1, got {tau}; 0.9 is the 90th percentile")
    q, y = np.asarray(quantile, np.float64), np.asarray(obs, np.float64)
    return (tau - (y < q)) * (y - q)


def members_first(ens: ArrayLike, obs: ArrayLike, axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A view of the ensemble with the member axis first, and the observations; ValueError where shapes do not fit."""
    x, y = np.moveaxis(np.asarray(ens), axis, 0), np.asarray(obs)
    if x.shape[1:] != y.shape:
        raise ValueError(
            f"an ensemble has the observation's shape plus one member axis: expected {y.shape} beside the member "
            f"axis {axis}, got {x.shape[1:]}; select or transpose the ensemble first"
        )
    return x, y


def centred_last(ens: ArrayLike, obs: ArrayLike, axis: int) -> Array:
    """Members minus observation, float64, the member axis last and contiguous (a fresh array)."""
    x, y = members_first(ens, obs, axis)
    return np.ascontiguousarray(np.moveaxis(np.subtract(x, y, dtype=np.float64), 0, -1))


def count_members(x: NDArray[Any], least: int, name: str, axis: int = 0) -> int:
    """Ensemble size; ValueError below `least`."""
    if x.shape[axis] < least:
        raise ValueError(f"{name} needs at least {least} members, got {x.shape[axis]}; draw more members")
    return x.shape[axis]


def _points(
    members: NDArray[Any], truth: NDArray[Any], out: Array
) -> Iterator[tuple[NDArray[Any], NDArray[Any], Array]]:
    """(member, point), (point,) and (point,) for the scores, without a copy of the ensemble."""
    try:
        flat = members.reshape(len(members), -1, copy=False)
    except ValueError:  # the member axis stands between others: one slice of the first at a time
        for k in range(truth.shape[0]):
            yield from _points(members[:, k], truth[k], out[k])
        return
    yield flat, truth.reshape(-1), out.reshape(-1, copy=False)


def _room(M: int, kind: type) -> tuple[Array, NDArray[Any], Array, NDArray[Any]]:
    """Memory for differences of some points and for sorting a few of them, each as numbers and as integers."""
    z: Array = np.zeros(M * STAGE, kind)
    numbers = workspace(M, kind)
    return z, z.view(INTEGERS[z.dtype]), numbers, numbers.view(INTEGERS[z.dtype])


@numba.njit(**COMPILED)
def _distance_less_pairs(
    x: Array, y: Array, room: tuple[Array, NDArray[Any], Array, NDArray[Any]], out: Array
) -> None:
    """out = mean_m |x_m - y| - sum_(i<j) |x_i - x_j| / (M (M - 1)) of each point. x: (member, point); y, out: (point,); room: `_room`."""
    M, points = x.shape
    z, bits, numbers, keys = room
    low, total, stage = np.iinfo(keys.dtype).max, np.zeros(LANES), len(z) // M
    for begun in range(0, points, stage):
        many = min(stage, points - begun)
        truth = y[begun : begun + many]
        for m in range(M):  # long runs of memory, which can be foreseen
            source, row = x[m, begun : begun + many], z[m * stage : m * stage + many]
            for k in range(many):
                row[k] = source[k] - truth[k]
        for first in range(0, many, LANES):
            n = min(LANES, many - first)
            for m in range(M):
                coded, place = (
                    bits[m * stage + first : m * stage + first + n],
                    keys[m * LANES : m * LANES + n],
                )
                for k in range(n):
                    place[k] = key(coded[k], low)
            sort_rows(keys, M)
            for k in range(M * LANES):
                keys[k] = key(keys[k], low)
            total[:] = 0
            for m in range(M // 2):
                low_row, high_row = (
                    numbers[m * LANES : m * LANES + n],
                    numbers[(M - 1 - m) * LANES : (M - 1 - m) * LANES + n],
                )
                w = low_row.dtype.type((M - 1 - 2 * m) / (M - 1))
                for k in range(n):
                    total[k] += abs(low_row[k]) + abs(high_row[k]) - w * (high_row[k] - low_row[k])
            if M % 2:
                middle = numbers[M // 2 * LANES : M // 2 * LANES + n]
                for k in range(n):
                    total[k] += abs(middle[k])
            score = out[begun + first : begun + first + n]
            for k in range(n):
                score[k] = total[k] / M
