"""Laws of the probabilistic scores: closed forms, the definition written out, and an independent judge."""

import math

import numpy as np
import properscoring
import pytest

from gencarbon.metrics import (
    Mean,
    crps_biased,
    crps_fair,
    ensemble_variance,
    rank_histogram,
    ratio,
    skill,
    spread_skill,
    spread_skill_ratio,
)


def crps_by_definition(ens, obs):
    """mean |x_m - y| - sum_ij |x_i - x_j| / (2 M (M - 1)), all pairs written out."""
    M = len(ens)
    pairs = sum(abs(a - b) for a in ens for b in ens)
    return np.mean([abs(x - obs) for x in ens], axis=0) - pairs / (2 * M * (M - 1))


@pytest.mark.parametrize("members", [2, 5, 10, 50])
def test_fair_crps_of_a_normal_forecast_is_unbiased_in_ensemble_size(members):
    rng = np.random.default_rng(members)
    cases = 400_000 // members
    scores = crps_fair(rng.standard_normal((members, cases)), rng.standard_normal(cases))
    z = (scores.mean() - 1 / math.sqrt(math.pi)) / (scores.std(ddof=1) / math.sqrt(cases))
    assert abs(z) < 4
    biased = scores.mean() * (1 + 1 / members)
    assert abs(biased - 1 / math.sqrt(math.pi)) > 0.01  # the other estimator would be caught


def test_two_members_around_the_observation():
    ens, obs = np.array([[0.0], [1.0]]), np.array([0.5])
    assert crps_fair(ens, obs) == pytest.approx(0)
    assert crps_biased(ens, obs) == pytest.approx(0.25)


def test_sorted_formula_is_the_definition_for_any_member_axis():
    rng = np.random.default_rng(1)
    ens, obs = rng.standard_normal((7, 3, 4)), rng.standard_normal((3, 4))
    np.testing.assert_allclose(crps_fair(ens, obs), crps_by_definition(ens, obs), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(crps_fair(np.moveaxis(ens, 0, 1), obs, axis=1), crps_fair(ens, obs))


def test_properscoring_judges_both_estimators():
    rng = np.random.default_rng(2)
    ens, obs = rng.standard_normal((9, 50)), rng.standard_normal(50)
    judge = properscoring.crps_ensemble(obs, ens, axis=0)
    gmd = np.abs(ens[:, None] - ens[None]).sum((0, 1)) / (9 * 8)  # Gini's mean difference, unbiased
    np.testing.assert_allclose(crps_biased(ens, obs), judge, rtol=0, atol=1e-14)
    np.testing.assert_allclose(crps_fair(ens, obs), judge - gmd / (2 * 9), rtol=0, atol=1e-14)


def test_member_order_does_not_matter():
    rng = np.random.default_rng(3)
    ens, obs = rng.standard_normal((6, 200)), rng.standard_normal(200)
    shuffled = ens[rng.permutation(6)]
    np.testing.assert_allclose(crps_fair(shuffled, obs), crps_fair(ens, obs), rtol=0, atol=1e-15)
    np.testing.assert_allclose(spread_skill(shuffled, obs), spread_skill(ens, obs), rtol=1e-13)


def test_float32_at_420_ppm_keeps_its_digits():
    rng = np.random.default_rng(4)
    M = 50
    ens, obs = (420 + 0.1 * rng.standard_normal(shape).astype(np.float32) for shape in ((M, 2000), 2000))
    assert ens.dtype == obs.dtype == np.float32
    exact = crps_by_definition(ens.astype(np.float64), obs.astype(np.float64))
    assert np.abs(crps_fair(ens, obs) - exact).max() < 1e-6 * exact.mean()
    weights = ((2 * np.arange(M) - M + 1) / (M * (M - 1))).astype(np.float32)
    uncentred = np.abs(ens - obs).mean(0) - weights @ np.sort(ens, axis=0)
    assert (
        np.abs(uncentred - exact).max() > 1e-5 * exact.mean()
    )  # sorted without centring, in float32: caught


@pytest.mark.parametrize(("spread", "truth"), [(1.0, 1.0), (0.8, 0.8134)])
def test_spread_skill_of_a_normal_ensemble(spread, truth):
    """Exchangeable: 1. Members with sd .8: sqrt((M + 1)/M .64 / (1 + .64/M)) = .8134, M = 10."""
    rng = np.random.default_rng(5)
    ens, obs = spread * rng.standard_normal((10, 50_000)), rng.standard_normal(50_000)
    assert spread_skill(ens, obs) == pytest.approx(truth, abs=0.008)


def test_spread_skill_keeps_weights_inside_and_the_root_last():
    rng = np.random.default_rng(6)
    ens, obs, w = rng.standard_normal((5, 30)), rng.standard_normal(30), rng.random(30)
    v, e = ens.var(0, ddof=1), (ens.mean(0) - obs) ** 2
    assert spread_skill(ens, obs, w) == pytest.approx(math.sqrt(6 / 5 * (w @ v) / (w @ e)))
    assert np.isnan(spread_skill_ratio(1.0, 0.0, 5))


@pytest.mark.parametrize("tied", [0.0, 0.4])
def test_rank_histogram_is_flat_also_with_ties(tied):
    rng = np.random.default_rng(7)
    draws = rng.standard_normal((6, 60_000))
    draws[:, rng.random(60_000) < tied] = 0.0
    counts = rank_histogram(draws[1:], draws[0], np.random.default_rng(8))
    assert counts.sum() == 60_000
    np.testing.assert_allclose(counts / 10_000, 1, atol=0.05)
    below = (draws[1:] < draws[0]).sum(0)  # ties always to the lowest rank
    assert (np.bincount(below, minlength=6)[0] / 10_000 > 1.2) == (tied > 0)


def test_rank_histogram_keeps_leading_axes_and_repeats_for_one_seed():
    rng = np.random.default_rng(9)
    ens, obs = rng.integers(0, 3, (4, 3, 100)), rng.integers(0, 3, (3, 100))
    first, again = (rank_histogram(ens, obs, np.random.default_rng(1), keep=1) for _ in range(2))
    assert first.shape == (3, 5)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first.sum(-1), 100)


def test_skill_is_a_ratio_of_means():
    s = np.array([1.0, 3.0])
    assert skill(s.mean(), s.mean()) == 0
    assert skill(0.0, 2.0) == 1
    assert ratio(1.0, 4.0) == 0.25
    assert np.isnan(skill(1.0, 0.0))


def test_means_add_in_any_chunks():
    rng = np.random.default_rng(10)
    x, w = rng.standard_normal(1000), rng.random(1000)
    whole = Mean.of(x, w)
    for size in (1, 7, 400):
        parts = [Mean.of(x[i : i + size], w[i : i + size]) for i in range(0, 1000, size)]
        assert sum(parts[1:], parts[0]).value == pytest.approx(whole.value, rel=1e-12)
        mean_of_means = np.mean([p.value for p in parts])
        assert abs(mean_of_means - whole.value) > 1e-6  # dividing per chunk is caught
    assert Mean.stack([whole, whole]).sum(0).value == pytest.approx(whole.value)
    assert np.isnan(Mean.of([1.0], [0.0]).value)


@pytest.mark.parametrize("score", [crps_fair, crps_biased, spread_skill])
def test_one_member_is_refused(score):
    with pytest.raises(ValueError, match="at least 2 members, got 1; draw more"):
        score(np.zeros((1, 4)), np.zeros(4))


def test_variance_of_one_member_is_refused():
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        ensemble_variance(np.zeros((1, 4)))


@pytest.mark.parametrize("score", [crps_fair, crps_biased, spread_skill])
def test_equal_shapes_are_refused_instead_of_becoming_an_absolute_error(score):
    with pytest.raises(ValueError, match=r"expected \(3, 4\) beside the member axis 0, got \(4,\)"):
        score(np.zeros((3, 4)), np.zeros((3, 4)))


def test_a_mean_needs_a_weight_for_each_total():
    with pytest.raises(ValueError, match=r"expected the shape \(3,\), got \(2,\)"):
        Mean(np.zeros(3), np.zeros(2))
