"""Footprints as a user asks for them: a file of winds in, a CF file out."""

import canonical
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import gencarbon
from gencarbon.cli import app
from gencarbon.errors import InputError


def test_a_footprint_of_a_station_and_of_a_column():
    winds = canonical.winds(6)
    station = gencarbon.footprint(winds, 10.0, -30.0)
    assert (
        dict(station.footprint.sizes) == {"time": 5, "lat": 8, "lon": 16}
        and float(station.footprint.min()) > -0.1
    )
    assert float(station.initial_sensitivity.sum()) == pytest.approx(1, abs=1e-10)
    assert (
        station.footprint.attrs["units"] == "1e-6 umol-1 m2 s"
        and station.attrs["receptor"] == "10 N, -30 E, level 1"
    )
    column = gencarbon.footprint(winds, 10.0, -30.0, level=None)
    assert float(column.footprint.sum()) < float(
        station.footprint.sum()
    )  # the surface feels its fluxes first
    layers = winds.sizes["level"]
    kernel = gencarbon.footprint(winds, 10.0, -30.0, level=None, averaging_kernel=np.full(layers, 0.5))
    assert np.allclose(kernel.footprint, 0.5 * column.footprint)


def test_what_a_footprint_refuses():
    winds = canonical.winds(6)
    with pytest.raises(InputError, match="at least 2 frames"):
        gencarbon.footprint(winds.isel(time=slice(0, 1)), 0, 0)
    with pytest.raises(InputError, match="levels of the winds, got shape"):
        gencarbon.footprint(winds, 0, 0, level=None, averaging_kernel=np.ones(17))
    with pytest.raises(InputError, match="belongs to a column, got level=2"):
        gencarbon.footprint(winds, 0, 0, level=2, averaging_kernel=np.ones(3))


def test_the_command_writes_a_file_once(tmp_path):
    canonical.winds(6).to_netcdf(tmp_path / "winds.nc", engine="h5netcdf")
    call = [
        "footprint",
        str(tmp_path / "winds.nc"),
        "--lat",
        "45",
        "--lon",
        "8",
        "--out",
        str(tmp_path / "f.nc"),
    ]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    made = xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf")
    xr.testing.assert_allclose(made, gencarbon.footprint(canonical.winds(6), 45, 8))
    assert isinstance(CliRunner().invoke(app, call).exception, InputError)  # never over an existing file
    both = [*call[:-1], str(tmp_path / "g.nc"), "--level", "2", "--column"]
    assert "--column and --level" in str(CliRunner().invoke(app, both).exception)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.nc", "winds.nc"]
