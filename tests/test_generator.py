"""Laws of the generator that hold for any weights."""

import numpy as np
import pytest
import torch
import xarray as xr

import gencarbon
from gencarbon import CO2Pipeline, InputError, ResidualDenoiser
from gencarbon.budget import budget_error
from gencarbon.grid import coarsen_mean
from gencarbon.model.denoiser import FREE, GROWTH
from gencarbon.model.layers import SphereConv, sphere_pad
from gencarbon.model.noise import draw_noise_levels, preconditioning
from gencarbon.sampling.ensemble import member_noise, window_starts
from gencarbon.sampling.projection import MassProjection, close_budget, contents
from gencarbon.sampling.symmetry import equivariance_error
from tests import canonical
from tests.tiny_model import FRAMES, inputs, random_weights, tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture(scope="module")
def ensemble(pipe):
    return pipe(**inputs(), members=3, seed=5, mean_network=True)


def test_every_member_and_frame_closes_its_budget(ensemble):
    error = budget_error(
        ensemble.co2.values,
        ensemble.air_mass.values,
        ensemble.flux.values,
        ensemble.cell_area.values,
        21600.0,
    )
    assert error.shape == (3, 8) and error.max() < 1e-9
    leaky = ensemble.co2.values + 1e-5
    leaky[:, 0] -= 1e-5
    assert (
        budget_error(
            leaky, ensemble.air_mass.values, ensemble.flux.values, ensemble.cell_area.values, 21600.0
        ).max()
        > 1e-6
    )


def test_the_known_frame_is_kept_and_members_differ_after_it(ensemble):
    first = ensemble.co2.isel(time=0)
    assert np.array_equal(first[0], canonical.initial().co2) and np.array_equal(first[0], first[2])
    assert float(ensemble.co2.isel(time=-1).std("member").mean()) > 1e-3
    assert ensemble.attrs["initial_frame"] == "known" and ensemble.co2.attrs["units"] == "1e-6"
    assert "co2_mean_network" in ensemble and ensemble.member.attrs["standard_name"] == "realization"


def test_a_member_is_the_same_alone_and_in_any_company(pipe, ensemble):
    alone = pipe(**inputs(), members=1, seed=5, workers=1)
    assert np.array_equal(alone.co2[0], ensemble.co2[0])
    other = pipe(**inputs(), members=1, seed=6)
    assert not np.array_equal(other.co2[0], ensemble.co2[0])


def test_seeds_and_members_never_share_noise():
    a = member_noise((3,), seed=0, member=1, window=0, draw=0)
    assert not torch.equal(a, member_noise((3,), seed=1, member=0, window=0, draw=0))
    assert torch.equal(a, member_noise((3,), 0, 1, 0, 0))


def test_offset_and_amplitude_equivariance(pipe):
    sets = inputs(FRAMES)
    assert equivariance_error(pipe, sets, 1.0, 160.0, base=415.0) < 1e-4
    assert equivariance_error(pipe, sets, 3.0, 0.0, base=415.0) < 1e-4
    shifted = {**sets, "winds": sets["winds"].assign(u=sets["winds"].u + 5.0)}
    plain, moved = (pipe(**s, members=1).co2.values for s in (sets, shifted))
    assert np.abs(plain - moved).max() > 1e-3  # the measure is not blind: winds do matter


def test_free_start_and_own_coarse_run(pipe):
    sets = inputs()
    free = pipe(sets["winds"], sets["fluxes"], sets["background"], members=2)
    assert (
        free.attrs["initial_frame"] == "generated"
        and float(free.co2.isel(time=0).std("member").mean()) > 1e-3
    )
    own = pipe(sets["winds"], sets["fluxes"], initial=sets["initial"], members=1)
    error = budget_error(
        own.co2_background.values, own.air_mass.values, own.flux.values, own.cell_area.values, 21600.0
    )
    assert (
        np.isfinite(own.co2.values).all() and error.max() < 1e-2
    )  # surface pressure of the test does not conserve air


def wide(sets, factor=2):
    """The background's block means, air-mass-weighted, on cells `factor` times wider."""
    grid = canonical.GRID.coarsen(factor)
    air = canonical.LEVELS.air_mass(sets["winds"].surface_pressure.values, canonical.GRID)
    co2 = coarsen_mean(sets["background"].co2.values, factor, air)
    coarse = sets["background"].drop_vars(["co2", "lat", "lon"]).assign_coords(grid.coordinates())
    return coarse.assign(co2=(("time", "level", "lat", "lon"), co2, sets["background"].co2.attrs)), air


def test_downscaling_keeps_the_means_of_coarse_cells_in_every_member(pipe):
    sets = inputs()
    coarse, air = wide(sets)
    made = pipe(sets["winds"], sets["fluxes"], coarse, members=2, conserve=True)
    means = coarsen_mean(made.co2.values, 2, air)
    assert np.abs(means - coarse.co2.values).max() < 1e-9 and made.co2.std("member").values.min() > 0
    assert "2 x 2" in made.attrs["keeps"]
    loose = pipe(sets["winds"], sets["fluxes"], coarse, members=1)
    assert np.abs(coarsen_mean(loose.co2.values, 2, air) - coarse.co2.values).max() > 1e-2
    other = sets["initial"].assign(co2=(sets["initial"].co2 + 1).assign_attrs(sets["initial"].co2.attrs))
    known = pipe(sets["winds"], sets["fluxes"], coarse, other, members=1, conserve=True)
    assert np.array_equal(known.co2.values[0, 0], other.co2.values)
    assert np.abs(coarsen_mean(known.co2.values, 2, air) - coarse.co2.values)[:, 1:].max() < 1e-9
    assert float(known.attrs["coarse_minus_known_ppm"]) > 0.5 and "coarse_minus_known_ppm" not in made.attrs
    assert float(made.attrs["coarse_budget_error"]) > 0  # the test's coarse run does not follow its fluxes
    for background in (None, sets["background"]):
        with pytest.raises(InputError, match="wider cells"):
            pipe(sets["winds"], sets["fluxes"], background, sets["initial"], conserve=True)


def test_without_a_background_winds_and_fluxes_lead_on(pipe):
    sets = inputs()
    alone = pipe(sets["winds"], sets["fluxes"], initial=sets["initial"], members=1)
    given = pipe(
        sets["winds"],
        sets["fluxes"],
        alone[["co2_background"]].rename(co2_background="co2"),
        sets["initial"],
        members=1,
    )
    assert np.array_equal(alone.co2_background, given.co2_background)
    assert np.abs(alone.co2.values - given.co2.values).max() > 1e-4  # a background that is given is read


def test_checkpoints_round_trip(tmp_path, pipe):
    pipe.save_pretrained(tmp_path / "c")
    again = gencarbon.CO2Pipeline.from_pretrained(tmp_path / "c")
    assert again.digest == pipe.digest and again.normalizer.u_std.dtype == torch.float64
    assert not list((tmp_path / "c").rglob("*.bin"))
    again.save_pretrained(tmp_path / "d")  # nor does a checkpoint say where it was loaded from
    assert not any(str(tmp_path) in path.read_text() for path in (tmp_path / "d").rglob("*.json"))
    sets = inputs(FRAMES)
    assert np.array_equal(again(**sets, members=1).co2, pipe(**sets, members=1).co2)


@pytest.mark.parametrize(
    ("name", "message"), [("nothing-here", "shipped name.*hub id"), (".", "model_index.json")]
)
def test_missing_checkpoints_are_refused(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        CO2Pipeline.from_pretrained(name)


def test_no_state_to_start_from_and_too_few_frames_are_refused(pipe):
    sets = inputs()
    with pytest.raises(InputError, match="--background or --initial"):
        pipe(sets["winds"], sets["fluxes"])
    with pytest.raises(InputError, match="at least 4 frames"):
        pipe(**inputs(3))


@pytest.mark.parametrize(("frames", "window"), [(8, 8), (44, 8), (41, 8), (9, 8), (30, 4)])
def test_windows_cover_every_frame_and_overlap(frames, window):
    starts = window_starts(frames, window, True)
    assert starts[0] == 0 and starts[-1] == frames - window
    assert all(window - 2 >= b - a > 0 for a, b in zip(starts, starts[1:]))


@pytest.mark.parametrize("blocks", [None, 2])
def test_projection_closes_whatever_the_state_and_is_idempotent(blocks):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *s: torch.rand(*s, dtype=torch.float64, generator=generator)  # noqa: E731
    shape = (2, 3, 4, 8, 16)
    air = draw(*shape) * 1e13
    target, free = contents(air * 400 * draw(*shape), blocks), torch.ones(2, 4).double()
    project = MassProjection(air, target, 400 * draw(*shape), draw(*shape), free, blocks)
    x = project(torch.randn(shape, generator=generator).double())
    assert project.miss(x).abs().max() < 1e-12 * 1e18 and (project(x) - x).abs().max() < 1e-12 * x.abs().max()
    assert torch.autograd.gradcheck(
        lambda t: contents(project(t), blocks),
        torch.zeros(shape, dtype=torch.float64, requires_grad=True),
        atol=1e-2,
        fast_mode=True,
    )
    co2, moved = close_budget(-draw(*shape), air, torch.ones(shape).double(), target, blocks)
    assert (contents(air * co2, blocks) / target - 1).abs().max() < 1e-13 and (moved > 0).all()


def test_known_frames_are_returned_and_their_noise_is_not_read():
    torch.manual_seed(0)
    model = random_weights(ResidualDenoiser(levels=2, frames=3, widths=(8, 16), blocks=1)).eval()
    cond = {
        "levels": torch.randn(1, 10, 3, 8, 16),
        "surface": torch.randn(1, 2, 3, 8, 16),
        "static": torch.randn(1, 7, 8, 16),
    }
    x, r, known = torch.randn(1, 2, 3, 8, 16), torch.randn(1, 2, 3, 8, 16), torch.tensor([[1.0, 0.0, 0.0]])
    sigma = torch.full((1, 3), 2.0)
    with torch.no_grad():
        mean = model.mean(cond, r, known)
        untrained = ResidualDenoiser(levels=2, frames=3, widths=(8, 16), blocks=1)
        assert not untrained.mean(cond, r, known)[:, :, 1:].any()  # it begins at the refined run
        assert torch.equal(mean[:, :, 0], r[:, :, 0])
        hidden = r.clone()
        hidden[:, :, 1:] = 0
        assert torch.equal(model.mean(cond, hidden, known), mean)  # unknown frames are not read
        out = model(x, sigma, cond, mean, known)
        other = x.clone()
        other[:, :, 0] += 100
        assert torch.equal(model(other, sigma, cond, mean, known), out) and out[:, :, 0].abs().max() == 0
        each = model(x, torch.tensor([[2.0, 2.0, 5.0]]), cond, mean, known)
        assert not torch.equal(each[:, :, 1], out[:, :, 1])  # a frame's noise level reaches the others


def test_the_scale_of_a_window_is_read_from_its_known_frames():
    r = torch.zeros(4, 2, 3, 8, 16)
    r[1:, :, 0] = 3.0
    r[2, :, 1:] = 100.0  # not known, not read
    r[3, :, 1] = 5.0
    known = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0], [1.0, 1.0, 0]])
    expected = [GROWTH, (9 + GROWTH**2) ** 0.5, (9 + GROWTH**2) ** 0.5, (17 + GROWTH**2) ** 0.5]
    assert ResidualDenoiser.scale(r, known).flatten().tolist() == pytest.approx(expected)
    assert ResidualDenoiser.scale(r, 0 * known).flatten().tolist() == [FREE] * 4


def test_preconditioning_is_that_of_karras():
    sigma = torch.tensor([0.0, 0.5, 80.0], dtype=torch.float64)
    skip, out, inp = preconditioning(sigma)
    assert torch.allclose(skip + out**2 / (sigma**2).clamp(min=1e-300) * sigma**2, torch.ones(3).double())
    assert torch.allclose(inp**2 * (1 + sigma**2), torch.ones(3).double())
    levels = draw_noise_levels(4000, 3, torch.Generator().manual_seed(0))
    shared = (levels == levels[:, :1]).all(1).float().mean()
    assert levels.min() >= 0.01 - 1e-6 and levels.max() <= 200 + 1e-3 and 0.77 < shared < 0.83


def test_convolutions_know_the_sphere():
    x = torch.arange(8.0 * 16).reshape(1, 1, 8, 16)
    padded = sphere_pad(x)
    assert torch.equal(padded[0, 0, 1:-1, 0], x[0, 0, :, -1]) and torch.equal(
        padded[0, 0, 0, 1:-1], torch.roll(x[0, 0, 0], 8)
    )
    conv = SphereConv(1, 1)
    assert torch.allclose(conv(torch.roll(x, 5, -1)), torch.roll(conv(x), 5, -1), atol=1e-4)


def test_ensembles_carry_provenance(ensemble, pipe):
    assert ensemble.attrs["checkpoint_sha256"] == pipe.digest and ensemble.attrs["seed"] == 5
    assert isinstance(ensemble, xr.Dataset) and ensemble.attrs["Conventions"] == "CF-1.11"


def test_every_frame_knows_which_frame_of_a_window_it_was():
    pipe = tiny_pipeline()
    forecast = pipe.forecasts(pipe.read(**inputs(15)))[0][0]
    made, done = [0], 1  # as a member's windows follow each other
    for start in forecast.starts:
        made += range(done - start, forecast.pipe.frames)
        done = start + forecast.pipe.frames
    assert forecast.frame_of_window.tolist() == made and len(made) == 15
