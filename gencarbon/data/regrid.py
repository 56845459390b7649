"""Fields of readers on the cells, layers and steps of a model. Masses are summed over overlaps, so none is lost or made.

Sources: air_mass, co2, u, v, flux, cell_area, time_bounds as `readers.base` gives them. Everything stays lazy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import xarray as xr

from gencarbon.constants import GRAVITY
from gencarbon.data.refusal import refusal
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.variables import describe

INTENSIVE = ("co2", "u", "v")  # per kg of air
AIR = ("air_mass", "moist_air_mass")


def overlaps(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share of every source interval that lies in every target interval, (target, source). Edges increase."""
    upper = np.minimum(source[None, 1:], target[1:, None])
    lower = np.maximum(source[None, :-1], target[:-1, None])
    return (upper - lower).clip(0) / np.diff(source)


def _around(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`overlaps` of longitudes, degrees, which come again after 360."""
    return cast(np.ndarray, sum(overlaps(source + turn, target) for turn in (-360.0, 0.0, 360.0)))


def _summed(own: LatLonGrid, cells: LatLonGrid) -> Callable[[xr.DataArray], xr.DataArray]:
    """What sums amounts per cell of `own` over cells of `cells`, by the share of each cell's area."""
    sines = [np.sin(np.deg2rad(grid.lat_bounds)) for grid in (own, cells)]
    rows, columns = overlaps(*sines), _around(np.array(own.lon_bounds), np.array(cells.lon_bounds))
    sizes = dict(zip(("lat", "lon"), cells.shape))

    def total(amount: xr.DataArray) -> xr.DataArray:
        return xr.apply_ufunc(
            lambda x: rows @ x.astype(np.float64) @ columns.T,
            amount.chunk(lat=-1, lon=-1) if amount.chunks is not None else amount,
            input_core_dims=[["lat", "lon"]],
            output_core_dims=[["lat", "lon"]],
            exclude_dims={"lat", "lon"},
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": sizes},
        ).assign_coords(cells.coordinates())

    return total


def on_cells(ds: xr.Dataset, cells: LatLonGrid) -> xr.Dataset:
    """Fluxes keep their mass; mole fractions and winds are means weighted by air; air masses keep their weight per area, as the radii of
    sources differ by 0.2 % of area."""
    own = LatLonGrid.from_dataset(ds)
    area = ds["cell_area"] if "cell_area" in ds else xr.DataArray(own.area, dims=("lat", "lon"))
    total, target = _summed(own, cells), xr.DataArray(cells.area, dims=("lat", "lon"))
    made = ds.drop_dims(["lat", "lon"])
    for name in (name for name in AIR if name in ds):
        air = total(ds[name])
        for field in (field for field in INTENSIVE if field in ds):
            # layers under the ground hold no air, and nothing of what they are said to hold
            made[field] = total(ds[name] * ds[field]) / air.where(air > 0, np.inf)
        made[name] = air * _growth(ds, ds[name], area, own) * target.sum()
    if "flux" in ds:
        made["flux"] = total(ds["flux"] * area) / target
    return describe(made.assign(cell_area=target.assign_coords(cells.coordinates())))


def _growth(ds: xr.Dataset, air: xr.DataArray, area: xr.DataArray, own: LatLonGrid) -> xr.DataArray:
    """One over the area, m2, on which the source weighed its air: not always that of its cells."""
    if "surface_pressure" not in ds:
        return 1 / area.sum()
    pressure = (
        ds["surface_pressure"].weighted(xr.DataArray(own.area, dims=("lat", "lon"))).mean(("lat", "lon"))
    )
    return pressure / GRAVITY / air.sum(("level", "lat", "lon"))


def on_layers(ds: xr.Dataset, layers: HybridLevels) -> xr.Dataset:
    """Layers of a model by overlap in the weight of air: what a kg of air holds is even within a source layer, so that every layer, and
    every column, keeps what it holds. `surface_pressure` (Pa) is the weight of all air."""
    name = next((name for name in AIR if name in ds), None)
    if name is None:
        raise refusal(
            "levels", f"one of {', '.join(AIR)}", ", ".join(map(str, ds.data_vars)), "read it with a reader"
        )
    thickness = ds[name] * GRAVITY / ds["cell_area"]
    ps = thickness.sum("level")
    fields = [field for field in INTENSIVE if field in ds]
    made = ds.drop_dims("level").assign(surface_pressure=ps)
    for field in fields:
        made[field] = xr.apply_ufunc(
            lambda x, dp: _column_means(x, dp, layers),
            *(x.chunk(level=-1) if x.chunks is not None else x for x in (ds[field], thickness)),
            input_core_dims=[["level", "lat", "lon"]] * 2,
            output_core_dims=[["level", "lat", "lon"]],
            exclude_dims={"level"},
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"level": layers.count}, "allow_rechunk": True},
        )
    made = made.assign_coords(level=np.arange(1, layers.count + 1))
    made["hybrid_a"] = ("level_interface", np.array(layers.a))
    made["hybrid_b"] = ("level_interface", np.array(layers.b))
    return describe(made)


def _column_means(field: np.ndarray, thickness: np.ndarray, layers: HybridLevels) -> np.ndarray:
    """field, thickness (Pa): (..., source level, lat, lon), surface first. Means over the model's layers, (..., level, lat, lon)."""
    depth = np.concatenate([np.zeros_like(thickness[..., :1, :, :]), thickness.cumsum(-3)], axis=-3)
    ps = depth[..., -1, :, :]
    made = []
    for k in range(layers.count):
        ends = (ps - (layers.a[i] + layers.b[i] * ps) for i in (k, k + 1))
        low, high = (end[..., None, :, :] for end in ends)
        shared = (np.minimum(depth[..., 1:, :, :], high) - np.maximum(depth[..., :-1, :, :], low)).clip(0)
        made.append((shared * field).sum(-3) / shared.sum(-3))
    return np.stack(made, axis=-3)


def at_steps(ds: xr.Dataset, times: np.ndarray, source: str) -> xr.Dataset:
    """States linear between the source's frames, fluxes means over the steps between `times` (the last step as long as the one before).

    Raises InputError where the source does not cover them.
    """
    times = np.asarray(times, "datetime64[ns]")
    if "time_bounds" in ds:
        ends = np.append(times, times[-1] + (times[-1] - times[-2]))
        return _means(ds, ends, source)
    own = ds["time"].values.astype("datetime64[ns]")
    if times[0] < own[0] or times[-1] > own[-1]:
        raise _uncovered(source, times[0], times[-1], own[0], own[-1])
    return ds.sel(time=times) if np.isin(times, own).all() else ds.chunk(time=-1).interp(time=times)


def _means(ds: xr.Dataset, ends: np.ndarray, source: str) -> xr.Dataset:
    bounds = ds["time_bounds"].values.astype("datetime64[ns]")
    begins, stops = bounds[:, 0], bounds[:, 1]
    if (begins[1:] != stops[:-1]).any():
        at = int(np.argmax(begins[1:] != stops[:-1]))
        got = f"an interval that ends {stops[at]} and one that begins {begins[at + 1]}"
        raise refusal(
            f"{source}: time", "intervals that follow one another", got, "give the files between them"
        )
    if ends[0] < begins[0] or ends[-1] > stops[-1]:
        raise _uncovered(source, ends[0], ends[-1], begins[0], stops[-1])
    seconds = lambda t: (t - ends[0]) / np.timedelta64(1, "s")  # noqa: E731
    edges = seconds(np.append(begins, stops[-1]))
    share = overlaps(edges, seconds(ends)) * np.diff(edges)
    used = np.flatnonzero(share.any(0))
    weight = xr.DataArray(share[:, used] / share.sum(1, keepdims=True), dims=("step", "time"))
    flux = xr.dot(ds["flux"].isel(time=used).astype(np.float64), weight, dim="time").transpose("step", ...)
    made = ds.drop_dims("time").assign(flux=flux.rename(step="time").assign_coords(time=ends[:-1]))
    return describe(made.assign(time_bounds=(("time", "bounds"), np.stack([ends[:-1], ends[1:]], axis=1))))


def _uncovered(
    source: str, first: np.datetime64, last: np.datetime64, begin: np.datetime64, end: np.datetime64
) -> InputError:
    show = lambda t: str(t.astype("datetime64[m]"))  # noqa: E731
    return refusal(
        f"{source}: time",
        f"{show(first)} to {show(last)}",
        f"{show(begin)} to {show(end)}",
        "give more files, or ask for a period within them",
    )
