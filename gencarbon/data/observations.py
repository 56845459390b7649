"""Observations: files of others as canonical datasets, and the operator that gives what each would be in a model's CO2.

Canonical are three layouts, those of `observation_scores` where it has them; mole fractions in dry ppm (units 1e-6), errors 1 sigma:

    stations   co2, co2_error (station, time); lat, lon (station); altitude (station, time) in m above sea level, or level (station),
               the model's layer counted from 1 at the surface
    moving     co2, co2_error, time, lat, lon, altitude (observation)
    soundings  xco2, xco2_error, xco2_prior, time, lat, lon (sounding); averaging_kernel, pressure_weight, co2_prior, pressure_level
               (sounding, retrieval_level)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from gencarbon.data import observation_weights as weights
from gencarbon.data.files import open_dataset
from gencarbon.data.observation_weights import Array, Index
from gencarbon.data.readers import obspack, oco2, tccon
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.data.store import PLAUSIBLE
from gencarbon.data.units import convert
from gencarbon.grid import HybridLevels, LatLonGrid

OBSERVATION_READERS: tuple[Reader, ...] = (*obspack.READERS, *oco2.READERS, *tccon.READERS)
KERNEL = ("averaging_kernel", "pressure_weight", "co2_prior", "pressure_level")
UNDERGROUND = 5000.0  # Pa      under the model's surface: more than weather and water vapour explain


def read_observations(source: str | Path | xr.Dataset) -> xr.Dataset:
    """The canonical observations of a file, or of a raw dataset, in a layout that a reader knows. Raises InputError.

    What was left out, and how much of it, stands in the attribute `repairs`.
    """
    ds = source if isinstance(source, xr.Dataset) else open_dataset(source)
    found = [reader for reader in OBSERVATION_READERS if reader.recognises(ds)]
    if len(found) != 1:
        where = str(ds.encoding.get("source", "observations"))
        known = ", ".join(reader.name for reader in OBSERVATION_READERS)
        got = " and ".join(reader.name for reader in found) or f"variables {list(map(str, ds.data_vars))}"
        raise refusal(where, f"one of {known}", got, "give the file as its maker wrote it")
    return found[0].read(ds)


def usable(observations: xr.Dataset) -> NDArray[np.bool_]:
    """Which of canonical observations, one after another, `Operator.of` can use at all. Raises InputError as it does."""
    return _points(observations).usable


@dataclass(frozen=True)
class Operator:
    """y = c + H x: what each observation would be if x, dry CO2 (..., time, level, lat, lon) in ppm, were the truth.

    H is linear and differentiable: y_n = c_n + sum_l V_ln sum_k w_nk x[l, i_nk], where w brings the profile to place and time, and V makes
    one number of it: the value at an altitude, or a column through its averaging kernel. Made by `Operator.of`.
    """

    shape: tuple[int, int, int, int]  # of one field: time, level, lat, lon
    cells: Tensor  # (n, 8) i, into (time, lat, lon)
    cell_weights: Tensor  # (n, 8) w
    layer_weights: Tensor  # (level, n) V
    offset: Tensor  # (n,) c, ppm: 0 for a point, XCO2_a - sum_k h_k a_k x_a,k for a column
    values: Tensor  # (n,) what was observed, ppm
    errors: Tensor  # (n,) 1 sigma, ppm; NaN where unknown
    kept: Tensor  # (n,) which of the observations given these are, counted along them as they lie, the last axis fastest
    notes: tuple[str, ...]  # what was left out, and what to beware of

    @classmethod
    def of(
        cls,
        observations: xr.Dataset,
        grid: LatLonGrid,
        levels: HybridLevels,
        surface_pressure: Array,
        times: NDArray[np.datetime64],
    ) -> Operator:
        """The operator of canonical observations on a model's grid, levels, surface pressure (time, lat, lon) Pa and frames (time,).

        In latitude, longitude and time linear; then in log p to the altitude, which the standard atmosphere gives a pressure, or to the
        retrieval levels; constant beyond the outermost layers. Observations with NaN or outside the frames are left out and counted.
        Raises InputError.
        """
        pressure = _model_pressure(surface_pressure, grid, times)
        seen = _points(observations)
        kept, notes = _kept(seen, times)
        seen = seen.at(kept)
        frame = weights.frame_weights(seen.time, times)
        cells, w = weights.cell_weights(frame, weights.column_weights(seen.lat, seen.lon, grid), grid)
        surface = (pressure.reshape(-1)[cells] * w).sum(axis=1)
        if deep := int((seen.target.max(axis=1, initial=0) > surface + UNDERGROUND).sum()):
            depth = f"{UNDERGROUND / 100:g} hPa under the model's surface"
            notes += (f"{deep} more than {depth}: its lowest layer is taken there",)
        return cls(
            shape=(len(times), levels.count, *grid.shape),
            cells=torch.from_numpy(cells),
            cell_weights=torch.from_numpy(w),
            layer_weights=torch.from_numpy(_layers(seen, levels, surface).T.copy()),
            offset=torch.from_numpy(seen.offset),
            values=torch.from_numpy(seen.values),
            errors=torch.from_numpy(seen.errors),
            kept=torch.from_numpy(kept),
            notes=notes,
        )

    def __call__(self, x: Tensor) -> Tensor:
        """c + H x in ppm, (..., n), of x (..., time, level, lat, lon) ppm."""
        return self.offset.to(x) + self.linear(x)

    def linear(self, x: Tensor) -> Tensor:
        """H x, (..., n), of x (..., time, level, lat, lon)."""
        if tuple(x.shape[-4:]) != self.shape:
            raise ValueError(
                f"expected x (..., time, level, lat, lon) ending in {self.shape}, got {tuple(x.shape)}; give fields as the operator was made for"
            )
        columns = x.movedim(-3, -4).flatten(-3)  # (..., level, cell)
        profiles = (columns[..., self.cells.to(x.device)] * self.cell_weights.to(x)).sum(-1)
        return (profiles * self.layer_weights.to(x)).sum(-2)

    def adjoint(self, y: Tensor) -> Tensor:
        """H^T y, (..., time, level, lat, lon), of y (..., n)."""
        frames, _, rows, columns = self.shape
        profiles = y[..., None, :] * self.layer_weights.to(y)  # (..., level, n)
        spread = (profiles[..., None] * self.cell_weights.to(y)).flatten(-2)
        cells = self.cells.to(y.device).flatten()
        field = spread.new_zeros(*spread.shape[:-1], frames * rows * columns).index_add(-1, cells, spread)
        return field.unflatten(-1, (frames, rows, columns)).movedim(-3, -4)


@dataclass(frozen=True)
class _Points:
    """Observations one after another, whatever their layout: y_n = offset_n + sum_k factor_nk x(target_nk), or x in a layer where k = 0."""

    time: NDArray[np.datetime64]  # (n,)
    lat: Array  # (n,) degrees
    lon: Array  # (n,) degrees
    values: Array  # (n,) ppm
    errors: Array  # (n,) ppm
    offset: Array  # (n,) ppm
    target: Array  # (n, k) Pa
    factor: Array  # (n, k)
    level: Array  # (n,) counted from 1, where k = 0

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) whether all is finite and values and pressures are above 0; an unknown error is no hindrance."""
        numbers = np.isfinite([self.lat, self.lon, self.values, self.offset]).all(axis=0)
        profile = np.isfinite(self.factor) & np.isfinite(self.target) & (self.target > 0)
        return numbers & (self.values > 0) & profile.all(axis=1) & ~np.isnat(self.time)

    def at(self, index: Index) -> _Points:
        return _Points(**{name: v[index] for name, v in vars(self).items()})


def _points(ds: xr.Dataset) -> _Points:
    """Canonical observations of any layout, one after another, the last axis fastest."""
    name = "xco2" if "xco2" in ds else "co2"
    wanted = ("time", "lat", "lon", name, *(("xco2_prior", *KERNEL) if name == "xco2" else ()))
    held = f"{list(map(str, ds.variables))}"
    if missing := [v for v in wanted if v not in ds.variables]:
        remedy = "read it with `read_observations`, or name yours as `gencarbon.data.observations` says"
        raise refusal("observations", f"variable {missing[0]}", held, remedy)

    def along(v: xr.DataArray) -> NDArray[Any]:
        return v.broadcast_like(ds[name]).transpose(*ds[name].dims).values.ravel()

    values = along(_ppm(ds, name))
    offset, level = np.zeros(values.size), np.zeros(values.size)
    target = factor = np.empty((values.size, 0))
    if name == "xco2":
        offset, target, factor = _column(ds, along(_ppm(ds, "xco2_prior")))
    elif "altitude" in ds:
        target = weights.standard_pressure(along(ds["altitude"]))[:, None]
        factor = np.ones_like(target)
    elif "level" in ds:
        level = _numbers(along(ds["level"]))
    else:
        remedy = "add the height of the inlet in m above sea level, or the model's layer"
        raise refusal("observations", "altitude or level", held, remedy)
    return _Points(
        time=along(ds["time"]).astype("datetime64[ns]"),
        lat=_degrees(_numbers(along(ds["lat"])), -90, 90, "lat"),
        lon=_degrees(_numbers(along(ds["lon"])), -180, 360, "lon"),
        values=values,
        errors=along(_ppm(ds, f"{name}_error")) if f"{name}_error" in ds else np.full(values.size, np.nan),
        offset=offset,
        target=target,
        factor=factor,
        level=level,
    )


def _column(ds: xr.Dataset, prior: Array) -> tuple[Array, Array, Array]:
    """Offset (n,) ppm, retrieval levels (n, k) Pa and their factors h a (n, k): XCO2 = XCO2_a + sum_k h_k a_k (x_k - x_a,k).

    Connor et al. (2008), doi:10.1029/2006JD008336; Rodgers and Connor (2003), doi:10.1029/2002JD002299. The model goes to the retrieval's
    levels, never the kernel to the model's.
    """
    dims = ("sounding", "retrieval_level")
    for name in KERNEL:
        if set(ds[name].dims) != set(dims):
            remedy = "give it on the retrieval's levels"
            raise refusal(f"observations: {name}", f"dims {dims}", f"{ds[name].dims}", remedy)
    pressure, _ = convert(ds["pressure_level"], "surface_pressure", "observations, pressure_level as")
    x_a, p = (_numbers(v.transpose(*dims).values) for v in (_ppm(ds, "co2_prior"), pressure))
    a, h = (_numbers(ds[name].transpose(*dims).values) for name in KERNEL[:2])
    total = h.sum(axis=1)
    if (wrong := np.abs(total - 1) > 1e-2).any():  # NaN is no such case: it is counted later
        got = f"{wrong.sum()} of {total.size} soundings that do not, the first {total[wrong][0]:.4g}"
        remedy = "give the pressure weights alone, without the averaging kernel, on all retrieval levels"
        raise refusal("observations: pressure_weight", "weights that sum to 1", got, remedy)
    return prior - (h * a * x_a).sum(axis=1), p, h * a


def _layers(seen: _Points, levels: HybridLevels, surface: Array) -> Array:
    """V (n, level) over a surface pressure (n,) Pa."""
    if seen.target.shape[1]:
        return weights.layer_weights(weights.layer_pressure(levels, surface), seen.target, seen.factor)
    counted = np.arange(1, levels.count + 1)
    if (wrong := ~np.isin(seen.level, counted)).any():
        remedy = "give the model's layer as an integer, 1 touches the surface, or the altitude"
        raise refusal("observations: level", f"1 .. {levels.count}", f"{seen.level[wrong][0]:g}", remedy)
    return (seen.level[:, None] == counted).astype(np.float64)


def _kept(seen: _Points, times: NDArray[np.datetime64]) -> tuple[Index, tuple[str, ...]]:
    """Which observations can be used, and how many cannot and why; refused where none can."""
    inside = (seen.time >= times[0]) & (seen.time <= times[-1])
    reasons = {
        "with NaN or a fill value": ~seen.usable,
        "outside the frames": seen.usable & ~inside,
    }
    notes = [
        f"{n} of {inside.size} observations {why}" for why, wrong in reasons.items() if (n := wrong.sum())
    ]
    kept = np.flatnonzero(seen.usable & inside)
    if kept.size == 0:
        first, last = times[[0, -1]].astype("datetime64[m]")
        remedy = "give observations of the model's period, or the model of theirs"
        raise refusal(
            "observations", f"some within {first} .. {last}", "; ".join(notes) or "none at all", remedy
        )
    return kept, tuple(f"{note}, left out" for note in notes)


def _model_pressure(pressure: Array, grid: LatLonGrid, times: NDArray[np.datetime64]) -> Array:
    """The surface pressure, checked: shape, unit and frames are those of the model."""
    p, shape, (low, high) = _numbers(pressure), (len(times), *grid.shape), PLAUSIBLE["surface_pressure"]
    if p.shape != shape or len(times) < 2 or (np.diff(times) <= np.timedelta64(0)).any():
        expected = "at least 2 frames in order, (time, lat, lon)"
        got = f"{len(times)} frames, {grid.shape[0]} x {grid.shape[1]} cells and pressures {p.shape}"
        raise refusal("model: surface_pressure", expected, got, "give those of the same dataset")
    if not ((p >= low) & (p <= high)).all():
        got = f"{np.nanmin(p):g} .. {np.nanmax(p):g}"
        raise refusal("model: surface_pressure", f"{low:g} .. {high:g} Pa everywhere", got, "give it in Pa")
    return p


def _degrees(values: Array, low: float, high: float, name: str) -> Array:
    if (wrong := (values < low) | (values > high)).any():
        got = f"{wrong.sum()} of {values.size} outside, the first {values[wrong][0]:g}"
        expected = f"degrees within {low:g} .. {high:g}"
        raise refusal(f"observations: {name}", expected, got, "correct or drop them")
    return values


def _ppm(ds: xr.Dataset, name: str) -> xr.DataArray:
    return convert(ds[name], "co2", f"observations, {name} as")[0].astype(np.float64)


def _numbers(values: Array) -> Array:
    return np.array(values, dtype=np.float64)
