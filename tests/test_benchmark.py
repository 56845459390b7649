"""HS-CO2 in miniature, from the dynamical core on: laws of its fields, resumption, determinism."""

import shutil

import numpy as np
import pytest
import torch
import xarray as xr

from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.constants import SECONDS_PER_YEAR, kg_co2_to_pgc
from gencarbon.data.benchmark import Build
from gencarbon.data.fluxes import TRACERS, SyntheticFluxes
from gencarbon.data.settings import DataConfig
from gencarbon.data.views import canonical_datasets
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sampling.coarse_run import air_motion, coarse_run
from gencarbon.transport.continuity import coarsen_fluxes
from gencarbon.transport.subgrid import subgrid_fluxes

CONFIG = {
    "kind": "data", "name": "mini", "seed": 0, "nlat": 8, "levels": 4, "truncation": 21, "spinup_days_t21": 3, "spinup_days": 0,
    "splits": ({"name": "test", "start": "2003-05-01", "days": 6, "seed": 2, "tracer_spinup_days": 1, "fine_winds": True},),
}  # fmt: skip


def build(folder, **changed):
    config = DataConfig.parse(CONFIG | changed)
    return Build(config, config.splits[0], folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pytest.importorskip("dinosaur")
    return xr.open_zarr(build(tmp_path_factory.mktemp("hs")).run()).load()


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_killed_build_goes_on_and_is_bit_identical(store, tmp_path):
    def kill(done, total):
        if done == 22:  # inside the second chunk of frames
            raise Killed

    with pytest.raises(Killed):
        build(tmp_path).run(kill)
    assert not (tmp_path / "test.zarr").exists() and (tmp_path / "test.zarr.partial").exists()
    with pytest.raises(InputError, match="another config"):
        build(tmp_path, seed=1).run()
    xr.testing.assert_identical(xr.open_zarr(build(tmp_path).run()).load(), store)
    with pytest.raises(InputError, match="one of another config"):
        build(tmp_path, seed=1).run()
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_reference_and_background_close_the_same_budget(store):
    sets = canonical_datasets(store)
    air, area = sets["reference"].air_mass.values, store.cell_area.values
    added = accumulated_flux(sets["fluxes"].flux.values, area, 21600.0)
    for role in ("reference", "background"):
        mass = co2_mass(sets[role].co2.values, air)
        assert np.abs(mass - mass[0] - added).max() < 1e-5 * np.abs(added).max()  # fields are kept in float32
    residual = (sets["reference"].co2 - sets["background"].co2).values
    assert np.abs(residual).max() > 0.01
    assert np.abs((residual * air).sum((1, 2, 3)) / air.sum((1, 2, 3))).max() < 1e-6


@pytest.mark.slow
def test_fine_fluxes_sum_to_the_coarse_ones_and_are_not_what_interpolation_makes_of_them(store):
    names = ["eastward_air_mass_flux", "northward_air_mass_flux"]
    fine = [torch.tensor(store[f"{name}_fine"].values, dtype=torch.float64) for name in names]
    for mine, name in zip(coarsen_fluxes(*fine, 3), names):
        assert np.abs(mine.numpy() - store[name].values).max() < 1e-5 * np.abs(store[name].values).max()
    lacking = subgrid_fluxes(*fine, 3)
    assert 0.01 < lacking.std() / torch.stack(fine).std() < 0.5


@pytest.mark.slow
def test_stored_mass_fluxes_reproduce_the_background(store):
    sets = canonical_datasets(store, slice(0, 5))
    grid, levels = LatLonGrid.from_dataset(store), HybridLevels.from_dataset(store)
    start = sets["background"].co2.values[0]
    flux = sets["fluxes"].flux.values
    run = lambda winds: coarse_run(air_motion(winds, grid, levels, 21600.0), flux, start, grid, levels)  # noqa: E731
    again = run(sets["winds"])
    miss = np.abs(again - sets["background"].co2.values).max()
    centre = sets["winds"].drop_vars(["eastward_air_mass_flux", "northward_air_mass_flux"])
    other = run(centre)
    # fields are kept in float32; winds at cell centres give another coarse run, which this test would not mistake for it
    assert miss < 1e-4 and np.abs(other - again).max() > 20 * miss


@pytest.mark.slow
def test_stores_say_what_they_hold(store):
    assert store.tracer.attrs["units"] == "1e-6" and store.u.attrs["standard_name"] == "eastward_wind"
    assert np.abs(store.u).max() < 150 and list(store.tracer_name.values) == list(TRACERS)
    total = (store.surface_pressure * store.cell_area).sum(("lat", "lon"))
    assert float(np.abs(total / total[0] - 1).max()) < 1e-12


@pytest.mark.parametrize("day", [0, 100, 200])
def test_fluxes_have_realistic_totals(day):
    grid = LatLonGrid.equiangular(48, 96)
    fluxes = SyntheticFluxes(grid, seed=0, regional_seed=0)
    hours = [fluxes.at(86400.0 * day + 3600.0 * h) for h in range(24)]
    per_year = kg_co2_to_pgc((np.mean(hours, axis=0) * grid.area).sum((1, 2))) * SECONDS_PER_YEAR
    assert dict(zip(TRACERS, per_year)) == pytest.approx(
        {"initial": 0, "fossil": 10, "land": -3, "ocean": -2.5, "regional": per_year[4]}, abs=1e-6
    )
    assert 0.25 < (fluxes.land * grid.area).sum() / grid.area.sum() < 0.35
    land = np.array([h[2] for h in hours])
    assert (land.max(0) - land.min(0)).max() > 1e-7  # a diurnal cycle of some 10 umol m-2 s-1
