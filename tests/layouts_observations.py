"""Observations of one atmosphere in the layouts of others, each by formulas of its own. Every writer returns the path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

START = np.datetime64("2018-06-01T00", "ns")
EPOCH = np.datetime64("1970-01-01", "ns")
COUNT = 12
BAD = (3, 7)  # soundings that the quality flag rejects
FLAGS = ["...", "..P", ".C.", "N..", "...", "...", "*..", "...", "..X", "...", "...", "..."]
REJECTED = [2, 3, 6]  # of FLAGS; the third character is a remark


def prior(p):
    """Dry CO2 in ppm at pressures in Pa: less in the stratosphere, more near the ground."""
    return 408 - 6 * np.exp(-p / 1.5e4) + 3 * (p / 1e5) ** 3


def where(seed=2):
    """time, lat, lon of the observations; whole seconds within the first 24 hours."""
    rng = np.random.default_rng(seed)
    time = START + np.sort(rng.integers(0, 86400, COUNT)).astype("timedelta64[s]")
    return time, rng.uniform(-80, 80, COUNT), rng.uniform(-180, 180, COUNT)


def seconds(time):
    return (time - EPOCH) / np.timedelta64(1, "s")


def _save(ds: xr.Dataset, folder: Path, name: str, encoding=None) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}" / name  # each time another: the last one may be open
    path.parent.mkdir()
    ds.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def obspack(folder: Path, moving=False, dim="time", change=lambda ds: ds) -> Path:
    """A surface site, or an aircraft; values in mol mol-1, flags of three characters."""
    time, lat, lon = where()
    value, spread = 4.1e-4 + 1e-7 * np.arange(COUNT), np.full(COUNT, 2e-7)
    spread[4] = 0.0  # a single sample has no spread
    altitude = np.linspace(300, 12000, COUNT) if moving else np.full(COUNT, 3437.0)
    if not moving:
        lat, lon = np.full(COUNT, 19.536), np.full(COUNT, -155.576)
    attrs = {"dataset_name": "co2_mlo_surface-insitu_1_allvalid", "site_code": "MLO"}
    attrs |= {"site_longitude": np.float32(-1e34 if moving else -155.576)}
    made = xr.Dataset(
        {
            "value": (dim, value, {"units": "mol mol-1"}),
            "value_std_dev": (dim, spread, {"units": "mol mol-1"}),
            "latitude": (dim, lat, {"units": "degrees_north"}),
            "longitude": (dim, lon, {"units": "degrees_east"}),
            "altitude": (dim, altitude, {"units": "m"}),
            "qcflag": (dim, np.array(FLAGS, "S3")),
            "time_components": ((dim, "calendar_components"), np.zeros((COUNT, 6), np.int32)),
        },
        {"time": (dim, seconds(time).astype(np.int32), {"units": "seconds since 1970-01-01T00:00:00Z"})},
        attrs,
    )
    return _save(change(made), folder, "co2_mlo_surface-insitu_1_allvalid.nc")


def _columns():
    """Pressures in Pa, weights, kernel and prior on 20 levels from the top down, as ACOS has them."""
    time, lat, lon = where()
    surface = 9.8e4 + 3e3 * np.cos(np.deg2rad(lat))
    sigma = np.concatenate([[1e-4], np.arange(1, 20) / 19])
    p = surface[:, None] * sigma
    h = np.gradient(sigma)
    h[[0, -1]] /= 2
    a = 1 - 0.4 * (1 - sigma) ** 2
    return time, lat, lon, surface, sigma, p, h / h.sum() * np.ones_like(p), a * np.ones_like(p), prior(p)


def _sounding_file(folder: Path, name: str, value: str, change, **pressure) -> Path:
    time, lat, lon, _, _, _, h, a, x_a = _columns()
    flag = np.zeros(COUNT, np.int8)
    flag[list(BAD)] = 1
    xa = (h * x_a).sum(axis=1)
    profile, ppm = ("sounding_id", "levels"), {"units": "ppm"}
    noise = 0.5 * np.random.default_rng(4).standard_normal(COUNT)
    made = xr.Dataset(
        {
            value: ("sounding_id", xa + noise, ppm),
            "xco2_uncertainty": ("sounding_id", np.full(COUNT, 0.6), ppm),
            "xco2_apriori": ("sounding_id", xa, ppm),
            "xco2_quality_flag": ("sounding_id", flag),
            "xco2_averaging_kernel": (profile, a),
            "pressure_weight": (profile, h),
            "co2_profile_apriori": (profile, x_a, ppm),
            "latitude": ("sounding_id", lat, {"units": "degrees_north"}),
            "longitude": ("sounding_id", lon, {"units": "degrees_east"}),
            "time": ("sounding_id", seconds(time), {"units": "seconds since 1970-01-01 00:00:00"}),
            **pressure,
        },
        {"sounding_id": 2018060100000000 + np.arange(COUNT), "levels": np.arange(1, 21)},
    )
    real = {n: {"missing_value": np.float32(-999999), "dtype": "float32"} for n in ("xco2_averaging_kernel",)}
    return _save(change(made), folder, name, real)


def lite(folder: Path, change=lambda ds: ds) -> Path:
    p = _columns()[5] / 100
    levels = (("sounding_id", "levels"), p, {"units": "hPa"})
    return _sounding_file(folder, "oco2_LtCO2_180601_B11.nc4", "xco2", change, pressure_levels=levels)


def mip(folder: Path, change=lambda ds: ds) -> Path:
    surface, sigma = _columns()[3:5]
    pressure = {
        "sigma_levels": ("levels", sigma),
        "psurf": ("sounding_id", surface / 100, {"units": "hPa"}),
    }
    return _sounding_file(folder, "OCO2_b11.2_10sec_GOOD_r2.nc4", "xco2_2019_scale", change, **pressure)


def tccon(folder: Path, change=lambda ds: ds) -> Path:
    """51 levels from the ground up, wet profiles, and an operator that the retrieved oxygen takes from its sum of 1."""
    time = where()[0]
    z = np.linspace(0, 70, 51) ** 1.3 / 70**0.3  # km
    p = 1.005e5 * np.exp(-z / 7.4) * np.linspace(0.99, 1.01, COUNT)[:, None]  # Pa
    f = 0.02 * np.exp(-z / 2.0) * np.linspace(0.5, 1.5, COUNT)[:, None]  # water, mol per mol of moist air
    thick = -np.gradient(p, axis=1)
    thick[:, [0, -1]] /= 2
    h = thick / thick.sum(axis=1, keepdims=True)
    oxygen = np.linspace(0.996, 1.003, COUNT)[:, None]
    o, wet = oxygen * h / (1 - f), prior(p) * (1 - f)
    xa = (o * wet).sum(axis=1)
    profile, ppm = ("time", "prior_altitude"), {"units": "ppm"}
    about = {"standard_name": "wet_atmosphere_mole_fraction_of_carbon_dioxide", "units": "ppm"}
    made = xr.Dataset(
        {
            "xco2": ("time", xa + 0.3, {"units": "ppm", "wmo_or_analogous_scale": "WMO CO2 X2007"}),
            "xco2_error": ("time", np.full(COUNT, 0.4), ppm),
            "prior_xco2": ("time", xa, ppm),
            "prior_co2": (profile, wet, about),
            "prior_h2o": (profile, f, {"units": "1"}),
            "prior_pressure": (profile, p / 101325, {"units": "atm"}),
            "integration_operator": (profile, o, {"units": "1"}),
            "ak_xco2": (("time", "ak_altitude"), 0.6 + 0.5 * p / 1e5),
            "ak_pressure": ("ak_altitude", p.mean(axis=0) / 100, {"units": "hPa"}),
            "lat": ("time", np.full(COUNT, 36.604), {"units": "degrees_north"}),
            "long": ("time", np.full(COUNT, -97.486), {"units": "degrees_east"}),
        },
        {
            "time": ("time", seconds(time), {"units": "seconds since 1970-01-01 00:00:00"}),
            "prior_altitude": ("prior_altitude", z, {"units": "km"}),
            "ak_altitude": ("ak_altitude", z, {"units": "km"}),
        },
    )
    return _save(change(made), folder, "oc20180601_20180601.public.qc.nc")


COLUMNS = {lite: COUNT - len(BAD), mip: COUNT - len(BAD), tccon: COUNT}  # writer -> soundings that are good
