"""Scores against observations: points on a grid, their own error, cycles by hour and month, columns through averaging kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gencarbon.metrics.aggregate import Mean
from gencarbon.metrics.crps import crps_fair
from gencarbon.metrics.field import Array
from gencarbon.metrics.probabilistic import ensemble_variance, ratio
from gencarbon.metrics.ranks import rank_histogram

AFTERNOON = slice(12, 16)  # local solar hours [12, 16): the mixed layer is deep, models are compared there


def observed_scores(
    ens: ArrayLike, obs: ArrayLike, obs_error: ArrayLike, dressed: ArrayLike, rng: np.random.Generator
) -> dict[str, Array]:
    """The scores of members (member, n) at the observations (n,) that are not NaN, pooled over them.

    n, bias, rmse, correlation (of the ensemble mean), crps and rank_count (of `dressed`, the members
    `with_observation_error`), crps_without_error, spread, spread_skill. `rng` breaks ties of ranks. NaN where nothing is left.
    """
    y = np.asarray(obs, dtype=np.float64)
    kept = np.isfinite(y)
    x, d = (np.asarray(v, dtype=np.float64)[:, kept] for v in (ens, dressed))
    y, sigma = y[kept], np.broadcast_to(np.asarray(obs_error, dtype=np.float64), kept.shape)[kept]
    mean = x.mean(axis=0)
    average = lambda values: Mean.of(values, 1.0).value  # noqa: E731
    return {
        "n": np.asarray(y.size),
        "bias": average(mean - y),
        "rmse": np.sqrt(average((mean - y) ** 2)),
        "correlation": np.asarray(correlation(mean, y)),
        "crps": average(crps_fair(d, y)),
        "crps_without_error": average(crps_fair(x, y)),
        "spread": np.sqrt(average(ensemble_variance(x - y))),
        "spread_skill": spread_skill_observed(x, y, sigma),
        "rank_count": rank_histogram(d, y, rng),
    }


def observed_cycles(x: ArrayLike, hour: ArrayLike, month: ArrayLike) -> dict[str, Array]:
    """Diurnal and seasonal cycle, their amplitudes, and the rectifier of (..., time); see the functions of those names."""
    day, year = diurnal_cycle(x, hour), seasonal_cycle(x, month)
    return {
        "diurnal_cycle": day,
        "diurnal_amplitude": amplitude(day),
        "seasonal_cycle": year,
        "seasonal_amplitude": amplitude(year),
        "rectifier": rectifier(x, hour),
    }


def spread_skill_observed(ens: ArrayLike, obs: ArrayLike, obs_error: ArrayLike) -> Array:
    """sqrt(((M + 1) / M mean variance + mean sigma_o^2) / mean (xbar - y)^2); 1 if calibrated.

    The ratio of Fortin et al. (2014), doi:10.1175/JHM-D-14-0008.1, with the observation error added: an error that is
    independent of the members adds its variance to the expected squared error of their mean.
    ens: (member, ...), obs: (...), obs_error: 1 sigma, broadcast to obs, all in one unit. NaN observations are not counted.
    """
    y = np.asarray(obs, dtype=np.float64)
    kept = np.isfinite(y)
    sigma = np.broadcast_to(np.asarray(obs_error, dtype=np.float64), y.shape)[kept]
    z = np.asarray(ens, dtype=np.float64)[:, kept] - y[kept]
    M = len(z)
    expected = (M + 1) / M * ensemble_variance(z) + sigma**2
    return np.sqrt(ratio(Mean.of(expected, 1.0).value, Mean.of(z.mean(axis=0) ** 2, 1.0).value))


def with_observation_error(ens: ArrayLike, obs_error: ArrayLike, rng: np.random.Generator) -> Array:
    """x_m + N(0, sigma_o): what the instrument would report of each member, drawn from `rng`.

    A noisy observation is exchangeable with these and not with the members themselves, so that ranks and CRPS are taken
    on them: Anderson (1996), doi:10.1175/1520-0442(1996)009<1518:AMFPAE>2.0.CO;2, and Hamill (2001),
    doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2. ens: (member, ...); obs_error: 1 sigma, broadcast to (...).
    """
    x = np.asarray(ens, dtype=np.float64)
    return x + np.asarray(obs_error, dtype=np.float64) * rng.standard_normal(x.shape)


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson correlation of two series (n,); NaN where one is constant or there are fewer than two values."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.size < 2:
        return np.nan
    a, b = a - a[0], b - b[0]  # a constant becomes exact zeros
    a, b = a - a.mean(), b - b.mean()
    return float(ratio(a @ b, np.sqrt((a @ a) * (b @ b))))


def local_solar_hour(time: NDArray[np.datetime64], lon: float) -> Array:
    """UTC + lon / 15 degrees, in hours 0..24 (time,); the equation of time, a quarter of an hour, is left out."""
    return ((time - time.astype("datetime64[D]")) / np.timedelta64(1, "h") + lon / 15) % 24


def month_of_year(time: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """1..12 in UTC, (time,)."""
    return time.astype("datetime64[M]").astype(np.int64) % 12 + 1


def mean_of_finite(values: Array, axis: int = -1) -> Array:
    """Mean over `axis` of what is finite; NaN where nothing is."""
    counted = np.isfinite(values)
    return Mean.of(np.where(counted, values, 0.0), counted, axis).value


def diurnal_cycle(x: ArrayLike, hour: ArrayLike) -> Array:
    """Mean by local solar hour minus the mean of those hours, (..., 24); bin h holds [h, h + 1).

    x: (..., time), NaN left out; hour: (time,) local solar time in hours. Every hour that was sampled weighs the same in the
    daily mean, an hour never sampled is NaN. Gaps that favour an hour in one season alias the season into the cycle.
    """
    return _anomaly(_composite(x, _hour_bin(hour), 24))


def seasonal_cycle(x: ArrayLike, month: ArrayLike) -> Array:
    """Mean by month minus the mean of those months, (..., 12), January first.

    x: (..., time), NaN left out; month: (time,) 1..12. Every month that was sampled weighs the same in the annual mean, a month
    never sampled is NaN. A trend is not removed: 2.5 ppm per year leaves 2.3 ppm from January to December.
    """
    m = np.asarray(month)
    if m.size and (m.min() < 1 or m.max() > 12):
        raise ValueError(f"months run from 1 to 12, got {m.min()} .. {m.max()}; use time.dt.month")
    return _anomaly(_composite(x, m - 1, 12))


def amplitude(cycle: ArrayLike) -> Array:
    """Largest minus smallest of (..., bin), empty bins left out; NaN where fewer than two are filled."""
    c = np.asarray(cycle, dtype=np.float64)
    span = np.fmax.reduce(c, axis=-1) - np.fmin.reduce(c, axis=-1)
    return np.where(np.isfinite(c).sum(axis=-1) < 2, np.nan, span)


def rectifier(x: ArrayLike, hour: ArrayLike) -> Array:
    """Diurnal rectifier: the 24-hour mean minus the afternoon mean, local solar hours [12, 16), (...) in the units of x.

    Uptake by day goes into a deep mixed layer and respiration by night into a shallow one; their covariance leaves more CO2 near
    the surface than the mean flux would (Denning et al. 1995, doi:10.1038/376240a0). x: (..., time) near-surface mole fraction,
    NaN left out; hour: (time,). Both means are means of hourly bins, as in `diurnal_cycle`.

    Limits: it is a figure of the mole fraction alone, so it cannot tell a wrong flux from a wrong mixing, nor either from an
    advected cycle; it holds the diurnal part only, not the seasonal one. NaN unless the afternoon and each quarter of the day
    (0-6, 6-12, 12-18, 18-24 h) were sampled: with 6-hourly frames a third of all longitudes never see [12, 16).
    """
    mean = _composite(x, _hour_bin(hour), 24)
    quarters = np.isfinite(mean).reshape(*mean.shape[:-1], 4, 6).any(axis=-1)
    return np.where(
        quarters.all(axis=-1), mean_of_finite(mean) - mean_of_finite(mean[..., AFTERNOON]), np.nan
    )


def bilinear(
    lat: ArrayLike, lon: ArrayLike, grid_lat: ArrayLike, grid_lon: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Rows, columns and weights, each (point, 4), of the four cell centres around points of a global grid.

    Bilinear in latitude and longitude, periodic in longitude, constant between the outermost rows and the poles. Degrees;
    grid_lat: (row,) northward; grid_lon: (column,) eastward, 360 / columns apart; longitudes may differ by full circles.
    """
    phi, l, y, x = (np.asarray(v, dtype=np.float64) for v in (lat, lon, grid_lat, grid_lon))
    row = np.clip(np.searchsorted(y, phi, side="right") - 1, 0, y.size - 2)
    north = np.clip((phi - y[row]) / (y[row + 1] - y[row]), 0.0, 1.0)
    steps = (l - x[0]) % 360 / (360 / x.size)
    column, east = np.floor(steps).astype(np.int64), steps % 1
    rows = np.stack([row, row, row + 1, row + 1], axis=-1)
    columns = np.stack([column, column + 1, column, column + 1], axis=-1) % x.size
    south, west = 1 - north, 1 - east
    return rows, columns, np.stack([south * west, south * east, north * west, north * east], axis=-1)


def interpolate_log_pressure(profile: ArrayLike, pressure: ArrayLike, target: ArrayLike) -> Array:
    """`profile` at the pressures `target`, linear in log p between layers, held constant beyond the first and the last.

    profile: (..., level); pressure: (..., level), layer means, from the surface up; target: (..., retrieval level) in any order
    and in the unit of `pressure`. Leading axes broadcast. Returns (..., retrieval level).
    """
    x, p, t = (np.asarray(v, dtype=np.float64) for v in (profile, pressure, target))
    if p.shape[-1] < 2 or not np.all(np.diff(p, axis=-1) < 0):
        raise ValueError(
            "pressure must fall along the last axis (surface up) over at least 2 layers, got "
            f"{p.reshape(-1, p.shape[-1])[:1].tolist()} first; reverse the level axis of profile and pressure"
        )
    below = (p[..., None, :] > t[..., :, None]).sum(axis=-1)  # layers beneath each target
    k = np.clip(below - 1, 0, p.shape[-1] - 2)
    p = np.broadcast_to(p, (*k.shape[:-1], p.shape[-1]))
    low, high = (np.take_along_axis(p, i, axis=-1) for i in (k, k + 1))
    w = np.log(low / np.clip(t, high, low)) / np.log(low / high)
    lead = np.broadcast_shapes(x.shape[:-1], k.shape[:-1])
    x, k = np.broadcast_to(x, (*lead, x.shape[-1])), np.broadcast_to(k, (*lead, k.shape[-1]))
    return (1 - w) * np.take_along_axis(x, k, axis=-1) + w * np.take_along_axis(x, k + 1, axis=-1)


def column_average(
    profile: ArrayLike,
    kernel: ArrayLike,
    weight: ArrayLike,
    prior_profile: ArrayLike,
    prior_column: ArrayLike,
) -> Array:
    """XCO2 = XCO2_a + sum_i h_i a_i (x_i - x_a,i): what a retrieval would report of `profile`.

    Rodgers and Connor (2003), doi:10.1029/2002JD002299. profile, kernel a, pressure weight h, prior profile x_a:
    (..., retrieval level); prior_column: (...). The profile stands on the retrieval levels: interpolate the model to them
    (`interpolate_log_pressure`), never the kernel to the model. The prior comes back exactly.
    """
    x, a, h, x_a = (np.asarray(v, dtype=np.float64) for v in (profile, kernel, weight, prior_profile))
    if len({v.shape[-1] for v in (x, a, h, x_a)}) > 1:
        raise ValueError(
            "expected profile, kernel, weight and prior on the same retrieval levels (last axis), got sizes "
            f"{[v.shape[-1] for v in (x, a, h, x_a)]}; interpolate the profile to the retrieval levels"
        )
    return np.asarray(prior_column, dtype=np.float64) + (h * a * (x - x_a)).sum(axis=-1)


def _hour_bin(hour: ArrayLike) -> NDArray[np.int64]:
    return np.floor(np.asarray(hour, dtype=np.float64) % 24).astype(np.int64) % 24


def _composite(x: ArrayLike, index: NDArray[np.int64], bins: int) -> Array:
    """Means of (..., time) over the times of each bin, (..., bins); NaN left out, an empty bin is NaN."""
    values = np.asarray(x, dtype=np.float64)
    if values.shape[-1] != index.size:
        raise ValueError(
            f"expected one hour or month for each of {values.shape[-1]} times, got {index.size}; select the same times"
        )
    inside = (index[:, None] == np.arange(bins)).astype(np.float64)
    counted = np.isfinite(values)
    return Mean(np.where(counted, values, 0.0) @ inside, counted.astype(np.float64) @ inside).value


def _anomaly(composite: Array) -> Array:
    return composite - mean_of_finite(composite)[..., None]
