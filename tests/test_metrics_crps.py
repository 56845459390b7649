"""The kernel of the CRPS: layouts, precision, NaN, and its kin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencarbon.metrics import (
    crps_biased,
    crps_fair,
    crps_gaussian,
    crps_threshold_weighted,
    quantile_score,
)


@pytest.mark.parametrize("members", [2, 9, 64, 300])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_any_layout_and_precision_is_the_definition(members, axis, kind):
    rng = np.random.default_rng(members + axis)
    ens, obs = rng.standard_normal((members, 5, 211)).astype(kind), rng.standard_normal((5, 211)).astype(kind)
    pairs = np.abs(ens[:, None].astype(float) - ens.astype(float)).sum((0, 1)) / (2 * members * (members - 1))
    judge = np.abs(ens - obs).mean(axis=0, dtype=float) - pairs
    found = crps_fair(np.moveaxis(ens, 0, axis), obs, axis=axis)
    np.testing.assert_allclose(found, judge, atol=1e-13 if kind is np.float64 else 3e-6)


def test_the_input_is_left_alone_and_a_view_is_as_good():
    rng = np.random.default_rng(0)
    big, obs = rng.standard_normal((8, 30, 40)), rng.standard_normal((15, 20))
    before = big.copy()
    view = big[:, ::2, ::2]
    np.testing.assert_array_equal(crps_fair(view, obs), crps_fair(np.ascontiguousarray(view), obs))
    np.testing.assert_array_equal(big, before)


def test_single_precision_at_420_ppm_keeps_six_digits():
    rng = np.random.default_rng(0)
    ens = (420 + 0.1 * rng.standard_normal((50, 2000))).astype(np.float32)
    obs = (420 + 0.1 * rng.standard_normal(2000)).astype(np.float32)
    exact = crps_fair(ens.astype(float), obs.astype(float))
    assert np.abs(crps_fair(ens, obs) - exact).max() < 1e-6 * exact.mean()
    x = np.sort(ens, axis=0)  # not centred first
    weight = ((2 * np.arange(50) - 49) / (50 * 49)).astype(np.float32)
    naive = np.abs(ens - obs).mean(axis=0) - (weight[:, None] * x).sum(axis=0)
    assert np.abs(naive - exact).max() > 1e-4 * exact.mean()


def test_a_nan_spoils_its_point_and_no_other():
    ens, obs = np.random.default_rng(0).standard_normal((7, 600)), np.zeros(600)
    ens[3, 100] = np.nan
    obs[200] = np.nan
    assert np.flatnonzero(np.isnan(crps_fair(ens, obs))).tolist() == [100, 200]


fields = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(
    seed=fields,
    members=st.integers(2, 40),
    scale=st.sampled_from([1e-6, 1.0, 1e3]),
    shift=st.floats(-500, 500),
)
def test_order_units_and_shift_change_nothing(seed, members, scale, shift):
    rng = np.random.default_rng(seed)
    ens, obs = (
        np.round(rng.standard_normal((members, 17)), 1),
        np.round(rng.standard_normal(17), 1),
    )  # with ties
    score = crps_fair(ens, obs)
    np.testing.assert_allclose(crps_fair(rng.permutation(ens), obs), score, atol=1e-14)
    np.testing.assert_allclose(
        crps_fair(scale * ens + shift, scale * obs + shift), scale * score, atol=1e-12 * max(1, scale) + 1e-12
    )
    np.testing.assert_allclose(
        np.concatenate([crps_fair(ens[:, :5], obs[:5]), crps_fair(ens[:, 5:], obs[5:])]), score, atol=0
    )


def test_a_gaussian_needs_a_width():
    with pytest.raises(ValueError, match=r"standard deviation above 0, got 0.0; use"):
        crps_gaussian(0.0, [1.0, 0.0], 0.0)
    assert crps_gaussian(0.0, 1.0, 0.0) == pytest.approx(0.2336949772)


def test_only_what_lies_above_a_threshold_counts():
    rng = np.random.default_rng(0)
    ens, obs = rng.standard_normal((9, 200)), rng.standard_normal(200)
    np.testing.assert_array_equal(crps_threshold_weighted(ens, obs, -np.inf), crps_fair(ens, obs))
    assert crps_threshold_weighted(ens, obs, 10.0).max() == 0
    moved = np.where(ens < 0, ens - 5, ens)  # changes nothing above 0
    np.testing.assert_allclose(
        crps_threshold_weighted(moved, obs, 0.0), crps_threshold_weighted(ens, obs, 0.0)
    )
    assert np.abs(crps_fair(moved, obs) - crps_fair(ens, obs)).max() > 0.1


def test_the_pinball_loss_is_least_at_the_quantile():
    obs = np.random.default_rng(0).standard_normal(20_000)
    losses = [quantile_score(np.full(obs.size, q), obs, 0.9).mean() for q in (0.9, 1.2816, 1.7)]
    assert losses[1] == pytest.approx(0.1755, abs=0.003)
    assert losses[1] < min(losses[0], losses[2])
    with pytest.raises(ValueError, match="0 < tau < 1, got 90"):
        quantile_score(0.0, 0.0, 90)


@pytest.mark.parametrize("score", [crps_fair, crps_biased])
def test_bad_shapes_are_refused(score):
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        score(np.zeros((1, 3)), np.zeros(3))
    with pytest.raises(ValueError, match=r"expected \(4,\) beside the member axis 0, got \(3,\); select"):
        score(np.zeros((5, 3)), np.zeros(4))
