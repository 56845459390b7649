"""Files are opened or refused; canonical datasets pass unchanged; repairs are exact and stated."""

import numpy as np
import pytest
import xarray as xr

from gencarbon.constants import M_CO2
from gencarbon.data.files import open_dataset
from gencarbon.data.store import canonical
from gencarbon.errors import InputError
from tests import canonical as build


def test_a_zarr_store_is_opened_lazily(tmp_path):
    build.winds().to_zarr(tmp_path / "w.zarr", zarr_format=3, consolidated=False)
    ds = open_dataset(tmp_path / "w.zarr")
    assert ds.u.chunks is not None
    assert canonical(ds, "winds").u.chunks is not None
    np.testing.assert_array_equal(ds.u, build.winds().u)


def test_a_netcdf_file_is_opened(tmp_path):
    build.fluxes().to_netcdf(tmp_path / "f.nc", engine="scipy")
    xr.testing.assert_allclose(canonical(open_dataset(tmp_path / "f.nc"), "fluxes").flux, build.fluxes().flux)


def _damaged_zarr(path):
    path.mkdir()
    (path / "zarr.json").write_text("{")


UNREADABLE = {
    "missing.nc": (lambda p: None, "nothing at this path"),
    "text.nc": (lambda p: p.write_text("not netCDF"), "other content"),
    "empty.nc": (lambda p: p.write_bytes(b""), "empty file"),
    "table.csv": (lambda p: p.write_text("a,b"), "'.csv'"),
    "cut.nc": (lambda p: p.write_bytes(b"CDF\x01\x00"), "got"),
    "cut4.nc": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n\x00"), "h5netcdf"),
    "folder": (lambda p: p.mkdir(), "without zarr.json"),
    "folder.zarr": (_damaged_zarr, "expected a readable Zarr store"),
    "e.zarr.partial": (lambda p: p.mkdir(), "repeat the command"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_path_that_is_no_dataset_is_refused_in_one_line(tmp_path, name):
    make, said = UNREADABLE[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=r"expected .*, got .*; ") as caught:
        open_dataset(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("role", ["winds", "fluxes", "background", "reference", "initial"])
def test_a_canonical_dataset_passes_unchanged(role):
    ds = getattr(build, role)()
    out = canonical(ds, role)
    assert "repairs" not in out.attrs
    for name in out.data_vars:
        np.testing.assert_array_equal(out[name], ds[name])
    xr.testing.assert_identical(canonical(out, role), out)


def test_an_ensemble_passes(tiny_ensemble):
    out = canonical(tiny_ensemble[0], "ensemble")
    assert out.co2.dims == ("member", "time", "level", "lat", "lon")


UNITS = {
    "background": [
        ("co2", u, f)
        for u, f in (
            ("mol mol-1", 1e-6),
            ("ppm", 1.0),
            ("ppb", 1e3),
            ("umol mol-1", 1.0),
            ("1e-6 mol mol-1", 1.0),
        )
    ],
    "winds": [
        ("surface_pressure", "hPa", 1e-2),
        ("surface_pressure", "mb", 1e-2),
        ("u", "km h-1", 3.6),
        ("v", "m s**-1", 1.0),
    ],
    "fluxes": [
        ("flux", "g m-2 s-1", 1e3),
        ("flux", "kg CO2 m-2 s-1", 1.0),
        ("flux", "g/m^2/day", 86400e3),
        ("flux", "umol m-2 s-1", 1e6 / M_CO2),
        ("flux", "micromol/m2/s", 1e6 / M_CO2),
        ("flux", "mol C m-2 s-1", 1 / M_CO2),
        ("flux", "umolCO2 m-2 s-1", 1e6 / M_CO2),
    ],
}


@pytest.mark.parametrize(
    ("role", "name", "units", "factor"), [(r, *case) for r, cases in UNITS.items() for case in cases]
)
def test_compatible_units_are_converted_and_stated(role, name, units, factor):
    ds = getattr(build, role)()
    expected = ds[name].values.copy()
    ds[name] = (ds[name] * factor).assign_attrs(ds[name].attrs | {"units": units})
    out = canonical(ds, role)
    np.testing.assert_allclose(out[name], expected, rtol=1e-12)
    assert out[name].attrs["units"] == getattr(build, role)()[name].attrs["units"]
    assert (factor == 1.0) != (f"{name} converted from {units}" in out.attrs.get("repairs", ""))


@pytest.mark.parametrize("by_attributes", [True, False])
def test_axes_with_other_names_are_found(by_attributes):
    new = {"lat": "phi", "lon": "lambda"} if by_attributes else {"lat": "latitude", "lon": "longitude"}
    ds = build.background().rename(new)
    if not by_attributes:
        for name in new.values():
            ds[name].attrs = {}
    out = canonical(ds.transpose(*reversed(ds.co2.dims), ...), "background")
    np.testing.assert_array_equal(out.co2, build.background().co2)
    assert "renamed to lat" in out.attrs["repairs"]


def test_realization_becomes_member(tiny_ensemble):
    out = canonical(tiny_ensemble[0].rename(member="realization"), "ensemble")
    np.testing.assert_array_equal(out.co2, tiny_ensemble[0].co2)


def test_a_variable_is_found_by_its_standard_name():
    out = canonical(build.winds().rename(u="ua", surface_pressure="ps"), "winds")
    np.testing.assert_array_equal(out.u, build.winds().u)
    assert "ua renamed to u" in out.attrs["repairs"]


def test_values_are_checked_in_every_block():
    ds = build.background()
    ds.co2[7, 1, 2, 3] = np.nan
    for chunks in (None, {"time": 2, "lon": 5}):
        with pytest.raises(InputError, match="1 NaN or infinite, the first at time=7, level=1, lat=2, lon=3"):
            canonical(ds if chunks is None else ds.chunk(chunks), "background")


def test_an_initial_state_keeps_its_date_and_loses_the_axis():
    one = canonical(build.background(1), "initial")
    assert one.co2.dims == ("level", "lat", "lon")
    assert one.time.values == build.background(1).time.values[0]
