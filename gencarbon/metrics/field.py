"""Scores of one field against another. Weights: kg of dry air per cell, which hold its area."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gencarbon.metrics.aggregate import Mean

Axis = int | tuple[int, ...] | None
Array = NDArray[np.float64]


def error(forecast: ArrayLike, reference: ArrayLike) -> Array:
    """forecast - reference, subtracted in float64 (a float32 difference at 420 ppm keeps only 3e-5 ppm)."""
    return np.asarray(forecast, dtype=np.float64) - np.asarray(reference, dtype=np.float64)


def absolute_error(forecast: ArrayLike, reference: ArrayLike) -> Array:
    """|forecast - reference|, a map in the units of the fields."""
    return np.abs(error(forecast, reference))


def weighted_mean(values: ArrayLike, weight: ArrayLike, axis: Axis = None) -> Array:
    """sum w x / sum w over `axis`."""
    return Mean.of(values, weight, axis).value


def weighted_variance(values: ArrayLike, weight: ArrayLike, axis: Axis = None) -> Array:
    """sum w (x - mean)^2 / sum w over `axis`: variance in space about the weighted mean."""
    x = np.asarray(values, dtype=np.float64)
    w = np.broadcast_to(np.asarray(weight, dtype=np.float64), x.shape)
    total = w.sum(axis=axis, keepdims=True)
    centre = (w * x).sum(axis=axis, keepdims=True) / total
    return weighted_mean((x - centre) ** 2, w, axis)


def bias(forecast: ArrayLike, reference: ArrayLike, weight: ArrayLike, axis: Axis = None) -> Array:
    """Weighted mean of forecast - reference."""
    return weighted_mean(error(forecast, reference), weight, axis)


def rmse(forecast: ArrayLike, reference: ArrayLike, weight: ArrayLike, axis: Axis = None) -> Array:
    """Root of the weighted mean of (forecast - reference)^2; the root comes last."""
    return np.sqrt(weighted_mean(error(forecast, reference) ** 2, weight, axis))
