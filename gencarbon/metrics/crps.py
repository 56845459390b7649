"""The continuous ranked probability score of an ensemble, by the name of its estimator, and its weighted and Gaussian kin."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import properscoring
from numpy.typing import ArrayLike, NDArray

from gencarbon.metrics.field import Array

COMPILED = {
    "nogil": True,
    "cache": True,
    "fastmath": {"reassoc", "contract"},
}  # NaN and infinity keep their meaning
LANES = 512  # points sorted side by side: few enough for a core's cache, enough to hide the call
BLOCK_VALUES = 2**19  # differences held at once


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
    weight = (2.0 * np.arange(M) - M + 1.0) / (M * (M - 1))
    out = np.empty(truth.shape)
    for x, y, score in _blocks(members, truth, out):
        z = _differences(x, y)
        _distance_less_pairs(z, sorting_network(M), weight, LANES, score)
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


def _blocks(
    members: NDArray[Any], truth: NDArray[Any], out: Array
) -> Iterator[tuple[NDArray[Any], NDArray[Any], Array]]:
    """Some points at a time, (member, point) and (point,), without a copy of the ensemble."""
    try:
        flat = members.reshape(len(members), -1, copy=False)
    except ValueError:  # the member axis stands between others: one slice of the first at a time
        for k in range(truth.shape[0]):
            yield from _blocks(members[:, k], truth[k], out[k])
        return
    size = LANES * max(1, BLOCK_VALUES // (LANES * len(flat)))
    y, score = truth.reshape(-1), out.reshape(-1, copy=False)
    for first in range(0, flat.shape[1], size):
        part = slice(first, first + size)
        yield flat[:, part], y[part], score[part]


def _differences(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Members minus observation, (member, point), in the members' precision; the subtraction itself in the finer one."""
    kind = np.float32 if x.dtype == np.float32 else np.float64
    return np.subtract(x, y, out=np.empty(x.shape, kind), casting="same_kind")


@numba.njit(**COMPILED)
def _distance_less_pairs(z: Array, pairs: NDArray[np.int64], weight: Array, lanes: int, out: Array) -> None:
    """out = mean_m |z_m| - sum_k weight_k z_(k) for the sorted members of each point; z: (member, point).

    The network's comparisons are the same for all points, so that `lanes` of them are sorted side by side in vectors.
    """
    M, points = z.shape
    work = np.zeros((M + 1) * lanes, z.dtype)  # one row more than members: exchanging then copies nothing
    distance, row = np.zeros(lanes), np.arange(M)
    for first in range(0, points, lanes):
        n = min(lanes, points - first)
        distance[:] = 0
        for m in range(M):
            source, place = z[m, first : first + n], work[m * lanes : m * lanes + n]
            for b in range(n):
                place[b] = source[b]
                distance[b] += abs(source[b])
            row[m] = m
        spare = M
        for p in range(len(pairs)):
            i, j = pairs[p, 0], pairs[p, 1]
            _exchange(
                work,
                np.uint64(row[i] * lanes),
                np.uint64(row[j] * lanes),
                np.uint64(spare * lanes),
                np.uint64(lanes),
            )
            row[i], spare = spare, row[i]
        for b in range(n):
            distance[b] /= M
        for m in range(M):
            place, w = work[row[m] * lanes : row[m] * lanes + n], weight[m]
            for b in range(n):
                distance[b] -= w * place[b]
        for b in range(n):
            out[first + b] = distance[b]


@numba.njit(**COMPILED)
def _exchange(work: Array, low: int, high: int, spare: int, lanes: int) -> None:
    """The smaller values of two rows go to the spare row, the larger to the second. NaN stays in one of them."""
    for b in range(lanes):
        x, y = work[low + b], work[high + b]
        work[spare + b] = x if x < y else y
        work[high + b] = y if x < y else x


@lru_cache(maxsize=32)
def sorting_network(n: int) -> NDArray[np.int64]:
    """(comparison, 2): pairs i < j whose smaller value goes to i, in the order that sorts n values. Batcher's merge exchange
    (Knuth, The Art of Computer Programming 3, 5.2.2 M)."""
    pairs: list[tuple[int, int]] = []
    top = p = 1 << max(n - 1, 0).bit_length() >> 1
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return np.array(pairs, np.int64).reshape(-1, 2)
