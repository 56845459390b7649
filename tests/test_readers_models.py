"""CarbonBench, CAMS and GEOS-Chem read back to the same fields, close, and are refused where something cannot be known."""

import zipfile

import numpy as np
import pytest
import xarray as xr

from gencarbon.data.files import open_dataset
from gencarbon.data.readers import open_source, read
from gencarbon.errors import InputError
from gencarbon.grid import LatLonGrid
from tests.layouts_models import (
    M_AIR_BENCHMARK,
    M_CO2_BENCHMARK,
    POLAR,
    cams_concentration,
    cams_flux,
    carbonbench,
    carbonbench_closed,
    geoschem_14,
)


def refused(ds):
    """The message with which `ds` is refused, one line."""
    with pytest.raises(InputError) as error:
        read(ds)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_carbonbench_closes_and_a_thousandth_of_the_flux_is_seen(tmp_path):
    def error(scale):
        """The largest relative error of d(total CO2) = flux x area x dt in one step, in the benchmark's molar masses."""
        made = read(open_source([carbonbench_closed(tmp_path, scale)]))
        mass = made.co2 * 1e-6 * M_CO2_BENCHMARK / M_AIR_BENCHMARK * made.air_mass
        total = mass.sum(("level", "lat", "lon")).values
        seconds = np.diff(made.time_bounds.values, axis=1)[:, 0] / np.timedelta64(1, "s")
        given = (made.flux * made.cell_area).sum(("lat", "lon")).values * seconds
        assert (given / total > 5e-4).all()  # large enough for float32 to tell 1e-5 of it
        return np.abs(np.diff(total) / given[:-1] - 1).max()

    assert error(1.0) < 1e-5
    assert error(1.001) > 5e-4


def test_the_benchmarks_larger_cells_do_not_make_moist_air_dry(tmp_path):
    made = read(open_source(carbonbench(tmp_path)))
    assert "found to be moist" in made.attrs["repairs"]
    pressure = made.air_mass[0].sum() * 9.80665 / made.cell_area.sum()
    assert abs(pressure - 98305) > 122  # weighed on them, dry air would be neither dry nor moist


def test_carbonbench_is_refused(tmp_path):
    ds = open_source(carbonbench(tmp_path))
    assert "expected variable co2flux_ocean" in refused(ds.isel(vari_2d=slice(0, 4)))
    assert "expected variable variables_2d" in refused(ds[["variables_3d"]])
    wrong = ds.assign(variables_3d=ds.variables_3d.assign_attrs(units="kg"))
    assert "variable airmass in variables_3d: expected units Pg, got units 'kg'" in refused(wrong)
    heavy = xr.where(ds.vari_3d == "airmass", 1.1, 1.0).astype(np.float32)
    assert "of dry or 985.49 hPa of moist air" in refused(ds.assign(variables_3d=ds.variables_3d * heavy))
    assert "fluxes at even intervals" in refused(ds.isel(time=[0]))


def test_a_zip_that_is_no_zarr_store_is_refused(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "folder.zarr.zip", "w") as held:
        held.writestr("folder.zarr/.zgroup", '{"zarr_format": 2}')
    for name in ("text.zip", "folder.zarr.zip"):
        with pytest.raises(InputError, match="expected a readable Zarr store, got .*; copy") as error:
            open_dataset(tmp_path / name)
        assert "\n" not in str(error.value)


def test_cams_concentrations_are_refused(tmp_path):
    ds = open_source(cams_concentration(tmp_path))
    assert "expected variable bp" in refused(ds.drop_vars("bp"))
    assert "expected units ppm" in refused(ds.assign(CO2=ds.CO2.assign_attrs(units="K")))
    assert "no units attribute" in refused(ds.assign(Psurf=ds.Psurf.drop_attrs()))
    thin = ds.assign(Psurf=(ds.Psurf * 0.9).assign_attrs(units="Pa"))
    assert "of dry or 985.49 hPa of moist air" in refused(thin)


def test_dry_air_of_cams_is_found_to_be_dry_and_levels_from_the_top_are_turned(tmp_path):
    ds = open_source(cams_concentration(tmp_path))
    dry = ds.assign(Psurf=(ds.Psurf * (98305 / 98549)).assign_attrs(units="Pa"))
    made, turned = read(dry), read(dry.isel(level=slice(None, None, -1), hlevel=slice(None, None, -1)))
    assert "air_mass" in made and "moist_air_mass" not in made
    assert "levels turned" in turned.attrs["repairs"] and "levels turned" not in made.attrs["repairs"]
    assert np.array_equal(made.co2, turned.co2) and np.allclose(made.air_mass, turned.air_mass, rtol=1e-12)


def test_cams_fluxes_are_refused(tmp_path):
    paths = cams_flux(tmp_path)
    ds = open_source(paths[:1])
    assert "expected variable flux_foss" in refused(ds.drop_vars("flux_foss"))
    wrong = ds.assign(flux_foss=ds.flux_foss.assign_attrs(units="kgCO2 m-2 month-1"))
    assert "flux_foss: expected units kgC m-2 month-1, got units 'kgCO2 m-2 month-1'" in refused(wrong)
    gap = open_source(paths).copy()
    gap["time_bounds"] = gap.time_bounds - xr.where(
        gap.time == gap.time[0], np.timedelta64(1, "D"), np.timedelta64(0)
    )
    assert "months that follow one another" in refused(gap)


@pytest.mark.parametrize("name", ["fluxes.nc", "cams73_latest_co2_flux_surface_mm_202013.nc"])
def test_a_cams_flux_without_a_month_in_its_name_is_refused(name, tmp_path):
    path = cams_flux(tmp_path)[0].rename(tmp_path / name)
    with pytest.raises(
        InputError, match=r"expected one month, in a file named \.\.\._YYYYMM\.nc, got the name"
    ):
        open_source([path])


def test_a_time_axis_in_a_cams_flux_file_yields_to_the_name(tmp_path):
    paths = []
    for path in cams_flux(tmp_path):
        (path.parent / "older").mkdir(exist_ok=True)
        with xr.open_dataset(path) as ds:
            useless = ds.expand_dims(time=np.array(["1979-01-01"], "datetime64[ns]"))
            useless.to_netcdf(
                path.parent / "older" / f"z_cams_l_lsce_{path.stem[-6:]}_FT18r1_ra_sfc_mm_co2flux.nc"
            )
        paths.append(path)
    older = read(open_source((tmp_path / "older").iterdir()))
    xr.testing.assert_allclose(older, read(open_source(paths)), rtol=1e-12)
    assert str(older.time.values[1])[:10] == "2020-02-01"


def test_geoschem_is_refused(tmp_path):
    paths = geoschem_14(tmp_path)
    ds = open_source(paths)
    assert "give the StateMet file of the same dates along" in refused(open_source(paths[:1]))
    assert "expected variable SpeciesConcVV_CO2" in refused(open_source(paths[1:2]))
    wrong = ds.SpeciesConcVV_CO2.assign_attrs(units="kg kg-1 dry")
    assert "a dry mole fraction" in refused(ds.assign(SpeciesConcVV_CO2=wrong))
    heavy = ds.assign(Met_DELPDRY=(ds.Met_DELPDRY * 1.1).assign_attrs(units="hPa"))
    assert "of dry or 985.49 hPa of moist air" in refused(heavy)


def test_geoschem_weighs_by_its_own_mass_and_areas(tmp_path):
    ds = open_source(geoschem_14(tmp_path))
    made = read(ds)
    from_mass = read(ds.drop_vars("Met_DELPDRY"))
    np.testing.assert_allclose(from_mass.air_mass, made.air_mass, rtol=1e-6)
    moist = ds.drop_vars("Met_DELPDRY").assign(Met_AD=(ds.Met_AD * (98549 / 98305)).assign_attrs(units="kg"))
    assert "air_mass" not in read(moist) and "moist_air_mass" in read(moist)
    flipped = read(ds.isel(lev=slice(None, None, -1), ilev=slice(None, None, -1)))
    assert np.array_equal(flipped.co2, made.co2)
    assert np.allclose(
        LatLonGrid.from_dataset(made).area, POLAR.area
    )  # rows at the poles are told to be half as high
