"""The legacy scores equal their definition written out, and each has the defect that its docstring names."""

import numpy as np
import pytest

from gencarbon.budget import accumulated_flux
from gencarbon.metrics import budget_error_of_masses
from gencarbon.metrics.legacy import (
    legacy_days,
    legacy_mass_rmse,
    legacy_nse,
    legacy_r2,
    legacy_relative_absolute_bias,
    legacy_relative_mass_rmse,
    legacy_relative_rmse,
    legacy_rmse,
    legacy_station_r2,
    legacy_worst_level_r2,
)

T, L, Y, X = 5, 3, 6, 8
LAT = -90 + (np.arange(Y) + 0.5) * 180 / Y
RNG = np.random.default_rng(0)
TRUTH = 410 + RNG.standard_normal((T, L, Y, X))
MODEL = TRUTH + 0.5 * RNG.standard_normal((T, L, Y, X))
AIR = 1e15 * RNG.uniform(0.5, 1.5, (T, L, Y, X))  # kg


def weighted_pairs(x, y):
    """Every cell of two fields (..., lat, lon) with its weight cos(lat), one by one."""
    w = np.cos(np.deg2rad(LAT))
    return [(w[i[-2]], x[i], y[i]) for i in np.ndindex(x.shape)]


def correlation_by_definition(x, y):
    pairs = weighted_pairs(x, y)
    total = sum(w for w, _, _ in pairs)
    mx, my = sum(w * a for w, a, _ in pairs) / total, sum(w * b for w, _, b in pairs) / total
    cov = sum(w * (a - mx) * (b - my) for w, a, b in pairs)
    return cov / np.sqrt(
        sum(w * (a - mx) ** 2 for w, a, _ in pairs) * sum(w * (b - my) ** 2 for w, _, b in pairs)
    )


def test_rmse_is_its_definition():
    pairs = weighted_pairs(MODEL, TRUTH)
    total = sum(w for w, _, _ in pairs)
    mse = sum(w * (a - b) ** 2 for w, a, b in pairs) / total
    mean = sum(w * b for w, _, b in pairs) / total
    assert legacy_rmse(MODEL, TRUTH, LAT) == pytest.approx(np.sqrt(mse), rel=1e-12)
    assert legacy_relative_rmse(MODEL, TRUTH, LAT) == pytest.approx(np.sqrt(mse) / mean, rel=1e-12)
    unweighted = np.sqrt(((MODEL - TRUTH) ** 2).mean())
    assert abs(unweighted / np.sqrt(mse) - 1) > 1e-3  # forgotten cos(lat) is caught


def test_r2_is_the_squared_correlation_of_each_frame():
    expected = [correlation_by_definition(a, b) ** 2 for a, b in zip(MODEL, TRUTH, strict=True)]
    np.testing.assert_allclose(legacy_r2(MODEL, TRUTH, LAT), expected, rtol=1e-9)
    worst = [
        min(correlation_by_definition(a[k], b[k]) ** 2 for k in range(L))
        for a, b in zip(MODEL, TRUTH, strict=True)
    ]
    np.testing.assert_allclose(legacy_worst_level_r2(MODEL, TRUTH, LAT), worst, rtol=1e-9)


def test_nse_is_its_definition_and_never_above_r2():
    nse = legacy_nse(MODEL, TRUTH, LAT)
    for t in range(T):
        pairs = weighted_pairs(MODEL[t], TRUTH[t])
        mean = sum(w * b for w, _, b in pairs) / sum(w for w, _, _ in pairs)
        error = sum(w * (a - b) ** 2 for w, a, b in pairs)
        assert nse[t] == pytest.approx(1 - error / sum(w * (b - mean) ** 2 for w, _, b in pairs), rel=1e-9)
    assert np.all(nse <= legacy_r2(MODEL, TRUTH, LAT))


def test_a_perfect_forecast_has_perfect_legacy_scores():
    for score in (legacy_r2, legacy_worst_level_r2, legacy_nse):
        np.testing.assert_allclose(score(TRUTH, TRUTH, LAT), 1, rtol=1e-12)
    for score in (legacy_rmse, legacy_relative_rmse, legacy_relative_absolute_bias):
        assert score(TRUTH, TRUTH, LAT) == 0
    for score in (legacy_mass_rmse, legacy_relative_mass_rmse):
        assert score(TRUTH, TRUTH, AIR) == 0


@pytest.mark.parametrize("score", [legacy_r2, legacy_worst_level_r2, legacy_nse])
def test_correlation_with_a_constant_field_is_unknown(score):
    assert np.isnan(score(MODEL, np.full_like(TRUTH, 420.1), LAT)).all()


def test_defect_r2_is_blind_to_bias_and_amplitude():
    np.testing.assert_allclose(legacy_r2(2 * TRUTH + 10, TRUTH, LAT), 1, rtol=1e-9)
    assert np.all(legacy_nse(2 * TRUTH + 10, TRUTH, LAT) < -1000)


def test_defect_r2_is_ruled_by_the_mean_gradient():
    """A gradient of 8 ppm from pole to pole makes forecasts whose weather is unrelated nearly perfect."""
    gradient = 4 * np.sin(np.deg2rad(LAT))[:, None]
    weather = 0.4 * np.random.default_rng(1).standard_normal((2, T, L, Y, X))
    assert np.all(legacy_r2(*weather, LAT) < 0.2)
    assert np.all(legacy_r2(*(weather + gradient), LAT) > 0.9)


def test_defect_rmse_does_not_know_the_air_mass():
    """An error of 3 ppm in one level of three, which holds 1 % of the air: 3/sqrt(3) instead of 3 x .1."""
    wrong = TRUTH.copy()
    wrong[:, 0] += 3
    air = np.array([0.01, 0.495, 0.495])[:, None, None] * np.cos(np.deg2rad(LAT))[:, None]
    assert legacy_rmse(wrong, TRUTH, LAT) == pytest.approx(np.sqrt(3))
    by_mass = np.average((wrong - TRUTH) ** 2, weights=np.broadcast_to(air, TRUTH.shape))
    assert np.sqrt(by_mass) == pytest.approx(0.3)


def test_days_until_r2_falls_below_the_threshold():
    r2 = np.array([0.1, 0.99, 0.95, 0.9, 0.8, 0.95, 0.1])  # lead 0 is skipped, .9 is not below .9
    assert legacy_days(r2, step_days=0.25) == 1.0
    assert legacy_days(r2, step_days=0.25, threshold=0.5) == 1.5
    assert (
        legacy_days(np.stack([r2, np.ones(7)]), 0.25) == 1.5
    )  # the mean over forecasts first falls at lead 6
    np.testing.assert_allclose(np.mean([legacy_days(r2, 0.25), legacy_days(np.ones(7), 0.25)]), 1.25)


def test_defect_days_grow_with_the_length_of_a_perfect_run():
    assert legacy_days(np.ones(9), 0.25) == 2.0
    assert legacy_days(np.ones(401), 0.25) == 100.0


def test_days_need_two_leads():
    with pytest.raises(ValueError, match=r"2 or more leads, got \(1,\)"):
        legacy_days([1.0], 0.25)


def test_mass_rmse_is_its_definition():
    factor = 1e-6 * 44.0095 / 28.9647
    truth, model = ([(c * m).sum() * factor for c, m in zip(x, AIR, strict=True)] for x in (TRUTH, MODEL))
    gap = np.array(model) - np.array(truth)
    assert legacy_mass_rmse(MODEL, TRUTH, AIR) == pytest.approx(np.sqrt((gap**2).mean()), rel=1e-9)
    relative = np.sqrt(((gap / np.array(truth)) ** 2).mean())
    assert legacy_relative_mass_rmse(MODEL, TRUTH, AIR) == pytest.approx(relative, rel=1e-9)


def test_defect_relative_mass_hides_a_lost_flux_budget():
    """A frozen field under a flux of 5 PgC a year: .3 % by the legacy score, 100 % of the budget."""
    months = 13
    area, flux = np.array([[5.1e14]]), np.full((months, 1, 1), 5 * 44 / 12 * 1e12 / 5.1e14 / 365.25 / 86400)
    step = 365.25 * 86400 / 12
    air = np.full((months, 1, 1, 1), 5.1352e18)
    added = accumulated_flux(flux, area, step)  # kg CO2
    truth = 410 + (added / 5.1352e18 * 28.9647 / 44.0095 * 1e6)[:, None, None, None]
    frozen = np.full_like(truth, 410.0)
    assert 0.001 < legacy_relative_mass_rmse(frozen, truth, air) < 0.006
    mass = frozen[:, 0, 0, 0] * 1e-6 * 44.0095 / 28.9647 * 5.1352e18
    np.testing.assert_allclose(budget_error_of_masses(mass, added)[1:], 1, rtol=1e-9)


def test_relative_absolute_bias_and_its_defect():
    assert legacy_relative_absolute_bias(TRUTH - 4.1, np.full_like(TRUTH, 410.0), LAT) == pytest.approx(
        abs(np.average(TRUTH - 414.1, weights=np.broadcast_to(np.cos(np.deg2rad(LAT))[:, None], TRUTH.shape)))
        / 410,
        rel=1e-9,
    )
    drift = np.linspace(-5, 5, T)[:, None, None, None]
    assert legacy_relative_absolute_bias(TRUTH + drift, TRUTH, LAT) < 1e-12  # a drift of 10 ppm scores 0
    assert legacy_rmse(TRUTH + drift, TRUTH, LAT) > 3


def test_station_r2_uses_the_observed_times_only():
    rng = np.random.default_rng(2)
    model = 410 + rng.standard_normal((40, 4))
    observed = model + rng.standard_normal((40, 4))
    gaps = rng.random((40, 4)) < 0.3
    observed[gaps] = np.nan
    observed[:, 3] = np.nan
    r2 = legacy_station_r2(model, observed)
    for s in range(3):
        seen = ~gaps[:, s]
        assert r2[s] == pytest.approx(np.corrcoef(model[seen, s], observed[seen, s])[0, 1] ** 2, rel=1e-9)
    assert np.isnan(r2[3])
    np.testing.assert_allclose(legacy_station_r2(2 * model + 10, observed), r2, rtol=1e-9)  # the defect
