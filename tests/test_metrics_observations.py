"""Scores against observations: closed forms, brute-force twins, and the mistakes that they must catch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gencarbon.metrics import crps_fair, rank_histogram, spread_skill
from gencarbon.metrics.observations import (
    amplitude,
    bilinear,
    column_average,
    correlation,
    diurnal_cycle,
    interpolate_log_pressure,
    local_solar_hour,
    month_of_year,
    observed_scores,
    rectifier,
    seasonal_cycle,
    spread_skill_observed,
    with_observation_error,
)

HOURLY = np.datetime64("2001-01-01T00:30", "ns") + np.arange(365 * 24) * np.timedelta64(1, "h")


def noisy_case(n=20000, members=8, sigma=1.0, seed=1):
    """Members N(c, 1), a truth of the same law, and an observation of it with error sigma; every point independent."""
    rng = np.random.default_rng(seed)
    drawn = 415 + 3 * rng.standard_normal(n) + rng.standard_normal((members + 1, n))
    return drawn[1:], drawn[0] + sigma * rng.standard_normal(n), rng


def test_spread_skill_counts_the_observation_error():
    ens, obs, _ = noisy_case()
    assert float(spread_skill_observed(ens, obs, 1.0)) == pytest.approx(1, abs=0.02)
    assert float(spread_skill(ens, obs)) < 0.8  # sqrt(1.125 / 2.125) = .73: the error left out is visible
    assert float(spread_skill_observed(ens, obs, 2.0)) > 1.2  # and so is one overstated
    assert float(spread_skill_observed(ens, obs, 0.0)) == pytest.approx(
        float(spread_skill(ens, obs)), rel=1e-12
    )


def test_spread_skill_by_hand_and_without_missing_observations():
    ens, obs = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, 7.0]]), np.array([0.0, 4.0, np.nan])
    expected = (1.5 * np.mean([2.0, 0.0]) + np.mean([0.25, 1.0])) / np.mean([4.0, 1.0])
    assert float(spread_skill_observed(ens, obs, [0.5, 1.0, 9.0])) == pytest.approx(
        np.sqrt(expected), rel=1e-14
    )
    assert np.isnan(spread_skill_observed(ens, np.full(3, np.nan), 1.0))


def test_ranks_are_flat_only_with_the_observation_error():
    ens, obs, rng = noisy_case()
    assert chisquare(rank_histogram(with_observation_error(ens, 1.0, rng), obs, rng)).pvalue > 1e-3
    assert chisquare(rank_histogram(ens, obs, rng)).pvalue < 1e-9


def test_the_crps_prefers_the_true_spread_only_with_the_observation_error():
    rng = np.random.default_rng(4)
    obs = 415 + rng.standard_normal(20000) + rng.standard_normal(20000)
    ens = 415 + rng.standard_normal((16, 20000))
    wide = 415 + 1.4 * (ens - 415)

    def score(members, sigma):
        return crps_fair(with_observation_error(members, sigma, np.random.default_rng(2)), obs).mean()

    assert score(ens, 1.0) < score(wide, 1.0)
    assert score(ens, 0.0) > score(wide, 0.0)  # too much spread is rewarded where the error is left out


def test_pooled_scores_are_those_of_the_points_observed():
    ens, obs, rng = noisy_case(n=500)
    obs[::7] = np.nan
    kept, mean = np.isfinite(obs), ens.mean(axis=0)
    dressed = with_observation_error(ens, 0.7, rng)
    s = observed_scores(ens, obs, 0.7, dressed, rng)
    assert s["n"] == kept.sum() == s["rank_count"].sum()
    assert s["bias"] == pytest.approx(np.mean((mean - obs)[kept]), rel=1e-12)
    assert s["rmse"] == pytest.approx(np.sqrt(np.mean((mean - obs)[kept] ** 2)), rel=1e-12)
    assert s["correlation"] == pytest.approx(np.corrcoef(mean[kept], obs[kept])[0, 1], rel=1e-12)
    assert s["crps"] == pytest.approx(crps_fair(dressed[:, kept], obs[kept]).mean(), rel=1e-12)
    assert s["crps_without_error"] == pytest.approx(crps_fair(ens[:, kept], obs[kept]).mean(), rel=1e-12)
    assert s["spread"] == pytest.approx(np.sqrt(ens[:, kept].var(axis=0, ddof=1).mean()), rel=1e-12)
    assert s["spread_skill"] == spread_skill_observed(ens, obs, 0.7)


def test_scores_of_no_observation_are_undefined():
    s = observed_scores(np.zeros((3, 4)), np.full(4, np.nan), 1.0, np.zeros((3, 4)), np.random.default_rng(0))
    assert s.pop("n") == 0
    assert s.pop("rank_count").tolist() == [0, 0, 0, 0]
    assert all(np.isnan(value) for value in s.values())


def test_correlation_of_a_constant_is_undefined():
    assert np.isnan(correlation(np.full(9, 415.1), np.arange(9.0)))
    assert np.isnan(correlation([1.0], [2.0]))
    assert correlation(415 + np.arange(9.0), -2 * np.arange(9.0)) == pytest.approx(-1, rel=1e-14)


def test_local_solar_hour_and_month():
    time = np.array(["2001-12-31T22:30", "2002-01-01T06:00"], "datetime64[ns]")
    np.testing.assert_allclose(local_solar_hour(time, 45.0), [1.5, 9.0])
    np.testing.assert_allclose(local_solar_hour(time, -90.0), local_solar_hour(time, 270.0))
    assert month_of_year(time).tolist() == [12, 1]


def test_cycles_of_a_known_signal_come_back():
    lon = 37.5
    hour, month = local_solar_hour(HOURLY, lon), month_of_year(HOURLY)
    by_hour, by_month = (
        np.cos(2 * np.pi * np.arange(24) / 24),
        np.array([3.0, 4, 4, 5, 2, -1, -6, -7, -4, -2, 0, 2]),
    )
    x = 415 + 5 * by_hour[hour.astype(int)] + by_month[month - 1]
    # the tolerance: at the ends of the record some hours have one January or December day less
    np.testing.assert_allclose(diurnal_cycle(x, hour), 5 * by_hour, atol=0.02)
    np.testing.assert_allclose(seasonal_cycle(x, month), by_month - by_month.mean(), atol=1e-10)
    assert float(amplitude(diurnal_cycle(x, hour))) == pytest.approx(10, abs=0.02)
    assert float(amplitude(seasonal_cycle(x, month))) == pytest.approx(12, abs=1e-10)
    afternoon = 5 * by_hour[12:16].mean()
    assert float(rectifier(x, hour)) == pytest.approx(-afternoon, abs=0.02)
    assert float(rectifier(np.full(hour.size, 415.2), hour)) == pytest.approx(0, abs=1e-10)
    utc = local_solar_hour(HOURLY, 0.0)
    assert abs(diurnal_cycle(x, utc) - 5 * by_hour).max() > 1  # the clock of another longitude is caught


def test_cycles_leave_gaps_out_and_keep_leading_axes():
    hour, month = local_solar_hour(HOURLY, 0.0), month_of_year(HOURLY)
    x = 410 + np.sin(hour)[None] + month * np.ones((2, 1))
    x[1, month == 5] = np.nan
    x[1, hour < 1] = np.nan
    cycle = diurnal_cycle(x, hour)
    assert cycle.shape == (2, 24)
    assert np.isnan(cycle[1]).tolist() == [True] + 23 * [False]
    assert np.isnan(seasonal_cycle(x, month)[1]).nonzero()[0].tolist() == [4]
    np.testing.assert_allclose(cycle[0], diurnal_cycle(x[0], hour), atol=1e-10)
    np.testing.assert_allclose(np.nanmean(cycle, axis=-1), 0, atol=1e-10)
    assert np.isnan(amplitude(seasonal_cycle(x[:, month == 3], month[month == 3]))).all()


@pytest.mark.parametrize(
    ("hours", "defined"),
    [((1, 7, 13, 19), True), ((4, 10, 16, 22), False), ((12, 13, 14, 15), False), ((0, 6, 18), False)],
)
def test_the_rectifier_needs_the_afternoon_and_the_whole_day(hours, defined):
    hour = np.tile(np.array(hours, float), 5)
    assert np.isfinite(rectifier(415 + hour, hour)) == defined


def test_night_time_build_up_makes_the_rectifier_positive():
    hour = np.tile(np.arange(24.0), 3)
    depth = np.where((hour > 9) & (hour < 18), 1500.0, 300.0)
    flux = np.where((hour > 6) & (hour < 18), -1.0, 1.0)  # uptake by day, release by night, no net flux
    assert float(rectifier(415 + 3000 * flux / depth, hour)) > 0


def test_bilinear_is_exact_for_a_bilinear_field_and_closes_the_circle():
    y, x = np.linspace(-78.75, 78.75, 8), 11.25 + 22.5 * np.arange(16)
    rng = np.random.default_rng(3)
    lat, lon = rng.uniform(-78, 78, 200), rng.uniform(-180, 360, 200)
    field = rng.standard_normal((8, 16))
    rows, columns, weight = bilinear(lat, lon, y, x)
    around = np.concatenate([field[:, -1:], field, field[:, :1]], axis=1)
    longitudes = np.concatenate([[x[-1] - 360], x, [x[0] + 360]])
    along = [[np.interp(l % 360, longitudes, row) for row in around] for l in lon]
    twin = [np.interp(phi, y, column) for phi, column in zip(lat, along)]
    np.testing.assert_allclose((field[rows, columns] * weight).sum(axis=-1), twin, atol=1e-12)
    np.testing.assert_allclose((y[rows] * weight).sum(axis=-1), lat, atol=1e-12)


def test_bilinear_at_the_poles_is_the_outermost_row():
    y, x = np.linspace(-78.75, 78.75, 8), 11.25 + 22.5 * np.arange(16)
    rows, columns, weight = bilinear([-90.0, 90.0, 78.75], [11.25, 371.25, 33.75], y, x)
    field = np.arange(128.0).reshape(8, 16)
    assert (field[rows, columns] * weight).sum(axis=-1).tolist() == [field[0, 0], field[7, 0], field[7, 1]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 20))
def test_log_pressure_interpolation_is_that_of_numpy(seed, levels, targets):
    rng = np.random.default_rng(seed)
    p = np.sort(rng.uniform(100, 1e5, (5, levels)) + np.arange(levels))[:, ::-1]
    x, t = rng.uniform(400, 430, (3, 5, levels)), rng.uniform(10, 1.2e5, (5, targets))
    got = interpolate_log_pressure(x, p, t)
    assert got.shape == (3, 5, targets)
    for m, s in np.ndindex(3, 5):
        twin = np.interp(np.log(t[s]), np.log(p[s, ::-1]), x[m, s, ::-1])
        np.testing.assert_allclose(got[m, s], twin, rtol=1e-11)


def test_a_profile_linear_in_log_pressure_is_exact_and_constant_beyond_the_ends():
    p, t = np.array([9.5e4, 7e4, 4e4, 1e4]), np.array([0.0, 1e4, 2e4, 5.5e4, 9.5e4, 1.1e5])
    got = interpolate_log_pressure(400 + 3 * np.log(p), p, t)
    np.testing.assert_allclose(got, 400 + 3 * np.log(np.clip(t, 1e4, 9.5e4)), rtol=1e-14)
    linear_in_p = np.interp(t, p[::-1], (400 + 3 * np.log(p))[::-1])
    assert abs(linear_in_p - got).max() > 0.1  # the other convention is caught


def test_pressure_from_the_top_down_is_refused():
    with pytest.raises(ValueError, match="must fall along the last axis.*reverse the level axis"):
        interpolate_log_pressure([1.0, 2.0], [1e4, 9e4], [5e4])


def test_a_column_of_the_prior_is_the_prior():
    rng = np.random.default_rng(0)
    kernel, prior, column = rng.random((50, 20)), rng.uniform(390, 420, (50, 20)), rng.uniform(390, 420, 50)
    weight = np.full((50, 20), 0.05)
    np.testing.assert_array_equal(column_average(prior, kernel, weight, prior, column), column)
    x = rng.uniform(390, 420, (4, 50, 20))
    assert column_average(x, kernel, weight, prior, column).shape == (4, 50)
    own = (weight * prior).sum(axis=-1)
    np.testing.assert_allclose(
        column_average(x, 1.0 + 0 * kernel, weight, prior, own), x.mean(axis=-1), rtol=1e-12
    )
    twin = column[7] + sum(weight[7, i] * kernel[7, i] * (x[2, 7, i] - prior[7, i]) for i in range(20))
    assert column_average(x, kernel, weight, prior, column)[2, 7] == pytest.approx(twin, rel=1e-14)


def test_other_retrieval_levels_and_times_are_refused():
    with pytest.raises(ValueError, match=r"same retrieval levels.*sizes \[8, 20, 20, 20\]; interpolate"):
        column_average(np.ones(8), np.ones(20), np.ones(20), np.ones(20), 1.0)
    with pytest.raises(ValueError, match="one hour or month for each of 5 times, got 4; select"):
        diurnal_cycle(np.ones(5), np.ones(4))
    with pytest.raises(ValueError, match=r"months run from 1 to 12, got 0 \.\. 11"):
        seasonal_cycle(np.ones(12), np.arange(12))
