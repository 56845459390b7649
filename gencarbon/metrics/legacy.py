"""Scores as CarbonBench defines them, for comparison with its published numbers only. Each names its defect.

Definitions after Benson et al. (2025), doi:10.1029/2024MS004655, and its evaluation code
(github.com/vitusbenson/neural_transport, inference/analyse.py), written anew. Its horizontal weight is cos(lat); its
levels all weigh the same, though on hybrid levels their air masses differ by more than ten times.
None of these is a headline score of this project: use the CRPS, the spread-skill ratio and the budget error for that.

Fields: (time, level, lat, lon) ppm; lat: (lat,) degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gencarbon.budget import co2_mass
from gencarbon.metrics.field import error, weighted_mean, weighted_variance

Array = NDArray[np.float64]
CELLS = (-3, -2, -1)  # level, lat, lon
HORIZONTAL = (-2, -1)


def legacy_rmse(forecast: ArrayLike, reference: ArrayLike, lat: ArrayLike) -> Array:
    """Legacy RMSE_4D: root of the mean squared error over time, level and cos(lat)-weighted cells. (), ppm.

    DEFECT: not weighted by air mass, so a thin level near the surface counts as much as the free troposphere.
    """
    squared = error(forecast, reference) ** 2
    return np.sqrt(weighted_mean(squared, _cos(lat)))


def legacy_relative_rmse(forecast: ArrayLike, reference: ArrayLike, lat: ArrayLike) -> Array:
    """Legacy RelRMSE_3D: `legacy_rmse` / mean of the reference. (), unit 1.

    DEFECT: divides by 400 ppm of background, which no model has to predict; an error as large as the whole
    variability in space, 3 ppm, reads .7 %.
    """
    return np.asarray(legacy_rmse(forecast, reference, lat) / weighted_mean(np.asarray(reference), _cos(lat)))


def legacy_r2(forecast: ArrayLike, reference: ArrayLike, lat: ArrayLike) -> Array:
    """Legacy R2_3D: squared Pearson correlation over all cells of a frame, weighted by cos(lat). (time,), unit 1.

    CarbonBench prints its mean over time. NaN where a field is constant.
    DEFECT: blind to a bias and to a wrong amplitude (2x + 10 scores 1), and ruled by the mean gradients between
    hemispheres and levels, which any climatology has.
    """
    return _squared_correlation(forecast, reference, _cos(lat), CELLS)


def legacy_worst_level_r2(forecast: ArrayLike, reference: ArrayLike, lat: ArrayLike) -> Array:
    """Legacy minR2: the smallest over levels of the squared correlation in one level. (time,), unit 1.

    DEFECT: as `legacy_r2`, and set by the level that varies least, usually the stratosphere, where a correlation
    says least about the mass of CO2.
    """
    return np.asarray(_squared_correlation(forecast, reference, _cos(lat), HORIZONTAL).min(axis=-1))


def legacy_nse(forecast: ArrayLike, reference: ArrayLike, lat: ArrayLike) -> Array:
    """Legacy NSE_3D: 1 - squared error / variance in space of the reference, weighted by cos(lat). (time,), unit 1.

    CarbonBench prints its median over time. NaN where the reference is constant.
    DEFECT: the variance is that of the mean gradients, so that a climatology scores well; and the median
    does not see the frames after a forecast has failed, as long as they are fewer than half.
    """
    w, y = _cos(lat), np.asarray(reference, dtype=np.float64)
    squared = weighted_mean(error(forecast, y) ** 2, w, CELLS)
    variance = weighted_variance(_lowered(y, CELLS), w, CELLS)
    return np.asarray(1 - squared / np.where(variance == 0, np.nan, variance))


def legacy_days(r2: ArrayLike, step_days: float, threshold: float = 0.9) -> np.float64:
    """Legacy Days_R2>threshold: days until the correlation first falls below it, called decorrelation time there.

    r2: (..., lead), averaged over the leading axes (the forecasts) first; step_days: days between leads.
    Lead 0 is the initial state and is skipped.
    DEFECT: a forecast that never falls below is given its last lead, so the score grows with the length of the run
    and not with skill; it inherits all defects of `legacy_r2`; a single low frame decides it.
    Raises ValueError for fewer than two leads.
    """
    r = np.asarray(r2, dtype=np.float64)
    if r.ndim == 0 or r.shape[-1] < 2:
        raise ValueError(f"expected R2 at 2 or more leads, got {r.shape}; score a longer forecast")
    mean = r.reshape(-1, r.shape[-1]).mean(axis=0)
    below = np.flatnonzero(mean[1:] < threshold)
    first = below[0] + 1 if below.size else mean.size - 1
    return np.float64(first * step_days)


def legacy_mass_rmse(forecast: ArrayLike, reference: ArrayLike, air_mass: ArrayLike) -> Array:
    """Legacy Mass_RMSE: root mean square over time of the difference in total CO2 mass. (), kg CO2.

    air_mass: (time, level, lat, lon) kg, the reference's for both. CarbonBench prints PgC: kg 12.011 / 44.009 / 1e12.
    DEFECT: compares with the reference's mass and never with the fluxes, so it cannot tell whether either field
    closes its budget; errors of opposite sign cancel between cells.
    """
    return np.sqrt(np.mean(_mass_error(forecast, reference, air_mass) ** 2))


def legacy_relative_mass_rmse(forecast: ArrayLike, reference: ArrayLike, air_mass: ArrayLike) -> Array:
    """Legacy RelMass_RMSE: as `legacy_mass_rmse`, each frame divided by the reference's total mass. (), unit 1.

    DEFECT: the total is 870 PgC, about 170 times what the air gains in a year: a model that loses
    a whole year of fluxes reads .6 %. Compare `budget_error`, which divides by the accumulated flux.
    """
    relative = _mass_error(forecast, reference, air_mass) / co2_mass(
        np.asarray(reference), np.asarray(air_mass)
    )
    return np.sqrt(np.mean(relative**2))


def legacy_relative_absolute_bias(forecast: ArrayLike, reference: ArrayLike, lat: ArrayLike) -> Array:
    """Legacy RelAbsBias: |mean forecast - mean reference| / mean reference, all cells and frames. (), unit 1.

    DEFECT: divides by the background of 400 ppm, and errors cancel over the globe and over time before
    the modulus is taken: a drift through zero scores 0.
    """
    w = _cos(lat)
    bias = weighted_mean(error(forecast, reference), w)
    return np.asarray(np.abs(bias) / weighted_mean(np.asarray(reference), w))


def legacy_station_r2(forecast: ArrayLike, observed: ArrayLike) -> Array:
    """Legacy station r2: squared correlation in time at each station, over times that were observed. (station,).

    forecast, observed: (time, station) ppm; NaN in `observed` where nothing was measured. NaN for a station without
    observations or with a constant series.
    DEFECT: over a year or more the trend and the seasonal cycle make most of it, and they come with the fluxes and
    the initial state; blind to a bias and to a wrong amplitude.
    """
    y = np.asarray(observed, dtype=np.float64)
    seen = ~np.isnan(y)
    lowest = np.where(seen.any(axis=0), np.min(y, axis=0, where=seen, initial=np.inf), 0)
    return _squared_correlation(forecast, np.where(seen, y, lowest), seen, 0)  # filled values weigh nothing


def _squared_correlation(
    forecast: ArrayLike, reference: ArrayLike, weight: ArrayLike, axis: int | tuple[int, ...]
) -> Array:
    """cov(x, y)^2 / (var x var y), all with `weight` over `axis`."""
    x, y = (_lowered(np.asarray(v, dtype=np.float64), axis) for v in (forecast, reference))
    w = np.broadcast_to(np.asarray(weight, dtype=np.float64), x.shape)
    total = w.sum(axis=axis, keepdims=True)
    total = np.where(total == 0, np.nan, total)  # a station without observations
    x = x - (w * x).sum(axis=axis, keepdims=True) / total
    y = y - (w * y).sum(axis=axis, keepdims=True) / total
    xx, yy, xy = ((w * a).sum(axis=axis) for a in (x * x, y * y, x * y))
    product = xx * yy
    return np.asarray(xy**2 / np.where(product == 0, np.nan, product))


def _lowered(x: Array, axis: int | tuple[int, ...]) -> Array:
    """x minus its minimum: a constant field then varies by exactly 0, and not by the rounding of its mean."""
    return np.asarray(x - x.min(axis=axis, keepdims=True))


def _mass_error(forecast: ArrayLike, reference: ArrayLike, air_mass: ArrayLike) -> Array:
    """Total CO2 of the difference, (time,) kg: subtracted cell by cell, before the large sums."""
    return np.asarray(co2_mass(error(forecast, reference), np.asarray(air_mass)))


def _cos(lat: ArrayLike) -> Array:
    """cos(lat) as a column, (lat, 1), to broadcast over (..., lat, lon)."""
    return np.cos(np.deg2rad(np.asarray(lat, dtype=np.float64)))[:, np.newaxis]
