"""What a file holds (`describe_file`), and whether sampling would take it (`check_files`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from rich.table import Table

from gencarbon.data.axes import hours, rename_axes, step_of
from gencarbon.data.checks import check_sampling_inputs
from gencarbon.data.files import open_dataset
from gencarbon.data.input_members import by_input_member
from gencarbon.data.observations import OBSERVATION_READERS
from gencarbon.data.readers import READERS, Reader, open_source
from gencarbon.data.refusal import listed, refusal, said
from gencarbon.data.source_info import Files, by_source, layout_of, source_facts
from gencarbon.data.store import FACE_FLUXES, canonical, pgc_per_year
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import close, closure, conserve_air, face_fluxes
from gencarbon.variables import VARIABLES

SampleFrom = Callable[[dict[str, xr.Dataset]], str]


@dataclass(frozen=True)
class Finding:
    """The verdict on one file in one role (or on files together): `ok`, or the message of the refusal."""

    path: str
    role: str
    ok: bool
    message: str


def roles_of(ds: xr.Dataset) -> tuple[str, ...]:
    """What a dataset could serve as, guessed from its variables and dims; empty where nothing is known."""
    ds, _ = rename_axes(ds)
    names = {standard: n for n in ("co2", "flux", "u", "v") for standard in VARIABLES[n].standard_names}
    held = {}
    for n in map(str, ds.data_vars):
        held[n if n in VARIABLES else names.get(str(ds[n].attrs.get("standard_name")), n)] = ds[n]
    roles = []
    if "co2" in held:
        dims = held["co2"].dims
        if "member" in dims:
            return ("ensemble",)
        lasting = "time" in dims and ds.sizes["time"] > 1
        roles.append("initial" if not lasting else "reference" if "air_mass" in held else "background")
    roles += ["winds"] if "u" in held or "v" in held else []
    roles += ["fluxes"] if "flux" in held else []
    return tuple(roles)


def describe_file(path: str | Path) -> tuple[Table, dict[str, Any]]:
    """A table for the terminal, and the same facts as a dict: role, sizes, period, grid, units, totals.

    InputError only where the file cannot be opened; what sampling would refuse is named under `refused`.
    """
    return describe_files([path])[0]


def describe_files(paths: Iterable[str | Path]) -> list[tuple[Table, dict[str, Any]]]:
    """As `describe_file`, one for each source: files in a layout of others belong together, ours stand alone."""
    sources, ours = by_source([str(path) for path in paths])
    return [_described_source(*source) for source in sources] + [_described(path) for path in ours]


def _described_source(reader: Reader, files: Files) -> tuple[Table, dict[str, Any]]:
    facts: dict[str, Any] = {"path": listed(files), "layout": reader.name}
    if reader in OBSERVATION_READERS:  # at no even steps, on no grid
        facts |= {key: _layout(ds)[key] for key in ("sizes", "units") for ds in files.values()}
    else:
        facts |= _layout(open_source(files))
    try:
        with _foreseen(facts["path"]):
            facts |= source_facts(reader, files)
    except InputError as error:
        facts["refused"] = str(error)
    return _table(facts)


def _described(path: str) -> tuple[Table, dict[str, Any]]:
    ds = open_dataset(path)
    with _foreseen(path):
        roles = roles_of(ds)
    facts: dict[str, Any] = {"path": str(path), "role": ", ".join(roles) or "unknown"}
    facts |= _layout(ds)
    for role in roles:
        try:
            with _foreseen(path):
                facts |= _totals(canonical(_members_of(ds, role)[0], role), role)
        except InputError as error:
            facts["refused"] = str(error)
    return _table(facts)


def _table(facts: dict[str, Any]) -> tuple[Table, dict[str, Any]]:
    table = Table("what", "value", title=facts["path"])
    for key, value in facts.items():
        if key != "path":
            table.add_row(key, _shown(value))
    return table, facts


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def check_files(paths: Iterable[str | Path], sample_from: SampleFrom | None = None) -> list[Finding]:
    """One finding for each file and role; with sound winds and fluxes, one more on whether they fit.

    sample_from: takes them together as a checkpoint does, all members, and says how; left out, the winds stand in for a checkpoint.
    """
    paths = list(paths)
    findings: list[Finding] = []
    sound: dict[str, tuple[str, xr.Dataset]] = {}
    sources, ours = by_source([str(path) for path in paths])
    findings += [_source_finding(*source) for source in sources]
    for path in ours:
        try:
            ds, roles = _known(path)
        except InputError as error:
            findings.append(Finding(path, "unknown", False, str(error)))
            continue
        for role in roles:
            try:
                with _foreseen(path):
                    several = _members_of(ds, role)
                    repairs = canonical(several[0], role).attrs.get("repairs", "")
                first = (
                    f"{len(several)} members, of which the first was looked at; " if len(several) > 1 else ""
                )
                findings.append(Finding(path, role, True, first + repairs))
                sound.setdefault(role, (path, ds))
            except InputError as error:
                findings.append(Finding(path, role, False, str(error)))
    if "winds" in sound and "fluxes" in sound:
        used = {role: sound[role] for role in ("winds", "fluxes", "background", "initial") if role in sound}
        path = ", ".join(dict.fromkeys(path for path, _ in used.values()))
        try:
            with _foreseen(path):
                notes = (sample_from or _fitting)({role: ds for role, (_, ds) in used.items()})
            findings.append(Finding(path, "together", True, notes))
        except InputError as error:
            findings.append(Finding(path, "together", False, str(error)))
    elif sample_from is not None:
        missing = " and ".join(role for role in ("winds", "fluxes") if role not in sound)
        text = f"no checkpoint was asked: it needs {missing} that are sound and in our layout (gencarbon data prepare)"
        findings.append(Finding(", ".join(map(str, paths)), "together", False, text))
    return findings


def _members_of(ds: xr.Dataset, role: str) -> list[xr.Dataset]:
    """An input by its members, where it has any; an ensemble as it is."""
    return [ds] if role == "ensemble" else [one["file"] for one in by_input_member({"file": ds})]


def _known(path: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """A file that no reader takes, and its roles; refused where it has none."""
    ds = open_dataset(path)
    with _foreseen(path):
        layout_of(ds)  # refuses a file of two layouts
        roles = roles_of(ds)
    if not roles:
        held = ", ".join(map(str, ds.data_vars)) or "no variable"
        known = f"u and v, flux, or co2, or a layout of {', '.join(reader.name for reader in (*READERS, *OBSERVATION_READERS))}"
        remedy = "rename the variables as `gencarbon data info` shows them for such files: ds.rename(...)"
        raise refusal(path, known, held, remedy)
    return ds, roles


@contextmanager
def _foreseen(path: str) -> Iterator[None]:
    """What nobody foresaw in a file becomes a refusal too: whoever checks files cannot use a traceback."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        remedy = "if other programs read the file, please report this line"
        raise refusal(path, "a file that can be made sense of", said(error), remedy) from error


def _source_finding(reader: Reader, files: Files) -> Finding:
    """Others' layouts cannot be sampled from as they are; `gencarbon data prepare` takes them."""
    path = listed(files)
    try:
        with _foreseen(path):
            facts = source_facts(reader, files)
    except InputError as error:
        return Finding(path, reader.name, False, str(error))
    if reader in OBSERVATION_READERS:
        counts = f"{facts['observations']} observations, {facts['rejected']} rejected, {facts['period']}"
        return Finding(path, reader.name, True, f"{counts}; {facts['repairs']}")
    amounts = "; ".join(f"{k} {v:.6g}" for k, v in facts.items() if isinstance(v, float))
    return Finding(path, reader.name, True, f"{facts['repairs']}; {amounts}; for `gencarbon data prepare`")


def _fitting(used: dict[str, xr.Dataset]) -> str:
    """Grid, levels and step of the winds stand in for those of a checkpoint."""
    given = {role: _members_of(ds, role)[0] for role, ds in used.items()}
    winds = canonical(given["winds"], "winds")
    seconds = step_of(winds["time"]) / np.timedelta64(1, "s") if winds.sizes["time"] > 1 else 0.0
    try:
        fitted = check_sampling_inputs(
            given["winds"], given["fluxes"], given.get("background"), given.get("initial"),
            LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds), float(seconds),
        )  # fmt: skip
    except InputError as error:
        raise InputError(str(error).replace("the checkpoint", "the winds")) from None
    return "; ".join((*fitted.notes, "no checkpoint was asked (--checkpoint)"))


def _layout(ds: xr.Dataset) -> dict[str, Any]:
    """Sizes, period, grid and units as they stand in the file."""
    ds, _ = rename_axes(ds)
    facts: dict[str, Any] = {"sizes": {str(k): int(v) for k, v in ds.sizes.items()}}
    if "time" in ds.coords and ds["time"].ndim == 1 and ds["time"].size and ds["time"].dtype.kind == "M":
        dates = ds["time"].values.astype("datetime64[s]")
        facts["period"] = f"{dates[0]} to {dates[-1]}"
        facts["step"] = hours(step_of(ds["time"])) if dates.size > 1 else "one frame"
    for axis in ("lat", "lon"):
        if axis in ds.coords and ds[axis].ndim == 1 and ds[axis].size:
            values = ds[axis].values
            facts[axis] = f"{values.size} from {values[0]:g} to {values[-1]:g}"
    facts["units"] = {str(name): ds[name].attrs.get("units", "none") for name in ds.data_vars}
    return facts


def _totals(ds: xr.Dataset, role: str) -> dict[str, float]:
    """PgC per year of a flux, global mean ppm of CO2; ds is canonical."""
    if role == "fluxes":
        area = LatLonGrid.from_dataset(ds).area
        return {"flux_pgc_per_year": pgc_per_year(ds["flux"].astype(np.float64).mean("time"), area)}
    if role == "winds":
        return {"mean_surface_pressure_hpa": _area_mean(ds, ds["surface_pressure"]) / 100} | _closure(ds)
    if "air_mass" in ds:
        air = ds["air_mass"]
        co2 = ds["co2"].mean("member") if "member" in ds.dims else ds["co2"]
        return {"global_mean_ppm": float((co2 * air).sum() / air.sum())}
    if "hybrid_a" in ds:
        thickness = HybridLevels.from_dataset(ds).thickness(np.full((1, 1), 1e5)).squeeze()
        column = ds["co2"].weighted(xr.DataArray(thickness, dims="level")).mean("level")
        return {"global_mean_ppm": _area_mean(ds, column)}
    return {"global_mean_ppm_equal_levels": _area_mean(ds, ds["co2"].mean("level"))}


def _closure(ds: xr.Dataset) -> dict[str, float]:
    """How far the first step of winds, or of their mass fluxes, is from closing continuity: `transport.continuity.closure`."""
    if ds.sizes["time"] < 2:
        return {}
    grid, levels, two = LatLonGrid.from_dataset(ds), HybridLevels.from_dataset(ds), ds.isel(time=slice(0, 2))
    load = lambda name: torch.tensor(np.asarray(two[name].values, np.float64))  # noqa: E731
    ps = conserve_air(load("surface_pressure"), grid)
    if FACE_FLUXES.keys() <= set(ds.data_vars):
        east, north = (load(name)[0] for name in FACE_FLUXES)
    else:
        east, north = face_fluxes(load("u").mean(0), load("v").mean(0), ps.mean(0), grid, levels)
    seconds = float(step_of(ds["time"]) / np.timedelta64(1, "s"))
    air = close(east, north, ps[0], ps[1], seconds, grid, levels)
    return {f"closure_{k}": v for k, v in closure(east, north, air, seconds, grid).items()}


def _area_mean(ds: xr.Dataset, field: xr.DataArray) -> float:
    area = xr.DataArray(LatLonGrid.from_dataset(ds).area, dims=("lat", "lon"))
    return float(field.astype(np.float64).weighted(area).mean())
