"""Ways in which files go wrong, on disk: each takes the paths of sound files, changes them, and may return other paths to give."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
import zarr

from tests import canonical, layouts, layouts_models, layouts_observations, layouts_weather
from tests.test_ensemble_store import whole

Breaks = Callable[[list[Path]], list[Path] | None]
Change = Callable[[xr.Dataset], xr.Dataset]


def _ours(*roles: str):
    """Canonical stores, three frames a chunk."""

    def write(folder: Path) -> list[Path]:
        paths = [folder / f"{role}.zarr" for role in roles]
        for role, path in zip(roles, paths):
            ds = getattr(canonical, role)()
            (ds.chunk(time=3) if "time" in ds.dims else ds).to_zarr(path, zarr_format=3, consolidated=False)
        return paths

    return write


def _observed(write: Callable[[Path], Path]):
    return lambda folder: [write(folder)]


SOUND = {  # layout -> what writes sound files of it
    "CarbonTracker": layouts.carbontracker_molefraction,
    "CarbonTracker fluxes": layouts.carbontracker_flux,
    "CarbonBench": layouts_models.carbonbench,
    "CarbonBench zip": layouts_models.carbonbench_zip,
    "CAMS": layouts_models.cams_concentration,
    "CAMS fluxes": layouts_models.cams_flux,
    "GEOS-Chem": layouts_models.geoschem_14,
    "ERA5": layouts_weather.era5,
    "ERA5 ARCO": layouts_weather.era5_arco,
    "MERRA-2": layouts_weather.merra2,
    "GridFED": layouts_weather.gridfed,
    "EDGAR": layouts_weather.edgar,
    "CarboScope": layouts_weather.carboscope,
    "ObsPack": _observed(layouts_observations.obspack),
    "OCO-2": _observed(layouts_observations.lite),
    "OCO-2 MIP": _observed(layouts_observations.mip),
    "TCCON": _observed(layouts_observations.tccon),
    "winds": _ours("winds"),
    "fluxes": _ours("fluxes"),
    "initial": _ours("initial"),
    "winds and fluxes": _ours("winds", "fluxes"),
    "ensemble": lambda folder: [whole(folder / "ensemble.zarr").close()],
}


# --- what is in the files


def inside(name: str, change: Callable[[Any], Any]) -> Breaks:
    """Changes one variable, or its attributes, where it lies; name may begin with a group."""

    def breaks(paths: list[Path]) -> None:
        for path in paths:
            with (
                contextlib.nullcontext(zarr.open_group(path))
                if path.is_dir()
                else h5py.File(path, "r+") as file
            ):
                if name in file:
                    change(file[name])

    return breaks


def in_turn(*steps: Breaks) -> Breaks:
    """One damage after another."""

    def breaks(paths: list[Path]) -> list[Path]:
        for step in steps:
            paths = step(paths) or paths
        return paths

    return breaks


def attributes(name: str, **given: str | None) -> Breaks:
    """Other attributes of a variable, or without some; the numbers stay."""

    def change(x: Any) -> None:
        for key, text in given.items():
            x.attrs.pop(key, None)
            x.attrs.update({} if text is None else {key: text})

    return inside(name, change)


def units(**given: str | None) -> Breaks:
    return in_turn(*(attributes(name, units=text) for name, text in given.items()))


def time_units(name: str, text: str | None, calendar: str = "standard") -> Breaks:
    """The numbers of the time axis in other units, or in none."""
    return attributes(name, units=text, calendar=None if text is None else calendar)


def put(name: str, value: Any, *at: int | slice) -> Breaks:
    """`value` in some places."""
    return inside(name, lambda x: x.__setitem__(at, value))


def scaled(factor: float, *names: str) -> Breaks:
    """Other numbers; the units attributes stay."""
    return in_turn(*(inside(name, lambda x: x.__setitem__(..., x[...] * factor)) for name in names))


def axis(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Breaks:
    """Other coordinates; their attributes stay."""
    return inside(name, lambda x: x.__setitem__(..., change(x[...])))


def rewritten(change: Change) -> Breaks:
    """Every file anew with `change`."""

    def breaks(paths: list[Path]) -> None:
        for path in paths:
            if path.is_dir():
                ds = xr.open_zarr(path, consolidated=False, chunks=None).load()
                version = zarr.open_group(path, mode="r").metadata.zarr_format
                shutil.rmtree(path)
                change(ds).drop_encoding().to_zarr(path, zarr_format=version, consolidated=False)
            else:
                with xr.open_dataset(path, engine="h5netcdf") as ds:
                    made = change(ds.load()).drop_encoding()
                made.to_netcdf(path, engine="h5netcdf")

    return breaks


def without(*names: str) -> Breaks:
    return rewritten(lambda ds: ds.drop_vars(names, errors="ignore"))


def named(**names: str) -> Breaks:
    """Variables or axes under other names: keys become values."""
    return rewritten(lambda ds: ds.rename({a: b for a, b in names.items() if a in ds.variables}))


def taken(**index) -> Breaks:
    """A selection by index: cut, turned or repeated."""
    return rewritten(lambda ds: ds.isel(index, missing_dims="ignore"))


def turned(dim: str, *names: str) -> Breaks:
    """The numbers of some variables upside down, while coordinates stay; all variables on `dim` where none is named."""

    def change(ds: xr.Dataset) -> xr.Dataset:
        some = [name for name in ds.data_vars if dim in ds[name].dims and name in (names or ds.data_vars)]
        return ds.assign({n: ds[n].copy(data=ds[n].isel({dim: slice(None, None, -1)}).values) for n in some})

    return rewritten(change)


def later(name: str, **shift: int) -> Breaks:
    """Time stamps moved, such as minutes=90."""
    ((unit, count),) = shift.items()
    by = np.timedelta64(count, {"minutes": "m", "hours": "h", "days": "D"}[unit])
    moved = lambda ds: (ds[name].dims, ds[name].values + by, ds[name].attrs)  # noqa: E731
    return rewritten(lambda ds: ds.assign_coords({name: moved(ds)}) if name in ds.coords else ds)


def meridian_again(name: str) -> Breaks:
    """The first longitude once more at the end, as the 97th of CAMS."""

    def change(ds: xr.Dataset) -> xr.Dataset:
        again = ds.isel({name: [0]}).assign_coords({name: ds[name][:1] + 360})
        made = xr.concat([ds, again], name, data_vars="minimal", coords="minimal", compat="override")
        return made.assign_coords({name: made[name].assign_attrs(ds[name].attrs)})

    return rewritten(change)


def rows(stack: str, over: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Breaks:
    """One variable of a stacked array of CarbonBench."""

    def stacked(ds: xr.Dataset) -> xr.Dataset:
        ds[stack].loc[{over: name}] = change(ds[stack].sel({over: name}).values)
        return ds

    return rewritten(stacked)


# --- the files themselves


def with_content(content: bytes) -> Breaks:
    return lambda paths: paths[0].write_bytes(content) and None


def cut(share: float = 0.5) -> Breaks:
    """The first file's beginning alone, as after a broken download."""
    size = lambda path: int(share * path.stat().st_size)  # noqa: E731
    return lambda paths: paths[0].write_bytes(paths[0].read_bytes()[: size(paths[0])]) and None


def cut_classic(paths: list[Path]) -> None:
    """A classic netCDF file (version 3), most of it."""
    with xr.open_dataset(paths[0]) as ds:
        made = ds.load().drop_encoding()
    made.to_netcdf(paths[0], engine="scipy")
    cut(0.7)(paths[:1])


def block_spoiled(name: str) -> Breaks:
    """Some bytes of a compressed block: such a file opens."""

    def breaks(paths: list[Path]) -> None:
        with xr.open_dataset(paths[0]) as ds:
            made = ds.load().drop_encoding()
        made.to_netcdf(paths[0], engine="h5netcdf", encoding={name: {"zlib": True}})
        with h5py.File(paths[0]) as file:
            chunk = file[name].id.get_chunk_info(0)
        with paths[0].open("r+b") as file:
            file.seek(chunk.byte_offset + chunk.size // 2)
            file.write(b"\0" * 64)

    return breaks


def lost(*parts: str) -> Breaks:
    """Files of a store that were not copied."""
    return lambda paths: [(paths[0] / part).unlink() for part in parts] and None


def spoiled(part: str) -> Breaks:
    """One file of a store with other content."""
    return lambda paths: (paths[0] / part).write_bytes(b"no such block") and None


def filled_with_zero(part: str) -> Breaks:
    """A chunk lost from a store whose fill value is 0, as plain zarr makes it: nothing is NaN."""

    def breaks(paths: list[Path]) -> None:
        name = part.split("/")[0]
        old = zarr.open_group(paths[0], mode="r+")[name]
        values, attributes = old[:], {k: v for k, v in dict(old.attrs).items() if k != "_FillValue"}
        group, dims = zarr.open_group(paths[0], mode="r+"), old.metadata.dimension_names
        new = group.create_array(
            name, shape=old.shape, chunks=old.chunks, dtype=old.dtype, fill_value=0.0, overwrite=True,
            dimension_names=dims, attributes=attributes,
        )  # fmt: skip
        new[:] = values
        (paths[0] / part).unlink()

    return breaks


def rezipped(change: Callable[[Path], None], top: str = "") -> Breaks:
    """A zipped store whose files were changed; top: a folder around all of them."""

    def breaks(paths: list[Path]) -> None:
        inside = paths[0].with_name("inside")
        with zipfile.ZipFile(paths[0]) as held:
            held.extractall(inside)
        change(inside)
        with zipfile.ZipFile(paths[0], "w") as held:
            for file in (file for file in inside.rglob("*") if file.is_file()):
                held.write(file, Path(top) / file.relative_to(inside))
        shutil.rmtree(inside)

    return breaks


def only(*index: int) -> Breaks:
    """Some of the files."""
    return lambda paths: [paths[k] for k in index]


def one_of(breaks: Breaks, k: int) -> Breaks:
    """Breaks one file of several, and gives all."""
    return lambda paths: breaks([paths[k]]) and None


def called(name: str) -> Breaks:
    """The first file under another name."""
    return lambda paths: [paths[0].rename(paths[0].with_name(name))]


def copied(name: str) -> Breaks:
    """The first file twice."""
    return lambda paths: [*paths, Path(shutil.copy(paths[0], paths[0].with_name(name)))]
