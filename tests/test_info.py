"""What a file is and whether sampling would take it."""

import io

import numpy as np
import pytest
from rich.console import Console

from gencarbon.constants import SECONDS_PER_YEAR, kg_co2_to_pgc
from gencarbon.data.info import check_files, describe_file, roles_of
from tests import canonical as build


def store(ds, path):
    ds.to_zarr(path, zarr_format=3, consolidated=False)
    return path


@pytest.mark.parametrize("role", ["winds", "fluxes", "background", "reference", "initial"])
def test_the_role_is_guessed(role, tmp_path):
    path = store(getattr(build, role)(), tmp_path / "x.zarr")
    assert describe_file(path)[1]["role"] == role
    assert [(f.role, f.ok) for f in check_files([path])] == [(role, True)]


def test_an_ensemble_and_a_mixed_file_are_known(tiny_ensemble):
    assert roles_of(tiny_ensemble[0]) == ("ensemble",)
    assert roles_of(build.winds().merge(build.fluxes(), compat="override")) == ("winds", "fluxes")


def test_a_flux_file_states_pgc_per_year(tmp_path):
    ds = build.fluxes()
    table, facts = describe_file(store(ds, tmp_path / "f.zarr"))
    total = (ds.flux.values * build.GRID.area).sum((1, 2)).mean() * SECONDS_PER_YEAR
    np.testing.assert_allclose(facts["flux_pgc_per_year"], kg_co2_to_pgc(total), rtol=1e-12)
    assert facts["step"] == "6 h"
    assert facts["sizes"] == {"time": 9, "lat": 8, "lon": 16}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    assert "kg m-2 s-1" in console.export_text()


def test_a_file_of_winds_states_how_far_it_is_from_closing(tmp_path):
    ds = build.winds()
    facts = describe_file(store(ds, tmp_path / "w.zarr"))[1]
    assert (
        facts["closure_pressure_hpa_per_day"] > 1
        and facts["closure_wind_m_s"] > facts["closure_correction_m_s"] > 0
    )
    zonal = ds.assign(
        u=ds.u.mean("lon") + 0 * ds.u, v=0 * ds.v, surface_pressure=0 * ds.surface_pressure + 1e5
    )
    for name in ("u", "v", "surface_pressure"):
        zonal[name].attrs = ds[name].attrs
    rings = describe_file(store(zonal, tmp_path / "z.zarr"))[1]
    assert rings["closure_pressure_hpa_per_day"] < 1e-6 and rings["closure_wind_m_s"] > 1
    assert "closure_wind_m_s" not in describe_file(store(ds.isel(time=[0]), tmp_path / "one.zarr"))[1]


@pytest.mark.parametrize("role", ["background", "reference", "initial"])
def test_a_co2_file_states_its_global_mean(tmp_path, role):
    ds = getattr(build, role)()
    ds["co2"] = (0 * ds.co2 + 411.0).assign_attrs(ds.co2.attrs)
    np.testing.assert_allclose(
        describe_file(store(ds, tmp_path / "c.zarr"))[1]["global_mean_ppm"], 411, rtol=1e-12
    )


def test_a_file_that_would_be_refused_is_still_described(tmp_path):
    ds = build.winds()
    ds.u[0, 0, 0, 0] = np.nan
    path = store(ds, tmp_path / "w.zarr")
    assert "1 NaN" in describe_file(path)[1]["refused"]
    (finding,) = check_files([path])
    assert not finding.ok and "1 NaN" in finding.message


def test_files_are_checked_together(tmp_path):
    winds = store(build.winds(), tmp_path / "w.zarr")
    late = store(build.fluxes(start="2002-01-01"), tmp_path / "late.zarr")
    good = store(build.fluxes(13), tmp_path / "good.zarr")
    assert [(f.role, f.ok) for f in check_files([winds, late])] == [
        ("winds", True),
        ("fluxes", True),
        ("together", False),
    ]
    together = check_files([winds, good])[-1]
    assert together.ok and "cut from 13 to the 9 common frames" in together.message


def test_files_without_meaning_are_findings(tmp_path):
    named = build.fluxes().rename(flux="rain")
    named["rain"].attrs["standard_name"] = "surface_upward_mole_flux_of_carbon_dioxide"
    other = store(named, tmp_path / "r.zarr")
    (tmp_path / "text.nc").write_text("hello")
    (rain,) = check_files([store(build.fluxes()[["time"]], tmp_path / "t.zarr")])
    assert not rain.ok and "no variable" in rain.message
    text, found = check_files([tmp_path / "text.nc", other])
    assert not text.ok and "netCDF" in text.message
    assert found.role == "fluxes" and "rain renamed to flux" in found.message
