"""Values read block by block, and stores and files that open but are not whole: blocks that do not decode, chunks that are not there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import ZipStore

from gencarbon.data.refusal import refusal, said
from gencarbon.errors import InputError

BLOCK_VALUES = 2**23  # values read at once while checking: 64 MiB in float64
AGAIN = "copy or write the file again"


def windows(array: xr.DataArray) -> Iterator[tuple[slice, ...]]:
    """Slices that cover the array: its own chunks, or slabs of the first axis of `BLOCK_VALUES` values."""
    if array.chunks is not None:
        sizes = array.chunks
    elif array.ndim == 0:
        sizes = ()
    else:
        rows = max(1, BLOCK_VALUES // max(1, int(np.prod(array.shape[1:]))))
        edges = [*range(0, array.shape[0], rows), array.shape[0]]
        sizes = (tuple(np.diff(edges).tolist()), *((n,) for n in array.shape[1:]))
    starts = [np.concatenate([[0], np.cumsum(s)]).tolist() for s in sizes]
    yield from itertools.product(*([slice(a, b) for a, b in zip(s[:-1], s[1:])] for s in starts))


@contextmanager
def reading(parts: Callable[[], Iterable[tuple[str, xr.Dataset]]]) -> Iterator[None]:
    """What h5py, zarr and codecs raise while values are read becomes a refusal. parts: the datasets that are read, and where each is from."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        refused = _unreadable(parts())
        if refused is None:  # all can be read: the error is ours
            raise
        raise refused from error


def _unreadable(parts: Iterable[tuple[str, xr.Dataset]]) -> InputError | None:
    """Names the first variable whose values cannot be read. Reads everything, as something has failed already."""
    for where, ds in parts:
        for name in map(str, ds.variables):
            try:
                for window in windows(ds[name]):
                    ds[name][window].load()
            except Exception as error:  # each back end raises its own kinds
                return refusal(f"{where}: {name}", "values that can be read", said(error), AGAIN)
    return None


@dataclass(frozen=True)
class Lost:
    """Chunks of a variable that are not in its store, where they read as the fill value without a word.

    sparse: they may be zeros that were never written, as a store leaves out what is its fill value: 0 in parts of the globe, such as
    fossil fluxes over oceans. A whole globe of zeros is no field of nature.
    """

    missing: int
    total: int
    sparse: bool

    def refused(self, where: str) -> InputError:
        remedy = "copy the store again; if all values of a chunk are 0, store them: ds.to_zarr(..., write_empty_chunks=True)"
        return refusal(where, f"{self.total} chunks in the store", f"{self.total - self.missing}", remedy)


def lost_chunks(ds: xr.Dataset) -> dict[str, Lost]:
    """By variable, of a dataset opened from a Zarr store on this machine; a selection is not looked at, as it may not need them."""
    path = Path(str(ds.encoding.get("source", "")))
    if not path.name or not (path.is_dir() or (path.suffix == ".zip" and path.is_file())):
        return {}
    group = zarr.open_group(path if path.is_dir() else ZipStore(path, mode="r"), mode="r")
    found = {}
    for name in (name for name in map(str, ds.data_vars) if ds[name].ndim > 1 and name in group):
        array: Any = group[name]
        missing = array.nchunks - array.nchunks_initialized
        if missing and array.shape == ds[name].shape:
            whole = array.chunks[-2:] == array.shape[-2:]
            found[name] = Lost(missing, array.nchunks, sparse=bool(array.fill_value == 0) and not whole)
    return found
