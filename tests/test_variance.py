"""The tracer of variance: its production in closed form, its budget, mixtures, and what networks make of it."""

import numpy as np
import pytest
import torch

from gencarbon.data.normalize import LEAST_WIDTH, Normalizer
from gencarbon.data.refined import variances_of
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.model import ResidualDenoiser
from gencarbon.sampling.coarse_run import air_motion, variance_of
from gencarbon.training.begin import weights_from
from gencarbon.transport.variance import DECAY, DIFFUSIVITY, pair_weights, production, variances
from tests import canonical
from tests.test_training import store
from tests.tiny_model import inputs, random_weights, tiny_pipeline

GRID, LEVELS, SECONDS = canonical.GRID, canonical.LEVELS, canonical.STEP_SECONDS
RADIUS = 6.37122e6  # m, of the tests' own


@pytest.fixture(scope="module")
def motion():
    return air_motion(canonical.winds(6), GRID, LEVELS, SECONDS)


def tracers(count=3, frames=6, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(count, 1, 3, 8, 16))
    return start + 0.3 * rng.normal(size=(count, frames, 3, 8, 16)).cumsum(1)


def test_production_is_that_of_the_gradient():
    """q = cos(lat) cos(lon) has |grad q|^2 = (sin^2 lon + sin^2 lat cos^2 lon) / R^2; second order in the cells."""
    misses = []
    for nlat in (16, 32, 64):
        grid = LatLonGrid.equiangular(nlat, 2 * nlat)
        lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)
        q = torch.tensor((np.cos(lat) * np.cos(lon))[None, None])
        exact = 2 * DIFFUSIVITY * (np.sin(lon) ** 2 + (np.sin(lat) * np.cos(lon)) ** 2) / RADIUS**2
        miss = np.abs(production(q, grid)[0, 0].numpy() - exact) / exact.max()
        misses.append(miss[nlat // 8 : -nlat // 8].max())
    rates = np.log2(np.divide(misses[:-1], misses[1:]))
    assert misses[-1] < 2e-3 and (rates > 1.8).all() and (rates < 2.2).all(), (misses, rates)


def test_a_uniform_field_gains_no_variance_and_its_base_does_not_matter(motion):
    assert not any(V.any() for V in variances(np.full((1, 6, 3, 8, 16), 400.0), motion, GRID, LEVELS, True))
    q = tracers(1)[0]
    one, other = (variance_of(x, motion, GRID, LEVELS, True) for x in (q, q + 1000))
    assert one.shape == q.shape and one.max() > 0 and np.allclose(one, other, rtol=1e-9, atol=1e-20)


def test_variance_has_a_budget(motion):
    """Over the globe: what was there and what production added, both for as long as they decayed."""
    q = tracers(1)
    V = [v[0] for v in variances(q, motion, GRID, LEVELS, True)]
    assert not V[0].any()
    mass = LEVELS.air_mass(motion.surface_pressure, GRID)
    gain = [production(torch.tensor(q[:, k]), GRID)[0].numpy() for k in range(6)]
    for k in range(5):
        # the air of the run is that of frame k + 1 to the mean of the globe; transport keeps V's integral
        kept = (V[k] * mass[k]).sum() + SECONDS * ((gain[k] + gain[k + 1]) / 2 * mass[k + 1]).sum()
        assert (V[k + 1] * mass[k + 1]).sum() == pytest.approx(kept * np.exp(-SECONDS / DECAY), rel=1e-6)


def test_an_unknown_beginning_has_what_production_leaves(motion):
    q = tracers(1)
    first = next(variances(q, motion, GRID, LEVELS, False))
    assert np.array_equal(first, DECAY * production(torch.tensor(q[:, 0]), GRID).numpy()) and first.min() >= 0


def test_variance_of_a_mixture_is_a_form_of_pairs_and_never_negative(motion):
    q, rng = tracers(3), np.random.default_rng(1)
    of_pairs = np.stack(list(variances(q, motion, GRID, LEVELS, False)))
    assert of_pairs.shape == (6, 6, 3, 8, 16) and (of_pairs < 0).any()  # of two tracers it has either sign
    for _ in range(4):
        weights = rng.normal(size=3)
        mixed = variance_of(np.tensordot(weights, q, 1), motion, GRID, LEVELS, False)
        assert mixed.min() >= 0
        assert np.allclose(np.tensordot(pair_weights(weights), of_pairs, (0, 1)), mixed, rtol=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_variances_of_a_store_are_kept_and_read_as_needed(tmp_path):
    split = store(13).drop_vars(
        "tracer_variance"
    )  # two segments of six frames from the reference, one frame from a background
    told = []
    say = lambda done, total: told.append((done, total))  # noqa: E731
    made = variances_of(split, tmp_path / "v.npy", say)
    assert told == [(6, 13), (12, 13), (13, 13)] and made.dims[:2] == ("time", "pair")
    again = variances_of(split, tmp_path / "v.npy", say)
    assert len(told) == 3 and np.array_equal(made, again)
    assert isinstance(again.values.base, np.memmap) or isinstance(again.values, np.memmap)

    def kill(done, total):
        if done == 12:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        variances_of(split, tmp_path / "k.npy", kill)
    partial = tmp_path / "k.partial"
    whole = partial.read_bytes()
    partial.write_bytes(whole[: len(whole) - 1000])  # killed within the second segment
    told.clear()
    assert np.array_equal(variances_of(split, tmp_path / "k.npy", say), made)
    assert told == [(12, 13), (13, 13)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k.npy", "v.npy"]
    assert not made[0].any() and not made[6].any() and made[5].any() and made[12].any()
    part = split.isel(time=slice(6, 12))
    air = air_motion(part, GRID, HybridLevels.from_dataset(part), SECONDS)
    run = part["tracer_refined"].values
    expected = np.stack(list(variances(run, air, GRID, LEVELS, True)))
    assert np.allclose(made[6:12], expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_width_is_relative_to_what_the_networks_make():
    normalizer = Normalizer(3)
    normalizer.residual_std.copy_(torch.tensor([0.1, 0.2, 0.4]))
    V, amplitude = torch.full((1, 3, 2, 4, 8), 9.0).double(), torch.tensor([5.0]).double()
    width = normalizer.width(V, amplitude)[0, :, 0, 0, 0].numpy()
    assert width == pytest.approx(np.hypot(3 / (5 * np.array([0.1, 0.2, 0.4])), LEAST_WIDTH))
    assert normalizer.width(0 * V, amplitude).unique().tolist() == pytest.approx([LEAST_WIDTH])


def test_members_are_told_the_variance():
    """Networks that see it make other members of it; those of a checkpoint before it do not."""
    sees, blind = tiny_pipeline(), tiny_pipeline()
    torch.manual_seed(0)
    fewer = ResidualDenoiser(levels=3, frames=sees.frames, widths=(8, 16), blocks=1, level_fields=4)
    blind.register_modules(denoiser=random_weights(fewer).eval())
    for pipe, told in ((sees, True), (blind, False)):
        (forecast,), _ = pipe.forecasts(pipe.read(**inputs()))
        assert forecast.variance.shape == forecast.refined.shape and not forecast.variance[0].any()
        other = type(forecast)(pipe, forecast.given, forecast.refined, 4 * forecast.variance)
        one, two = (np.concatenate([made for _, made, _ in f.member(0, 0)]) for f in (forecast, other))
        assert np.array_equal(one, two) != told


def test_a_run_begins_with_networks_that_saw_less():
    torch.manual_seed(0)
    shape = {"levels": 3, "frames": 4, "widths": (8, 16), "blocks": 1, "one_step": True}
    before, after = (
        random_weights(ResidualDenoiser(**shape, level_fields=n)).eval().double() for n in (4, 5)
    )
    after.load_state_dict(weights_from(before, after))
    fields = {"levels": torch.randn(2, 15, 4, 8, 16), "surface": torch.randn(2, 2, 4, 8, 16)}
    fields["static"] = torch.randn(2, 7, 8, 16)
    cond = {name: x.double() for name, x in fields.items()}
    residual, known = torch.randn(2, 3, 4, 8, 16).double(), torch.tensor([[1.0, 0, 0, 0]] * 2).double()
    one, two = (m.mean(cond, residual, known) for m in (before, after))
    assert torch.allclose(one, two, rtol=1e-10) and one.abs().max() > 0
    sigma = torch.full((2, 4), 3.0).double()
    one, two = (m(residual, sigma, cond, one, known, m.one_step_net) for m in (before, after))
    assert torch.allclose(one, two, rtol=1e-10)
    after.one_step_net.stem.weight.data[:, 48:60] = 1.0  # of the fifth field
    assert not torch.allclose(after(residual, sigma, cond, one, known, after.one_step_net), two)
    with pytest.raises(InputError, match="level_fields 5 instead of 4"):
        weights_from(after, before)
