"""Analytic weather on a grid with points at the poles, fluxes as totals per cell, and their files in the layouts of others.

As in `tests.layouts`: truths are canonical, every writer has formulas of its own and returns the paths. Here each has its own truth.
"""

from __future__ import annotations

from calendar import monthrange
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from tests.layouts import BETA, FRAMES, GRID, HOURS, START, G, _save, _westward_from_180

LAT, LON = np.linspace(-90, 90, 13), 15.0 * np.arange(24)
LEVELS = np.array([1000.0, 925.0, 850.0, 500.0, 200.0, 50.0])  # hPa
DRY, VAPOUR = 98305.0, 244.0  # Pa, means over the globe
SECONDS_PER_YEAR = 365.25 * 86400
KG_PER_PGC = 1e12 * 44.0095 / 12.011  # kg CO2


def areas(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """m2 of cells with edges midway: between the points at the poles, half cells."""
    north = np.append((lat[1:] + lat[:-1]) / 2, 90)
    south = np.insert(north[:-1], 0, -90)
    middle, half = np.deg2rad(north + south) / 2, np.deg2rad(north - south) / 2
    return 6.371e6**2 * np.outer(2 * np.cos(middle) * np.sin(half), np.full(lon.size, 2 * np.pi / lon.size))


AREA = areas(LAT, LON)


def mean(x: np.ndarray) -> np.ndarray:
    """Over the globe, of (..., lat, lon)."""
    return (x * AREA).sum((-2, -1)) / AREA.sum()


def surface_moist() -> np.ndarray:
    """Pa, (time, lat, lon): waves, and a mountain that reaches above 850 hPa."""
    lat, lon = np.deg2rad(LAT)[:, None], np.deg2rad(LON)
    t = 2 * np.pi * np.arange(FRAMES)[:, None, None] / 8
    mountain = 20000 * np.exp(-8 * ((lat - 0.6) ** 2 + (lon - 1.5) ** 2))
    p = 900 * np.sin(2 * lon + t) * np.cos(lat) ** 2 - mountain
    return p + (DRY + VAPOUR - mean(p))[:, None, None]


def _weather(thickness: np.ndarray) -> xr.Dataset:
    """u, v m s-1, humidity kg per kg of moist air, air_mass kg of dry air, surface_pressure Pa of dry air; of layers of `thickness` Pa."""
    lat, lon = np.deg2rad(LAT)[:, None], np.deg2rad(LON)
    t = 2 * np.pi * np.arange(FRAMES)[:, None, None, None] / 8
    z = np.arange(float(thickness.shape[1]))[:, None, None]
    shape = np.exp(-z) * np.cos(lat) ** 2 * (1 + 0.3 * np.cos(lon)) + 0 * t
    humidity = shape * (VAPOUR / mean((thickness * shape).sum(1)))[:, None, None, None]
    dry = thickness * (1 - humidity)
    fields = {
        "u": 20 * np.cos(lat) * (1 + z / 3) + np.sin(lon - t),
        "v": 4 * np.sin(2 * lon + t) * np.cos(lat) + 0 * z,
        "humidity": humidity,
        "thickness": thickness,
        "air_mass": dry * AREA / G,
    }
    ds = xr.Dataset({name: (("time", "level", "lat", "lon"), x) for name, x in fields.items()})
    ds["surface_pressure"] = (("time", "lat", "lon"), dry.sum(1))
    ds["cell_area"] = (("lat", "lon"), AREA)
    times = START + np.arange(FRAMES) * np.timedelta64(HOURS, "h")
    return ds.assign_coords(time=times, level=np.arange(1, thickness.shape[1] + 1), lat=LAT, lon=LON)


def on_pressure() -> xr.Dataset:
    """Layers about `LEVELS`: of each, the part above the ground."""
    surface = surface_moist()
    made = []
    for k in range(LEVELS.size):
        top = 50 * (LEVELS[k] + LEVELS[k + 1]) if k + 1 < LEVELS.size else 0.0
        bottom = 50 * (LEVELS[k - 1] + LEVELS[k]) if k > 0 else np.inf
        made.append(np.clip(surface - top, 0, bottom - top))
    ds = _weather(np.stack(made, axis=1))
    ds["sp"] = (("time", "lat", "lon"), surface)
    return ds


def on_model_layers() -> xr.Dataset:
    return _weather((BETA[:-1] - BETA[1:])[:, None, None] * surface_moist()[:, None])


def _era5(ds: xr.Dataset) -> xr.Dataset:
    """Of the Climate Data Store: pressures in place of levels, latitudes falling."""
    made = xr.Dataset(
        {
            "u": ds.u.assign_attrs(units="m s**-1"),
            "v": ds.v.assign_attrs(units="m s**-1"),
            "q": ds.humidity.assign_attrs(units="kg kg**-1"),
            "t": (250 + 0 * ds.u).assign_attrs(units="K"),
            "sp": ds.sp.assign_attrs(units="Pa"),
        }
    )
    pressure = ("level", LEVELS, {"units": "hPa"})
    made = made.assign_coords(level=pressure, number=0).isel(lat=slice(None, None, -1))
    return made.rename(lat="latitude", lon="longitude")


def era5(folder: Path) -> list[Path]:
    ds = _era5(on_pressure()).rename(time="valid_time", level="pressure_level")
    ds = ds.assign_coords(expver=("valid_time", ["0001"] * FRAMES))
    surface = ds[["sp"]]
    return [_save(ds.drop_vars("sp"), folder / "pressure.nc"), _save(surface, folder / "surface.nc")]


def era5_older(folder: Path) -> list[Path]:
    """As the store wrote it before 2024: other axes, the uppermost level first. One file, and a day in each."""
    ds = _era5(on_pressure()).isel(level=slice(None, None, -1))
    ds["level"].attrs["units"] = "millibars"
    days = (ds.isel(time=slice(0, 4)), ds.isel(time=slice(4, 8)))
    return [_save(day, folder / f"era5_2018060{k}.nc") for k, day in enumerate(days, 1)]


def era5_arco(folder: Path) -> list[Path]:
    long = {"u": "u_component_of_wind", "v": "v_component_of_wind", "q": "specific_humidity"}
    ds = _era5(on_pressure()).isel(level=slice(None, None, -1)).rename(long | {"sp": "surface_pressure"})
    ds["level"].attrs.clear()
    path = folder / "full_37-1h-0p25deg-chunk-1.zarr-v3"
    ds.drop_vars(["number", "t"]).astype("float32").chunk(time=1).to_zarr(path, consolidated=False)
    return [path]


def _geos(top_first: bool) -> xr.Dataset:
    ds = on_model_layers()
    made = xr.Dataset(
        {
            "U": ds.u.assign_attrs(units="m s-1"),
            "V": ds.v.assign_attrs(units="m s-1"),
            "QV": ds.humidity.assign_attrs(units="kg kg-1"),
            "PS": ds.thickness.sum("level").assign_attrs(units="Pa"),
            "DELP": ds.thickness.assign_attrs(units="Pa"),
        }
    )
    made = made.isel(level=slice(None, None, -1)) if top_first else made
    made = made.assign_coords(level=np.arange(1.0, BETA.size)).rename(level="lev")
    return _westward_from_180(made)


def _by_day(ds: xr.Dataset, folder: Path, name: str) -> list[Path]:
    days = (ds.isel(time=slice(0, 4)), ds.isel(time=slice(4, 8)))
    return [_save(day, folder / f"{name}.2018060{k}.nc4") for k, day in enumerate(days, 1)]


def merra2(folder: Path) -> list[Path]:
    return _by_day(_geos(top_first=True), folder, "MERRA2_400.inst3_3d_asm_Nv")


def geos_fp(folder: Path) -> list[Path]:
    ds = _geos(top_first=True)
    ds["MFXC"] = (1e5 * ds.U).assign_attrs(units="Pa m+2")
    return _by_day(
        ds.rename({name: name.lower() for name in ds.data_vars}), folder, "GEOS.fp.asm.inst3_3d_asm_Nv"
    )


def geos_it(folder: Path) -> list[Path]:
    return _by_day(_geos(top_first=False), folder, "GEOS.it.asm.asm_inst_3hr_glo_L576x361_v72")


def _fluxes(edges: np.ndarray, lat: np.ndarray, lon: np.ndarray, area: np.ndarray) -> xr.Dataset:
    """flux kg m-2 s-1 over intervals between `edges`."""
    t = np.arange(edges.size - 1.0)[:, None, None]
    y, x = np.deg2rad(lat)[:, None], np.deg2rad(lon)
    flux = 3e-9 * (1.2 + np.cos(t + x)) * np.cos(y - 0.3) ** 2
    edges = edges.astype("datetime64[ns]")
    ds = xr.Dataset({"flux": (("time", "lat", "lon"), flux), "cell_area": (("lat", "lon"), area)})
    ds["time_bounds"] = (("time", "bounds"), np.stack([edges[:-1], edges[1:]], axis=1))
    return ds.assign_coords(time=edges[:-1], lat=lat, lon=lon)


def of_months() -> xr.Dataset:
    """2019 and 2020, which has a leap day."""
    return _fluxes(np.arange("2019-01", "2021-02", dtype="datetime64[M]"), GRID.lat, GRID.lon, GRID.area)


def of_years() -> xr.Dataset:
    return _fluxes(np.arange("2019", "2022", dtype="datetime64[Y]"), GRID.lat, GRID.lon, GRID.area)


def of_days() -> xr.Dataset:
    """On cells of another radius."""
    days = np.arange("2018-06-01", "2018-06-09", dtype="datetime64[D]")
    return _fluxes(days, LAT, LON, AREA * (6.375 / 6.371) ** 2)


def gridfed(folder: Path) -> list[Path]:
    """Coordinates in the root, fluxes in groups, months without dates."""
    ds, paths = _westward_from_180(of_months()), []
    kg = (ds.flux * ds.cell_area).values
    for k, year in enumerate((2019, 2020)):
        paths.append(folder / f"GCP-GridFEDv2024.0_{year}.nc")
        days = [monthrange(year, month)[1] for month in range(1, 13)]
        total = kg[12 * k : 12 * k + 12] * 86400 * np.array(days)[:, None, None]
        with h5netcdf.File(paths[-1], "w") as file:
            file.dimensions = {"time": 12, "lat": ds.lat.size, "lon": ds.lon.size}
            for axis, values in {"time": np.arange(12.0), "lat": ds.lat.values, "lon": ds.lon.values}.items():
                file.create_variable(axis, (axis,), data=values)
            for group, name, share in (("CO2", "TOTAL", 1.0), ("CO2", "COAL", 0.4), ("O2", "COAL", -0.3)):
                made = file[group] if group in file else file.create_group(group)
                size = (1, *total.shape[1:])
                made.create_variable(name, ("time", "lat", "lon"), data=share * total, chunks=size)
                made[name].attrs["units"] = f"kg {group} month-1"
    return paths


def edgar(folder: Path) -> list[Path]:
    ds, paths = of_years(), []
    for k, (year, days) in enumerate({2019: 365, 2020: 366}.items()):
        tonnes = ds.flux.isel(time=k, drop=True) * ds.cell_area * 86400 * days / 1000
        made = tonnes.astype("float32").assign_attrs(units="Tonnes", substance="CO2", year=str(year))
        paths.append(
            _save(made.to_dataset(name="emissions"), folder / f"EDGAR_2024_GHG_CO2_{year}_TOTALS_emi.nc")
        )
    return paths


def carboscope(folder: Path) -> list[Path]:
    """Days stamped at noon, in four parts, beside steps of the inversion on a dim of their own."""
    ds = of_days()
    total = ds.flux * ds.cell_area * SECONDS_PER_YEAR / KG_PER_PGC
    shares = {"co2flux_land": -0.5, "co2flux_ocean": -0.3, "co2flux_subt": 1.7, "co2flux_excl": 0.1}
    made = xr.Dataset({name: (share * total).assign_attrs(units="PgC/yr") for name, share in shares.items()})
    made["dxyp"] = ds.cell_area.assign_attrs(units="m2")
    made = _westward_from_180(made).assign_coords(time=ds.time + np.timedelta64(12, "h")).rename(time="mtime")
    made["dt"] = ("time", np.full(3, 86400, np.int32))
    return [
        _save(
            made.assign_coords(time=START + np.arange(3) * np.timedelta64(1, "D")),
            folder / "s99oc_v2020_daily.nc",
        )
    ]


WINDS = ("u", "v", "air_mass", "surface_pressure")
LAYOUTS = {  # writer -> its truth, and the fields that its files hold
    era5: (on_pressure, WINDS),
    era5_older: (on_pressure, WINDS),
    era5_arco: (on_pressure, WINDS),
    merra2: (on_model_layers, WINDS),
    geos_fp: (on_model_layers, WINDS),
    geos_it: (on_model_layers, WINDS),
    gridfed: (of_months, ("flux",)),
    edgar: (of_years, ("flux",)),
    carboscope: (of_days, ("flux",)),
}
