"""Paired comparison: the size of its intervals, what it finds, and what it refuses."""

import numpy as np
import pytest

from gencarbon.comparison import compare
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from gencarbon.metrics import paired_interval
from gencarbon.metrics.compare import correlation_time
from tests.synthetic import synthetic_ensemble


def ar1(rng, rho, n):
    x = [rng.standard_normal()]
    for _ in range(n - 1):
        x.append(rho * x[-1] + np.sqrt(1 - rho**2) * rng.standard_normal())
    return np.array(x)


@pytest.mark.parametrize(("rho", "most"), [(0.0, 0.12), (0.6, 0.2)])
def test_an_interval_of_equals_excludes_zero_seldom(rho, most):
    rng = np.random.default_rng(0)
    found = [paired_interval(ar1(rng, rho, 56), np.zeros(56), rng, draws=400) for _ in range(150)]
    assert np.mean([p.low > 0 or p.high < 0 for p in found]) <= most


def test_single_frames_drawn_from_a_correlated_series_would_be_too_sure():
    rng, wrong = np.random.default_rng(0), []
    for _ in range(150):
        x = ar1(rng, 0.8, 56)
        means = x[rng.integers(0, 56, (400, 56))].mean(axis=1)  # no blocks
        wrong.append(not np.quantile(means, 0.025) <= 0 <= np.quantile(means, 0.975))
    assert np.mean(wrong) > 0.3


def test_the_effective_sample_size_of_ar1():
    rng = np.random.default_rng(0)
    assert correlation_time(ar1(rng, 0.0, 4000)) == pytest.approx(1, abs=0.1)
    assert correlation_time(ar1(rng, 0.8, 20_000)) == pytest.approx(9, rel=0.2)
    few = paired_interval(ar1(rng, 0.8, 40), np.zeros(40), rng)
    assert few.few and few.n_eff < 20


def test_many_runs_are_drawn_whole():
    rng = np.random.default_rng(0)
    runs = rng.standard_normal((12, 1)) + 0.01 * rng.standard_normal((12, 30))  # each run has its own luck
    found = paired_interval(runs, np.zeros((12, 30)), rng)
    assert found.block == 30
    assert found.low < 0 < found.high
    assert found.n_eff < 20


def wider(E, factor):
    mean = E.co2.mean("member")
    E["co2"] = (mean + factor * (E.co2 - mean)).transpose(*E.co2.dims).assign_attrs(units="1e-6")
    return E


def test_a_worse_ensemble_is_told_from_a_better_one():
    (E, R), (F, _) = synthetic_ensemble(members=20, frames=30), synthetic_ensemble(members=20, frames=30)
    F["co2"] = F.co2 + 0.5 * np.sin(np.deg2rad(F.lon))  # a bias
    F["co2"] = F.co2.transpose(*E.co2.dims).assign_attrs(units="1e-6")
    good, bad = accumulate(E, R), accumulate(F, R)
    table = compare({"good": good, "bad": bad})
    cell = table.sel(row="all", column="CRPS vs bad")
    assert float(cell.value) < 0.9 and float(cell.high) < 0
    assert float(compare({"bad": bad, "good": good}).sel(row="all", column="CRPS vs good").low) > 0
    assert {"level 1", "level 3", "all"} <= set(table.row.values)
    assert float(table.sel(row="all", column="CRPS vs the coarse run").high) < 0
    alone = compare({"good": good, "itself": good}).sel(row="all", column="CRPS vs itself")
    assert float(alone.difference) == 0 and float(alone.low) == float(alone.high) == 0


def test_other_cases_and_nothing_to_compare_with_are_refused():
    E, R = synthetic_ensemble()
    a = accumulate(E, R)
    later = accumulate(*synthetic_ensemble(start="2001-03-01"))
    with pytest.raises(InputError, match="same initial dates: expected .*2001-01-01.* of later; select"):
        compare({"a": a, "later": later})
    alone = accumulate(E.drop_vars(["co2_background", "co2_mean_network"]), R)
    with pytest.raises(InputError, match="nothing to compare with"):
        compare({"alone": alone})


def test_too_few_frames_have_no_interval():
    rng = np.random.default_rng(0)
    found = paired_interval([[1.0, 1.2]], [[0.0, 0.0]], rng)
    assert np.isnan(found.low) and np.isnan(found.high) and found.few


def test_runs_with_their_own_offsets_are_worth_their_number():
    rng, sure = np.random.default_rng(0), []
    for _ in range(100):
        d = rng.standard_normal((5, 1)) + rng.standard_normal((5, 40))
        found = paired_interval(d, np.zeros_like(d), rng, draws=300)
        sure.append(not found.few and not found.low <= 0 <= found.high)
    assert np.mean(sure) <= 0.12
