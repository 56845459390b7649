"""The bootstrap over initial dates: it covers the truth as often as it says, and blocks matter where dates are alike."""

from dataclasses import replace

import numpy as np
import pytest

from gencarbon.evaluation import accumulate
from gencarbon.intervals import date_intervals, ratio_intervals, score_intervals
from gencarbon.metrics import Mean
from gencarbon.metrics.ranks import shares_inside
from tests.synthetic import synthetic_ensemble


@pytest.fixture(scope="module")
def scores():
    ensemble, reference = synthetic_ensemble(frames=4)
    return accumulate(ensemble, reference)


def dated(scores, errors):
    """Scores of as many dates as `errors`, whose CRPS is an error and whose coarse error is 1."""
    shape = (len(errors), scores.lead_time.size, scores.level.size)
    one = np.ones(shape)
    means = dict(scores.means) | {
        "crps": Mean(errors[:, None, None] * one, one),
        "coarse_absolute_error": Mean(one, one),
    }
    for name, mean in means.items():
        if len(mean.total) == 1:
            means[name] = Mean(*(np.repeat(x, len(errors), 0) for x in (mean.total, mean.weight)))
    start = np.datetime64("2001-01-01", "ns") + np.arange(len(errors)) * np.timedelta64(20, "D")
    return replace(scores, means=means, start=start)


def test_intervals_cover_the_truth_as_often_as_they_say(scores):
    hits = 0
    for seed in range(100):
        errors = 0.3 + 0.05 * np.random.default_rng(seed).standard_normal(20)
        low, high = score_intervals(dated(scores, errors), ["crps_over_coarse_mae"], draws=200)[
            "crps_over_coarse_mae"
        ]
        assert low.shape == scores.lead_time.shape
        hits += low[0] <= 0.3 <= high[0]
    assert 82 <= hits <= 99  # 95 nominal; percentiles of 20 dates are a little narrow


def test_alike_neighbours_widen_the_interval(scores):
    pairs = np.repeat(np.random.default_rng(0).standard_normal(10), 2)
    width = {}
    for block in (1, 4):
        low, high = score_intervals(dated(scores, 1 + 0.1 * pairs), ["crps"], block=block)["crps"]
        width[block] = high[0] - low[0]
    assert width[4] > 1.15 * width[1]
    with pytest.raises(ValueError, match="at least 8 initial dates"):
        score_intervals(dated(scores, pairs[:7]), ["crps"])


def test_a_resampled_date_counts_as_often_as_it_is_drawn(scores):
    two = dated(scores, np.array([1.0, 3.0]))
    assert two.resampled(np.array([0, 0, 1])).figures((0, 1, 2))["crps"] == pytest.approx(5 / 3)


def test_a_ratio_is_drawn_from_the_same_dates(scores):
    errors = 1 + 0.3 * np.random.default_rng(0).standard_normal(12)
    mine, other = dated(scores, 0.8 * errors), dated(scores, errors)
    low, high = ratio_intervals(mine, other, "crps")
    assert low == pytest.approx(0.8) and high == pytest.approx(0.8)  # dates drawn apart would leave a width
    low, high = ratio_intervals(mine, dated(scores, errors[::-1]), "crps")
    assert high[0] - low[0] > 0.05
    with pytest.raises(ValueError, match="same initial dates"):
        ratio_intervals(mine, dated(scores, errors[:8]), "crps")


@pytest.mark.parametrize("members", [8, 19, 32, 39])
def test_central_coverage_is_exact_for_any_number_of_members(members):
    inside = shares_inside(members, 0.9)
    assert inside.mean() == pytest.approx(0.9) and np.array_equal(inside, inside[::-1])
    rng = np.random.default_rng(0)
    narrow = (0.5 * rng.standard_normal((members, 20000)) < rng.standard_normal(20000)).sum(0)
    assert inside[narrow].mean() < 0.8
    if members == 39:  # two of forty ranks on either side: no rank is shared
        assert inside.tolist() == pytest.approx([0, 0] + 36 * [1] + [0, 0])


def test_coverage_weighs_cells_by_their_air():
    ensemble, reference = synthetic_ensemble(frames=4)
    polar = reference.lat > 60
    truth = (ensemble.co2.median("member") + 1e3 * polar).transpose(*reference.co2.dims)  # inside, or far out
    made = accumulate(ensemble, reference.assign(co2=truth.assign_attrs(reference.co2.attrs))).to_dataset()
    air = reference.air_mass[1:]
    weight = float(air.where(polar, 0).sum() / air.sum())
    missed = (
        1 - shares_inside(ensemble.sizes["member"])[-1]
    )  # of few members, part of the last rank is inside
    assert float(made.coverage90_overall) == pytest.approx(1 - missed * weight, abs=1e-6)
    assert weight < 0.7 * float(polar.mean())  # counted alike, cells near the pole would weigh more


def test_intervals_over_dates_apart_have_the_width_of_a_mean():
    x = np.random.default_rng(3).normal(size=(400, 25)) + 2
    statistics = lambda row: lambda dates: {"mean": row[dates].mean(), "one": 1.0}  # noqa: E731
    made = [date_intervals(statistics(row), 25, draws=200) for row in x]
    low, high = np.array([m["mean"] for m in made]).T
    inside = np.mean((low <= 2) & (high >= 2))
    assert 0.88 < inside < 0.97  # of 95 %: percentiles of 25 dates are a little short
    assert np.mean(high - low) == pytest.approx(2 * 1.96 / 5, rel=0.08)
    assert made[0]["one"] == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least 4 initial dates, got 3"):
        date_intervals(statistics(x[0]), 3)
