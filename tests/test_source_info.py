"""Files of others described and checked."""

import pytest
import xarray as xr

from gencarbon.data.info import check_files, describe_files
from tests import canonical, layouts
from tests.test_info import store


def test_files_of_one_source_are_described_together(tmp_path):
    fluxes, fields = layouts.carbontracker_flux(tmp_path), layouts.carbontracker_molefraction(tmp_path)
    ours = store(canonical.fluxes(), tmp_path / "ours.zarr")
    facts = [facts for _, facts in describe_files([*fluxes, ours, *fields])]
    assert [f.get("layout", f.get("role")) for f in facts] == [
        "CarbonTracker fluxes",
        "CarbonTracker mole fractions",
        "fluxes",
    ]
    truth = layouts.truth()
    total = layouts.pgc_per_year(truth.flux, truth.cell_area)
    assert facts[0]["flux_pgc_per_year"] == pytest.approx(total, rel=1e-6) and facts[0]["sizes"]["time"] == 8
    assert facts[1]["mean_dry_surface_pressure_hpa"] == pytest.approx(983.05, abs=0.01)
    first = truth.isel(time=0)
    assert facts[1]["global_mean_ppm"] == pytest.approx(
        float(first.co2.weighted(first.air_mass).mean()), rel=1e-6
    )
    assert "longitudes turned" in facts[1]["repairs"] and "dried by its humidity" in facts[1]["repairs"]


def test_checking_refuses_what_cannot_be_read(tmp_path):
    (path,) = layouts.carbontracker_molefraction(tmp_path)
    (found,) = check_files([path])
    assert (
        found.ok
        and "gencarbon data prepare" in found.message
        and found.role == "CarbonTracker mole fractions"
    )
    broken = xr.open_dataset(path).load()
    broken["co2"][2, 1, 3, 4] = float("nan")
    broken.to_netcdf(tmp_path / "broken.nc", engine="h5netcdf")
    (found,) = check_files([tmp_path / "broken.nc"])
    assert not found.ok and "1 NaN or infinite" in found.message and "co2" in found.message
