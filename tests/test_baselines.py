"""Baselines: the generator's signature, closed budgets, and limits in which each is known."""

import numpy as np
import pytest

from gencarbon.baselines import (
    Archive,
    Baseline,
    analogues,
    climatology,
    known_state,
    persistence,
    perturbed_fluxes,
    perturbed_winds,
    ridge,
)
from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.evaluation import evaluate
from gencarbon.metrics import budget_error_of_masses
from gencarbon.sampling.coarse_run import coarse_run
from gencarbon.sampling.given import Given
from tests.test_training import store
from tests.tiny_model import inputs, tiny_pipeline

FRAMES = 9


@pytest.fixture(scope="module")
def archive():
    return Archive(store(61))


@pytest.fixture(scope="module")
def grid():
    return tiny_pipeline().grid


@pytest.fixture(scope="module")
def given(grid):
    return Given.read(grid, **inputs(FRAMES))


RULES = {
    "persistence": lambda a: persistence,
    "known state": lambda a: known_state,
    "climatology": climatology,
    "analogues": analogues,
    "perturbed winds": lambda a: perturbed_winds(a, 0.3),
    "perturbed fluxes": lambda a: perturbed_fluxes(0.5),
    "ridge": ridge,
}


@pytest.mark.parametrize("name", RULES)
def test_a_baseline_is_called_scored_and_closed_like_the_generator(name, archive, grid):
    sets = inputs(FRAMES)
    closes = name != "perturbed fluxes"
    made = Baseline(grid, RULES[name](archive), closes)(**sets, members=4, seed=3)
    generated = tiny_pipeline()(**sets, members=4, seed=3)
    assert {"co2", "air_mass", "flux", "cell_area", "co2_background"} <= set(made.variables)
    assert made.co2.dims == generated.co2.dims and made.co2.shape == generated.co2.shape
    again = Baseline(grid, RULES[name](archive), closes)(**sets, members=4, seed=3)
    other = Baseline(grid, RULES[name](archive), closes)(**sets, members=4, seed=4)
    np.testing.assert_array_equal(made.co2, again.co2)
    assert (name in ("persistence", "known state", "analogues")) == np.array_equal(
        made.co2, other.co2
    )  # they draw nothing
    np.testing.assert_array_equal(made.co2[:, 0] - sets["initial"].co2.values, 0 * made.co2[:, 0])
    mass = co2_mass(made.co2.values, made.air_mass.values)
    error = budget_error_of_masses(mass, accumulated_flux(made.flux.values, made.cell_area.values, 21600.0))
    assert (error.max() < 1e-6) == closes
    assert np.isfinite(evaluate(made, generated.isel(member=0)).crps_overall)


def test_residuals_are_those_of_the_archive(archive, given):
    rng = np.random.default_rng(0)
    kept = persistence(given, 2, rng) - given.background
    assert np.allclose(kept, (given.first - given.background[0])[None, None])
    drawn = climatology(archive)(given, 5, rng) - given.background
    for member in drawn:
        starts = [np.abs(archive.residual[k] - member[0]).max() for k in range(len(archive))]
        k = int(np.argmin(starts))
        assert np.allclose(member, archive.residual[k : k + FRAMES], atol=1e-4)


def test_the_first_analogue_of_a_training_day_is_that_day(archive, grid):
    sets = {role: ds for role, ds in archive._sets.items() if role != "reference"}
    cut = {role: ds if role == "initial" else ds.isel(time=slice(0, FRAMES)) for role, ds in sets.items()}
    given = Given.read(grid, **cut)
    made = analogues(archive)(given, 4, np.random.default_rng(0)) - given.background
    assert np.allclose(made[0], archive.residual[:FRAMES], atol=1e-4)
    assert np.abs(made[1] - archive.residual[:FRAMES]).max() > 0.01
    with pytest.raises(ValueError, match="build a longer one"):
        analogues(archive)(given, 40, np.random.default_rng(0))


def test_without_errors_perturbed_runs_are_the_coarse_run(archive, given):
    plain = coarse_run(given.air, given.flux, given.first, given.grid.cells, given.grid.layers)
    rng = np.random.default_rng(0)
    for rule in (perturbed_winds(archive, 0.0), perturbed_fluxes(0.0)):
        assert np.abs(rule(given, 3, rng) - plain).max() < 1e-9
    one, two = (perturbed_fluxes(a)(given, 8, np.random.default_rng(1)) - plain for a in (0.1, 0.2))
    assert np.allclose(2 * one, two, atol=1e-9) and np.abs(one).max() > 0.01  # transport is linear
    spread = perturbed_winds(archive, 0.3)(given, 8, rng).std(0)
    assert spread[0].max() < 1e-9 < 1e-3 < spread[-1].max()


def test_ridge_finds_a_law_that_is_linear(given):
    """A residual that halves with every frame, in a store of such: members differ only by what the modes cannot hold."""
    ds = store(61).copy(deep=True)
    pattern = np.random.default_rng(0).normal(size=ds.tracer.isel(tracer_name=0, time=0).shape)
    shares = np.concatenate([3 * 0.5 ** np.arange(10) for _ in range(7)])[:61]
    jumps = np.diff(shares) > 0
    shape = (61, 1, 1, 1)
    ds["tracer"] = ds.tracer_background.copy()
    ds["tracer"][0] = ds.tracer_background[0] + shares.reshape(shape) * pattern
    made = ridge(Archive(ds))
    start = Given(**{**vars_of(given), "initial": given.background[0] + 3 * pattern})
    residual = made(start, 64, np.random.default_rng(0)) - start.background
    size = (residual * pattern).mean((0, 2, 3, 4)) / (pattern**2).mean()
    assert jumps.sum() == 6 and size[0] == pytest.approx(3.0, abs=0.3)
    assert size[4] < 1.0  # decays, but for the jumps that the errors bring back


def vars_of(given):
    names = given.__dataclass_fields__
    return {name: getattr(given, name) for name in names}
