"""What can be scored: refused before any field is read, with what was expected, what came and what to do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from gencarbon.errors import InputError
from gencarbon.scores import BASELINES
from gencarbon.variables import VARIABLES

PPM_UNITS = ("1e-6", "ppm", "ppmv", "umol mol-1", "1e-6 mol mol-1", "micromol mol-1", "umol/mol")
FIELD = ("time", "level", "lat", "lon")
ENSEMBLE = {"co2": ("member", *FIELD)}
# all or none; air and fluxes may be those of each member
BUDGET = {"air_mass": FIELD, "flux": ("time", "lat", "lon"), "cell_area": ("lat", "lon")}
REFERENCE = {"co2": FIELD, "air_mass": FIELD}


def check(ensemble: xr.Dataset, reference: xr.Dataset) -> None:
    """Refuse, before any field is read, what cannot be scored."""
    optional = {name: FIELD for name in BASELINES.values() if name in ensemble}
    budget = {name: dims for name, dims in BUDGET.items() if name in ensemble}
    _check_variables(ensemble, ENSEMBLE | optional | budget, "ensemble")
    _check_variables(reference, REFERENCE, "reference")
    for owner, ds in {"ensemble": ensemble, "reference": reference}.items():
        _check_axes(ds, owner)
    if ensemble.sizes["member"] < 2:
        raise InputError(
            f"scores need at least 2 members, got {ensemble.sizes['member']}; sample more with --members"
        )
    for name in ("co2", *optional):
        _check_ppm(ensemble[name], "ensemble")
    _check_ppm(reference["co2"], "reference")
    for owner, ds in {"ensemble": ensemble, "reference": reference}.items():
        for name in budget if owner == "ensemble" else ["air_mass"]:
            _check_units(ds[name], owner)
    _check_times(ensemble.time.values, reference.time.values)
    _check_grid(ensemble, reference)


def _check_variables(ds: xr.Dataset, wanted: Mapping[str, tuple[str, ...]], owner: str) -> None:
    if missing := [name for name in wanted if name not in ds]:
        raise InputError(
            f"the {owner} needs the variables {list(wanted)}, got no {missing} (it has "
            f"{list(ds.data_vars)}); "
            f"rename yours or write them with `gencarbon {'sample' if owner == 'ensemble' else 'data build'}`"
        )
    for name, dims in wanted.items():
        own = {"member"} if owner == "ensemble" and name in ("air_mass", "flux") else set()
        if set(ds[name].dims) - own != set(dims):
            raise InputError(
                f"{name} of the {owner} needs the dimensions {dims}, got {ds[name].dims}; rename or select "
                f"them"
            )


def _check_ppm(co2: xr.DataArray, owner: str) -> None:
    units = co2.attrs.get("units")
    if units not in PPM_UNITS:
        raise InputError(
            f"{co2.name} of the {owner} must be a dry-air mole fraction with units '1e-6' (ppm), got "
            f"{units!r}; "
            "multiply a mole fraction (mol mol-1) by 1e6, convert a mass mixing ratio (kg kg-1) with "
            "gencarbon.constants.kgkg_to_ppm, then set attrs['units'] = "
            "'1e-6'"
        )


def check_alike(ensembles: Mapping[str, xr.Dataset]) -> None:
    """Refuse ensembles that cannot be compared frame by frame."""
    (first, one), *others = ensembles.items()
    for name, ds in others:
        if not (
            np.array_equal(one.time.values, ds.time.values)
            and np.array_equal(one.level.values, ds.level.values)
        ):
            raise InputError(
                f"expected the times and levels of {first} in {name}, got others; select what they share first"
            )
        if (one.attrs.get("initial_frame") == "known") != (ds.attrs.get("initial_frame") == "known"):
            raise InputError(
                f"the first frame is known in one of {first} and {name} and scored in the other; set attrs['initial_frame'] = 'known' "
                "in both, or drop the attribute"
            )


def _check_axes(ds: xr.Dataset, owner: str) -> None:
    """Coordinates that say where values are: without them a field upside down would be scored."""
    for name in FIELD:
        if name not in ds.coords or ds[name].ndim != 1:
            raise InputError(
                f"expected coordinates on {name} of the {owner}, got none; add them: ds.assign_coords({name}=...)"
            )
        values, kind = ds[name].values, "M" if name == "time" else "iuf"
        if values.size == 0 or values.dtype.kind not in kind:
            what = "datetime64 values" if name == "time" else "numbers"
            raise InputError(
                f"expected {what} on {name} of the {owner}, got {values.size} of {values.dtype}; convert it"
            )
    levels = ds.level.values
    if np.any(levels != np.round(levels)) or np.unique(levels).size != levels.size:
        raise InputError(
            f"expected level numbers 1, 2, ... from the surface up on the {owner}, got {levels[:4]}; number them: "
            "ds.assign_coords(level=range(1, n + 1))"
        )


def _check_units(array: xr.DataArray, owner: str) -> None:
    units, wanted = array.attrs.get("units"), VARIABLES[str(array.name)].units
    if units != wanted:
        raise InputError(
            f"{array.name} of the {owner} must have units {wanted!r}, got {units!r}; convert it and set attrs['units'] = {wanted!r}"
        )


def _check_times(times: np.ndarray, available: np.ndarray) -> None:
    steps = np.diff(times)
    if times.size < 2 or np.any(steps <= np.timedelta64(0)) or np.any(steps != steps[0]):
        raise InputError(
            f"the ensemble needs at least 2 frames with one regular step, got {times.size} frames with steps "
            f"{sorted({str(s) for s in steps})[:3]}; select evenly spaced times"
        )
    if np.unique(available).size != available.size:
        raise InputError(
            f"expected each time once in the reference, got {available.size - np.unique(available).size} "
            f"repeated; "
            "drop them: reference.drop_duplicates('time')"
        )
    missing = times[~np.isin(times, available)]
    if missing.size:
        raise InputError(
            f"expected every time of the ensemble ({times[0]} .. {times[-1]}) in the reference, got "
            f"{missing.size} of "
            f"{times.size} missing, first {missing[0]} (reference: {available.min()} .. {available.max()}); "
            "give the reference of the same period and step"
        )


def _check_grid(ensemble: xr.Dataset, reference: xr.Dataset) -> None:
    for name in ("level", "lat", "lon", "hybrid_a", "hybrid_b"):
        if name not in ensemble.variables or name not in reference.variables:
            continue
        mine, theirs = ensemble[name].values, reference[name].values
        if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=1e-6, atol=1e-6):
            raise InputError(
                f"expected the {name} of the ensemble in the reference, {mine.size} values {_brief(mine)}, "
                f"got {theirs.size} values {_brief(theirs)}; coarsen the reference to the ensemble's grid "
                f"and levels "
                "(gencarbon.grid.coarsen_mean)"
            )


def _brief(values: np.ndarray) -> str:
    return f"{values.flat[0]:.6g} .. {values.flat[-1]:.6g}"
