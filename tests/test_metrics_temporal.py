"""Laws of the scores in time: AR(1) closed forms, definitions written out, and shuffled frames that must be seen."""

import itertools

import numpy as np
import pytest
from scipy.signal import lfilter

from gencarbon.metrics.temporal import (
    autocorrelation,
    cumulative_maximum_error,
    decorrelation_steps,
    hovmoeller,
    hovmoeller_value_w1,
    hovmoeller_w1,
    waiting_time_w1,
    waiting_times,
)


def ar1(rho, shape, seed=0):
    """x(t) = rho x(t-1) + sqrt(1 - rho^2) noise: variance 1, autocorrelation rho^k. Stationary from frame 0."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=0)


def wave(frames, seed=0, longitudes=36):
    """A travelling wave whose amplitude and phase wander: (time, lon)."""
    x = 2 * np.pi * np.arange(longitudes) / longitudes
    a, b, c, d = ar1(0.97, (frames, 4), seed).T[..., None]
    return a * np.cos(x) + b * np.sin(x) + 0.5 * (c * np.cos(3 * x) + d * np.sin(3 * x))


def test_autocorrelation_is_its_definition():
    rng = np.random.default_rng(1)
    x = 420 + rng.standard_normal((9, 2, 3)) * np.array([0.1, 1, 5])
    a = x - x.mean(0)
    for k, r in zip([0, 1, 4, 8], autocorrelation(x, [0, 1, 4, 8]), strict=True):
        pairs = [a[t] * a[t + k] for t in range(9 - k)]
        assert r == pytest.approx(
            np.mean(pairs) / np.mean(a**2), rel=1e-10
        )  # 420 costs four of sixteen digits
    rates = [autocorrelation(x[:, i, j], [1])[0] for i in range(2) for j in range(3)]
    assert abs(np.mean(rates) - autocorrelation(x, [1])[0]) > 0.01  # a mean of ratios is caught


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_of_ar1(rho):
    """rho^k within 4 standard errors of sqrt((1 + rho^2)/(1 - rho^2)/N) or less, N = 4e5 values (Bartlett)."""
    lags = np.arange(6)
    r = autocorrelation(ar1(rho, (2000, 200)), lags)
    assert r[0] == 1
    error = 4 * np.sqrt((1 + rho**2) / (1 - rho**2) / 4e5) + (1 + rho) / (1 - rho) / 2000  # and the bias
    np.testing.assert_allclose(r, rho**lags, atol=error)


def test_autocorrelation_averages_each_lag_over_its_own_pairs():
    """A period of 8 in 16 frames: at lag 8 every pair is equal. Dividing by T instead gives one half."""
    x = np.cos(2 * np.pi * np.arange(16) / 8)
    assert autocorrelation(x, [8])[0] == pytest.approx(1)
    assert autocorrelation(x, [4])[0] == pytest.approx(-1)
    assert (x[:8] @ x[8:]) / (x @ x) == pytest.approx(0.5)


def test_autocorrelation_ignores_each_points_own_mean_and_the_unit():
    x = ar1(0.8, (300, 10))
    r = autocorrelation(x, range(5))
    offsets = 100 * np.arange(10)
    np.testing.assert_allclose(autocorrelation(7 * x + offsets, range(5)), r, atol=1e-9)
    pooled = x + offsets - (x + offsets).mean()  # one mean for all points: caught
    assert (pooled[:-1] * pooled[1:]).mean() / (pooled**2).mean() > 0.99 > r[1]
    shuffled = x[np.random.default_rng(2).permutation(300)]
    assert abs(autocorrelation(shuffled, [1])[0]) < 0.1


def test_autocorrelation_of_a_constant_is_unknown():
    assert np.isnan(autocorrelation(np.full((50, 3), 420.1), [0, 1])).all()


@pytest.mark.parametrize("lags", [[10], [-1], [0.5]])
def test_lags_outside_the_record_are_refused(lags):
    with pytest.raises(ValueError, match="from 0 to 9 for 10 frames, got .*; drop the long lags"):
        autocorrelation(np.arange(10.0), lags)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_decorrelation_of_ar1_is_its_closed_form(rho):
    exact = decorrelation_steps(rho ** np.arange(400))
    assert exact == pytest.approx((1 + rho) / (1 - rho), rel=1e-12)  # rho^400 = 5e-19 is left out at most
    found = decorrelation_steps(autocorrelation(ar1(rho, (20_000, 20), seed=3), range(200)))
    assert found == pytest.approx(
        (1 + rho) / (1 - rho), rel=0.05
    )  # bias below 2 x 200 x 19 / 20000 = .4 of 19


def test_decorrelation_stops_at_the_first_lag_that_is_not_positive():
    assert decorrelation_steps([1, 0.5, 0.25, -0.1, 0.7]) == 2.5
    assert decorrelation_steps([1, 0.0, 0.7]) == 1
    assert decorrelation_steps([1, -0.5]) == 1
    assert np.isnan(decorrelation_steps([np.nan, np.nan]))


@pytest.mark.parametrize("acf", [[0.9, 0.5], np.ones((2, 2))])
def test_decorrelation_refuses_an_acf_without_lag_0(acf):
    with pytest.raises(ValueError, match="lags 0, 1, 2, ..., which begins with 1, got"):
        decorrelation_steps(acf)


def test_hovmoeller_is_the_band_mean_without_its_mean_over_longitude():
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((5, 4, 8)), np.array([0.0, 1.0, 3.0, 0.0])
    band = (x[:, 1] + 3 * x[:, 2]) / 4
    np.testing.assert_allclose(hovmoeller(x, w), band - band.mean(1)[:, None], atol=1e-14)
    np.testing.assert_allclose(hovmoeller(x, 10 * w), hovmoeller(x, w), atol=1e-14)
    rising = x + 0.1 * np.arange(5)[:, None, None]
    np.testing.assert_allclose(hovmoeller(rising, w), hovmoeller(x, w), atol=1e-13)
    outside = x.copy()
    outside[:, [0, 3]] += 9
    np.testing.assert_array_equal(hovmoeller(outside, w), hovmoeller(x, w))


def test_hovmoeller_refuses_a_weight_for_something_else():
    with pytest.raises(ValueError, match=r"each of 4 latitudes, got \(8,\)"):
        hovmoeller(np.zeros((5, 4, 8)), np.ones(8))


def test_changes_tell_shuffled_frames_from_the_truth_and_values_do_not():
    truth = wave(4000)
    halves = hovmoeller_w1(truth[:2000], truth[2000:])
    shuffled = truth[np.random.default_rng(5).permutation(4000)]
    assert hovmoeller_w1(shuffled, truth) > 5 * halves
    assert hovmoeller_value_w1(shuffled, truth) == pytest.approx(0, abs=1e-12)
    still = np.repeat(truth[:1], 4000, axis=0)  # a frozen diagram is as wrong as a shuffled one
    assert hovmoeller_w1(still, truth) > 5 * halves


def test_hovmoeller_distance_of_uniform_changes_is_their_difference():
    """Changes all 2 against all .5: one has to move everything by 1.5. Values against values + 3: by 3."""
    slow, fast = (np.outer(s * np.arange(6), np.ones(4)) for s in (0.5, 2))
    assert hovmoeller_w1(fast, slow) == pytest.approx(1.5)
    assert hovmoeller_w1(fast + 7, slow) == pytest.approx(1.5)
    assert hovmoeller_value_w1(fast + 3, fast) == pytest.approx(3)
    assert hovmoeller_w1(np.stack([fast, slow]), fast) == pytest.approx(
        0.75
    )  # members pooled, time still axis -2
    assert np.isnan(hovmoeller_w1(np.where(fast > 9, np.nan, fast), slow))


def test_hovmoeller_distance_needs_two_frames():
    with pytest.raises(ValueError, match=r"at least 2 frames, got \(1, 8\)"):
        hovmoeller_w1(np.zeros((1, 8)), np.zeros((2, 8)))


def waits_by_definition(series, threshold):
    """Runs of calm frames, without the first and the last run if they touch the edge of the record."""
    runs = [(above, len(list(run))) for above, run in itertools.groupby(series > threshold)]
    return [length for i, (above, length) in enumerate(runs) if not above and 0 < i < len(runs) - 1]


def test_waiting_times_of_a_series_read_by_eye():
    x = np.array([0, 0, 2, 0, 2, 2, 0, 1, 0, 2, 1, 0, 0])
    np.testing.assert_array_equal(waiting_times(x, 1), [1, 3])  # 1 is not above 1; both edges are left out
    assert waiting_times(x, 5).size == 0
    assert waiting_times(x, -1).size == 0


def test_waiting_times_are_the_definition_at_every_point():
    x = ar1(0.6, (60, 3, 4), seed=6)
    expected = [w for i in range(3) for j in range(4) for w in waits_by_definition(x[:, i, j], 0.7)]
    np.testing.assert_array_equal(waiting_times(x, 0.7), expected)
    glued = waits_by_definition(np.moveaxis(x, 0, -1).ravel(), 0.7)  # points joined end to end: caught
    assert len(glued) > len(expected)


def test_waiting_times_of_white_noise_are_geometric():
    """Each frame exceeds with p = .1, so a wait of k >= 1 has probability .1 x .9^(k-1): mean 10, sd 9.5."""
    x = np.random.default_rng(7).random((20_000, 20))
    waits = waiting_times(x, 0.9)
    assert waits.mean() == pytest.approx(10, abs=4 * 9.5 / np.sqrt(waits.size) + 0.02)


def test_waiting_time_distance_sees_shuffled_frames():
    a, b = ar1(0.9, (3000, 20), seed=8), ar1(0.9, (3000, 20), seed=9)
    same = waiting_time_w1(a, b, 1.0)
    assert waiting_time_w1(a[np.random.default_rng(0).permutation(3000)], b, 1.0) > 5 * same
    assert waiting_time_w1(a, a, 1.0) == 0
    slow = np.tile([2, 0, 0, 0, 2], 10)
    assert waiting_time_w1(slow, np.tile([2, 0], 10), 1.0) == pytest.approx(
        2
    )  # waits of 3 against waits of 1
    assert np.isnan(waiting_time_w1(a, b, 100.0))


def test_waiting_times_refuse_nan():
    with pytest.raises(ValueError, match="got 1 NaN; select points"):
        waiting_times([0.0, np.nan, 1.0], 0.5)


def test_cumulative_maximum_error_is_its_definition():
    rng = np.random.default_rng(10)
    truth, forecast, w = rng.standard_normal((8, 3)), rng.standard_normal((8, 3)), np.array([1.0, 2.0, 5.0])
    d = np.sqrt(np.mean([w @ (y - truth.mean(0)) ** 2 / 8 for y in truth]))
    e = [np.sqrt(w @ (x - y) ** 2 / 8) / d for x, y in zip(forecast, truth, strict=True)]
    expected = np.mean([min(1.4, max(e[: t + 1])) for t in range(8)])
    assert cumulative_maximum_error(forecast, truth, w, bound=1.4) == pytest.approx(expected, rel=1e-12)
    assert abs(np.mean(np.minimum(e, 1.4)) - expected) > 0.01  # without the running maximum: caught


def test_cumulative_maximum_error_of_a_ramp():
    """Truth -1, 1, -1, 1 has d = 1; errors 0, .25, .5, 2 give (0 + .25 + .5 + 1) / 4."""
    truth, slip = np.array([-1.0, 1, -1, 1]), np.array([0, 0.5, 0, 0])
    ramp = np.array([0, 0.25, 0.5, 2])
    assert cumulative_maximum_error(truth + ramp, truth) == pytest.approx(1.75 / 4)
    assert cumulative_maximum_error(truth + slip, truth) == pytest.approx(1.5 / 4)  # not forgiven
    assert cumulative_maximum_error(truth, truth) == 0


def test_cumulative_maximum_error_grows_with_the_error_up_to_its_bound():
    truth = ar1(0.9, (50, 6), seed=11)
    noise = np.random.default_rng(12).standard_normal(truth.shape)
    scores = [cumulative_maximum_error(truth + s * noise, truth) for s in (0, 0.01, 0.1, 0.3, 0.6, 100)]
    assert np.all(np.diff(scores) > 0)
    assert scores[-1] == pytest.approx(1, abs=0.02)
    early, late = truth.copy(), truth.copy()
    early[5:] += 0.5
    late[40:] += 0.5
    assert cumulative_maximum_error(early, truth) > 3 * cumulative_maximum_error(late, truth)
    assert cumulative_maximum_error(420 + 3 * early, 420 + 3 * truth) == pytest.approx(
        cumulative_maximum_error(early, truth), rel=1e-10
    )


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_lost_forecast_counts_as_the_bound_from_there_on(lost):
    truth = np.tile([-1.0, 1.0], 5)
    forecast = truth.copy()
    forecast[4] = lost
    assert cumulative_maximum_error(forecast, truth) == pytest.approx(0.6)
    assert cumulative_maximum_error(forecast, truth, bound=2.0) == pytest.approx(1.2)
    assert cumulative_maximum_error(np.full(10, lost), truth) == 1


@pytest.mark.parametrize("truth", [np.full(5, 420.0), np.array([1.0, np.nan, 2.0])])
def test_cumulative_maximum_error_needs_a_truth_that_varies(truth):
    with pytest.raises(ValueError, match="finite and varies in time, got an rms deviation of"):
        cumulative_maximum_error(truth, truth)
