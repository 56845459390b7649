"""Files and stores: opened lazily, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import xarray as xr
from zarr.storage import ZipStore

from gencarbon.data.refusal import refusal

NETCDF = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5")


def open_dataset(path: str | Path) -> xr.Dataset:
    """The dataset at `path`, a Zarr folder, also zipped, or a netCDF file, lazily. Raises InputError for anything else."""
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


def _open_zarr(path: Path) -> xr.Dataset:
    if path.is_dir() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        unfinished = path.name.endswith(".partial")
        got = "an unfinished ensemble" if unfinished else "a folder without zarr.json or .zgroup"
        remedy = "repeat the command that began it" if unfinished else "give the path of the store itself"
        raise refusal(str(path), "a Zarr store", got, remedy)
    try:
        store = path if path.is_dir() else ZipStore(path, mode="r")
        return xr.open_zarr(store, chunks={}, consolidated=False)
    except Exception as error:  # zarr and xarray raise many kinds for a damaged store
        remedy = "copy or write the store again; in a zip file it lies at the top, not in a folder"
        raise refusal(str(path), "a readable Zarr store", _said(error), remedy) from error


def _open_netcdf(path: Path) -> xr.Dataset:
    magic = path.open("rb").read(8)
    hdf = magic == b"\x89HDF\r\n\x1a\n"
    if not (hdf or magic[:3] == b"CDF"):
        got = f"other content, beginning {magic[:8]!r}"
        raise refusal(str(path), "a netCDF file", got, "the name says netCDF: give the real file")
    try:
        ds = xr.open_dataset(path, chunks={})
        return ds if ds.data_vars or not hdf else _of_groups(path)
    except Exception as error:  # each back end raises its own kinds
        remedy = (
            "install a reader of netCDF 4 (pip install h5netcdf) or copy the file again"
            if hdf
            else "copy the file again"
        )
        raise refusal(str(path), "a readable netCDF file", _said(error), remedy) from error


def _of_groups(path: Path) -> xr.Dataset:
    """The root of a file, and the variables of its groups as `GROUP/VARIABLE`."""
    groups = xr.open_groups(path, chunks={})
    named = {f"{group}/{name}".strip("/"): ds[name] for group, ds in groups.items() for name in ds.data_vars}
    return groups["/"].assign(named)


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else 'no message'}"


def write_netcdf(made: xr.Dataset, path: Path) -> None:
    """Writes netCDF at once: a kill never leaves half of it."""
    partial = path.with_name(f"{path.name}.partial")
    made.to_netcdf(partial, engine="h5netcdf")
    partial.rename(path)
