"""ERA5, MERRA-2 and GEOS-FP weather, and inventories of fluxes, read back to the same fields."""

import h5py
import numpy as np
import pytest
import xarray as xr

from gencarbon.data.readers import open_source, read, reader_of
from gencarbon.errors import InputError
from tests import layouts
from tests import layouts_weather as weather
from tests.layouts_weather import LAYOUTS

G = 9.80665
WEATHER = [write for write, (_, names) in LAYOUTS.items() if "u" in names]


@pytest.mark.parametrize("write", WEATHER, ids=lambda f: f.__name__)
def test_dry_air_of_a_column_weighs_its_surface_pressure(write, tmp_path):
    made = read(open_source(write(tmp_path)))
    weight = made.air_mass.sum("level") * G / made.cell_area
    np.testing.assert_allclose(weight, made.surface_pressure, rtol=1e-12)
    assert float(weight.weighted(made.cell_area).mean()) == pytest.approx(98305, rel=1e-6)


def test_levels_of_era5_under_the_ground_hold_no_air(tmp_path):
    made = read(open_source(weather.era5(tmp_path)))
    surface = weather.surface_moist()
    assert surface.min() < 85000  # levels of 1000, 925 and 850 hPa lie under that mountain
    ground = 50 * (weather.LEVELS[:-1] + weather.LEVELS[1:])[None, :, None, None] > surface[:, None]
    assert ground.any((0, 2, 3)).tolist() == [True, True, False, False, False]
    assert np.array_equal(made.air_mass.values[:, :-1] == 0, ground)
    assert (made.air_mass.values[:, -1] > 0).all()


def test_the_flux_carries_what_the_files_say(tmp_path):
    for write, variable, kg in ((weather.gridfed, "CO2/TOTAL", 1.0), (weather.edgar, "emissions", 1e3)):
        paths = write(tmp_path)
        written = sum(float(h5py.File(path)[variable][()].astype(np.float64).sum()) * kg for path in paths)
        made = read(open_source(paths))
        seconds = (made.time_bounds[:, 1] - made.time_bounds[:, 0]) / np.timedelta64(1, "s")
        assert float((made.flux * made.cell_area * seconds).sum()) == pytest.approx(written, rel=1e-12)


def test_one_of_several_files_is_known_and_ours_are_not(tmp_path):
    pressure, surface = weather.era5(tmp_path)
    assert reader_of(xr.open_dataset(pressure)).name == reader_of(xr.open_dataset(surface)).name
    ours = xr.Dataset({name: ((), 0.0) for name in ("u", "v", "surface_pressure", "hybrid_a", "hybrid_b")})
    assert reader_of(ours) is None
    assert reader_of(ours.expand_dims(model_level=3)) is None
    (path,) = layouts.carbontracker_molefraction(tmp_path)
    assert reader_of(xr.open_dataset(path)).name.startswith("CarbonTracker")


def test_one_file_opened_by_xarray_alone_finds_its_date(tmp_path):
    made = read(xr.open_dataset(weather.edgar(tmp_path)[0]))
    assert made.time.values.astype("datetime64[D]").tolist() == [np.datetime64("2019-01-01").item()]


def test_mass_fluxes_are_left_out_with_a_note(tmp_path):
    made = read(open_source(weather.geos_fp(tmp_path)))
    assert "MFXC not read: sums over 450 s" in made.attrs["repairs"]


def without(name):
    return lambda ds: ds.drop_vars(name)


def units(name, text):
    return lambda ds: ds.assign({name: ds[name].assign_attrs(units=text)})


def named(name):
    def renamed(ds):
        ds = ds[["emissions"]].isel(time=0, drop=True)
        ds.encoding["source"] = name
        return ds

    return renamed


REFUSED = {
    "humidity missing": (
        weather.era5,
        without("q"),
        "variable q.* moist air: download the specific humidity",
    ),
    "pressure levels alone": (weather.era5, without("sp"), "variable sp.* download the surface pressure"),
    "surface alone": (weather.era5, lambda ds: ds[["sp"]], "variable u.* download the wind"),
    "model levels": (
        weather.era5,
        lambda ds: ds.rename(pressure_level="model_level"),
        "expected pressure levels, got 6 model levels on model_level",
    ),
    "levels in other units": (
        weather.era5,
        units("pressure_level", "Pa"),
        "several pressures in hPa, got 6 in 'Pa'",
    ),
    "one level": (
        weather.era5,
        lambda ds: ds.isel(pressure_level=slice(1)),
        "several pressures in hPa, got 1 in",
    ),
    "half of the meridians": (
        weather.era5,
        lambda ds: ds.isel(longitude=slice(0, 12)),
        "once round the globe",
    ),
    "one hemisphere": (weather.era5, lambda ds: ds.isel(latitude=slice(0, 6)), "from pole to pole"),
    "mass fluxes alone": (weather.merra2, without("U"), "variable U.* collection inst3_3d_asm_Nv"),
    "cubed sphere": (
        weather.merra2,
        lambda ds: ds.rename(lat="Ydim", lon="Xdim").drop_vars(["Xdim", "Ydim"]),
        "variable lat.* not on a cubed sphere",
    ),
    "a northern globe": (weather.merra2, lambda ds: ds.isel(lat=slice(6, None)), "from pole to pole"),
    "a flux per area": (
        weather.gridfed,
        units("CO2/TOTAL", "kg CO2 m-2 month-1"),
        "totals per cell in kg month, got units 'kg CO2 m-2 month-1'",
    ),
    "tonnes per area": (weather.edgar, units("emissions", "t km-2 yr-1"), "totals per cell in tonnes"),
    "mass of carbon": (weather.gridfed, units("CO2/TOTAL", "kg C month-1"), "got units 'kg C month-1'"),
    "mole per area": (weather.carboscope, units("co2flux_land", "mol m-2 s-1"), "totals per cell in pgc yr"),
    "areas missing": (weather.carboscope, without("dxyp"), "variable dxyp.* as Jena wrote it"),
    "part of the globe": (weather.edgar, lambda ds: ds.isel(lat=slice(0, 6)), "from pole to pole"),
    "no year": (weather.edgar, named("emissions.nc"), "a name with the year, as EDGAR.*, got 'emissions.nc'"),
    "a year of release alone": (
        weather.edgar,
        named("EDGAR_2024_GHG_CO2_TOTALS_emi.nc"),
        "name with the year",
    ),
    "another gas": (weather.edgar, named("EDGAR_2024_GHG_CH4_2020_TOTALS_emi.nc"), "name with the year"),
    "a year of months": (
        weather.gridfed,
        lambda ds: ds.isel(time=slice(0, 7)).drop_vars("time_bounds"),
        "expected 12 intervals of a year, got 7",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_known_is_refused(case, tmp_path):
    write, damage, message = REFUSED[case]
    ds = open_source(write(tmp_path))
    path = ds.encoding.get("source")
    damaged = damage(ds)
    damaged.encoding.setdefault("source", path)
    with pytest.raises(InputError, match=message) as refused:
        read(damaged)
    assert "\n" not in str(refused.value)
