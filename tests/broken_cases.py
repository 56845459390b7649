"""The table of broken files: a name, the layout, how it is broken, and what the user should read."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from tests.broken_files import (
    Breaks,
    attributes,
    axis,
    block_spoiled,
    called,
    copied,
    cut,
    cut_classic,
    filled_with_zero,
    in_turn,
    later,
    lost,
    meridian_again,
    named,
    one_of,
    only,
    put,
    rewritten,
    rezipped,
    rows,
    scaled,
    spoiled,
    taken,
    time_units,
    turned,
    units,
    with_content,
    without,
)

LINE = re.compile(
    r"REFUSED (?P<path>.+?) as (?P<role>[^:]+): (?P<where>.+?): expected (?P<expected>.+?), got (?P<got>.+?); (?P<remedy>.+)"
)
BACK = slice(None, None, -1)


@dataclass(frozen=True)
class Refused:
    """Exit status 1, one line: the file, the variable or axis, what was expected, and the remedy (patterns)."""

    layout: str
    breaks: Breaks
    variable: str
    expected: str
    remedy: str

    def judge(self, status: int, lines: list[str], paths: list[Path]) -> None:
        refused = [line for line in lines if line.startswith("REFUSED ")]
        assert status == 1 and len(refused) == 1, lines
        assert all(line.startswith(("ok ", "REFUSED ")) for line in lines), lines  # no finding on two lines
        said = LINE.fullmatch(refused[0])
        assert said, refused[0]
        assert any(str(path) in said["path"] for path in paths)
        assert re.search(self.variable, said["where"] + said["expected"] + said["got"]), refused[0]
        assert re.search(self.expected, said["expected"] + ", got " + said["got"]), refused[0]
        assert re.search(self.remedy, said["remedy"]), refused[0]


@dataclass(frozen=True)
class Repaired:
    """Exit status 0, and what was done stands in the one line of the file."""

    layout: str
    breaks: Breaks
    note: str

    def judge(self, status: int, lines: list[str], paths: list[Path]) -> None:
        assert status == 0 and len(lines) == 1 and lines[0].startswith("ok "), lines
        assert any(str(path) in lines[0] for path in paths)
        assert re.search(self.note, lines[0]), lines[0]


def later_days_on_other_cells(paths: list[Path]) -> None:
    with xr.open_dataset(paths[1]) as ds:
        made = ds.load().isel(longitude=slice(None, None, 2)).drop_encoding()
    made.to_netcdf(paths[1], engine="h5netcdf")


def of_another_year(paths: list[Path]) -> list[Path]:
    return [paths[0], paths[1].rename(paths[1].with_name(paths[1].name.replace("_2020_", "_2021_")))]


def a_month_later(paths: list[Path]) -> list[Path]:
    return [paths[0].rename(paths[0].with_name(paths[0].name.replace("202002", "202003"))), paths[1]]


def without_metadata(folder: Path) -> None:
    (folder / "variables_2d" / ".zarray").unlink()


def without_chunk(folder: Path) -> None:
    (folder / "variables_3d" / "1.0.0.0.0").unlink()


def unfinished(paths: list[Path]) -> list[Path]:
    shutil.rmtree(paths[0])
    partial = paths[0].with_name(f"{paths[0].name}.partial")
    (partial / "done").mkdir(parents=True)
    return [partial]


def half_a_year(paths: list[Path]) -> None:
    with h5py.File(paths[0], "r+") as file:
        values, lat, lon = file["CO2/TOTAL"][:6], file["lat"][:], file["lon"][:]
    made = xr.Dataset(coords={"time": np.arange(6.0), "lat": lat, "lon": lon})
    made.to_netcdf(paths[0], engine="h5netcdf", mode="w")
    total = xr.Dataset({"TOTAL": (("time", "lat", "lon"), values, {"units": "kg CO2 month-1"})})
    total.to_netcdf(paths[0], engine="h5netcdf", mode="a", group="CO2")


def two_versions(ds: xr.Dataset) -> xr.Dataset:
    """An axis of two versions, half of it without numbers, as ERA5 joined with ERA5T."""
    ds = ds.drop_vars("expver", errors="ignore").reset_coords(drop=True)
    late = xr.zeros_like(ds.valid_time, float).where(ds.valid_time > ds.valid_time[5])
    early = xr.zeros_like(ds.valid_time, float).where(ds.valid_time <= ds.valid_time[5])
    both = [ds.map(lambda x, m=m: (x + m).assign_attrs(x.attrs)) for m in (early, late)]
    return xr.concat(both, "expver").assign_coords(expver=[1, 5])


def flagged(flag: bytes, at: int | slice):
    def change(ds: xr.Dataset) -> xr.Dataset:
        ds["qcflag"][at] = flag
        return ds

    return change


def kernel_in_weights(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(pressure_weight=ds.pressure_weight * ds.xco2_averaging_kernel)


def another_operator(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(integration_operator=ds.integration_operator * xr.where(ds.time == ds.time[5], 1.02, 1))


def longitude_as_latitude(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(latitude=-ds.longitude.assign_attrs(units="degrees_north"))


def regions(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(co2=ds.co2.expand_dims(region=2).assign_attrs(ds.co2.attrs))


def with_nan(at: int):
    return lambda x: np.where(np.arange(x.size) == at, np.nan, x)


C, CF, CB, CZ = "CarbonTracker", "CarbonTracker fluxes", "CarbonBench", "CarbonBench zip"
PARTS = ("bio_flux_opt", "ocn_flux_opt", "fossil_flux_imp", "fire_flux_imp")
RENAME = r"ds\.rename"

# fmt: off
CASES = {
    # --- no file that can be read
    "zero bytes": Refused(C, with_content(b""), r"\.nc", "a netCDF file, got an empty file", "write it again"),
    "text called .nc": Refused(CF, in_turn(only(0), with_content(b"year,flux\n2018,1\n")),
        r"\.nc", "a netCDF file, got other content", "give the real file"),
    "a table": Refused("EDGAR", in_turn(only(0), called("emissions.csv")), "csv", r"ending in \.nc", "convert it"),
    "no such file": Refused("GridFED", lambda paths: [paths[0].with_name("GCP-GridFEDv2024.0_2031.nc")],
        "2031", "nothing at this path", "check the path"),
    "cut in half": Refused(C, cut(), r"\.nc", "readable netCDF file, got .*truncated", "copy the file again"),
    "cut in half, inventory": Refused("GridFED", in_turn(only(0), cut()), r"_2019\.nc", "readable netCDF file", "copy the file again"),
    "cut in half, observations": Refused("OCO-2", cut(), "LtCO2", "readable netCDF file", "copy the file again"),
    "classic netCDF cut": Refused("CAMS", cut_classic, "cams73", "readable netCDF file|values that can be read", "copy"),
    "a spoiled block": Refused(C, block_spoiled("co2"), "co2", "values that can be read", "copy"),
    "a spoiled block of one of several": Refused("MERRA-2", one_of(block_spoiled("QV"), 1), r"20180602\.nc4: QV", "values that can be read", "copy"),
    "a spoiled block of observations": Refused("OCO-2", block_spoiled("pressure_weight"), "pressure_weight", "values that can be read", "copy"),
    "a spoiled chunk": Refused("winds", spoiled("u/c/1/0/0/0"), ": u", "values that can be read", "copy"),
    "a spoiled chunk of a stack": Refused(CB, spoiled("variables_3d/1.0.0.0.0"), "variables_3d", "values that can be read", "copy"),
    "a chunk lost": Refused("winds", lost("u/c/1/0/0/0"), ": u", "3 chunks .*, got 2", "copy the store again"),
    "a chunk lost that reads as 0": Refused("winds", filled_with_zero("v/c/1/0/0/0"), ": v", "3 chunks .*, got 2", "copy the store again"),
    "a chunk of fluxes lost that reads as 0": Refused("fluxes", filled_with_zero("flux/c/1/0/0"),
        ": flux", "3 chunks .*, got 2", "write_empty_chunks"),
    "a chunk of a stack lost": Refused(CB, lost("variables_3d/1.0.0.0.0"), "variables_3d", "2 chunks .*, got 1", "copy the store again"),
    "a chunk of a zip lost": Refused(CZ, rezipped(without_chunk), "variables_3d", "2 chunks .*, got 1", "copy the store again"),
    "a chunk of ARCO lost": Refused("ERA5 ARCO", lost("v_component_of_wind/c/3/0/0/0"),
        "v_component_of_wind", "8 chunks .*, got 7", "copy the store again"),
    "a member lost": Refused("ensemble", lost("co2/c/1/0/0/0/0"), ": co2", "chunks .*, got", "copy the store again"),
    "an unfinished ensemble": Refused("ensemble", unfinished, r"\.partial", "an unfinished ensemble", "repeat the command"),
    "a zip cut": Refused(CZ, cut(0.8), r"\.zip", "readable Zarr store, got BadZipFile", "copy"),
    "a zip with a folder around": Refused(CZ, rezipped(lambda folder: None, top="store.zarr"), r"\.zip", "readable Zarr store", "at the top"),
    "a stack without metadata": Refused(CZ, rezipped(without_metadata), "variable variables_2d", "variables_3d", "as the benchmark wrote it"),
    "metadata cut": Refused("winds", lambda paths: (paths[0] / "zarr.json").write_text("{") and None, r"winds\.zarr", "readable Zarr store", "copy"),

    # --- CarbonTracker
    "no units": Refused(C, units(co2=None), "co2", "units ppm .*, got no units attribute", r'attrs\["units"\]'),
    "a mass fraction": Refused(C, units(co2="kg kg-1"), "co2", "a dry mole fraction", "multiply kg per kg"),
    "ppm called mol mol-1": Refused(C, units(co2="mol mol-1"), "co2", r"within 50\.\.5000 ppm", "check the units"),
    "units of co2 and u swapped": Refused(C, units(co2="m s-1", u="micromol mol-1"), "co2", "units ppm .*, got units 'm s-1'", "convert co2"),
    "one NaN": Refused(C, put("co2", np.nan, 2, 1, 3, 4), "co2", "1 NaN or infinite, the first at time=2, level=1", "leave those frames out"),
    "NaN in the air of the first frame": Refused(C, put("air_mass", np.nan, 0), "air.mass", "finite", "leave"),
    "air in other units": Refused(C, scaled(1e-3, "air_mass"), "air mass", "hPa of dry or .* hPa of moist air", "check units"),
    "a tenth too much air": Refused(C, scaled(1.1, "air_mass"), "air mass", "983.05 hPa of dry", "whole column"),
    "moist air, no humidity": Repaired(C, without("specific_humidity"), "moist air .* humidity is not given: good as a weight alone"),
    "humidity in g called kg": Refused(C, scaled(1e3, "specific_humidity"), "humidity", "hPa of dry air", "units"),
    "humidity in kg called g": Refused(C, units(specific_humidity="g kg-1"), "humidity", "hPa of dry air", "units"),
    "humidity without units": Refused(C, units(specific_humidity=None), "humidity", "units kg kg-1", "set the units"),
    "levels against the pressure": Refused(C, turned("level"), "level|air_mass", "pressure", "NOAA|turn"),
    "humidity against the air": Refused(C, turned("level", "specific_humidity"), "level", "moist below", "turn"),
    "latitudes southward": Repaired(C, taken(latitude=BACK), "latitudes turned northward"),
    "a latitude twice": Refused(C, taken(latitude=[0, 1, 1, *range(2, 12)]), "lat", "each coordinate once, got .* 2 times", "drop_duplicates"),
    "half of the latitudes": Refused(C, taken(latitude=slice(6, None)), "lat", "from pole to pole", "all latitudes"),
    "latitudes in radians": Refused(C, axis("latitude", np.deg2rad), "lat", "degrees, got .*radian", "np.rad2deg"),
    "longitudes in radians": Refused(C, axis("longitude", np.deg2rad), "lon", "degrees, got .*radian", "np.rad2deg"),
    "latitudes under another name": Refused(C, named(latitude="nav_lat"), "lat", "coordinates? .*lat", RENAME),
    "latitudes without numbers": Refused(C, without("latitude"), "lat", "coordinate", "assign_coords|" + RENAME),
    "the first meridian again": Repaired(C, meridian_again("longitude"), "the last longitude, which repeats the first, left out"),
    "a meridian in the middle twice": Refused(C, taken(longitude=[*range(12), *range(11, 24)]),
        "lon", "each coordinate once|evenly", "drop_duplicates|global"),
    "longitudes with a NaN": Refused(C, axis("longitude", with_nan(7)), "lon", "finite coordinates, got nan at index 7", "correct"),
    "a date twice": Refused(C, taken(time=[0, 1, 1, 2, 3]), "time", "increasing dates, got the same date twice", "drop_duplicates"),
    "a day twice": Refused("MERRA-2", copied("MERRA2_400.inst3_3d_asm_Nv.20180603.nc4"), "time", "increasing dates", "drop_duplicates"),
    "a frame left out": Refused(C, taken(time=[0, 1, 2, 4, 5]), "time", "a gap of 1 frames", "fill the gap"),
    "times without units": Refused(C, time_units("time", None), "time", "dates", "CF units"),
    "a calendar of 360 days": Refused(C, time_units("time", "hours since 2018-02-28", "360_day"), "time", "dates", "standard calendar"),
    "times since the year 1": Refused(C, time_units("time", "hours since 1818-06-01"), "time", r"dates within 1900", "units of time"),
    "times in no unit": Refused(C, time_units("time", "fortnights since 2018-06-01"), "time", "fortnights", "units of"),
    "a future name of co2": Refused(C, named(co2="co2_dry"), "co2_dry", "expected|variable", "rename"),
    "a future name of air_mass": Refused(C, named(air_mass="dry_air_mass"), "air_mass|surface_pressure", "variable", "rename|give"),
    "two names of one axis": Refused(C, rewritten(lambda ds: ds.assign(lat=("row", np.zeros(3)))), "lat", "an axis lat with coordinates", RENAME),
    "an axis too many": Refused(C, rewritten(regions), "co2", "dims", r"ds\.isel"),

    # --- CarbonTracker fluxes
    "a mass of carbon": Refused(CF, units(bio_flux_opt="kgC m-2 s-1"), "bio_flux_opt", "a mass of CO2", r"multiply by 3\.66"),
    "fluxes without units": Refused(CF, units(fire_flux_imp=None), "fire_flux_imp", "kg m-2 s-1, got no units", r'attrs\["units"\]'),
    "a part missing": Refused(CF, without("fire_flux_imp"), "fire_flux_imp", "variable", "the sum of all four"),
    "umol called mol": Refused(CF, scaled(1e6, *PARTS), "flux", "within -0.0001..0.0001", "check the units"),
    "mol called umol": Repaired(CF, units(**dict.fromkeys(PARTS, "umol m-2 s-1")), "suspicious: .* PgC"),
    "grams called moles": Refused(CF, scaled(1e3, *PARTS), "flux", "PgC a year", "check the units"),
    "stamps at the begin of intervals": Refused(CF, later("time", minutes=-90), "time", "middle of intervals", "stamps"),
    "a day between missing": Refused(CF, in_turn(one_of(later("time", days=1), 1)), "time", "a gap of 8 frames", "fill the gap"),
    "a day on other cells": Refused(CF, later_days_on_other_cells, r"longitude|lon", "fit together", "same cells"),
    "a NaN in fire": Refused(CF, put("fire_flux_imp", np.nan, 1, 2), "flux", "48 NaN", "leave those frames out"),

    # --- CarbonBench
    "a row missing": Refused(CB, taken(vari_2d=slice(0, 4)), "co2flux_ocean", "variable", "as the benchmark wrote it"),
    "air in kg": Refused(CB, rows("variables_3d", "vari_3d", "airmass", lambda x: x * 1e12), "air mass", "983.05 hPa of dry", "check units"),
    "units of a stack": Refused(CB, attributes("variables_3d", units="kg"), "airmass", "units Pg, got units 'kg'", "as the benchmark wrote it"),
    "a stack upside down": Refused(CB, turned("level", "variables_3d"), "level", "moist below", "turn"),
    "moist air without vapour": Refused(CB, rows("variables_3d", "vari_3d", "q", lambda x: 0 * x), "humidity", "hPa of dry air", "humidity"),
    "a frame of a store left out": Refused(CB, taken(time=[0, 1, 2, 4, 5, 6, 7]), "time", "a gap of 1 frames", "fill the gap"),

    # --- CAMS
    "coefficients missing": Refused("CAMS", without("bp"), "bp", "variable", "as CAMS wrote it"),
    "hPa called Pa": Refused("CAMS", scaled(0.01, "Psurf"), "air mass", "983.05 hPa of dry", "check units"),
    "a longitude too many": Repaired("CAMS", meridian_again("longitude"), "the last longitude, which repeats the first, left out"),
    "a future name": Refused("CAMS", named(CO2="XCO2"), "XCO2", "u and v, flux, or co2", "rename"),
    "ppm called ppb": Refused("CAMS", in_turn(scaled(1e6, "CO2"), units(CO2="ppbv")), "co2", r"within 50\.\.5000 ppm", "check the units"),
    "coefficients that do not fall": Refused("CAMS", put("ap", 9e4, 3), "ap|bp|hlevel", "pressures that fall", "as CAMS wrote it"),
    "no month in the name": Refused("CAMS fluxes", in_turn(only(0), called("cams_fluxes.nc")), "time", "_YYYYMM", "by their own names"),
    "carbon called CO2": Refused("CAMS fluxes", units(flux_foss="kgCO2 m-2 month-1"), "flux_foss", "units kgC m-2 month-1", "as CAMS wrote it"),
    "a month left out": Refused("CAMS fluxes", a_month_later, "time", "months that follow", "every month"),
    "areas in km2": Refused("CAMS fluxes", scaled(1e-6, "area"), "area", "m2", "units"),
    "a part of CAMS missing": Refused("CAMS fluxes", without("flux_foss"), "flux_foss", "variable", "the sum of all three"),

    # --- ERA5 and MERRA-2
    "no humidity": Refused("ERA5", without("q"), "variable q", "variable", "download the specific humidity"),
    "no surface pressure": Refused("ERA5", only(0), "variable sp", "variable", "download the surface pressure"),
    "levels in Pa": Refused("ERA5", in_turn(axis("pressure_level", lambda p: 100 * p), units(pressure_level="Pa")),
        "level", "pressures in hPa", "pressure levels"),
    "levels in Pa called hPa": Refused("ERA5", axis("pressure_level", lambda p: 100 * p), "level", "hPa", "levels"),
    "lower levels alone": Refused("ERA5", taken(pressure_level=slice(0, 3)), "level", "hPa", "download"),
    "model levels": Refused("ERA5", named(pressure_level="model_level"), "model_level", "pressure levels", "download"),
    "surface pressure in hPa called Pa": Refused("ERA5", scaled(0.01, "sp"), "air mass", "983.05 hPa of dry", "check units"),
    "a hemisphere": Refused("ERA5", taken(latitude=slice(0, 7)), "lat", "pole to pole", "all latitudes"),
    "two versions": Refused("ERA5", rewritten(two_versions), "expver|u", "finite|dims", "leave|isel"),
    "a wind without units": Refused("ERA5", units(u=None), "variable u", "units m s-1", r'attrs\["units"\]'),
    "a cubed sphere": Refused("MERRA-2", in_turn(named(lat="Ydim", lon="Xdim"), without("Ydim", "Xdim")), "variable lat", "variable", "cubed sphere"),
    "layers against their thickness": Refused("MERRA-2", turned("lev", "DELP"), "level", "moist below", "turn"),
    "thickness in hPa called Pa": Refused("MERRA-2", scaled(0.01, "DELP"), "air mass", "983.05 hPa of dry", "check units"),
    "a NaN in v": Refused("MERRA-2", put("V", np.nan, 1, 2, 3, 4), ": v", "2 NaN", "leave those frames out"),
    "QV under another name": Refused("MERRA-2", named(QV="SPHU"), "QV", "variable", "inst3_3d_asm_Nv"),

    # --- GEOS-Chem
    "no file of the air": Refused("GEOS-Chem", only(0), "Met_DELPDRY", "variable", "StateMet file"),
    "levels against the coefficients": Refused("GEOS-Chem", taken(lev=BACK), "lev", "hybi", "as GEOS-Chem wrote"),
    "a name of version 15": Refused("GEOS-Chem", named(SpeciesConcVV_CO2="SpeciesConcVVDry_CO2"),
        "SpeciesConcVV_CO2", "variable", "SpeciesConc file"),
    "areas in km2, GEOS-Chem": Refused("GEOS-Chem", scaled(1e-6, "AREA"), "area", "m2", "units"),
    "kg per kg": Refused("GEOS-Chem", units(SpeciesConcVV_CO2="kg kg-1 dry"), "SpeciesConcVV_CO2", "a dry mole fraction", "multiply"),
    "collections of other dates": Refused("GEOS-Chem", one_of(later("time", days=1), 1), "time", "fit together", "same cells, levels and dates"),

    # --- inventories
    "no year in the name": Refused("GridFED", in_turn(only(0), called("fossil.nc")), "name", "a name with the year", "own name"),
    "kg of carbon": Refused("GridFED", attributes("CO2/TOTAL", units="kg C month-1"),
        "CO2/TOTAL", "totals per cell in kg month", "own totals"),
    "half a year": Refused("GridFED", in_turn(only(0), half_a_year), "2019", "12 intervals of a year, got 6", "a file like"),
    "GridFED without units": Refused("GridFED", attributes("CO2/TOTAL", units=None),
        "CO2/TOTAL", "totals per cell in kg month, got no units", "with their units"),
    "EDGAR without units": Refused("EDGAR", units(emissions=None), "emissions", "got no units attribute", "with their units"),
    "kilotonnes called tonnes": Repaired("EDGAR", scaled(1e-3, "emissions"), "suspicious: .* PgC"),
    "kg called tonnes": Refused("EDGAR", scaled(1e3, "emissions"), "flux", "PgC a year", "check the units"),
    "a year left out": Refused("EDGAR", of_another_year, "time", "follow one another", "between"),
    "EDGAR southward": Repaired("EDGAR", taken(lat=BACK), "latitudes turned northward"),
    "no areas": Refused("CarboScope", without("dxyp"), "dxyp", "variable", "as Jena wrote it"),
    "areas in km2, CarboScope": Refused("CarboScope", scaled(1e-6, "dxyp"), "area", "m2", "units"),
    "stamps six hours early": Refused("CarboScope", later("mtime", hours=-6), "time", "middle of intervals", "stamps"),
    "moles": Refused("CarboScope", units(co2flux_land="mol m-2 s-1"), "co2flux_land", "totals per cell in pgc yr", "own totals"),

    # --- observations
    "all flagged": Refused("ObsPack", rewritten(flagged(b"N..", slice(None))),
        "ObsPack", "some usable data, got 12 of 12 rejected by qcflag", "another file"),
    "some flagged": Repaired("ObsPack", rewritten(flagged(b".X.", 0)), "4 of 12 rejected by qcflag, left out"),
    "no flags": Repaired("ObsPack", without("qcflag"), "no qcflag: nothing is rejected"),
    "a value missing": Repaired("ObsPack", put("value", np.nan, 0), "1 of 12 without a value, left out"),
    "values without units": Refused("ObsPack", units(value=None), "value", "units ppm", r'attrs\["units"\]'),
    "ppm called mol mol-1, observed": Refused("ObsPack", scaled(1e6, "value"), "co2", "50 .. 5000 ppm", "check that it is CO2"),
    "another gas": Refused("ObsPack", scaled(0.005, "value"), "co2", "50 .. 5000 ppm", "check that it is CO2"),
    "an undeclared fill value": Refused("ObsPack", put("value", -999.99, 0), "co2", "50 .. 5000 ppm", "check"),
    "altitude in km": Refused("ObsPack", units(altitude="km"), "altitude", "units m", "m above sea level"),
    "seconds without units": Refused("ObsPack", time_units("time", None), "time", "dates", "seconds since 1970"),
    "dates of 1818": Refused("ObsPack", time_units("time", "seconds since 1770-01-01"), "time", "dates within 1900", "units of time"),
    "latitude and longitude swapped": Refused("ObsPack", rewritten(longitude_as_latitude), "lat", "degrees within -90 .. 90", "correct"),
    "a future name of value": Refused("ObsPack", named(value="co2_value"), "co2_value", "u and v, flux, or co2", "rename"),
    "places missing": Repaired("ObsPack", put("latitude", -1e34, 0), "1 of 12 without a time or a position, left out"),
    "all of bad quality": Refused("OCO-2", put("xco2_quality_flag", 1, slice(None)),
        "OCO-2", "some usable data, got 12 of 12 of bad quality", "another file"),
    "weights with the kernel": Refused("OCO-2", rewritten(kernel_in_weights),
        "pressure_weight", "weights that sum to 1", "without the averaging kernel"),
    "pressures without units": Refused("OCO-2", units(pressure_levels=None), "pressure_levels", "units Pa", r'attrs\["units"\]'),
    "a future name of xco2": Refused("OCO-2", named(xco2="xco2_bc"), "variable xco2", "variable", "as its maker wrote it"),
    "mol mol-1 called ppm": Refused("OCO-2", scaled(1e-6, "xco2"), "xco2", "50 .. 5000 ppm", "check"),
    "a sounding missing": Repaired("OCO-2", put("xco2", np.nan, 0), "1 of 12 without a value or a time, left out"),
    "a kernel missing": Repaired("OCO-2", put("xco2_averaging_kernel", np.nan, 0), "1 with NaN or a fill value"),
    "no kernel at all": Refused("OCO-2", put("xco2_averaging_kernel", np.nan, slice(None)), "OCO-2", "some usable data", "another file"),
    "surface pressure without units": Refused("OCO-2 MIP", units(psurf=None), "psurf", "units Pa", r'attrs\["units"\]'),
    "no sigma": Refused("OCO-2 MIP", without("sigma_levels"), "xco2", "u and v, flux, or co2", "rename"),
    "no water in the prior": Refused("TCCON", without("prior_h2o"), "prior_h2o", "variable", "cannot be dried"),
    "a dry prior": Refused("TCCON", attributes("prior_co2", standard_name="dry_atmosphere_mole_fraction_of_carbon_dioxide"),
        "prior_co2", "a wet mole fraction", "GGG2020"),
    "water in percent": Refused("TCCON", scaled(100, "prior_h2o"), "prior_h2o", "below 0.1", "check its units"),
    "other levels": Refused("TCCON", axis("ak_altitude", lambda z: z + 1), "ak_altitude", "levels of the prior", "GGG2020"),
    "an operator of others": Repaired("TCCON", rewritten(another_operator), "1 of 12 whose integration operator does not give prior_xco2"),

    # --- our own stores
    "winds without units": Refused("winds", units(u=None), ": u", "units m s-1, got no units", r'attrs\["units"\]'),
    "winds in K": Refused("winds", units(v="K"), ": v", "units m s-1, got units 'K'", "convert v"),
    "pressure in hPa called Pa": Refused("winds", scaled(0.01, "surface_pressure"), "surface_pressure", "within 30000..120000 Pa", "check the units"),
    "pressure in hPa": Repaired("winds", in_turn(scaled(0.01, "surface_pressure"), units(surface_pressure="hPa")),
        r"surface_pressure converted from hPa to Pa \(times 100\)"),
    "a NaN in u": Refused("winds", put("u", np.nan, 2, 0, 0, 0), ": u", "1 NaN or infinite, the first at time=2", "leave those frames out"),
    "southward": Refused("winds", taken(lat=BACK), ": lat", "south to north", "sortby"),
    "upside down": Refused("winds", in_turn(taken(level=BACK, level_interface=BACK), axis("level", lambda x: x[::-1])),
        "hybrid_a, hybrid_b", "pressures that fall", "reverse both"),
    "no coefficients": Refused("winds", without("hybrid_a"), "hybrid_a", "variable", "add it"),
    "dates of 1801": Refused("winds", time_units("time", "hours since 1801-01-01"), ": time", "dates within 1900", "units of time"),
    "axes called otherwise": Repaired("winds", named(lat="latitude", lon="longitude"), "latitude renamed to lat"),
    "fluxes of carbon": Refused("fluxes", units(flux="kgC m-2 s-1"), ": flux", "a mass of CO2", r"multiply by 3\.66"),
    "downward": Refused("fluxes", attributes("flux", standard_name="surface_downward_mass_flux_of_carbon_dioxide"),
        ": flux", "positive upward", "multiply by -1"),
    "umol": Repaired("fluxes", in_turn(scaled(1e6 / 44.0095e-3, "flux"), units(flux="umol m-2 s-1")), "flux converted from umol m-2 s-1"),
    "fifty times too much": Refused("fluxes", scaled(50, "flux"), ": flux", "PgC a year", "check the units"),
    "a meridian again": Refused("fluxes", meridian_again("lon"), ": lon", "each meridian once", r"isel\(lon"),
    "longitudes from -180 to 180, both": Refused("fluxes", axis("lon", lambda x: np.linspace(-180, 180, 16)),
        ": lon", "each meridian once", r"isel\(lon"),
    "a flux by its standard name": Repaired("fluxes",
        in_turn(named(flux="nee"), attributes("nee", standard_name="surface_upward_mass_flux_of_carbon_dioxide")), "nee renamed to flux"),
    "a state in kg per kg": Refused("initial", units(co2="kg kg-1"), ": co2", "a dry mole fraction", "multiply kg per kg"),
    "levels counted down": Refused("initial", axis("level", lambda x: x[::-1]), ": level", r"1\.\.3 from the surface up", "isel"),
    "a NaN in a member": Refused("ensemble", put("co2", np.nan, 1, 2, 0, 0, 0),
        ": co2", "1 NaN or infinite, the first at member=1", "leave those frames out"),
    "cells in km2": Refused("ensemble", scaled(1e-6, "cell_area"), "cell_area", "m2", "units"),
    "fluxes three hours late": Refused("winds and fluxes", one_of(later("time", hours=3), 1),
        "winds and fluxes: time", "at least 2 common frames", "same hours of the day"),
    "fluxes on other cells": Refused("winds and fluxes", one_of(taken(lon=slice(None, None, 2)), 1), "fluxes: lon", "16 from", "regrid"),
}
# fmt: on
