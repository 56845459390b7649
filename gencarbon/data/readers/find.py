"""Which reader a dataset is for, and sources of several files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from gencarbon.data.files import open_dataset
from gencarbon.data.readers import cams, carbonbench, carbontracker, era5, geoschem, inventories, merra2
from gencarbon.data.readers.base import Reader
from gencarbon.data.refusal import refusal
from gencarbon.errors import InputError

READERS: tuple[Reader, ...] = (
    *carbontracker.READERS,
    *carbonbench.READERS,
    *cams.READERS,
    *geoschem.READERS,
    *era5.READERS,
    *merra2.READERS,
    *inventories.READERS,
)


def reader_of(ds: xr.Dataset) -> Reader | None:
    """The one reader that recognises `ds`; None where it is in no layout of others, and may be in ours."""
    found = [reader for reader in READERS if reader.recognises(ds)]
    if len(found) > 1:
        names = " and ".join(reader.name for reader in found)
        raise refusal(
            str(ds.encoding.get("source", "the file")),
            "one known layout",
            names,
            "keep the variables of one: ds[[...]]",
        )
    return found[0] if found else None


def open_source(paths: Iterable[str | Path] | Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Files of one source as one raw dataset, lazily: those that hold the same variables follow one another in time, and those that hold
    different ones stand beside each other. Raises InputError. paths: where they are, or what was opened there already."""
    kinds: dict[tuple[str, ...], list[xr.Dataset]] = {}
    for path in paths:
        ds = paths[str(path)] if isinstance(paths, Mapping) else open_dataset(path)
        ds.encoding["source"] = str(path)
        reader = reader_of(ds)
        if reader is not None and reader.prepare is not None:
            ds = reader.prepare(ds)
            ds.encoding["source"] = str(path)
        kinds.setdefault(tuple(sorted(map(str, ds.data_vars))), []).append(ds)
    parts = [_in_time(some) for some in kinds.values()]
    if len(parts) == 1:
        return parts[0]
    try:
        return xr.merge(parts, join="exact", compat="override", combine_attrs="drop_conflicts")
    except ValueError as error:
        raise _unfit([str(some[0].encoding["source"]) for some in kinds.values()], error) from error


def _unfit(paths: list[str], error: Exception) -> InputError:
    remedy = "give files of the same cells, levels and dates"
    return refusal(", ".join(paths), "files that fit together", str(error).splitlines()[0], remedy)


def _in_time(parts: list[xr.Dataset]) -> xr.Dataset:
    if len(parts) == 1:
        return parts[0]
    dims = [dim for dim in ("time", "valid_time", "date", "mtime", "Times") if dim in parts[0].dims]
    if not dims:
        names = ", ".join(str(part.encoding["source"]) for part in parts[:2])
        raise refusal(names, "a time axis in files that follow one another", "none", "give one of them")
    try:
        made = xr.concat(
            sorted(parts, key=lambda part: np.asarray(part[dims[0]].values).ravel()[0]),
            dims[0],
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    except (ValueError, TypeError) as error:  # TypeError: dates of different calendars
        raise _unfit([str(part.encoding["source"]) for part in parts], error) from error
    made.encoding["source"] = str(parts[0].encoding["source"])
    return made


def read(source: xr.Dataset) -> xr.Dataset:
    """The fields of a raw dataset in a known layout (`base.py`), as it is in any other."""
    reader = reader_of(source)
    return source if reader is None else reader.read(source)
