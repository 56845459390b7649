"""Do winds, fluxes, background, initial state and checkpoint fit together? Asked before any work starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gencarbon.data.axes import hours, step_of
from gencarbon.data.refusal import refusal
from gencarbon.data.store import canonical
from gencarbon.grid import HybridLevels, LatLonGrid

GRID_TOLERANCE = 1e-6  # degrees; single precision coordinates get their own round-off besides


@dataclass(frozen=True)
class SamplingInputs:
    """Canonical datasets on the same frames, grid and levels. `notes` says what was repaired or cut.

    The background alone may have cells `background_width` times as wide as the others'.
    """

    winds: xr.Dataset
    fluxes: xr.Dataset
    background: xr.Dataset | None
    initial: xr.Dataset | None
    notes: tuple[str, ...]
    background_width: int = 1


def check_sampling_inputs(
    winds: xr.Dataset,
    fluxes: xr.Dataset,
    background: xr.Dataset | None,
    initial: xr.Dataset | None,
    model_grid: LatLonGrid,
    model_levels: HybridLevels,
    step_seconds: float,
) -> SamplingInputs:
    """All datasets canonical, on the grid, levels and step (s) of the checkpoint, cut to common dates.

    Raises InputError where one cannot be used or they do not fit; nothing is computed or written by then.
    """
    given = {"winds": winds, "fluxes": fluxes, "background": background, "initial": initial}
    held = {role: canonical(ds, role) for role, ds in given.items() if ds is not None}
    notes = [f"{role}: {ds.attrs['repairs']}" for role, ds in held.items() if "repairs" in ds.attrs]
    width = 1 if background is None else _width(held["background"], model_grid)
    for role, ds in held.items():
        held[role] = _on_grid(ds, role, model_grid.coarsen(width) if role == "background" else model_grid)
        _check_levels(ds, role, model_levels)
    timed = {role: ds for role, ds in held.items() if role != "initial"}
    _check_steps(timed, step_seconds)
    common = _common_dates(timed)
    for role, ds in timed.items():
        if ds.sizes["time"] != common.size:
            notes.append(
                f"{role}: cut from {ds.sizes['time']} to the {common.size} common frames, {_span(common)}"
            )
        held[role] = ds.sel(time=common)
    if "initial" in held:
        _check_initial_date(held["initial"], common)
    return SamplingInputs(
        held["winds"], held["fluxes"], held.get("background"), held.get("initial"), tuple(notes), width
    )


def refuse_existing(path: str | Path, ending: str = "") -> None:
    """Refuse an output that exists, has another `ending` than what is written, or whose folder is not there. Nothing is created."""
    path = Path(path)
    if not path.name.endswith(ending):
        other = "; `gencarbon data copy` makes netCDF of it" if ending == ".zarr" else ""
        raise refusal(
            str(path), f"a name ending in {ending}", path.name, f"call it {path.stem}{ending}{other}"
        )
    if path.exists() or path.is_symlink():
        raise refusal(str(path), "a new output", "one that exists", "choose another --out or delete it")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise refusal(
            str(path),
            f"a folder {parent} to write in",
            "none",
            f"make it (mkdir -p {parent}) or choose another --out",
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise refusal(
            str(path),
            f"a folder {parent} that can be written",
            "no permission",
            "choose another --out or change its permissions",
        )


def refuse_other_config(path: Path, built: str, config: str) -> None:
    """Refuse a finished split whose config, as its store has it, is another than the one that is asked for. Both as JSON."""
    if built != config:
        remedy = "delete it, change `name` in the config, or set GENCARBON_CACHE to another folder"
        raise refusal(str(path), "a split built with this config", "one of another config", remedy)


def _width(ds: xr.Dataset, grid: LatLonGrid) -> int:
    """How many cells of `grid` lie along a side of one of `ds`; 1 where that is no whole number."""
    (nlat, nlon), (rows, columns) = grid.shape, (ds.sizes["lat"], ds.sizes["lon"])
    width = nlat // rows
    return width if width > 0 and (rows * width, columns * width) == (nlat, nlon) else 1


def _on_grid(ds: xr.Dataset, role: str, grid: LatLonGrid) -> xr.Dataset:
    """`ds` with exactly the coordinates of `grid`; InputError where they differ by more than round-off."""
    for axis, expected in (("lat", grid.lat), ("lon", grid.lon)):
        got = ds[axis].values
        round_off = 2 * np.finfo(got.dtype).eps * 360 if got.dtype.kind == "f" else 0.0
        if got.shape != expected.shape or np.abs(got - expected).max() > GRID_TOLERANCE + round_off:
            remedy = "regrid conservatively to the grid of the checkpoint, or choose another checkpoint"
            raise refusal(f"{role}: {axis}", f"{_axis(expected)} of the checkpoint", _axis(got), remedy)
    attrs = {axis: ds[axis].attrs for axis in ("lat", "lon")}
    ds = ds.assign_coords(grid.coordinates())
    for axis, values in attrs.items():
        ds[axis].attrs = values
    return ds


def _check_levels(ds: xr.Dataset, role: str, levels: HybridLevels) -> None:
    if "level" not in ds.dims:
        return
    remedy = "interpolate to the levels of the checkpoint, mass-weighted, or choose another checkpoint"
    if ds.sizes["level"] != levels.count:
        raise refusal(
            f"{role}: level", f"{levels.count} levels of the checkpoint", f"{ds.sizes['level']}", remedy
        )
    if "hybrid_a" not in ds and "hybrid_b" not in ds:
        return
    for name, expected, tolerance in (("hybrid_a", levels.a, 0.1), ("hybrid_b", levels.b, 1e-6)):
        got = np.asarray(ds[name].values)
        if not np.allclose(got, expected, rtol=1e-6, atol=tolerance):
            off = int(np.argmax(np.abs(got - np.asarray(expected))))
            where = f"{role}: {name}"
            raise refusal(
                where, f"{expected[off]:g} at interface {off} as in the checkpoint", f"{got[off]:g}", remedy
            )


def _check_steps(timed: dict[str, xr.Dataset], step_seconds: float) -> None:
    wanted = np.timedelta64(round(step_seconds * 1e9), "ns")
    for role, ds in timed.items():
        if ds.sizes["time"] < 2:
            raise refusal(f"{role}: time", "at least 2 frames", f"{ds.sizes['time']}", "give a longer period")
        step = step_of(ds["time"])
        if step != wanted:
            how = "interpolate" if step > wanted else "average" if role == "fluxes" else "select"
            remedy = f"{how} to {hours(wanted)} steps, or choose another checkpoint"
            raise refusal(f"{role}: time", f"the checkpoint's step of {hours(wanted)}", hours(step), remedy)


def _common_dates(timed: dict[str, xr.Dataset]) -> np.ndarray:
    dates = {role: ds["time"].values for role, ds in timed.items()}
    common = reduce(np.intersect1d, dates.values())
    if common.size < 2:
        spans = "; ".join(f"{role} {_span(values)}" for role, values in dates.items())
        offset = (
            len({(v[0] - dates["winds"][0]) % step_of(timed["winds"]["time"]) for v in dates.values()}) > 1
        )
        remedy = "shift them to the same hours of the day" if offset else "give datasets of the same period"
        raise refusal(
            f"{' and '.join(dates)}: time", "at least 2 common frames", f"{common.size} ({spans})", remedy
        )
    return common


def _check_initial_date(initial: xr.Dataset, common: np.ndarray) -> None:
    if "time" in initial.coords and initial["time"].values != common[0]:
        got, first = _date(initial["time"].values), _date(common[0])
        remedy = "select that date, or drop a date without meaning: ds.drop_vars('time')"
        raise refusal("initial: time", f"the first common frame, {first}", got, remedy)


def _axis(values: np.ndarray) -> str:
    return f"{values.size} from {values[0]:.8g} to {values[-1]:.8g}"


def _span(dates: np.ndarray) -> str:
    return f"{_date(dates[0])} to {_date(dates[-1])}"


def _date(value: Any) -> str:
    return str(value.astype("datetime64[s]"))
