"""Coarse fields on finer cells, and the runs that use them: exact sums, symmetries, order, conservation, a better run."""

import numpy as np
import pytest
import torch
import xarray as xr

from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.data.refined import refined_run_of
from gencarbon.data.settings import RefinedConfig
from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean
from gencarbon.sampling.coarse_run import air_motion, coarse_run, refined_run
from gencarbon.transport import refine
from gencarbon.transport.continuity import coarsen_fluxes, divergence
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.transport.refine import over_poles as over_poles
from gencarbon.transport.refine import refine_fluxes, refine_mean, refine_mole_fraction
from tests import canonical
from tests.test_training import store

RNG = np.random.default_rng(0)


def noise(*shape):
    return torch.tensor(RNG.normal(size=shape))


def block_mean(x, factor):
    *lead, nlat, nlon = x.shape
    return x.reshape(*lead, nlat // factor, factor, nlon // factor, factor).mean((-3, -1))


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_finer_means_and_fluxes_sum_to_the_coarse_ones(factor):
    coarse, east, north = noise(3, 8, 16), noise(3, 8, 16), noise(3, 8, 16)
    north[:, 0] = 0
    assert (block_mean(refine_mean(coarse, factor), factor) - coarse).abs().max() < 1e-12
    fine = refine_fluxes(east, north, factor)
    for mine, theirs in zip(coarsen_fluxes(*fine, factor), (east, north)):
        assert (mine - theirs).abs().max() < 1e-12
    assert fine[1][:, 0].abs().max() < 1e-12  # nothing crosses the south pole
    # the coarse divergence is that of the fine, summed
    total = divergence(*fine).reshape(3, 8, factor, 16, factor).sum((-3, -1))
    assert (total - divergence(east, north)).abs().max() < 1e-12


def test_refining_commutes_with_longitude_shifts_and_the_mirror():
    q, east, north = noise(2, 8, 16), noise(2, 8, 16), noise(2, 8, 16)
    north[:, 0] = 0
    roll = lambda x, n: torch.roll(x, n, -1)  # noqa: E731
    assert torch.allclose(refine_mean(roll(q, 3), 2), roll(refine_mean(q, 2), 6), atol=1e-13)
    for mine, theirs in zip(refine_fluxes(roll(east, 3), roll(north, 3), 2), refine_fluxes(east, north, 2)):
        assert torch.allclose(mine, roll(theirs, 6), atol=1e-13)
    mirror_north = lambda x: -torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], 1).flip(1)  # noqa: E731
    fine_east, fine_north = refine_fluxes(east, north, 2)
    mirrored = refine_fluxes(east.flip(1), mirror_north(north), 2)
    assert torch.allclose(mirrored[0], fine_east.flip(1), atol=1e-12)
    assert torch.allclose(mirrored[1], mirror_north(fine_north), atol=1e-12)


def solid_fluxes(nlat, tilt=0.7):
    """Face fluxes of a rotation about a tilted axis, from its stream function: smooth across both poles."""
    grid = LatLonGrid.equiangular(nlat, 2 * nlat)
    lat, lon = (np.deg2rad(np.array(b)) for b in (grid.lat_bounds, grid.lon_bounds))
    psi = np.sin(lat)[:, None] * np.cos(tilt) - np.cos(lat)[:, None] * np.cos(lon) * np.sin(tilt)
    return torch.tensor(-np.diff(psi, axis=0)[:, :-1]), torch.tensor(np.diff(psi, axis=1)[:-1])


def miss_of_solid_rotation(nlat):
    exact, made = solid_fluxes(2 * nlat), refine_fluxes(*solid_fluxes(nlat), 2)
    return max(float((m - e).abs().max() / e.abs().max()) for m, e in zip(made, exact))


def test_refined_fluxes_of_a_smooth_flow_converge_at_high_order(monkeypatch):
    """On a flow over the poles: a wrong sign beyond a pole would leave an error of first order."""
    assert miss_of_solid_rotation(8) < 1e-10
    monkeypatch.setattr(refine, "HALO", 3)
    miss = np.array([miss_of_solid_rotation(nlat) for nlat in (8, 16, 32)])
    assert np.log2(miss[:-1] / miss[1:]).min() > 4.5, miss
    monkeypatch.setattr(refine, "over_poles", lambda x, halo, sign: over_poles(x, halo, 1.0))
    assert miss_of_solid_rotation(32) > 100 * miss[-1]


def test_a_refined_mole_fraction_keeps_every_cells_mass():
    grid, levels = LatLonGrid.equiangular(8, 16), HybridLevels.sigma(3)
    fine = grid.refine(3)
    assert fine.shape == (24, 48) and np.allclose(fine.coarsen(3).lat_bounds, grid.lat_bounds)
    air = levels.air_mass(1e5 + 500 * RNG.normal(size=fine.shape), fine)
    q = noise(4, 3, 8, 16)
    made = refine_mole_fraction(q, 3, torch.tensor(air))
    assert np.abs(coarsen_mean(made.numpy(), 3, air) - q.numpy()).max() < 1e-12


@pytest.fixture(scope="module")
def motion():
    winds = canonical.winds(6)
    return air_motion(winds, canonical.GRID, canonical.LEVELS, canonical.STEP_SECONDS)


@pytest.mark.parametrize("factor", [1, 2])
def test_an_offline_run_conserves_mass_and_uniform_fields(motion, factor):
    run = OfflineRun(canonical.GRID, canonical.LEVELS, "van_leer", factor)
    flux = canonical.fluxes(6).flux.values[None]
    start = canonical.background(6).co2.values[:1]
    states = np.stack(list(run.states(start, flux, motion)))[:, 0]
    air = canonical.LEVELS.air_mass(motion.surface_pressure, canonical.GRID)
    added = accumulated_flux(flux[0], canonical.GRID.area, canonical.STEP_SECONDS)
    mass = co2_mass(states, air)
    # finer cells have their own surface pressure, whose block means are those of the grid only nearly
    assert np.abs(mass - mass[0] - added).max() < (1e-13 if factor == 1 else 1e-7) * mass[0]
    uniform = np.stack(list(run.states(np.ones((1, 3, 8, 16)), 0 * flux, motion)))
    assert np.abs(uniform - 1).max() < 1e-11


def test_a_refined_run_is_linear_and_nearer_to_the_truth_than_a_coarse_one():
    """Truth: the same smooth flow on four times finer cells."""
    grid, levels, seconds = LatLonGrid.equiangular(16, 32), HybridLevels.sigma(2), 6 * 3600.0
    fine = grid.refine(4)
    scale = 1.5e12
    fluxes = [f * scale * torch.ones(6, 2, 1, 1) for f in solid_fluxes(64)]
    coarse_fluxes = coarsen_fluxes(*fluxes, 4)
    still = lambda g: np.full((6, *g.shape), 1e5)  # noqa: E731
    lat, lon = np.deg2rad(fine.lat)[:, None], np.deg2rad(fine.lon)
    blob = np.exp(-3 * ((lat - 0.5) ** 2 + 2 - 2 * np.cos(lon - 2))) * np.ones((1, 2, 1, 1))
    air = levels.air_mass(still(fine)[0], fine)
    start = coarsen_mean(blob, 4, air)
    states = lambda run, q, f, g: list(  # noqa: E731
        run.states(q, np.zeros((1, 6, *g.shape)), AirMotion(still(g), *(x.numpy() for x in f), seconds))
    )[-1]
    truth = coarsen_mean(states(OfflineRun(fine, levels, "ppm"), blob, fluxes, fine), 4, air)
    made = {k: states(OfflineRun(grid, levels, "van_leer", k), start, coarse_fluxes, grid) for k in (1, 2)}
    miss = {k: np.abs(q - truth).mean() for k, q in made.items()}
    assert miss[2] < 0.5 * miss[1] and np.abs(truth - start).mean() > 5 * miss[1], miss
    doubled = states(OfflineRun(grid, levels, "van_leer", 2), 2 * start, coarse_fluxes, grid)
    assert np.abs(doubled - 2 * made[2]).max() < 1e-12


def test_runs_of_a_forecast_do_not_see_the_base_of_co2(motion):
    grid, levels = canonical.GRID, canonical.LEVELS
    flux, start = canonical.fluxes(6).flux.values, canonical.initial().co2.values
    run = lambda q: refined_run(motion, flux, q, grid, levels, "van_leer", 2)  # noqa: E731
    assert np.abs(run(start + 1000) - run(start) - 1000).max() < 1e-5
    coarse = coarse_run(motion, flux, start, grid, levels)
    assert coarse.shape == run(start).shape and np.array_equal(coarse[0], start)
    assert np.abs(run(start) - coarse).max() > 1e-3


class Killed(Exception):
    pass


@pytest.mark.filterwarnings("ignore")
def test_the_refined_run_of_a_store_resumes_and_begins_again_each_segment(tmp_path):
    config, split = RefinedConfig(scheme="van_leer", segment_days=1), store(17).drop_vars("tracer_refined")
    whole = refined_run_of(split, config, tmp_path / "whole.zarr")

    def kill(done, total):
        if done == 8:
            raise Killed

    with pytest.raises(Killed):
        refined_run_of(split, config, tmp_path / "killed.zarr", progress=kill)
    assert not (tmp_path / "killed.zarr").exists()
    again = refined_run_of(split, config, tmp_path / "killed.zarr")
    xr.testing.assert_identical(whole.load(), again.load())

    def made_twice(done, total):
        raise AssertionError("it is there already")

    xr.testing.assert_identical(
        whole, refined_run_of(split, config, tmp_path / "whole.zarr", progress=made_twice).load()
    )
    assert whole.attrs["segment_frames"] == 4 and whole.attrs["units"] == "1e-6"
    for first in range(0, 8, 4):
        assert np.allclose(whole[:, first], split.tracer[:, first], atol=1e-6)
        assert np.abs(whole[:, first + 1] - split.tracer[:, first + 1]).max() > 1e-3
