"""Does an ensemble member move as the truth does? Scores that see the order of frames in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wasserstein_distance

from gencarbon.metrics.field import error, weighted_mean

Array = NDArray[np.float64]


def autocorrelation(x: ArrayLike, lags: ArrayLike) -> Array:
    """r_k = mean_{t, p} a_p(t) a_p(t+k) / mean_{t, p} a_p(t)^2, with a_p the anomaly from point p's own time mean.

    x: (time, ...) in any unit; lags: (lag,) whole steps from 0 to time - 1. Returns (lag,), unit 1.
    One ratio for all points, so a point counts by its variance. The mean at lag k is over its own T - k pairs
    (the convention that divides by T would shrink r_k by 1 - k/T). What bias remains comes from the anomalies, which
    sum to 0 at each point: about -(1 - r_k) x integrated time / T. NaN where nothing varies.
    Raises ValueError for lags outside the record.
    """
    values, k = np.asarray(x, dtype=np.float64), np.atleast_1d(np.asarray(lags))
    T = values.shape[0]
    if k.dtype.kind not in "iu" or k.min() < 0 or k.max() >= T:
        raise ValueError(
            f"expected lags in whole steps from 0 to {T - 1} for {T} frames, got {k}; drop the long lags or take a "
            f"longer record"
        )
    a = values - values[0]  # first, so that a constant field has anomalies of exactly 0
    a -= a.mean(axis=0)
    products = np.array([np.mean(a[: T - n] * a[n:]) for n in k])
    variance = np.mean(a**2)
    return products / variance if variance > 0 else np.full(k.shape, np.nan)


def decorrelation_steps(acf: ArrayLike) -> np.float64:
    """1 + 2 sum_k r_k over the lags before the first r_k <= 0: the integrated autocorrelation time, in steps.

    acf: (lag,) at lags 0, 1, 2, ... so that acf[0] = 1. T frames are worth about T / (this number) independent ones.
    The sum stops where noise first takes r_k below 0, in the spirit of the initial positive sequence of Geyer (1992),
    doi:10.1214/ss/1177011137, who adds lags in pairs. If no lag is <= 0 the record was too short and this is a lower
    bound. NaN where acf is NaN. Raises ValueError if acf does not begin with 1.
    """
    r = np.asarray(acf, dtype=np.float64)
    if np.isnan(r).any():
        return np.float64(np.nan)
    if r.ndim != 1 or not np.isclose(r[0], 1):
        raise ValueError(
            f"expected the autocorrelation at lags 0, 1, 2, ..., which begins with 1, got {r[:1]}; "
            f"take autocorrelation(x, range(n))"
        )
    positive = np.logical_and.accumulate(r[1:] > 0)
    return np.float64(1 + 2 * r[1:][positive].sum())


def hovmoeller(x: ArrayLike, weight: ArrayLike) -> Array:
    """Mean over latitude with `weight`, minus the mean of that band over longitude. (..., lon), the units of x.

    x: (..., lat, lon); weight: (lat,), such as the cell area, and 0 outside the band. What all longitudes share,
    such as the rise of CO2 over the years, is gone; what travels along the band is left.
    Raises ValueError for a weight of another shape.
    """
    values, w = np.asarray(x, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    if w.shape != values.shape[-2:-1]:
        raise ValueError(
            f"expected one weight for each of {values.shape[-2]} latitudes, got {w.shape}; "
            f"use the area of one cell on each latitude, 0 outside the band"
        )
    band = weighted_mean(values, w[:, np.newaxis], axis=-2)
    return np.asarray(band - band.mean(axis=-1, keepdims=True))


def hovmoeller_w1(a: ArrayLike, b: ArrayLike) -> np.float64:
    """Wasserstein-1 distance between the step-to-step changes of two diagrams, in the units of the field per step.

    a, b: (..., time, lon), of any lengths; all changes of one diagram are pooled. Changes, because the values of
    shuffled frames have the same distribution as before (see `hovmoeller_value_w1`). It sees how much the diagram
    changes in a step, and not where. NaN if either holds a NaN. Raises ValueError for a diagram of one frame.
    """
    return _w1(_changes(a), _changes(b))


def hovmoeller_value_w1(a: ArrayLike, b: ArrayLike) -> np.float64:
    """Wasserstein-1 distance between the values of two diagrams, in the units of the field. Blind to time.

    a, b: (..., time, lon). It completes `hovmoeller_w1`, which cannot see a pattern that stands still.
    """
    return _w1(np.asarray(a, np.float64), np.asarray(b, np.float64))


def waiting_times(x: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Lengths of the calm spells x <= threshold between two exceedances x > threshold, in steps.

    x: (time, ...). Returns (wait,), all points pooled and each counted alike. A wait is the number of frames between
    the last above the threshold and the next above it, so at least 1. Spells cut by the start or the end of the record
    are left out, since their length is unknown: long waits are missed more often, so compare records of one length.
    Raises ValueError for NaN, which is neither above nor below.
    """
    values = np.asarray(x, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError(
            f"expected numbers, got {np.isnan(values).sum()} NaN; select points with a complete record first"
        )
    above = (values > threshold).reshape(len(values), -1).T
    change = np.diff(above.astype(np.int8), axis=1)  # (point, time - 1): +1 begins an exceedance, -1 ends it
    point, time = np.nonzero(change)
    calm = (point[1:] == point[:-1]) & (change[point[:-1], time[:-1]] < 0)
    return np.asarray(np.diff(time)[calm], dtype=np.int64)


def waiting_time_w1(a: ArrayLike, b: ArrayLike, threshold: float) -> np.float64:
    """Wasserstein-1 distance between the waiting times of a and b, (time, ...), above one threshold, in steps.

    The threshold is the same number for both, so a bias shows too. NaN if either has no complete wait.
    """
    return _w1(waiting_times(a, threshold), waiting_times(b, threshold))


def cumulative_maximum_error(
    forecast: ArrayLike, truth: ArrayLike, weight: ArrayLike = 1.0, bound: float = 1.0
) -> np.float64:
    """CME = mean_t min(bound, max_{s <= t} e_s / d): 0 for a perfect forecast, `bound` for one lost at once. Unit 1.

    e_t is the weighted rms over points of forecast - truth at frame t; d is the rms deviation of the truth from each
    point's time mean. With the running maximum, a forecast that has diverged is not forgiven for crossing the truth
    again. A NaN counts as `bound`, and so do the frames after it. Schoetz et al. (2024), arXiv:2407.20158.
    forecast, truth: (time, ...) in one unit; weight: broadcast to them, such as kg of dry air in each cell.
    Raises ValueError for a truth that does not vary in time or is not finite: d is then no measure.
    """
    y = np.asarray(truth, dtype=np.float64)
    points = tuple(range(1, y.ndim))
    d = np.sqrt(weighted_mean((y - y.mean(axis=0)) ** 2, weight))
    if not (np.isfinite(d) and d > 0):
        raise ValueError(
            f"expected a truth that is finite and varies in time, got an rms deviation of {d}; use rmse instead"
        )
    e = np.sqrt(weighted_mean(error(forecast, y) ** 2, weight, points)) / d
    e = np.where(np.isnan(e), bound, e)
    return np.float64(np.minimum(bound, np.maximum.accumulate(e)).mean())


def _changes(diagram: ArrayLike) -> Array:
    """From each frame of (..., time, lon) to the next."""
    x = np.asarray(diagram, dtype=np.float64)
    if x.ndim < 2 or x.shape[-2] < 2:
        raise ValueError(
            f"expected a diagram (..., time, lon) of at least 2 frames, got {x.shape}; "
            f"take a longer record or keep the time axis"
        )
    return np.diff(x, axis=-2)


def _w1(a: NDArray, b: NDArray) -> np.float64:
    """Distance between two samples of any shape and size; NaN if one is empty or holds a NaN."""
    if a.size == 0 or b.size == 0 or np.isnan(a).any() or np.isnan(b).any():
        return np.float64(np.nan)
    if a.size % b.size:
        return np.float64(wasserstein_distance(a.ravel(), b.ravel()))
    # an ensemble beside its truth: every quantile of b stands against as many of a, and two sorts are enough
    return np.float64(
        np.abs(np.sort(a, axis=None).reshape(b.size, -1) - np.sort(b, axis=None)[:, None]).mean()
    )
