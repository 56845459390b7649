"""What can be scored against observations: refused, or left out and counted, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.data.refusal import refusal
from gencarbon.evaluation_checks import PPM_UNITS
from gencarbon.grid import LatLonGrid
from gencarbon.metrics.field import Array

PASCAL = {"Pa": 1.0, "hPa": 100.0, "mbar": 100.0, "mb": 100.0, "millibar": 100.0}
MASK = "leave them out and have them counted: mask_nan=True"
KERNEL = ("averaging_kernel", "pressure_weight", "co2_prior", "pressure_level")
CO2 = ("member", "time", "level", "lat", "lon")
Index = NDArray[np.int64]


def check_ensemble(ensemble: xr.Dataset, more: Mapping[str, tuple[str, ...]]) -> None:
    axes = {name: (name,) for name in CO2[1:]}
    check_variables(ensemble, {"co2": CO2, **axes, **more}, "ensemble")
    check_ppm(ensemble, ["co2"], "ensemble")
    if (members := ensemble.sizes["member"]) < 2:
        raise refusal("ensemble", "at least 2 members", f"{members}", "sample more with --members")
    for name in ("time", "lat"):
        values, remedy = ensemble[name].values, f"sort it: ds.sortby('{name}')"
        if np.any(values[1:] <= values[:-1]):
            raise refusal(f"ensemble: {name}", "increasing values", "another order", remedy)
    LatLonGrid.from_dataset(ensemble)  # refuses longitudes that do not close the circle


def check_variables(ds: xr.Dataset, wanted: Mapping[str, tuple[str, ...]], owner: str) -> None:
    if missing := [name for name in wanted if name not in ds.variables]:
        got = f"no {missing} (it has {list(ds.variables)})"
        raise refusal(owner, f"the variables {list(wanted)}", got, "rename yours or add them")
    for name, dims in wanted.items():
        own = {"member"} if owner == "ensemble" and name == "air_mass" else set()  # of winds with members
        if set(ds[name].dims) - own == set(dims):
            continue
        remedy = f"rename or select the dimensions of ds['{name}']"
        if name in KERNEL and "level" in ds[name].dims:
            remedy = "give it on the retrieval's levels: the model is interpolated to them, not the kernel"
        raise refusal(f"{owner}: {name}", f"dims {dims}", f"{ds[name].dims}", remedy)


def check_ppm(ds: xr.Dataset, names: Iterable[str], owner: str) -> None:
    for name in names:
        if (units := ds[name].attrs.get("units")) not in PPM_UNITS:
            remedy = f"convert it and set ds['{name}'].attrs['units'] = '1e-6'"
            raise refusal(f"{owner}: {name}", "dry ppm, units 1e-6", f"units {units!r}", remedy)


def check_weights(weight: Array) -> None:
    total = weight.sum(axis=-1)
    if (wrong := np.abs(total - 1) > 1e-2).any():
        got = f"{wrong.sum()} of {total.size} soundings that do not, first {total[wrong][0]:.4g}"
        remedy = "give the pressure weighting function alone, without the averaging kernel, over all retrieval levels"
        raise refusal("soundings: pressure_weight", "weights that sum to 1 over retrieval_level", got, remedy)


def pascals(pressure: xr.DataArray) -> float:
    if (units := pressure.attrs.get("units")) not in PASCAL:
        remedy = "set the units attribute"
        raise refusal("soundings: pressure_level", "units Pa or hPa", f"units {units!r}", remedy)
    return PASCAL[units]


def frames(stations: xr.Dataset, ensemble: xr.Dataset) -> Index:
    times, available = stations["time"].values, ensemble["time"].values
    if repeated := times.size - np.unique(times).size:
        remedy = "drop them: stations.drop_duplicates('time')"
        raise refusal("stations: time", "each time once", f"{repeated} repeated", remedy)
    missing = times[~np.isin(times, available)]
    if missing.size:
        expected = f"times of the ensemble, {available[0]} .. {available[-1]}"
        got = f"{missing.size} of {times.size} missing, first {missing[0]}"
        remedy = "average the observations to the frames, then stations.sel(time=ensemble.time)"
        raise refusal("stations: time", expected, got, remedy)
    return np.searchsorted(available, times)


def layers(stations: xr.Dataset, ensemble: xr.Dataset) -> xr.DataArray:
    have, wanted = ensemble["level"].values.tolist(), stations["level"].values.tolist()
    if wrong := [level for level in wanted if level not in have]:
        remedy = "give the model layer of the inlet as an integer, 1 touches the surface"
        raise refusal("stations: level", f"levels of the ensemble, {have}", f"{wrong}", remedy)
    return xr.DataArray([have.index(level) for level in wanted], dims="point")


def nearest_frames(times: np.ndarray, frames: np.ndarray) -> tuple[Index, np.timedelta64]:
    """The nearest frame of each time, and the largest offset; refused beyond half a step."""
    if frames.size < 2:
        raise refusal("ensemble", "at least 2 frames", f"{frames.size}", "give a longer period")
    steps = np.diff(frames)
    nearest = np.searchsorted(frames[:-1] + steps / 2, times)
    offset = np.abs(times - frames[nearest])
    if far := int((~(offset <= steps.min() / 2)).sum()):
        expected = f"times within half a step of a frame, {frames[0]} .. {frames[-1]}"
        remedy = "drop them, or give the ensemble of their period"
        raise refusal("soundings: time", expected, f"{far} of {times.size} soundings farther off", remedy)
    return nearest, offset.max(initial=np.timedelta64(0))


def known(ensemble: xr.Dataset, frame: Index) -> NDArray[np.bool_]:
    """Where a frame was given to the sampler and not drawn by it."""
    return (frame == 0) & (ensemble.attrs.get("initial_frame") == "known")


def observed(y: Array, sigma: Array | None, mask_nan: bool, where: str) -> tuple[Array, Array, int]:
    """Observations with NaN, and errors with 0, where either is not finite; how many those are. No errors: zeros."""
    error = np.zeros(y.shape) if sigma is None else sigma
    usable = np.isfinite(y) & np.isfinite(error)
    bad = int((~usable).sum())
    if not usable.any() or (bad and not mask_nan):
        remedy = MASK if usable.any() else "give others, none is left"
        raise refusal(
            where, "finite values, errors and kernels", f"NaN in {bad} of {y.size} observations", remedy
        )
    if sigma is not None and (wrong := int((error[usable] <= 0).sum())):
        remedy = "correct them; stations without known errors have no co2_error"
        raise refusal(f"{where}_error", "errors above 0", f"{wrong} of {y.size} at or below 0", remedy)
    return np.where(usable, y, np.nan), np.where(usable, error, 0.0), bad


def finite_members(x: Array, y: Array, mask_nan: bool) -> tuple[Array, int]:
    """Observations without those where a member is not finite; how many those are. x: (member, ...), y: (...)."""
    broken = ~np.isfinite(x) & np.isfinite(y)
    bad = int(broken.any(axis=0).sum())
    if bad and not mask_nan:
        first = int(np.argwhere(broken)[0][0])
        got = f"NaN at {bad} of {np.isfinite(y).sum()} observations, first in member {first}"
        raise refusal("ensemble: co2", "finite values", got, f"sample that member again, or {MASK}")
    return np.where(broken.any(axis=0), np.nan, y), bad
