"""From files of others to what a checkpoint samples from: winds, fluxes and a state on its cells, layers and steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from glob import glob
from pathlib import Path

import numpy as np
import xarray as xr

from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.blocks import reading
from gencarbon.data.checks import refuse_existing
from gencarbon.data.files import open_dataset
from gencarbon.data.readers import open_source, read
from gencarbon.data.refusal import listed, refusal
from gencarbon.data.regrid import AIR, at_steps, on_cells, on_layers
from gencarbon.grid import HybridLevels, LatLonGrid

PREPARED_FROM = "prepared_from"  # attribute of what is written: files and options, JSON
WANTED = {  # role -> what a source must hold
    "winds": ("u", "v", "air_mass"),
    "fluxes": ("flux",),
    "initial": ("co2",),
    "background": ("co2",),
}
KEPT = {
    "winds": ("u", "v", "surface_pressure", "hybrid_a", "hybrid_b"),
    "fluxes": ("flux",),
    "initial": ("co2", "hybrid_a", "hybrid_b"),
    "background": ("co2", "hybrid_a", "hybrid_b"),
}
BLOCK = 8  # frames written at once, and lost when killed


def frame_times(start: str, days: float, step_seconds: float) -> np.ndarray:
    """Dates of frames from `start` (ISO 8601) on, both ends of the period among them."""
    try:
        first = np.datetime64(start, "ns")
        if np.isnat(first):
            raise ValueError("not a time")
    except ValueError as error:
        raise refusal("start", "a date such as 2018-06-01T06", start or "nothing", "write it so") from error
    count = days * SECONDS_PER_DAY / step_seconds
    if count < 1:
        raise refusal(
            "days",
            f"a period of at least one step of {step_seconds / 3600:g} h",
            f"{days:g} days",
            "give more",
        )
    return first + np.arange(int(count) + 1) * np.timedelta64(round(step_seconds * 1e9), "ns")


def matching(patterns: Iterable[str]) -> list[str]:
    """Paths that patterns like `era5_*.nc` stand for, sorted; one without a match is refused."""
    found = []
    for pattern in patterns:
        some = sorted(glob(pattern)) or ([pattern] if Path(pattern).exists() or "://" in pattern else [])
        if not some:
            raise refusal(pattern, "at least one file", "none of that name", "check the path or the pattern")
        found += some
    return list(dict.fromkeys(found))


def prepared(
    role: str, files: Iterable[str | Path], times: np.ndarray, cells: LatLonGrid, layers: HybridLevels
) -> xr.Dataset:
    """A source as `role` (winds, fluxes, initial, background) at `times`, lazily, ready for sampling. Raises InputError."""
    names = [str(file) for file in files]
    source = listed(names)
    ds = read(open_source(names))
    missing = [name for name in WANTED[role] if name not in ds]
    if missing:
        held = ", ".join(map(str, ds.data_vars)) or "no variable"
        remedy = "see `gencarbon data info` for what each file is"
        raise refusal(f"{source} as {role}", f"a source of {', '.join(WANTED[role])}", held, remedy)
    beside = ("cell_area", "time_bounds") if role == "fluxes" else (*AIR, "surface_pressure", "cell_area")
    wanted = [name for name in (*WANTED[role], *beside) if name in ds]
    ds = _near(ds[wanted], times)
    if role == "initial":
        times = times[:1]
    made = on_cells(ds, cells) if role == "fluxes" else on_layers(on_cells(ds, cells), layers)
    made = at_steps(made, times, source)[list(KEPT[role])].assign_attrs(ds.attrs)
    return made.isel(time=0, drop=True) if role == "initial" else made


def _near(ds: xr.Dataset, times: np.ndarray) -> xr.Dataset:
    """The frames that `times` can need, so that graphs stay small."""
    own = ds["time"].values
    first = max(0, int(np.searchsorted(own, times[0], side="right")) - 1)
    step = times[-1] - times[-2] if times.size > 1 else np.timedelta64(0)
    return ds.isel(time=slice(first, int(np.searchsorted(own, times[-1] + step)) + 1))


def is_prepared(path: Path, made_from: dict) -> bool:
    """Whether `path` was written from just this before. Raises InputError where something else is in its place."""
    if not path.exists():
        return False
    if open_dataset(path).attrs.get(PREPARED_FROM) != json.dumps(made_from, sort_keys=True):
        refuse_existing(path)
    return True


def write_frames(
    ds: xr.Dataset,
    path: Path,
    made_from: dict,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """`ds` as a Zarr store, BLOCK frames at a time; a run that was killed goes on after the last block. made_from (JSON): what tells one
    run from another, with the `files` that are read."""
    with reading(lambda: ((file, open_dataset(file)) for file in made_from.get("files", ()))):
        _write_frames(ds, path, made_from, progress)


def _write_frames(ds: xr.Dataset, path: Path, made_from: dict, progress: Callable[[int, int], None]) -> None:
    if path.exists():
        raise refusal(str(path), "a new output", "one that exists", "choose another --out or delete it")
    partial, text = path.with_name(f"{path.name}.partial"), json.dumps(made_from, sort_keys=True)
    asked, done_file = partial / "made_from.json", partial / "frames_done"
    if asked.exists() and asked.read_text() != text:
        raise refusal(
            str(partial),
            "one begun with the same files and options",
            "another",
            "delete it, or repeat that command",
        )
    store, total = partial / "store", ds.sizes.get("time", 1)
    still = [name for name in ds.data_vars if "time" not in ds[name].dims]
    if not asked.exists():
        shutil.rmtree(partial, ignore_errors=True)
        at_rest = _finite(ds[still].load(), path) if still else ds[[]]
        moving = ds.drop_vars(still).chunk({"time": 1} if "time" in ds.dims else {})
        whole = moving.merge(at_rest).drop_encoding().assign_attrs({PREPARED_FROM: text})
        whole.to_zarr(store, mode="w", compute=False, consolidated=False)
        asked.write_text(text)
    done = int(done_file.read_text()) if done_file.exists() else 0
    moving = ds.drop_vars([name for name in ds.variables if "time" not in ds[name].dims])
    while done < total and "time" in ds.dims:
        block = slice(done, min(done + BLOCK, total))
        part = _finite(moving.isel(time=block).drop_encoding().load(), path)
        part.to_zarr(store, region={"time": block}, consolidated=False)
        done = block.stop
        done_file.write_text(str(done))
        progress(done, total)
    store.rename(path)
    shutil.rmtree(partial)


def _finite(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """`ds`, refused where it has NaN or infinity."""
    for name in map(str, ds.data_vars):
        if ds[name].dtype.kind == "f" and not np.isfinite(ds[name].values).all():
            when = f" between {ds.time.values[0]} and {ds.time.values[-1]}" if "time" in ds.dims else ""
            remedy = "see `gencarbon data check` on the files that it is made of"
            raise refusal(f"{path}: {name}", "finite values everywhere", f"NaN or infinity{when}", remedy)
    return ds
