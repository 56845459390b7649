"""Files of others described and checked."""

import pytest
import xarray as xr

from gencarbon.data.info import check_files, describe_files
from gencarbon.data.observations import read_observations
from tests import canonical, layouts
from tests.layouts_observations import COUNT, lite, mip, obspack, tccon
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
    assert "flux converted from mol m-2 s-1 to kg m-2 s-1 (times 0.0440095)" in facts[0]["repairs"]
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


@pytest.mark.parametrize("write", [obspack, lite, mip, tccon], ids=lambda f: f.__name__)
def test_files_of_observations_are_described(write, tmp_path):
    path = write(tmp_path)
    (_, facts), made = describe_files([path])[0], read_observations(path)
    dim = "time" if write is obspack else "sounding"
    assert facts["observations"] == made.sizes[dim] and facts["rejected"] == COUNT - made.sizes[dim]
    assert facts["period"].startswith("2018-06-01") and "refused" not in facts and "step" not in facts
    (found,) = check_files([path])
    assert found.ok and f"{made.sizes[dim]} observations, {COUNT - made.sizes[dim]} rejected" in found.message


def test_each_file_of_observations_is_a_finding(tmp_path):
    found = check_files([obspack(tmp_path), obspack(tmp_path, moving=True), tccon(tmp_path)])
    assert [f.role for f in found] == ["ObsPack", "ObsPack", "TCCON"] and all(f.ok for f in found)


def test_a_file_of_two_layouts_is_refused(tmp_path):
    (path,) = layouts.carbontracker_molefraction(tmp_path)
    made = xr.open_dataset(path).load()
    made["DELP"] = made.air_mass
    made.to_netcdf(tmp_path / "both.nc", engine="h5netcdf")
    (found,) = check_files([tmp_path / "both.nc"])
    assert "expected one known layout, got CarbonTracker mole fractions and MERRA-2" in found.message


def test_zeros_that_a_store_leaves_out_are_stated(tmp_path):
    """Fossil fluxes over oceans: parts of the globe."""
    ds = canonical.fluxes()
    ds["flux"] = ds.flux.where(ds.lon > 180, 0.0).assign_attrs(ds.flux.attrs)
    fill = {"flux": {"chunks": (9, 8, 8), "_FillValue": None, "fill_value": 0.0}}
    ds.to_zarr(tmp_path / "f.zarr", zarr_format=3, consolidated=False, encoding=fill)
    (found,) = check_files([tmp_path / "f.zarr"])
    assert found.ok and "flux: 1 of 2 chunks are not stored and read as 0" in found.message


def test_what_nobody_foresaw_is_one_line(tmp_path, monkeypatch):
    path = store(canonical.fluxes(), tmp_path / "f.zarr")

    def surprise(*given):
        raise KeyError("surprise")

    monkeypatch.setattr("gencarbon.data.info.canonical", surprise)
    (found,) = check_files([path])
    assert (
        found.message
        == f"{path}: expected a file that can be made sense of, got KeyError: 'surprise'; "
        + ("if other programs read the file, please report this line")
    )
    assert "surprise" in describe_files([path])[0][1]["refused"]
