"""Synthetic observations of the synthetic ensemble, and the columns through averaging kernels by brute force."""

import numpy as np
import xarray as xr

from gencarbon.constants import GRAVITY

PPM = {"units": "1e-6"}


def blend(field, lat, lon, E):
    """Bilinear value of (..., lat, lon) at one point, by two one-dimensional interpolations on a wider grid."""
    x = np.concatenate([[E.lon.values[-1] - 360], E.lon.values, [E.lon.values[0] + 360]])
    around = np.concatenate([field[..., -1:], field, field[..., :1]], axis=-1)
    rows = np.apply_along_axis(lambda row: np.interp(lon % 360, x, row), -1, around)
    return np.apply_along_axis(lambda column: np.interp(lat, E.lat.values, column), -1, rows)


def places(count, seed=5):
    rng = np.random.default_rng(seed)
    return rng.uniform(-90, 90, count), rng.uniform(-180, 360, count), rng


def make_stations(E, R, count=5, error=0.5):
    """Stations that see the reference through the same sampling, with their own error."""
    lat, lon, rng = places(count)
    level = rng.integers(1, 4, count)
    truth = np.stack([blend(R.co2.values[:, k - 1], *at, E) for k, *at in zip(level, lat, lon)])
    values = truth + error * rng.standard_normal(truth.shape)
    return xr.Dataset(
        {"co2": (("station", "time"), values, PPM), "co2_error": ("station", np.full(count, error), PPM)},
        {"time": R.time, "lat": ("station", lat), "lon": ("station", lon), "level": ("station", level)},
    )


def brute_columns(E, co2, S):
    """Every member's column by loops over soundings, with the dry surface pressure from the air mass."""
    out = np.empty((len(co2), S.sizes["sounding"]))
    for s in range(S.sizes["sounding"]):
        at = float(S.lat[s]), float(S.lon[s])
        n = int(abs(E.time.values - S.time.values[s]).argmin())
        thickness = blend(E.air_mass.values[n].sum(axis=0) / E.cell_area.values, *at, E) * GRAVITY
        edges = E.hybrid_a.values + E.hybrid_b.values * (thickness + E.hybrid_a.values[-1])
        p = (edges[1:] + edges[:-1]) / 2
        h, a, x_a = (S[k].values[s] for k in ("pressure_weight", "averaging_kernel", "co2_prior"))
        for m in range(len(co2)):
            x = blend(co2[m, n], *at, E)
            x = np.interp(np.log(100 * S.pressure_level.values[s]), np.log(p[::-1]), x[::-1])
            out[m, s] = float(S.xco2_prior[s]) + np.sum(h * a * (x - x_a))
    return out


def make_soundings(E, R, count=20, error=0.3):
    """Soundings of the reference through realistic kernels: 6 levels in hPa, the prior off by some ppm."""
    lat, lon, rng = places(count, seed=6)
    frame = rng.integers(1, E.sizes["time"], count)
    offset = rng.integers(-170, 170, count).astype("timedelta64[m]")
    weight = rng.uniform(1, 2, (count, 6))
    matrix = "sounding", "retrieval_level"
    prior = 412 + rng.standard_normal((count, 6))
    S = xr.Dataset(
        {
            "averaging_kernel": (matrix, rng.uniform(0.4, 1.2, (count, 6))),
            "pressure_weight": (matrix, weight / weight.sum(axis=1, keepdims=True)),
            "pressure_level": (
                matrix,
                np.tile([50.0, 250, 450, 650, 850, 1050], (count, 1)),
                {"units": "hPa"},
            ),
            "co2_prior": (matrix, prior, PPM),
            "xco2_prior": ("sounding", prior.mean(axis=1), PPM),
            "xco2_error": ("sounding", np.full(count, error), PPM),
        },
        {
            "time": ("sounding", E.time.values[frame] + offset),
            "lat": ("sounding", lat),
            "lon": ("sounding", lon),
        },
    )
    seen = brute_columns(E, R.co2.values[np.newaxis], S)[0]
    return S.assign(xco2=("sounding", seen + error * rng.standard_normal(count), PPM))
