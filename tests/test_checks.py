"""Every bad input: one clear line (where, expected, got, what to do), before any work; nothing is written."""

import os

import numpy as np
import pytest
import xarray as xr

from gencarbon.data.checks import check_sampling_inputs, refuse_existing
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from tests import canonical as build


def check(
    winds=None,
    fluxes=None,
    background=None,
    initial=None,
    grid=build.GRID,
    levels=build.LEVELS,
    step=build.STEP_SECONDS,
):
    given = [
        build.winds() if winds is None else winds,
        build.fluxes() if fluxes is None else fluxes,
        background,
        initial,
    ]
    return check_sampling_inputs(*given, grid, levels, step)


def units(name, value, **attrs):
    def change(ds):
        ds[name].attrs.pop("units", None)
        ds[name].attrs |= attrs | ({} if value is None else {"units": value})
        return ds

    return change


def put(name, value, at=2):
    def change(ds):
        ds[name][at] = value
        return ds

    return change


def shifted(ds):
    return ds.assign_coords(lon=(ds.lon - 180).assign_attrs(ds.lon.attrs))


def repeated_meridian(ds):
    return xr.concat([ds, ds.isel(lon=[0]).assign_coords(lon=ds.lon[[0]] + 360)], "lon", data_vars="minimal")


def late(ds):
    return ds.assign_coords(time=ds.time.where(ds.time < ds.time[4], ds.time + np.timedelta64(1, "h")))


def upside_down(ds):
    return ds.isel(level=slice(None, None, -1), level_interface=slice(None, None, -1)).assign_coords(
        level=[1, 2, 3]
    )


# role, change, words of the message
BAD = {
    "variable missing": ("winds", lambda ds: ds.drop_vars("v"), "variable v", "ds.rename"),
    "unit missing": ("fluxes", units("flux", None), "no units attribute", "kg m-2 s-1"),
    "unit wrong": ("winds", units("u", "K"), "'K'", "m s-1"),
    "unit unknown": ("fluxes", units("flux", "lots per day"), "'lots per day'", "kg m-2 s-1"),
    "flux of carbon": ("fluxes", units("flux", "kgC m-2 s-1"), "mass of carbon", "3.664"),
    "flux of carbon, spaced": ("fluxes", units("flux", "g C m-2 d-1"), "mass of carbon", "3.664"),
    "flux expressed as carbon": (
        "fluxes",
        units("flux", "kg m-2 s-1", standard_name="x_expressed_as_carbon"),
        "expressed_as_carbon",
        "3.664",
    ),
    "flux downward": (
        "fluxes",
        units("flux", "kg m-2 s-1", standard_name="surface_downward_mass_flux_of_x"),
        "upward",
        "-1",
    ),
    "mass mixing ratio": ("background", units("co2", "kg kg-1"), "'kg kg-1'", "658147"),
    "plain ratio": ("background", units("co2", "1", standard_name=""), "'1'", "mole fraction"),
    "latitudes in radians": ("winds", units("lat", "radian"), "lat", "degrees_north"),
    "text": ("fluxes", lambda ds: ds.assign(flux=ds.flux.astype(str)), "dtype", "floating point"),
    "NaN": (
        "winds",
        put("u", np.nan),
        "384 NaN or infinite, the first at time=2, level=0, lat=0, lon=0",
        "leave those frames out",
    ),
    "infinity": ("fluxes", put("flux", np.inf), "time=2", "leave those frames out"),
    "NaN in the initial state": ("initial", put("co2", np.nan), "128 NaN", "level=2"),
    "latitudes descending": (
        "winds",
        lambda ds: ds.isel(lat=slice(None, None, -1)),
        "south to north",
        'ds.sortby("lat")',
    ),
    "latitude twice": (
        "fluxes",
        lambda ds: ds.isel(lat=[0, 1, 1, 2, 3, 4, 5, 6, 7]),
        "2 times",
        'drop_duplicates("lat")',
    ),
    "latitudes of one half": (
        "winds",
        lambda ds: ds.isel(lat=slice(4, None)),
        "pole to pole",
        "all latitudes",
    ),
    "longitudes descending": (
        "winds",
        lambda ds: ds.isel(lon=slice(None, None, -1)),
        "eastward",
        'ds.sortby("lon")',
    ),
    "longitudes from -180": ("winds", shifted, "first longitude in [0, 22.5)", "% 360"),
    "meridian again": ("fluxes", repeated_meridian, "each meridian once", "isel(lon=slice(None, -1))"),
    "longitudes of a region": (
        "winds",
        lambda ds: ds.isel(lon=slice(0, 5)),
        "round the globe",
        "global fields",
    ),
    "gap in time": (
        "winds",
        lambda ds: ds.isel(time=[0, 1, 2, 3, 6, 7, 8]),
        "a gap of 2 frames between 2001-01-01T18:00:00",
        "fill the gap",
    ),
    "uneven time": ("fluxes", late, "7 h", "one even step"),
    "date twice": ("winds", lambda ds: ds.isel(time=[0, 1, 1, 2]), "same date twice", "drop_duplicates"),
    "time backward": (
        "fluxes",
        lambda ds: ds.isel(time=slice(None, None, -1)),
        "a step back",
        'sortby("time")',
    ),
    "time without dates": (
        "winds",
        lambda ds: ds.assign_coords(time=np.arange(9)),
        "datetime64",
        "standard calendar",
    ),
    "one frame": ("winds", lambda ds: ds.isel(time=[0]), "at least 2 frames", "longer period"),
    "hybrid missing": ("winds", lambda ds: ds.drop_vars("hybrid_a"), "hybrid_a", "add it"),
    "levels from the top": ("winds", upside_down, "surface first", "level_interface=slice(None, None, -1)"),
    "levels counted down": (
        "background",
        lambda ds: ds.isel(level=slice(None, None, -1)),
        "1..3 from the surface up",
        "isel(level",
    ),
    "too few interfaces": (
        "winds",
        lambda ds: ds.isel(level_interface=slice(0, 3)),
        "4 interfaces for 3 levels",
        "surface first",
    ),
    "a level missing": ("background", lambda ds: ds.isel(level=[0, 2]), "1..2", "assign_coords"),
    "pressure in hPa called Pa": (
        "winds",
        lambda ds: ds.assign(surface_pressure=(ds.surface_pressure / 100).assign_attrs(units="Pa")),
        "30000..120000",
        "check the units",
    ),
    "CO2 in mol/mol called ppm": (
        "background",
        lambda ds: ds.assign(co2=(ds.co2 * 1e-6).assign_attrs(ds.co2.attrs)),
        "50..5000",
        "check the units",
    ),
    "flux too large": ("fluxes", put("flux", 1e-3), "0.001 kg m-2 s-1", "check the units"),
    "wind too strong": ("winds", put("u", -250.0), "-250 m s-1", "check the units"),
    "dim too many": ("fluxes", lambda ds: ds.expand_dims(sector=2), "sector", "ds.isel"),
    "other step": (
        "fluxes",
        lambda ds: ds.isel(time=slice(None, None, 2)),
        "step of 6 h, got 12 h",
        "interpolate",
    ),
    "other period": (
        "fluxes",
        lambda ds: build.fluxes(start="2002-01-01"),
        "2 common frames, got 0",
        "same period",
    ),
    "other hours": (
        "fluxes",
        lambda ds: build.fluxes(start="2001-01-01T03"),
        "2 common frames, got 0",
        "same hours of the day",
    ),
    "one common frame": (
        "fluxes",
        lambda ds: build.fluxes(start="2001-01-03"),
        "2 common frames, got 1",
        "same period",
    ),
    "one face flux": (
        "winds",
        lambda ds: ds.assign(eastward_air_mass_flux=ds.u.assign_attrs(units="kg s-1")),
        "alone",
        "drop",
    ),
    "initial date": (
        "initial",
        lambda ds: build.initial("2001-01-02"),
        "first common frame, 2001-01-01",
        "drop_vars",
    ),
    "many initial dates": ("initial", lambda ds: build.background(3), "one date, got 3 dates", "ds.sel"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    role, change, *words = BAD[case]
    with pytest.raises(InputError, match=rf"^(winds and )?{role}.*: expected .*, got .*; ") as caught:
        check(**{role: change(getattr(build, role)())})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert not list(tmp_path.iterdir())


MODEL = {
    "grid": ({"grid": LatLonGrid.equiangular(16, 32)}, "winds: lat", "regrid"),
    "longitude": (
        {"grid": LatLonGrid(build.GRID.lat_bounds, tuple(np.array(build.GRID.lon_bounds) - 11.25))},
        "winds: lon",
        "regrid",
    ),
    "levels": ({"levels": HybridLevels.sigma(8)}, "8 levels of the checkpoint, got 3", "interpolate"),
    "hybrid": ({"levels": HybridLevels((0, 0, 0, 0), (1, 0.8, 0.3, 0))}, "hybrid_b", "interpolate"),
    "step": ({"step": 3600.0}, "step of 1 h, got 6 h", "checkpoint"),
}


@pytest.mark.parametrize("case", MODEL)
def test_a_checkpoint_made_for_other_data_is_refused(case):
    change, *words = MODEL[case]
    with pytest.raises(InputError, match=r"expected .*, got .*; ") as caught:
        check(**change)
    assert all(word in str(caught.value) for word in words)


def test_good_input_passes_without_a_note():
    out = check(background=build.background(), initial=build.initial())
    assert out.notes == ()
    assert out.winds.sizes["time"] == 9
    np.testing.assert_array_equal(out.fluxes.lat, build.GRID.lat)


def test_what_is_cut_is_said():
    out = check(fluxes=build.fluxes(13, "2000-12-31T12"), background=build.background(20))
    for ds in (out.winds, out.fluxes, out.background):
        np.testing.assert_array_equal(ds.time, build.winds().time)
    assert len(out.notes) == 2
    assert "fluxes: cut from 13 to the 9 common frames" in out.notes[0]


def test_single_precision_coordinates_are_the_same_grid():
    ds = build.winds()
    out = check(winds=ds.assign_coords({k: ds[k].astype(np.float32) for k in ("lat", "lon")}))
    np.testing.assert_array_equal(out.winds.lon, build.GRID.lon)


def test_an_output_that_exists_is_refused(tmp_path):
    (tmp_path / "e.zarr").mkdir()
    with pytest.raises(InputError, match="exists; choose another --out or delete it"):
        refuse_existing(tmp_path / "e.zarr")
    refuse_existing(tmp_path / "new.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]


def test_an_output_without_a_folder_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="mkdir -p"):
        refuse_existing(tmp_path / "no" / "e.zarr")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="can be written, got no permission; choose"):
        refuse_existing(tmp_path / "e.zarr")
