"""Members differ in amplitude: what that does to their spread and to the ranks of the reference, and how it is fitted."""

import numpy as np
import pytest
from scipy import stats

from gencarbon import NoiseSchedule
from gencarbon.sampling.amplitude import flat_departure, own_draw, rank_slopes
from gencarbon.sampling.calibrate import adjusted, forecasts_of
from gencarbon.sampling.spread import Ratios, spread_to_error
from tests.test_calibrate import config
from tests.test_generator import wide
from tests.test_training import store
from tests.tiny_model import inputs, tiny_pipeline

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()  # of a standard normal


def amplitude(tau, draw):
    return float(NoiseSchedule(amplitude_spread=(tau,)).member_amplitude(draw))


def test_amplitudes_have_mean_square_one_and_belong_to_a_member():
    for tau in (0.0, 0.2, 0.5):
        assert WEIGHTS @ [amplitude(tau, z) ** 2 for z in NODES] == pytest.approx(1.0)
    assert amplitude(0.0, 3.0) == 1.0
    by_level = NoiseSchedule(amplitude_spread=(0.1, 0.2, 0.3)).member_amplitude(1.5)
    assert by_level.shape == (3, 1, 1, 1)
    assert by_level.log().flatten().numpy() == pytest.approx([0.14, 0.26, 0.36])


def test_draws_are_standard_normal_and_even_for_any_number_of_members():
    assert own_draw(0, 7) == own_draw(0, 7) != own_draw(1, 7)
    first = np.array([own_draw(seed, 0) for seed in range(2000)])
    assert stats.kstest(first, "norm").pvalue > 0.01 and np.isfinite(first).all()
    for members in (8, 16, 32):
        off = []
        for draw in (own_draw, lambda seed, member: np.random.default_rng([seed, member]).standard_normal()):
            square = [np.mean([amplitude(0.3, draw(s, m)) ** 2 for m in range(members)]) for s in range(200)]
            off.append(np.std(square))
            assert np.mean(square) == pytest.approx(1.0, abs=0.05)
        assert off[0] < 0.6 * off[1], off


def ranks_of_few(members, tau, truth=0.0, spread=1.0):
    """E |rank - middle| among `members` of this tau and spread, over that of flat ranks; by quadrature."""
    x = np.linspace(-30, 30, 20001)
    p = sum(w * stats.norm.cdf(x / (spread * np.exp(tau * z - tau**2))) for w, z in zip(WEIGHTS, NODES)).clip(
        1e-12, 1 - 1e-12
    )
    f = sum(
        w * stats.norm.pdf(x / np.exp(truth * z - truth**2)) / np.exp(truth * z - truth**2)
        for w, z in zip(WEIGHTS, NODES)
    )
    off = sum(abs(k - members / 2) * stats.binom.pmf(k, members, p) for k in range(members + 1))
    return np.trapezoid(off * f, x) / flat_departure(members)


@pytest.mark.parametrize("members", [4, 8, 60])
def test_slopes_of_ranks_are_derivatives(members):
    by_spread, by_tails = rank_slopes(members)
    change = 1e-3
    assert ranks_of_few(members, 0.0) == pytest.approx(1.0, abs=1e-6)
    assert ranks_of_few(members, 0.3, 0.3) == pytest.approx(1.0, abs=1e-6)
    wide = ranks_of_few(members, 0.0, spread=np.exp(change)) - ranks_of_few(
        members, 0.0, spread=np.exp(-change)
    )
    assert by_spread == pytest.approx(wide / (2 * change), rel=1e-3)
    assert by_tails == pytest.approx((ranks_of_few(members, change**0.5) - 1) / change, rel=0.01)
    if members == 60:
        assert (by_spread, by_tails) == pytest.approx((-2 / np.pi, 2 / np.pi), rel=0.1)


def test_the_fit_finds_the_amplitudes_of_the_truth():
    """While the spread is not right yet, too: its part in the ranks is known."""
    truth, scheduler, one = np.array([0.0, 0.2, 0.35]), NoiseSchedule(), np.ones(3)
    for round_ in range(8):
        now, spread = (
            one * np.array(scheduler.config.amplitude_spread),
            (0.8, 1.1, 1.02)[round_] if round_ < 3 else 1.0,
        )
        ranks = np.array([ranks_of_few(8, mine, its, spread) for mine, its in zip(now, truth)])
        ranks /= spread ** rank_slopes(8)[0]
        plain = one, np.ones(4), np.ones((1, 3)), np.ones((2, 3))
        found = Ratios(spread, spread * one, *plain, ranks, settled=one < 0)
        scheduler = adjusted(scheduler, found, config(members=8), None)
        assert np.abs(scheduler.config.amplitude_spread - truth).max() < (0.2 if round_ < 3 else 0.1)
    assert np.allclose(scheduler.config.amplitude_spread, truth, atol=0.01)
    assert found.worst == pytest.approx(1.0, abs=1e-3)
    wide = found._replace(ranks=0.1 * one)
    assert wide.worst == pytest.approx(10) and wide._replace(settled=one > 0).worst == pytest.approx(1.0)
    assert adjusted(scheduler, wide, config(), None).config.amplitude_spread == (0.5, 0.5, 0.5)  # held
    kept = adjusted(scheduler, wide, config(task="conserve"), None).config.amplitude_spread
    assert kept == scheduler.config.amplitude_spread


@pytest.mark.parametrize("members", [3, 4, 8])
def test_flat_ranks_are_one(members):
    draws = np.random.default_rng(0).standard_normal((members + 1, 200_000))
    ranks = (draws[1:] < draws[0]).sum(0)
    assert np.abs(ranks - members / 2).mean() / flat_departure(members) == pytest.approx(1.0, abs=0.01)


@pytest.mark.filterwarnings("ignore")
def test_ranks_of_forecasts_are_weighted_by_air():
    """By hand, with members in memory."""
    pipe, how = tiny_pipeline(steps=4), config(dates=1)
    ((forecasts, truth),) = forecasts_of(pipe, store(), how)
    co2 = np.stack([np.concatenate([x for _, x, _ in forecasts[0].member(how.seed, m)]) for m in range(3)])
    ranks, air = (co2 < truth.co2.values).sum(0)[1:], truth.air_mass.values[1:]
    expected = (np.abs(ranks - 1.5) * air).sum((0, 2, 3)) / air.sum((0, 2, 3))
    found = spread_to_error([(forecasts, truth)], how)
    # flat ranks of three members are 1 off on average; too little spread puts the reference outside
    assert found.ranks == pytest.approx(expected * found.level ** -rank_slopes(3)[0])
    assert not found.settled.any()  # amplitudes could be larger or smaller
    pipe.scheduler = NoiseSchedule(**pipe.scheduler.settings | {"amplitude_spread": (0.5, 0.3, 0.5)})
    found = spread_to_error([(forecasts, truth)], how)
    assert (found.settled == (found.ranks < 1) * [True, False, True]).all()
    kept = spread_to_error([(forecasts, truth)], config(dates=1, task="conserve"))
    assert kept.settled.all()


@pytest.mark.filterwarnings("ignore")
def test_levels_that_no_amplitudes_could_mend_are_settled():
    """A reference that is outside three members everywhere, by hardly more than their spread: ranks beyond what a lack of spread does."""
    pipe, how = tiny_pipeline(steps=4), config(dates=1)
    for tau, expected in ((0.0, True), (0.3, False)):
        pipe.scheduler = NoiseSchedule(steps=4, amplitude_spread=(tau,) * 3)
        ((forecasts, truth),) = forecasts_of(pipe, store(), how)
        co2 = np.stack(
            [np.concatenate([x for _, x, _ in forecasts[0].member(how.seed, m)]) for m in range(3)]
        )
        outside = co2.mean(0) + 1.2 * co2.std(0, ddof=1)  # no member is more than 1.155 away
        found = spread_to_error([(forecasts, truth.assign(co2=(truth.co2.dims, outside)))], how)
        assert found.level == pytest.approx((4 / 3) ** 0.5 / 1.2) and (found.ranks > 1.3).all()
        assert (found.settled == expected).all()


def test_too_little_spread_is_no_reason_for_amplitudes():
    """Of a reference without tails, among members that are too close together."""
    one, spread = np.ones(3), 0.86
    ranks = one * ranks_of_few(8, 0.0, spread=spread)
    assert (ranks > 1.05).all()
    plain = one, np.ones(4), np.ones((1, 3)), np.ones((2, 3))
    found = Ratios(spread, spread * one, *plain, ranks / spread ** rank_slopes(8)[0], settled=one < 0)
    assert np.max(adjusted(NoiseSchedule(), found, config(members=8), None).config.amplitude_spread) < 0.15


def told(tau, **settings):
    """Of the tiny pipeline, more than one window long."""
    pipe = tiny_pipeline(steps=4)
    pipe.scheduler = NoiseSchedule(steps=4, amplitude_spread=(tau,) * 3)
    return pipe(**inputs(frames=9) | settings, members=2, seed=3, mean_network=True)


def test_members_of_other_amplitude_keep_the_mean_network_and_the_budget():
    """What is written departs from the refined run by the member's number times what it was, in every window the same number."""
    plain, other = told(0.0), told(0.3)
    assert np.array_equal(plain.co2_mean_network, other.co2_mean_network)
    assert np.array_equal(plain.co2_refined, other.co2_refined)
    mass = lambda ds: (ds.co2 * ds.air_mass).sum(("level", "lat", "lon")).values  # noqa: E731
    assert np.allclose(mass(plain), mass(other), rtol=1e-12)
    was, now = ((ds.co2 - ds.co2_refined).values for ds in (plain, other))
    assert np.abs(was[:, -1]).max() > 0.1
    for member in range(2):
        share = np.exp(0.3 * own_draw(3, member) - 0.09)
        assert abs(share - 1) > 0.02
        assert np.allclose(
            now[member], share * was[member], atol=1e-5
        )  # the refined run's own budget is that good


def test_levels_of_several_amplitudes_keep_the_budget_together():
    pipe, sets = tiny_pipeline(steps=4), inputs()
    mass = lambda ds: (ds.co2 * ds.air_mass).sum(("level", "lat", "lon")).values  # noqa: E731
    plain = mass(pipe(**sets, members=2, seed=3))
    pipe.scheduler = NoiseSchedule(steps=4, amplitude_spread=(0.0, 0.4, 0.2))
    made = pipe(**sets, members=2, seed=3)
    assert np.allclose(mass(made), plain, rtol=1e-12)
    assert np.abs(made.budget_correction).max() > 1e-7  # moved by what the levels did not hold together


@pytest.mark.parametrize("lacks", ["state", "freedom"])
def test_no_amplitude_where_nothing_is_known_or_means_are_kept(lacks):
    """Bit for bit what it was."""
    settings: dict = {"state": {"initial": None}}.get(lacks, {})
    if lacks == "freedom":
        settings = {"background": wide(inputs(9))[0], "conserve": True}
    plain, other = told(0.0, **settings), told(0.3, **settings)
    assert np.array_equal(plain.co2, other.co2)


def test_members_without_amplitudes_are_not_multiplied_by_one(monkeypatch):
    """Which would round."""
    monkeypatch.setattr(NoiseSchedule, "member_amplitude", None)
    told(0.0)
    with pytest.raises(TypeError):
        told(0.3)
