"""Where an observation looks in a model: weights of frames, cells and layers. Arrays in, arrays out.

Every observation is one line of a matrix H that is a product: 8 weights of (frame, cell) bring the model's profile to its place and time,
one weight for each layer makes a number of that profile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gencarbon.constants import GRAVITY, M_AIR
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.metrics.observations import bilinear

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# International Standard Atmosphere, ISO 2533:1975, the same as the US Standard Atmosphere 1976 up to 32 km
SEA_LEVEL_PRESSURE = 101325.0  # Pa
SEA_LEVEL_TEMPERATURE = 288.15  # K
LAPSE_RATE = 6.5e-3  # K m-1     below the tropopause
TROPOPAUSE = 11e3  # m
GAS_CONSTANT = 8.314462618  # J mol-1 K-1     CODATA 2018


def frame_weights(time: NDArray[np.datetime64], frames: NDArray[np.datetime64]) -> tuple[Index, Array]:
    """The two frames around each time and their weights, (point, 2), linear in time. Times lie within the frames, at least two."""
    n = np.clip(np.searchsorted(frames, time, side="right") - 1, 0, frames.size - 2)
    later = (time - frames[n]) / (frames[n + 1] - frames[n])
    return np.stack([n, n + 1], axis=1), np.stack([1 - later, later], axis=1)


def column_weights(lat: Array, lon: Array, grid: LatLonGrid) -> tuple[Index, Array]:
    """The four columns around each point, as an index into (lat, lon), and their weights, (point, 4), of `metrics.bilinear`."""
    rows, columns, weights = bilinear(lat, lon, grid.lat, grid.lon)
    return rows * grid.shape[1] + columns, weights


def cell_weights(
    frame: tuple[Index, Array], column: tuple[Index, Array], grid: LatLonGrid
) -> tuple[Index, Array]:
    """The products of both, (point, 8): an index into (time, lat, lon) and weights that sum to 1."""
    (n, when), (cell, where) = frame, column
    index = n[:, :, None] * (grid.shape[0] * grid.shape[1]) + cell[:, None, :]
    return index.reshape(-1, 8), (when[:, :, None] * where[:, None, :]).reshape(-1, 8)


def layer_pressure(levels: HybridLevels, surface: Array) -> Array:
    """Layer means, (point, level) Pa, those of the interfaces a + b p_s, above a surface pressure p_s (point,) Pa."""
    edges = np.array(levels.a) + np.array(levels.b) * surface[:, None]
    return (edges[:, 1:] + edges[:, :-1]) / 2


def layer_weights(pressure: Array, target: Array, factor: Array) -> Array:
    """V (point, level) with sum_l V_l x_l = sum_k factor_k x(target_k): x linear in log p between layers, constant beyond the outermost.

    pressure: (point, level) of layers from the surface up; target and its factor: (point, k), in any order, in one unit of pressure.
    """
    points, count = pressure.shape
    if count < 2:
        raise ValueError(
            f"at least 2 layers are needed to interpolate between, got {count}; give more levels"
        )
    beneath = (pressure[:, None, :] > target[:, :, None]).sum(axis=-1)
    l = np.clip(beneath - 1, 0, count - 2)
    low, high = np.take_along_axis(pressure, l, axis=1), np.take_along_axis(pressure, l + 1, axis=1)
    upper = np.log(low / np.clip(target, high, low)) / np.log(low / high)
    V, point = np.zeros((points, count)), np.arange(points)[:, None]
    np.add.at(V, (point, l), factor * (1 - upper))
    np.add.at(V, (point, l + 1), factor * upper)
    return V


def standard_pressure(altitude: Array) -> Array:
    """Pressure in Pa at an altitude in m above sea level, in the standard atmosphere up to 20 km.

    p = p0 (T / T0)^(g M / (R L)) with T = T0 - L z up to the tropopause, p_t exp(-g M (z - z_t) / (R T_t)) above it.
    Weather moves the true pressure by some 20 hPa, which is 160 m near the ground.
    """
    z = np.asarray(altitude, dtype=np.float64)
    temperature = SEA_LEVEL_TEMPERATURE - LAPSE_RATE * np.minimum(z, TROPOPAUSE)
    exponent = GRAVITY * M_AIR / (GAS_CONSTANT * LAPSE_RATE)
    below = SEA_LEVEL_PRESSURE * (temperature / SEA_LEVEL_TEMPERATURE) ** exponent
    scale_height = GAS_CONSTANT * temperature / (GRAVITY * M_AIR)
    return below * np.exp(-np.maximum(z - TROPOPAUSE, 0) / scale_height)
