"""Ranks, their flatness, and the points on which flatness may be tested."""

import numpy as np
import pytest

from gencarbon.metrics import decorrelated_points, flatness, rank_histogram, ranks, reliability_index
from gencarbon.metrics.ranks import count_ranks, interval_ranks, nominal_coverage


def test_ties_are_broken_evenly_and_by_the_seed():
    ens, obs = np.zeros((4, 5000)), np.zeros(5000)
    counts = rank_histogram(ens, obs, np.random.default_rng(0))
    assert flatness(counts)[1] > 0.001
    np.testing.assert_array_equal(
        ranks(ens, obs, np.random.default_rng(3)), ranks(ens, obs, np.random.default_rng(3))
    )
    unbroken = np.bincount((ens < obs).sum(axis=0), minlength=5)
    assert flatness(unbroken)[1] < 1e-10


def test_the_reliability_index_of_a_flat_and_of_a_one_sided_histogram():
    assert reliability_index([10, 10, 10, 10]) == 0
    assert reliability_index([[40, 0, 0, 0]]) == pytest.approx([1.5])


def test_flatness_joins_ranks_until_five_are_expected():
    counts = np.ones(21)  # 21 counts, 21 ranks: four bins
    ratio, p = flatness(counts)
    assert ratio < 0.2 and p > 0.9
    assert np.isnan(flatness(np.ones(9))).all()  # one bin is no test
    assert flatness(np.r_[np.full(10, 20), np.full(11, 2)])[1] < 1e-6


def test_independent_points_are_all_kept_and_copies_are_not():
    rng = np.random.default_rng(0)
    lat, lon = np.tile(np.linspace(-60, 60, 8), 12), np.repeat(np.arange(12) * 30.0, 8)
    errors = rng.standard_normal((400, 96))
    step, points = decorrelated_points(errors, lat, lon)
    assert step == 1 and points.size > 80
    wide = np.repeat(rng.standard_normal((400, 4)), 24, axis=1)  # quarters of the globe that err alike
    assert decorrelated_points(wide, lat, lon)[1].size < 20
    slow = np.repeat(errors[:40], 10, axis=0)
    assert decorrelated_points(slow, lat, lon)[0] >= 8


def test_the_interval_by_ranks_holds_its_nominal_share():
    rng = np.random.default_rng(0)
    for members in (2, 7, 16, 50):
        low, high = interval_ranks(members)
        rank = ranks(rng.standard_normal((members, 40_000)), rng.standard_normal(40_000), rng)
        share = ((rank > low) & (rank <= high)).mean()
        assert share == pytest.approx(nominal_coverage(members), abs=4 * 0.5 / 200)
        narrow = ranks(0.7 * rng.standard_normal((members, 40_000)), rng.standard_normal(40_000), rng)
        assert ((narrow > low) & (narrow <= high)).mean() < nominal_coverage(members) - 0.03


def test_counts_keep_the_axes_asked_for():
    rank = np.array([[0, 1, 1], [2, 2, 2]])
    assert count_ranks(rank, 2).tolist() == [1, 2, 3]
    assert count_ranks(rank, 2, keep=1).tolist() == [[1, 2, 0], [0, 0, 3]]
