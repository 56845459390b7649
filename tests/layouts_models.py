"""The analytic field of `layouts.py` in the layouts of CarbonBench, CAMS and GEOS-Chem, and what each should read back to.

What a source has of its own (cells, interfaces, intervals) changes the truth: a writer stands in `LAYOUTS` beside its own.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import xarray as xr

from gencarbon.grid import LatLonGrid
from tests.layouts import BETA, GRID, M_CO2, PARTS, G, _save, _westward_from_180, truth

M_CO2_BENCHMARK, M_AIR_BENCHMARK = 44.009e-3, 28.9652e-3
M_CARBON = 12.011e-3
CAMS_A = np.array([0.0, 2000.0, 4000.0, 3000.0, 1000.0, 0.0])  # Pa
MONTHS = {"202001": 31, "202002": 29}  # days
POLAR = LatLonGrid(
    (-90, *np.arange(-82.5, 90, 15), 90), tuple(np.arange(-7.5, 360, 15))
)  # half boxes at the poles


def _bounded(ds: xr.Dataset) -> xr.Dataset:
    step = ds.time[1] - ds.time[0]
    return ds.assign(time_bounds=xr.concat([ds.time, ds.time + step], "bounds").transpose("time", "bounds"))


def bounded_truth() -> xr.Dataset:
    return _bounded(truth())


def carbonbench_truth() -> xr.Dataset:
    """Cells on the benchmark's sphere, 0.22 % larger than those on which CarbonTracker weighed its air."""
    ds = truth()
    return _bounded(ds.assign(cell_area=ds.cell_area * (6.3781e6 / 6.371e6) ** 2))


def _stacked(ds: xr.Dataset, air: xr.DataArray) -> xr.Dataset:
    """Two float32 arrays, each row one variable, without units: as `optimize_zarr` of the benchmark's code makes them."""
    surface = xr.zeros_like(ds.flux)
    thickness = 100 * xr.ones_like(ds.co2)
    two = {
        "blh": surface + 800,
        "cell_area": ds.cell_area + surface,
        "co2flux_anthro": ds.flux_fossil + ds.flux_fire,
        "co2flux_land": ds.flux_land,
        "co2flux_ocean": ds.flux_ocean,
        "orography": surface,
        "tisr": surface,
    }
    three = {
        "airmass": air / 1e12,
        "co2massmix": ds.co2 * M_CO2_BENCHMARK / M_AIR_BENCHMARK,
        "p_bottom": thickness,
        "p_top": thickness,
        "q": ds.humidity,
        "u": ds.u,
        "v": ds.v,
    }
    stacks = {
        "variables_2d": xr.Dataset(two).to_array("vari_2d").transpose("time", "vari_2d", "lat", "lon"),
        "variables_3d": xr.Dataset(three)
        .to_array("vari_3d")
        .transpose("time", "vari_3d", "level", "lat", "lon"),
    }
    made = xr.Dataset(stacks).astype(np.float32).assign_coords(level=[1013.0, 843.0, 642.0, 441.0, 73.0])
    return made.chunk({"time": 4} | {dim: -1 for dim in made.dims if dim != "time"})


def _store(made: xr.Dataset, path: Path) -> Path:
    made.to_zarr(path, zarr_format=2)
    return path


def carbonbench(folder: Path) -> list[Path]:
    """Moist air, as CarbonTracker may have it."""
    ds = carbonbench_truth()
    path = folder / "carbontracker_latlon15_l5_3h.zarr"
    return [_store(_stacked(ds, ds.thickness * GRID.area / G), path)]


def carbonbench_zip(folder: Path) -> list[Path]:
    """Dry air; zipped by the benchmark's own upload: the content of the folder, deflated."""
    ds = carbonbench_truth()
    store = _store(_stacked(ds, ds.air_mass), folder / "carbontracker_latlon15_l5_3h.zarr")
    path = store.with_suffix(".zarr.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as held:
        for file in store.rglob("*"):
            if file.is_file():
                held.write(file, file.relative_to(store))
    return [path]


def carbonbench_closed(folder: Path, scale: float = 1.0) -> Path:
    """A store whose CO2 grows by its fluxes alone, from its own float32 numbers in the benchmark's units; scale: of the fluxes as stored.

    Fluxes are 200 times the real ones: rounding CO2 to float32 moves its total by about 1e-9, and a real flux moves it by 5e-6 a step, so
    that a real store of as many cells closes no better than about 1e-4 in one step. Here a step moves it by 1e-3.
    """
    ds = carbonbench_truth()
    fluxes = [f"flux_{part}" for part in PARTS]
    ds = ds.assign({name: 200 * ds[name] for name in fluxes})
    made = _stacked(ds, xr.zeros_like(ds.air_mass) + ds.air_mass[0]).load()
    two, three = (made[f"variables_{n}d"].astype(np.float64).to_dataset(f"vari_{n}d") for n in (2, 3))
    rise = (two.co2flux_anthro + two.co2flux_land + two.co2flux_ocean) * two.cell_area * 3 * 3600  # kg a step
    gained = rise.cumsum("time").shift(time=1, fill_value=0)
    mass = xr.zeros_like(three.airmass) + (three.co2massmix * 1e-6 * three.airmass * 1e12)[0]
    mass[:, 0] += gained
    made["variables_3d"].loc[{"vari_3d": "co2massmix"}] = mass / (three.airmass * 1e12) * 1e6
    for part in ("anthro", "land", "ocean"):
        made["variables_2d"].loc[{"vari_2d": f"co2flux_{part}"}] *= scale
    return _store(made, folder / f"closed_{scale}.zarr")


def cams_truth() -> xr.Dataset:
    """Interfaces at ap + bp Psurf in place of bp Psurf; the air is moist, as nothing dries it."""
    ds = truth()
    drop = lambda x: x[:-1, None, None] - x[1:, None, None]  # noqa: E731
    surface = ds.surface_pressure_moist.values[:, None]
    weight = (drop(CAMS_A) + drop(BETA) * surface) / G
    return ds.assign(moist_air_mass=(ds.air_mass.dims, weight * GRID.area))


def cams_concentration(folder: Path) -> list[Path]:
    ds = _westward_from_180(truth())
    made = xr.Dataset(
        {
            "CO2": (ds.co2 * 1e-6).assign_attrs(units="mol mol-1"),
            "Psurf": ds.surface_pressure_moist.assign_attrs(units="Pa"),
            "ap": ("hlevel", CAMS_A, {"units": "Pa"}),
            "bp": ("hlevel", BETA, {"units": "1"}),
        }
    ).assign_coords(hlevel=np.arange(1, 7))
    made = made.rename(lat="latitude", lon="longitude")
    return [_save(made, folder / "cams73_v21r2_co2_conc_surface_inst_201806.nc")]


def cams_concentration_repeated(folder: Path) -> list[Path]:
    """The first longitude again at the end, latitudes from the north, ppmv as in an older release."""
    (path,) = cams_concentration(folder)
    with xr.open_dataset(path) as ds:
        made = ds.load().isel(latitude=slice(None, None, -1))
    again = made.isel(longitude=[0]).assign_coords(longitude=made.longitude[:1] + 360)
    made = xr.concat([made, again], "longitude", data_vars="minimal")
    made["CO2"] = (made.CO2.astype(np.float64) * 1e6).assign_attrs(units="ppmv")
    return [_save(made, folder / "cams73_v18r1_co2_conc_surface_inst_201806.nc")]


def cams_months() -> xr.Dataset:
    """The mean flux of two months, kg CO2 m-2 s-1."""
    ds = truth(frames=2)
    begins = np.array([f"{month[:4]}-{month[4:]}-01" for month in MONTHS], "datetime64[ns]")
    ends = begins + np.array([np.timedelta64(days, "D") for days in MONTHS.values()])
    ds = ds[["flux", "cell_area", *(f"flux_{part}" for part in PARTS)]].assign_coords(time=begins)
    return ds.assign(time_bounds=(("time", "bounds"), np.stack([begins, ends], 1)))


def cams_flux(folder: Path) -> list[Path]:
    ds, paths = _westward_from_180(cams_months()), []
    for k, (month, days) in enumerate(MONTHS.items()):
        carbon = ds.drop_vars("time_bounds").isel(time=k, drop=True) * (M_CARBON / M_CO2 * days * 86400)
        parts = {
            "flux_apos_bio": carbon.flux_land + carbon.flux_fire,
            "flux_apos_ocean": carbon.flux_ocean,
            "flux_foss": carbon.flux_fossil,
            "flux_apri_bio": 2 * carbon.flux_land,
            "flux_apri_ocean": 2 * carbon.flux_ocean,
        }
        made = xr.Dataset({n: x.assign_attrs(units="kgC m-2 month-1") for n, x in parts.items()})
        made["area"] = ds.cell_area.assign_attrs(units="m2")
        made["lsf"] = xr.ones_like(ds.cell_area)
        made = made.rename(lat="latitude", lon="longitude").drop_vars("time", errors="ignore")
        paths.append(_save(made, folder / f"cams73_v20r1_co2_flux_surface_mm_{month}.nc"))
    return paths[::-1]  # files come in no order


def geoschem_truth() -> xr.Dataset:
    """Half boxes at the poles, the first longitude at 0; dry air of 983.05 hPa over the globe."""
    ds = truth().assign_coords(lon=POLAR.lon)
    dry = ds.air_mass * G / ds.cell_area
    fields = ds[["co2", "u", "v"]].assign(dry=dry)
    fields = fields.interp(lat=POLAR.lat, kwargs={"fill_value": "extrapolate"})
    area = xr.DataArray(POLAR.area, dims=("lat", "lon"))
    fields["dry"] *= 98305 / (fields.dry.sum("level") * area).sum(("lat", "lon")) * area.sum()
    return fields.assign(
        air_mass=fields.dry * area / G, surface_pressure=fields.dry.sum("level"), cell_area=area
    )


def geoschem_14(folder: Path, name: str = "SpeciesConcVV_CO2") -> list[Path]:
    """Three collections, each with AREA and the hybrid coefficients; `lev` falls with height."""
    ds = _westward_from_180(geoschem_truth())
    dims = {"level": "lev"}
    grid = {
        "AREA": ds.cell_area.assign_attrs(units="m2"),
        "hyai": ("ilev", CAMS_A / 100, {"units": "hPa"}),
        "hybi": ("ilev", BETA, {"units": "1"}),
        "P0": ((), 1000.0, {"units": "hPa"}),
    }
    lev, ilev = 1 - np.arange(5) / 5 - 0.1, 1 - np.arange(6) / 5
    attrs = {"units": "mol mol-1 dry", "averaging_method": "instantaneous"}
    air = {
        "Met_DELPDRY": (ds.dry / 100).assign_attrs(units="hPa"),
        "Met_AD": ds.air_mass.assign_attrs(units="kg"),
        "Met_U": ds.u.assign_attrs(units="m s-1"),
        "Met_V": ds.v.assign_attrs(units="m s-1"),
    }
    edges = ("time", "ilev", "lat", "lon"), np.ones((ds.time.size, 6, *POLAR.shape)), {"units": "hPa"}
    collections = {
        "SpeciesConc": {name: (ds.co2 * 1e-6).assign_attrs(attrs)},
        "StateMet": air,
        "LevelEdgeDiags": {"Met_PEDGE": edges},
    }
    paths = []
    for collection, held in collections.items():
        made = xr.Dataset(held).drop_vars("level", errors="ignore")
        made = made.rename(dims if "level" in made.dims else {}).assign(grid).assign_coords(ilev=ilev)
        made = made.assign_coords(lev=lev) if "lev" in made.dims else made
        made = made.assign_coords(time=ds.time, lat=ds.lat, lon=ds.lon)
        paths.append(_save(made, folder / f"GEOSChem.{collection}.20180601_0000z.nc4"))
    return paths


def geoschem_13(folder: Path) -> list[Path]:
    """The older name, and no file of edges."""
    return geoschem_14(folder, "SpeciesConc_CO2")[:2]


FIELDS = ("co2", "u", "v", "air_mass", "surface_pressure")
LAYOUTS = {  # writer -> what it should read back to, and the fields that its files hold
    carbonbench: (carbonbench_truth, (*FIELDS, "flux", "cell_area")),
    carbonbench_zip: (carbonbench_truth, (*FIELDS, "flux", "cell_area")),
    cams_concentration: (cams_truth, ("co2", "moist_air_mass")),
    cams_concentration_repeated: (cams_truth, ("co2", "moist_air_mass")),
    cams_flux: (cams_months, ("flux", "cell_area")),
    geoschem_13: (geoschem_truth, (*FIELDS, "cell_area")),
    geoschem_14: (geoschem_truth, (*FIELDS, "cell_area")),
}
