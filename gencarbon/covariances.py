"""The covariance of transport error between observations, from an ensemble: the transport part of the R matrix of an inversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from gencarbon import observation_checks as checks
from gencarbon import observation_scores as operators
from gencarbon.constants import EARTH_RADIUS
from gencarbon.data.input_members import expanded
from gencarbon.data.refusal import refusal
from gencarbon.evaluation import PROVENANCE
from gencarbon.metrics.field import Array
from gencarbon.metrics.ranks import great_circle
from gencarbon.variables import describe

FEWEST_MEMBERS = 8  # a variance of 8 Gaussian members is uncertain by sqrt(2 / 7), 53 %
MOST_OBSERVATIONS = 20_000  # one matrix takes 3.2 GB then, and three are made
FRAMES = 16  # read at once
ROWS = 128  # of a matrix that are tapered at once
EARTH_KM = EARTH_RADIUS / 1000
WIDEST_KM = np.pi / 2 * EARTH_KM  # half-width of a taper that ends at the antipode
PPM, PPM_SQUARED = "1e-6", "1e-12"


@dataclass(frozen=True)
class _Observations:
    """n observations. frame: (n,) of the ensemble; coords: name -> what identifies each, (n,).

    sample(run, block) reads the cells of some: `block` (point,) of 0..n - 1 gives (member, point) ppm.
    """

    frame: checks.Index
    coords: dict[str, np.ndarray]
    sample: Callable[[xr.Dataset, checks.Index], Array]


def covariance(
    ensemble: xr.Dataset,
    sites: xr.Dataset,
    length_km: float | None = 2000.0,
    hours: float | None = 48.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> xr.Dataset:
    """How transport errors of observations vary together: C = sum_m (y_m - y)(y_m - y)^T / (M - 1), ppm2, over M members y_m of mean y.

    ensemble: co2 (member, time, level, lat, lon) ppm, of which only the cells needed are read. sites: stations, `lat`, `lon`
    (degrees) and `level` (model layer) on station, an observation for each of them and each frame, or each `time` where
    given; or soundings as for `score_columns`, without xco2 and its error.
    length_km, hours: half-widths of Gaspari-Cohn tapers in great-circle distance and in time; None: no taper.

    Returns `covariance`, `correlation` (NaN where nothing varies) and `localized`, the covariance times the tapers, on
    (observation, observation_2), stations time by time; `standard_deviation` and `mean` on observation. Errors of the
    observations themselves are not included. A known first frame has no transport error: its variance is 0.
    Raises InputError.
    """
    _check_options(length_km, hours)
    are_columns = _are_columns(sites)
    ensemble = expanded(ensemble)
    checks.check_ensemble(ensemble, operators.AIR if are_columns else {})
    if (M := ensemble.sizes["member"]) < FEWEST_MEMBERS:
        raise refusal("ensemble", f"at least {FEWEST_MEMBERS} members", f"{M}", "sample more with --members")
    observations = (_soundings if are_columns else _stations)(ensemble, sites)
    _check_count(observations.frame.size)

    y = _sampled(ensemble, observations, progress)
    mean = y[0] + (y - y[0]).mean(axis=0)  # equal members deviate by exactly 0
    d = y - mean
    C = d.T @ d / (M - 1)
    localized = _localized(C, observations.coords, length_km, hours)
    return _dataset(C, localized, mean, observations.coords).assign_attrs(
        _attrs(ensemble, length_km, hours), members=M, rank=min(M - 1, y.shape[1])
    )


def gaspari_cohn(distance: Array, half_width: float) -> Array:
    """The correlation of Gaspari and Cohn (1999), eq. 4.10, doi:10.1002/qj.49712555417: 0 from 2 half-widths on.

    Positive definite in one to three dimensions; in great-circle distance on the sphere too, if it vanishes before the
    antipode: Gneiting (2013), doi:10.3150/12-BEJSP06.
    """
    z = np.asarray(distance, dtype=np.float64) / half_width

    def inner(z: Array) -> Array:
        return -(z**5) / 4 + z**4 / 2 + 5 / 8 * z**3 - 5 / 3 * z**2 + 1

    def outer(z: Array) -> Array:
        return z**5 / 12 - z**4 / 2 + 5 / 8 * z**3 + 5 / 3 * z**2 - 5 * z + 4 - 2 / (3 * z)

    return np.maximum(
        np.piecewise(z, [z <= 1, (z > 1) & (z < 2)], [inner, outer, 0.0]), 0.0
    )  # round-off near 2


def _localized(
    C: Array, coords: dict[str, np.ndarray], length_km: float | None, hours: float | None
) -> Array:
    """C (n, n) times the tapers; positive semidefinite matrices multiplied element by element give one (Schur)."""
    since = (coords["time"] - coords["time"].min()) / np.timedelta64(1, "h")
    made = C.copy()
    for rows in (slice(start, start + ROWS) for start in range(0, len(C), ROWS)):
        if length_km is not None:
            made[rows] *= gaspari_cohn(EARTH_KM * great_circle(coords["lat"], coords["lon"], rows), length_km)
        if hours is not None:
            made[rows] *= gaspari_cohn(np.abs(since[rows, None] - since), hours)
    return made


def _stations(ensemble: xr.Dataset, stations: xr.Dataset) -> _Observations:
    """An observation for each time and each station, time by time: a period is then a slice."""
    if "time" not in stations.variables:
        stations = stations.assign_coords(time=ensemble["time"])
    wanted = {name: dims for name, dims in operators.STATIONS.items() if name != "co2"}
    checks.check_variables(stations, wanted, "stations")
    layer, place = checks.layers(stations, ensemble), operators.place_of(ensemble, stations, "stations")
    when, which = (index.ravel() for index in np.indices((stations.sizes["time"], layer.size)))
    frame = checks.frames(stations, ensemble)[when]
    name = "station_name" if "station_name" in stations.variables else "station"
    coords = {"time": stations["time"].values[when], "station": stations[name].values[which]}
    coords |= {key: stations[key].values[which] for key in ("lat", "lon", "level")}

    def sample(run: xr.Dataset, block: checks.Index) -> Array:
        at, here = which[block], place.isel(point=which[block])
        time = xr.DataArray(frame[block], dims="point")
        cells = run["co2"].isel(time=time, level=layer[at], lat=here.row, lon=here.column).compute()
        return operators.values_of(operators.blend(cells, here), ("member", "point"))

    return _Observations(frame, coords, sample)


def _soundings(ensemble: xr.Dataset, soundings: xr.Dataset) -> _Observations:
    """An observation for each sounding, of the frame nearest in time."""
    wanted = {k: dims for k, dims in operators.SOUNDINGS.items() if k not in ("xco2", "xco2_error")}
    checks.check_variables(soundings, wanted, "soundings")
    checks.check_ppm(soundings, ("xco2_prior", "co2_prior"), "soundings")
    frame, _ = checks.nearest_frames(soundings["time"].values, ensemble["time"].values)
    place = operators.place_of(ensemble, soundings, "soundings")
    given = {k: operators.values_of(soundings[k], dims) for k, dims in wanted.items() if k != "time"}
    pressure = given["pressure_level"] * checks.pascals(soundings["pressure_level"])
    given["pressure_level"] = np.where(pressure < 0, np.nan, pressure)  # a fill value
    for name, values in given.items():
        if bad := int((~np.isfinite(values)).reshape(frame.size, -1).any(axis=-1).sum()):
            got = f"NaN or a fill value in {bad} of {frame.size} soundings"
            raise refusal(f"soundings: {name}", "finite values", got, "drop those soundings")
    checks.check_weights(given["pressure_weight"])
    coords = {name: soundings[name].values for name in ("time", "sounding", "lat", "lon")}

    def sample(run: xr.Dataset, block: checks.Index) -> Array:
        cells, here = _gathered(run, frame[block], place.isel(point=block))
        return operators.columns_of(cells, {k: v[block] for k, v in given.items()}, 0 * block, here)

    return _Observations(frame, coords, sample)


def _gathered(run: xr.Dataset, frame: checks.Index, place: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The cells around points, read now, once each, as one row of a run of one frame; and `place` in that row.

    The operator then sums arrays in memory, so that chunks cannot change the order of its sums.
    """
    where = np.stack([frame[:, None] + 0 * place.row.values, place.row.values, place.column.values])
    cells, position = np.unique(where.reshape(3, -1), axis=1, return_inverse=True)
    time, row, column = (xr.DataArray(index, dims="cell") for index in cells)
    bare = run[["co2", "air_mass", "cell_area"]].drop_vars(("time", "lat", "lon"))
    fields = bare.isel(time=time, lat=row, lon=column).compute()
    fields = fields.assign({name: fields[name].expand_dims("time") for name in ("co2", "air_mass")})
    fields = fields.expand_dims("lat").rename(cell="lon")
    columns = place.column.copy(data=position.reshape(place.column.shape))
    hybrid = {name: run[name] for name in ("hybrid_a", "hybrid_b")}
    return fields.assign(hybrid), place.assign(row=0 * place.row, column=columns)


def _sampled(
    ensemble: xr.Dataset, observations: _Observations, progress: Callable[[int, int], None]
) -> Array:
    """CO2 of the members at the observations, (member, observation) ppm."""
    y = np.empty((ensemble.sizes["member"], observations.frame.size))
    blocks = list(_blocks(observations.frame))
    for done, block in enumerate(blocks, start=1):
        y[:, block] = observations.sample(ensemble, block)
        if (broken := ~np.isfinite(y[:, block])).any():
            got = (
                f"NaN at {broken.any(axis=0).sum()} observations, first in member {np.argwhere(broken)[0][0]}"
            )
            raise refusal("ensemble: co2", "finite values", got, "sample that member again")
        progress(done, len(blocks))
    return y


def _blocks(frame: checks.Index) -> Iterator[checks.Index]:
    """Observations (n,) in parts within FRAMES frames, which are read together, and no larger than columns allow."""
    order = np.argsort(frame, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(frame[order] // FRAMES)) + 1):
        yield from (part[i : i + operators.BLOCK] for i in range(0, part.size, operators.BLOCK))


def _are_columns(sites: xr.Dataset) -> bool:
    kinds = [dim for dim in ("station", "sounding") if dim in sites.dims]
    if len(kinds) != 1:
        remedy = "rename yours, or give stations and columns one after the other"
        raise refusal("sites", "either a dim station or a dim sounding", f"dims {tuple(sites.dims)}", remedy)
    return kinds == ["sounding"]


def _check_options(length_km: float | None, hours: float | None) -> None:
    remedy = "give another, or None for no taper"
    if length_km is not None and not 0 < length_km <= WIDEST_KM:  # wider ones are not positive definite
        expected = f"a half-width above 0 and up to {WIDEST_KM:.0f} km, a quarter of the way round"
        raise refusal("length_km", expected, f"{length_km:g}", remedy)
    if hours is not None and not hours > 0:
        raise refusal("hours", "a half-width above 0", f"{hours:g}", remedy)


def _check_count(n: int) -> None:
    if not 0 < n <= MOST_OBSERVATIONS:
        got = f"{n}, {8e-9 * n * n:.1f} GB for each matrix"
        remedy = "thin them or split them in time" if n else "give sites and times"
        raise refusal("sites", f"1 .. {MOST_OBSERVATIONS} observations", got, remedy)


def _dataset(C: Array, localized: Array, mean: Array, coords: dict[str, np.ndarray]) -> xr.Dataset:
    """Matrices and vectors with names and units, each observation with its coordinates."""
    s = np.sqrt(np.diag(C))
    correlation = C / np.where(s == 0, np.nan, s)
    correlation /= np.where(s == 0, np.nan, s)[:, None]
    np.clip(correlation, -1, 1, out=correlation)
    matrices = {
        "covariance": (C, PPM_SQUARED, "covariance of transport error (ppm2)"),
        "correlation": (correlation, "1", "correlation of transport error, NaN where nothing varies"),
        "localized": (localized, PPM_SQUARED, "covariance times tapers in distance and time (ppm2)"),
    }
    vectors = {
        "standard_deviation": (s, "standard deviation of transport error (ppm)"),
        "mean": (mean, "mean of the members (ppm)"),
    }
    square = ("observation", "observation_2")
    fields: dict[str, Any] = {
        name: (square, values, {"units": units, "long_name": text})
        for name, (values, units, text) in matrices.items()
    }
    for name, (values, text) in vectors.items():
        fields[name] = ("observation", values, {"units": PPM, "long_name": text})
    return describe(xr.Dataset(fields, {name: ("observation", values) for name, values in coords.items()}))


def _attrs(ensemble: xr.Dataset, length_km: float | None, hours: float | None) -> dict[str, Any]:
    taper = "Gaspari-Cohn, half-width"
    kept = [name for name in (*PROVENANCE, "initial_frame", "inputs") if name in ensemble.attrs]
    return {name: ensemble.attrs[name] for name in kept} | {
        "title": "Covariance of the transport error of CO2 at observations, computed with gencarbon",
        "Conventions": "CF-1.11",
        "comment": "Transport error, and that of inputs where `inputs` says that these had members of their own: add the errors "
        "of the observations themselves before use as R. The covariance has the attribute rank at most, and is singular where there "
        "are more observations; the tapers of localized raise the rank and take away what few members leave by chance between "
        "distant observations.",
        "taper_in_distance": "none" if length_km is None else f"{taper} {length_km:g} km of great circle",
        "taper_in_time": "none" if hours is None else f"{taper} {hours:g} h",
    }
