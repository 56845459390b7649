"""An ensemble against observations, stations and satellite columns, with the error of the observations counted."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from rich import box
from rich.table import Table

from gencarbon.constants import GRAVITY
from gencarbon.data.input_members import expanded
from gencarbon.data.refusal import refusal
from gencarbon.grid import HybridLevels
from gencarbon.metrics import observations as metrics
from gencarbon.metrics.field import Array
from gencarbon.metrics.observations import with_observation_error
from gencarbon.observation_checks import (
    CO2,
    KERNEL,
    Index,
    check_ensemble,
    check_ppm,
    check_variables,
    check_weights,
    finite_members,
    frames,
    known,
    layers,
    nearest_frames,
    observed,
    pascals,
)
from gencarbon.variables import describe

RANK_SEED = 0  # of the observation errors drawn for members, and of ties
BLOCK = 4096  # soundings sampled at once
PPM = "1e-6"

EDGE, POINT = ("level_interface",), ("station",)
AIR = {"air_mass": CO2[1:], "cell_area": CO2[3:], "hybrid_a": EDGE, "hybrid_b": EDGE}
STATIONS = {"co2": ("station", "time"), "time": ("time",), "lat": POINT, "lon": POINT, "level": POINT}
SOUNDINGS: dict[str, tuple[str, ...]] = dict.fromkeys(KERNEL, ("sounding", "retrieval_level"))
SOUNDINGS |= dict.fromkeys(("xco2", "xco2_error", "xco2_prior", "lat", "lon", "time"), ("sounding",))
FIGURES = {
    "n": ("1", "observations counted"),
    "bias": (PPM, "bias of the ensemble mean (ppm)"),
    "rmse": (PPM, "RMSE of the ensemble mean (ppm)"),
    "correlation": ("1", "correlation of the ensemble mean with the observations"),
    "crps": (PPM, "fair CRPS of members with observation error drawn (ppm)"),
    "crps_without_error": (PPM, "fair CRPS of the members as they are (ppm)"),
    "spread": (PPM, "ensemble spread, root of the mean variance with M - 1 (ppm)"),
    "spread_skill": ("1", "spread-skill ratio, observation error in the spread; 1 = calibrated"),
    "rank_count": ("1", "observations with this rank among members with observation error drawn"),
}
CYCLES = {
    "diurnal_cycle": "mean by local solar hour minus the mean of the sampled hours (ppm)",
    "diurnal_amplitude": "diurnal cycle, largest minus smallest (ppm)",
    "seasonal_cycle": "mean by month minus the mean of the sampled months (ppm)",
    "seasonal_amplitude": "seasonal cycle, largest minus smallest (ppm)",
    "rectifier": "diurnal rectifier, 24-hour mean minus mean of local solar hours [12, 16) (ppm)",
}
AXES = {"rank_count": ("rank",), "diurnal_cycle": ("local_hour",), "seasonal_cycle": ("month",)}
SIDES = {"observed": "observations", "modelled": "ensemble mean"}
TABLE = {  # what the terminal shows
    "n": ("n", ".0f"),
    "bias": ("bias\nppm", "+z.3f"),
    "rmse": ("RMSE\nppm", ".3f"),
    "correlation": ("corre-\nlation", ".2f"),
    "crps": ("CRPS\nppm", ".3f"),
    "spread_skill": ("spread-\nskill", ".2f"),
}


def score_stations(ensemble: xr.Dataset, stations: xr.Dataset, mask_nan: bool = False) -> xr.Dataset:
    """Scores of an ensemble (canonical E) at stations, in ppm: of each station and, `_overall`, of all observations.

    stations: `co2` (station, time), dry ppm; `co2_error` (station, time) or (station,), 1 sigma in ppm, 0 where the dataset
    has none; `lat`, `lon` (degrees) and `level` (model layer, 1 touches the surface) on station; `time` among the ensemble's.
    Members are sampled bilinearly at the station's layer; only the cells needed are read. A known first frame is not scored.
    NaN in the observations or in a member is refused, or with `mask_nan` left out and counted in the attributes.
    Raises InputError.
    """
    check_ensemble(ensemble, {})
    given = stations.get("co2_error")
    errors = {} if given is None else {"co2_error": STATIONS["co2"] if "time" in given.dims else POINT}
    check_variables(stations, STATIONS | errors, "stations")
    check_ppm(stations, ["co2", *errors], "stations")
    frame, layer = frames(stations, ensemble), layers(stations, ensemble)
    place = place_of(ensemble, stations, "stations")
    error = None if given is None else values_of(given.broadcast_like(stations["co2"]), STATIONS["co2"])
    y, sigma, masked = observed(values_of(stations["co2"], STATIONS["co2"]), error, mask_nan, "stations: co2")
    y[:, known(ensemble, frame)] = np.nan

    cells = ensemble["co2"].isel(time=frame, level=layer, lat=place.row, lon=place.column)
    x = values_of(blend(cells, place), ("member", "point", "time"))
    y, broken = finite_members(x, y, mask_nan)
    rngs = [_stream(*where) for where in zip(*(stations[name].values for name in ("lat", "lon", "level")))]
    dressed = np.stack([with_observation_error(x[:, s], sigma[s], rng) for s, rng in enumerate(rngs)], axis=1)
    rows = [
        metrics.observed_scores(x[:, s], y[s], sigma[s], dressed[:, s], rng)
        | _cycles(x[:, s].mean(axis=0), y[s], stations["time"].values, float(stations["lon"][s]))
        for s, rng in enumerate(rngs)
    ]
    each = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    M, rng = len(x), np.random.default_rng(RANK_SEED)
    flat, drawn = x.reshape(M, -1), dressed.reshape(M, -1)
    pooled = metrics.observed_scores(flat, y.ravel(), sigma.ravel(), drawn, rng)
    pooled["rank_count"] = each["rank_count"].sum(axis=0)  # with the ties as each station broke them
    attrs = _attrs("at stations", M, masked, broken) | {
        "observation_error": "none given, taken as 0" if given is None else "co2_error",
        "local_time": "UTC + longitude / 15 degrees; bin h holds [h, h + 1)",
    }
    return _station_dataset(each, pooled, stations, attrs)


def score_columns(ensemble: xr.Dataset, soundings: xr.Dataset, mask_nan: bool = False) -> xr.Dataset:
    """Scores of an ensemble (canonical E) against column averages seen through averaging kernels, in ppm.

    soundings: `xco2`, `xco2_error` (1 sigma), `xco2_prior` on sounding and `co2_prior` on (sounding, retrieval_level), dry ppm;
    `averaging_kernel`, `pressure_weight`, `pressure_level` (Pa or hPa) on (sounding, retrieval_level); `lat`, `lon`, `time`
    on sounding. The nearest frame in time is taken. The model, at the layer-mean pressures of its dry air (a retrieval's count
    water vapour, some hPa), goes to the retrieval levels linearly in log p. NaN, a known first frame: as in `score_stations`.
    Returns `xco2` (member, sounding), `error` (sounding) and the pooled scores, `_overall`. Raises InputError.
    """
    ensemble = expanded(ensemble)
    check_ensemble(ensemble, AIR)
    check_variables(soundings, SOUNDINGS, "soundings")
    check_ppm(soundings, ("xco2", "xco2_error", "xco2_prior", "co2_prior"), "soundings")
    frame, offset = nearest_frames(soundings["time"].values, ensemble["time"].values)
    place = place_of(ensemble, soundings, "soundings")
    given = {name: values_of(soundings[name], dims) for name, dims in SOUNDINGS.items() if name != "time"}
    pressure = given["pressure_level"] * pascals(soundings["pressure_level"])
    given["pressure_level"] = np.where(pressure < 0, np.nan, pressure)  # a fill value
    whole = np.all([np.isfinite(given[name]).all(axis=-1) for name in KERNEL], axis=0)
    y = np.where(whole & np.isfinite(given["xco2_prior"]), given["xco2"], np.nan)
    y, sigma, masked = observed(y, given["xco2_error"], mask_nan, "soundings: xco2")
    check_weights(given["pressure_weight"][np.isfinite(y)])
    y[known(ensemble, frame)] = np.nan

    x = np.full((ensemble.sizes["member"], y.size), np.nan)
    use = np.flatnonzero(np.isfinite(y))
    use = use[np.argsort(frame[use], kind="stable")]  # neighbours in time are read together
    for start in range(0, use.size, BLOCK):
        block = use[start : start + BLOCK]
        here = {name: values[block] for name, values in given.items()}
        x[:, block] = columns_of(ensemble, here, frame[block], place.isel(point=block))
    y, broken = finite_members(x, y, mask_nan)
    rng = np.random.default_rng(RANK_SEED)
    dressed = with_observation_error(x, sigma, rng)
    attrs = _attrs("of columns", len(x), masked, broken) | {
        "columns": "XCO2_a + sum h a (x - x_a) on retrieval levels; model linear in log p, constant beyond its ends",
        "largest_time_offset": f"{offset / np.timedelta64(1, 'h'):g} h to the nearest frame",
    }
    return _column_dataset(x, y, metrics.observed_scores(x, y, sigma, dressed, rng), soundings, attrs)


def station_table(scores: xr.Dataset) -> Table:
    """The scores of `score_stations` for the terminal: a row for each station, and one for all observations."""
    pairs = {name: name.split("_")[0] for name in ("diurnal_amplitude", "seasonal_amplitude", "rectifier")}
    title = f"gencarbon at stations: {scores.attrs['members']} members, {scores.sizes['station']} station(s)"
    caption = "obs / mod: observed and ensemble mean, ppm; of the cycles the amplitude"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("")
    for head in [*(head for head, _ in TABLE.values()), *(f"{name}\nobs / mod" for name in pairs.values())]:
        table.add_column(head, justify="right", no_wrap=True)

    def row(label: str, ds: xr.Dataset, suffix: str) -> None:
        cells = [format(float(ds[name + suffix]), form) for name, (_, form) in TABLE.items()]
        cells += [
            " / ".join(f"{float(ds[f'{name}_{side}{suffix}']):z.2f}" for side in SIDES) for name in pairs
        ]
        table.add_row(label, *(cell.replace("nan", "-").replace("+-", "-") for cell in cells))

    names = scores["station_name" if "station_name" in scores.coords else "station"].values
    for s, name in enumerate(names):
        row(str(name), scores.isel(station=s), "")
    table.add_section()
    row("all", scores, "_overall")
    return table


def values_of(array: xr.DataArray, dims: Iterable[str]) -> Array:
    """A fresh float64 array, read now."""
    return np.array(array.transpose(*dims).values, dtype=np.float64)


def place_of(ensemble: xr.Dataset, points: xr.Dataset, owner: str) -> xr.Dataset:
    """row, column and weight of the four cell centres around each point, (point, corner)."""
    for name, low, high in (("lat", -90, 90), ("lon", -180, 360)):
        values = points[name].values
        outside = values[~((values >= low) & (values <= high))]
        if outside.size:
            got = f"{outside.size} of {values.size} outside, first {outside[0]:g}"
            raise refusal(f"{owner}: {name}", f"degrees within {low} .. {high}", got, "correct or drop them")
    made = metrics.bilinear(*(ds[name].values for ds in (points, ensemble) for name in ("lat", "lon")))
    return xr.Dataset({name: (("point", "corner"), v) for name, v in zip(("row", "column", "weight"), made)})


def blend(cells: xr.DataArray, place: xr.Dataset) -> xr.DataArray:
    """The bilinear value of cells (..., point, corner), in float64; a NaN corner stays NaN. Lazy stays lazy."""
    return (cells.astype(np.float64) * place.weight).sum("corner", skipna=False)


def columns_of(ensemble: xr.Dataset, here: Mapping[str, Array], frame: Index, place: xr.Dataset) -> Array:
    """Each member as the instrument would report it, (member, point) ppm."""
    cells = {"time": xr.DataArray(frame, dims="point"), "lat": place.row, "lon": place.column}
    profile = values_of(blend(ensemble["co2"].isel(cells), place), ("member", "point", "level"))
    area = ensemble["cell_area"].isel(lat=place.row, lon=place.column)
    air = ensemble["air_mass"].isel(cells).sum("level", skipna=False) / area
    dims = ["member", "point"] if "member" in air.dims else ["point"]  # of their own under winds with members
    pressure = _layer_pressure(HybridLevels.from_dataset(ensemble), values_of(blend(air, place), dims))
    on_levels = metrics.interpolate_log_pressure(profile, pressure, here["pressure_level"])
    kernel, weight, prior, _ = (here[name] for name in KERNEL)
    return metrics.column_average(on_levels, kernel, weight, prior, here["xco2_prior"])


def _layer_pressure(levels: HybridLevels, air: Array) -> Array:
    """Layer-mean pressures of dry air, (..., level) Pa, under columns of `air` (...) kg m-2.

    g air = (a_0 - a_top) + (b_0 - b_top) p_s gives the dry surface pressure p_s; a layer's mean is that of its interfaces.
    """
    a, b = np.array(levels.a), np.array(levels.b)
    surface = (GRAVITY * air - (a[0] - a[-1])) / (b[0] - b[-1])
    edges = a + b * surface[..., None]
    return (edges[..., 1:] + edges[..., :-1]) / 2


def _stream(lat: float, lon: float, level: float) -> np.random.Generator:
    """Random numbers that belong to a place: a station has the same ranks alone or among others."""
    return np.random.default_rng([RANK_SEED, zlib.crc32(f"{lat:.4f} {lon % 360:.4f} {level:g}".encode())])


def _cycles(mean: Array, y: Array, time: np.ndarray, lon: float) -> dict[str, Array]:
    """The entries of CYCLES, of the observations and of the ensemble mean at the same times."""
    hour, month = metrics.local_solar_hour(time, lon), metrics.month_of_year(time)
    both = {"observed": y, "modelled": np.where(np.isfinite(y), mean, np.nan)}
    made = {side: metrics.observed_cycles(values, hour, month) for side, values in both.items()}
    return {f"{name}_{side}": values for side in SIDES for name, values in made[side].items()}


def _station_dataset(
    each: Mapping[str, Array], pooled: Mapping[str, Array], stations: xr.Dataset, attrs: dict[str, Any]
) -> xr.Dataset:
    """Figures by station and of all observations; cycles by station and as the mean of those stations that have them."""
    hours = {"units": "h", "long_name": "local solar hour, h .. h + 1"}
    months = {"units": "1", "long_name": "month of the year, UTC"}
    kept = [name for name in ("station", "station_name", "lat", "lon", "level") if name in stations.variables]
    coords = {name: ("station", stations[name].values) for name in kept}
    ds = describe(xr.Dataset(coords=coords, attrs=attrs)).assign_coords(
        local_hour=("local_hour", np.arange(24), hours), month=("month", np.arange(1, 13), months)
    )
    for name, (units, text) in FIGURES.items():
        ds[name] = (("station", *AXES.get(name, ())), each[name], {"units": units, "long_name": text})
    for name, side in ((name, side) for name in CYCLES for side in SIDES):
        values, dims = each[f"{name}_{side}"], AXES.get(name, ())
        about = {"units": PPM, "long_name": f"{CYCLES[name]}, {SIDES[side]}"}
        ds[f"{name}_{side}"] = (("station", *dims), values, about)
        about = about | {"long_name": f"{about['long_name']}, mean over the stations that have it"}
        ds[f"{name}_{side}_overall"] = (dims, metrics.mean_of_finite(values, axis=0), about)
    return _with_pooled(ds, pooled)


def _column_dataset(
    x: Array, y: Array, pooled: Mapping[str, Array], soundings: xr.Dataset, attrs: dict[str, Any]
) -> xr.Dataset:
    where = {name: ("sounding", soundings[name].values) for name in ("lat", "lon", "time")}
    through = {"units": PPM, "long_name": "column average of dry-air CO2 through the averaging kernel (ppm)"}
    miss = {"units": PPM, "long_name": "ensemble mean minus observed column average (ppm)"}
    fields = {"xco2": (("member", "sounding"), x, through), "error": ("sounding", x.mean(axis=0) - y, miss)}
    return _with_pooled(describe(xr.Dataset(fields, where, attrs)), pooled)


def _with_pooled(ds: xr.Dataset, pooled: Mapping[str, Array]) -> xr.Dataset:
    for name, (units, text) in FIGURES.items():
        about = {"units": units, "long_name": f"{text}, all observations"}
        ds[f"{name}_overall"] = (AXES.get(name, ()), pooled[name], about)
    ranks = {"units": "1", "long_name": "rank of the observation, 0..M"}
    return ds.assign_coords(rank=("rank", np.arange(ds.sizes["rank"]), ranks))


def _attrs(what: str, members: int, masked: int, broken: int) -> dict[str, Any]:
    return {
        "title": f"Scores of a CO2 ensemble against observations {what}",
        "Conventions": "CF-1.11",
        "sampling": "bilinear between cell centres, periodic in longitude, constant beyond the outermost rows",
        "members": members,
        "rank_seed": RANK_SEED,
        "masked_observations": masked,
        "masked_by_members": broken,
    }
