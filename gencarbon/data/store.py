"""`canonical` makes one of our datasets of what was opened, or refuses it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from gencarbon.constants import SECONDS_PER_YEAR, kg_co2_to_pgc
from gencarbon.data.axes import check_latitude, check_level, check_longitude, check_time, rename_axes
from gencarbon.data.blocks import Lost, lost_chunks, reading, windows
from gencarbon.data.refusal import refusal
from gencarbon.data.units import convert
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.variables import DIMS, VARIABLES, describe

Dims = tuple[str, ...]
FIELD: Dims = ("time", "level", "lat", "lon")
SURFACE: Dims = ("time", "lat", "lon")
FACE_FLUXES = {"eastward_air_mass_flux": FIELD, "northward_air_mass_flux": FIELD}
HYBRID: dict[str, Dims] = {"hybrid_a": ("level_interface",), "hybrid_b": ("level_interface",)}


@dataclass(frozen=True)
class Role:
    """What a dataset must hold (name -> dims) and may hold besides."""

    required: dict[str, Dims]
    optional: dict[str, Dims]


ROLES = {
    "winds": Role({"u": FIELD, "v": FIELD, "surface_pressure": SURFACE} | HYBRID, FACE_FLUXES),
    "fluxes": Role({"flux": SURFACE}, {}),
    "background": Role({"co2": FIELD}, HYBRID),
    "reference": Role({"co2": FIELD, "air_mass": FIELD}, HYBRID | {"cell_area": ("lat", "lon")}),
    "initial": Role({"co2": ("level", "lat", "lon")}, HYBRID),
    "ensemble": Role(
        {"co2": ("member", *FIELD), "air_mass": FIELD, "flux": SURFACE, "cell_area": ("lat", "lon")},
        HYBRID
        | {"co2_background": FIELD, "co2_refined": FIELD, "co2_mean_network": FIELD}
        | {"budget_correction": ("member", "time")},
    ),
}
PLAUSIBLE = {  # smallest and largest value, canonical units
    "surface_pressure": (3e4, 1.2e5),
    "co2": (50.0, 5000.0),
    "co2_background": (50.0, 5000.0),
    "co2_refined": (50.0, 5000.0),
    "co2_mean_network": (50.0, 5000.0),
    "flux": (-1e-4, 1e-4),
    "u": (-200.0, 200.0),
    "v": (-200.0, 200.0),
    "air_mass": (0.0, np.inf),
    "moist_air_mass": (0.0, np.inf),
    "cell_area": (0.0, np.inf),
}
GLOBE = 5.1e14  # m2      area of the Earth; radii of models differ by 0.1 %
MOST_FLUX = 1000.0  # PgC yr-1      net: 5 umol m-2 s-1 everywhere, some ten times what the globe ever takes up or gives off


def canonical(ds: xr.Dataset, role: str) -> xr.Dataset:
    """The variables of `role` in canonical names, units and dims; every value is checked, lazy stays lazy.

    Renamed axes and converted units are stated in the attribute `repairs`; all else that does not fit raises
    InputError.
    """
    with reading(lambda: [(role, ds)]):
        return _canonical(ds, role)


def _canonical(ds: xr.Dataset, role: str) -> xr.Dataset:
    lost = lost_chunks(ds)
    ds, repairs = rename_axes(ds)
    ds, names = _select(ds, role)
    repairs += names + check_stored(ds, lost, role)
    for name in [str(n) for n in ds.data_vars]:
        ds[name], converted = convert(ds[name], name, role)
        repairs += [converted] if converted else []
    ds, counted = _check_axes(ds, role)
    repairs += [counted] if counted else []
    _check_dims(ds, role)
    for name in map(str, ds.data_vars):
        check_values(ds[name], name, role)
    if "hybrid_a" in ds:
        _check_hybrid(ds, role)
    if "cell_area" in ds:
        check_area(ds["cell_area"], role)
    if role == "fluxes":
        check_total(pgc_per_year(ds["flux"].mean("time"), LatLonGrid.from_dataset(ds).area), role)
    ds = describe(ds.transpose(*DIMS, ..., missing_dims="ignore"))
    ds = ds.set_coords([key for key in HYBRID if key in ds])
    return ds.assign_attrs(repairs="; ".join(repairs)) if repairs else ds


def _select(ds: xr.Dataset, role: str) -> tuple[xr.Dataset, list[str]]:
    """The variables of the role alone, by name or standard name; an initial state loses its time axis."""
    spec, repairs = ROLES[role], []
    ds = ds.reset_coords(
        [name for name in ds.coords if name not in ds.dims and name in VARIABLES and name != "member"]
    )
    for name in spec.required:
        if name not in ds and (known := VARIABLES[name].standard_names):
            found = [
                v for v in ds.data_vars if ds[v].attrs.get("standard_name") in known and v not in VARIABLES
            ]
            if len(found) == 1:
                ds = ds.rename({found[0]: name})
                repairs.append(f"{found[0]} renamed to {name}")
        if name not in ds:
            held = ", ".join(map(str, ds.data_vars)) or "no variable"
            remedy = "add it or rename yours: ds.rename(...)"
            raise refusal(role, f"variable {name} {spec.required[name]}", held, remedy)
    pair = [name for name in FACE_FLUXES if name in ds and role == "winds"]
    if len(pair) == 1:
        raise refusal(
            role, "both air mass fluxes or neither", f"{pair[0]} alone", f"add the other or drop {pair[0]}"
        )
    kept = [name for name in (*spec.required, *spec.optional) if name in ds]
    ds = ds[kept]
    ds = ds.drop_vars([c for c in ds.coords if c not in ds.dims and c != "time"])
    if role == "initial" and "time" in ds.dims:
        if ds.sizes["time"] != 1:
            raise refusal(
                "initial: time", "one date", f"{ds.sizes['time']} dates", 'choose one: ds.sel(time="...")'
            )
        check_time(ds["time"], role)
        ds = ds.isel(time=0)
    return ds, repairs


def _check_axes(ds: xr.Dataset, role: str) -> tuple[xr.Dataset, str | None]:
    for axis in ("time", "level", "lat", "lon"):
        needed = any(axis in dims for dims in ROLES[role].required.values())
        if needed and axis not in ds.dims:
            got = f"dims {tuple(ds.dims)}"
            raise refusal(
                f"{role}: {axis}",
                f"a dimension {axis}",
                got,
                f"rename yours: ds.rename(...), or add CF attributes to {axis}",
            )
        if needed and axis != "level" and axis not in ds.coords:
            raise refusal(
                f"{role}: {axis}",
                f"coordinates on {axis}",
                "a dimension without values",
                f"use ds.assign_coords({axis}=...)",
            )
    check_latitude(ds["lat"], role)
    check_longitude(ds["lon"], role)
    if "time" in ds.dims:
        check_time(ds["time"], role)
        ds = ds.assign_coords(time=ds["time"].astype("datetime64[ns]"))
    return check_level(ds, role) if "level" in ds.dims else (ds, None)


def _check_dims(ds: xr.Dataset, role: str) -> None:
    spec = ROLES[role]
    for name, dims in (spec.required | spec.optional).items():
        if name in ds and set(ds[name].dims) != set(dims):
            remedy = "select or expand the others: ds.isel(...), ds.expand_dims(...)"
            raise refusal(f"{role}: {name}", f"dims {dims}", f"{ds[name].dims}", remedy)
    if 0 in ds.sizes.values():
        raise refusal(
            role, "at least one point on every axis", f"sizes {dict(ds.sizes)}", "check the selection"
        )


def _check_hybrid(ds: xr.Dataset, role: str) -> None:
    """Refuse hybrid coefficients that do not fit the levels, or whose pressures do not fall."""
    a, b = np.asarray(ds["hybrid_a"].values), np.asarray(ds["hybrid_b"].values)
    count = ds.sizes["level"] if "level" in ds.sizes else a.size - 1
    if a.size != count + 1:
        remedy = "give the coefficients at layer interfaces, surface first"
        raise refusal(
            f"{role}: hybrid_a, hybrid_b", f"{count + 1} interfaces for {count} levels", f"{a.size}", remedy
        )
    try:
        HybridLevels(tuple(a), tuple(b))
    except ValueError:
        pressure = np.round((a + b * 1e5) / 100, 2).tolist()
        got = f"{pressure} hPa at a surface pressure of 1000 hPa"
        remedy = "reverse both: ds.isel(level=slice(None, None, -1), level_interface=slice(None, None, -1))"
        raise refusal(
            f"{role}: hybrid_a, hybrid_b", "pressures that fall, surface first", got, remedy
        ) from None


def check_stored(ds: xr.Dataset, lost: dict[str, Lost], where: str) -> list[str]:
    """Refuse variables of `ds` of which chunks are lost; zeros of fluxes that a store may leave out are stated."""
    some = {name: chunks for name, chunks in lost.items() if name in ds}
    for name, chunks in some.items():
        if not (chunks.sparse and name == "flux"):
            raise chunks.refused(f"{where}: {name}")
    return [
        f"{name}: {c.missing} of {c.total} chunks are not stored and read as 0" for name, c in some.items()
    ]


def check_area(area: xr.DataArray, where: str) -> None:
    """Refuse cells (m2) that do not make up the globe."""
    total = float(area.sum())
    if abs(total / GLOBE - 1) > 0.01:
        remedy = "check the units, m2, and whether all cells are there"
        raise refusal(
            f"{where}: cell_area", f"{GLOBE:.3g} m2 of all cells together", f"{total:.4g} m2", remedy
        )


def pgc_per_year(flux: xr.DataArray, area: xr.DataArray | np.ndarray) -> float:
    """Of a flux (lat, lon) kg CO2 m-2 s-1 on cells of `area` m2."""
    return float(kg_co2_to_pgc((flux.astype(np.float64) * area).sum() * SECONDS_PER_YEAR))


def check_total(total: float, where: str) -> None:
    """Refuse a net flux (PgC yr-1) that the globe does not have: units that are not what they say."""
    if abs(total) > MOST_FLUX:
        got = f"{total:.4g} PgC a year"
        raise refusal(
            f"{where}: flux", f"at most {MOST_FLUX:g} PgC a year over the globe", got, "check the units"
        )


def check_values(array: xr.DataArray, name: str, role: str) -> None:
    """Read the variable once, block by block: NaN, infinity and values that no atmosphere has are refused."""
    bad, first = 0, None
    low, high = PLAUSIBLE.get(name, (-np.inf, np.inf))
    for window in windows(array):
        values = np.asarray(array[window].values)
        wrong = ~np.isfinite(values)
        if wrong.any():
            bad += int(wrong.sum())
            first = first if first is not None else _index(array, window, wrong)
            continue
        beyond = (values < low) | (values > high)
        if bad == 0 and beyond.any():
            units = VARIABLES[name].units.replace("1e-6", "ppm")
            got = f"{values[tuple(np.argwhere(beyond)[0])]:.6g} {units} at {_index(array, window, beyond)}"
            raise refusal(
                f"{role}: {name}",
                f"values within {low:g}..{high:g} {units}",
                got,
                "check the units and the field",
            )
    if bad:
        got = f"{bad} NaN or infinite, the first at {first}"
        raise refusal(
            f"{role}: {name}", "finite values everywhere", got, "fill them or leave those frames out"
        )


def _index(array: xr.DataArray, window: tuple[slice, ...], wrong: np.ndarray) -> str:
    where = np.argwhere(wrong)[0]
    return (
        ", ".join(f"{dim}={int(i) + s.start}" for dim, i, s in zip(array.dims, where, window))
        or "its one value"
    )
