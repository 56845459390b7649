"""Files and stores: opened lazily, written whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import xarray as xr
from zarr.storage import ZipStore

from gencarbon.data.refusal import refusal, said

ADDRESS = re.compile(r"^([a-z][a-z0-9+]+):/+(.+)")  # a Path has lost one of two slashes
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5")


def open_dataset(path: str | Path) -> xr.Dataset:
    """The dataset at `path`, a Zarr folder, also zipped, or a netCDF file, lazily; `path` may be an address (s3://, gs://, https://).
    Raises InputError for anything else."""
    if address := ADDRESS.match(str(path)):
        return _open_remote("://".join(address.groups()))
    path = Path(path)
    if not path.exists():
        raise refusal(str(path), "a Zarr folder or a netCDF file", "nothing at this path", "check the path")
    if path.is_dir() or path.suffix == ".zip":
        return _open_zarr(path)
    if path.stat().st_size == 0:
        raise refusal(str(path), "a netCDF file", "an empty file (0 bytes)", "copy or write it again")
    if path.suffix not in NETCDF:
        raise refusal(
            str(path),
            "a Zarr folder or a file ending in .nc",
            f"a file ending in {path.suffix!r}",
            "convert it to netCDF or Zarr",
        )
    return _open_netcdf(path)


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """What `write` puts into a file, at `path`: all of it or nothing. By way of memory, since NumPy and torch do not say that a disk is full."""
    content = BytesIO()
    write(content)
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content.getbuffer())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _open_zarr(path: Path) -> xr.Dataset:
    if path.is_dir() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        unfinished = path.name.endswith(".partial")
        got = "an unfinished ensemble" if unfinished else "a folder without zarr.json or .zgroup"
        remedy = "repeat the command that began it" if unfinished else "give the path of the store itself"
        raise refusal(str(path), "a Zarr store", got, remedy)
    try:
        store = path if path.is_dir() else ZipStore(path, mode="r")
        ds = xr.open_zarr(store, chunks={}, consolidated=False)
        ds.encoding["source"] = str(path)
        return ds
    except Exception as error:  # zarr and xarray raise many kinds for a damaged store
        again = "copy or write the store again"
        remedy = _dates(error) or (
            again if path.is_dir() else f"{again}; it lies at the top of a zip file, not in a folder"
        )
        raise refusal(str(path), "a readable Zarr store", said(error), remedy) from error


def _open_remote(address: str) -> xr.Dataset:
    """Credentials and endpoints are fsspec's: environment variables such as FSSPEC_S3_ENDPOINT_URL, FSSPEC_S3_ANON, FSSPEC_GS_TOKEN."""
    files = _file_system(address)
    try:
        if Path(address).suffix in NETCDF:
            # by blocks: variables are scattered over a file, and only some are wanted
            return xr.open_dataset(files.open(address, cache_type="blockcache"), chunks={}, engine="h5netcdf")
        return xr.open_zarr(address, chunks={})
    except Exception as error:  # every protocol raises its own kinds
        remedy = "check the address and the access to it"
        raise refusal(address, "a Zarr store or a netCDF file", said(error), remedy) from error


def _file_system(address: str) -> Any:
    try:
        return fsspec.core.url_to_fs(address)[0]
    except (ImportError, ValueError) as error:
        remedy = "pip install 'gencarbon[cloud]', or give a local path"
        raise refusal(address, "an address that can be reached", said(error), remedy) from error


def _open_netcdf(path: Path) -> xr.Dataset:
    try:
        magic = path.open("rb").read(8)
    except OSError as error:
        raise refusal(str(path), "a file that may be read", said(error), "change its permissions") from error
    hdf = magic == b"\x89HDF\r\n\x1a\n"
    if not (hdf or magic[:3] == b"CDF"):
        got = f"other content, beginning {magic[:8]!r}"
        raise refusal(str(path), "a netCDF file", got, "the name says netCDF: give the real file")
    try:
        ds = xr.open_dataset(path, chunks={}, engine="h5netcdf" if hdf else "scipy")
        return ds if ds.data_vars or not hdf else _of_groups(path)
    except Exception as error:  # each back end raises its own kinds
        remedy = _dates(error) or (
            "install a reader of netCDF 4 (pip install h5netcdf) or copy the file again"
            if hdf
            else "copy the file again"
        )
        raise refusal(str(path), "a readable netCDF file", said(error), remedy) from error


def _dates(error: Exception) -> str | None:
    """What to do where the file is whole and its dates alone cannot be read."""
    return "correct the units of time, such as hours since 2018-01-01" if "time units" in str(error) else None


def _of_groups(path: Path) -> xr.Dataset:
    """The root of a file, and the variables of its groups as `GROUP/VARIABLE`."""
    groups = xr.open_groups(path, chunks={}, engine="h5netcdf")
    named = {f"{group}/{name}".strip("/"): ds[name] for group, ds in groups.items() for name in ds.data_vars}
    return groups["/"].assign(named)


def write_netcdf(made: xr.Dataset, path: Path) -> None:
    """Writes netCDF at once: a kill never leaves half of it."""
    partial = path.with_name(f"{path.name}.partial")
    for name in made.coords:
        made[name].encoding["_FillValue"] = None  # CF: coordinates have none missing
    made.to_netcdf(partial, engine="h5netcdf")
    partial.rename(path)


def copy_store(store: Path, address: str) -> None:
    """A Zarr store to an address (s3://...), whose root is written last: what is there only in part is no store yet."""
    if not store.is_dir() or address.endswith(NETCDF):
        wanted, remedy = (
            "a Zarr store in a local folder, and an address for it",
            "copy a .nc file with the bucket's own tools",
        )
        raise refusal("copy to an address", wanted, f"{store} and {address}", remedy)
    files = _file_system(address)
    if files.exists(address):
        raise refusal(address, "a new output", "one that exists", "choose another or delete it")
    roots = [path for path in store.iterdir() if path.is_file()]
    for path in sorted(path for path in store.rglob("*") if path.is_file() and path not in roots) + roots:
        files.put_file(str(path), f"{address.rstrip('/')}/{path.relative_to(store).as_posix()}")
