"""Scores of whole fields: closed forms, and that they see what point scores do not."""

import numpy as np
import pytest

from gencarbon.metrics import (
    brier_biased,
    brier_fair,
    crps_fair,
    energy_score_fair,
    interval_coverage,
    variogram_score,
)


def test_the_energy_score_is_its_definition():
    rng = np.random.default_rng(0)
    ens, obs, w = rng.standard_normal((6, 4, 5)), rng.standard_normal((4, 5)), rng.random((4, 5))
    norm = lambda z: np.sqrt((w * z**2).sum())  # noqa: E731
    apart = sum(norm(a - b) for a in ens for b in ens) / (2 * 6 * 5)
    assert energy_score_fair(ens, obs, w) == pytest.approx(
        np.mean([norm(a - obs) for a in ens]) - apart, rel=1e-12
    )
    assert energy_score_fair(ens[:, :1, 0], obs[:1, 0]) == pytest.approx(crps_fair(ens[:, 0, 0], obs[0, 0]))


def test_joint_scores_see_members_whose_points_are_shuffled():
    """The same values at each point, but no field left: point scores are blind to it."""
    rng = np.random.default_rng(0)

    def waves(n):
        return np.sin(np.linspace(0, 6, 30) + rng.uniform(0, 6, (n, 1))) + 0.1 * rng.standard_normal((n, 30))

    whole, broken = [], []
    for _ in range(200):
        ens, obs = waves(12), waves(1)[0]
        torn = rng.permuted(ens, axis=0)
        assert crps_fair(torn, obs).mean() == pytest.approx(crps_fair(ens, obs).mean(), abs=1e-12)
        whole.append([energy_score_fair(ens, obs), variogram_score(ens, obs)])
        broken.append([energy_score_fair(torn, obs), variogram_score(torn, obs)])
    better = np.mean(broken, axis=0) / np.mean(whole, axis=0)
    assert better[0] > 1.01 and better[1] > 1.1


def test_the_variogram_score_counts_ordered_pairs():
    ens, obs = np.array([[0.0, 4.0], [0.0, 4.0]]), np.array([0.0, 1.0])
    assert variogram_score(ens, obs) == pytest.approx(2 * (1 - 2) ** 2)
    assert variogram_score(ens + 5, obs) == pytest.approx(variogram_score(ens, obs))  # blind to a shift


def test_the_fair_brier_score_does_not_depend_on_ensemble_size():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(60_000)
    for members in (2, 5, 20):
        ens = rng.standard_normal((members, truth.size))
        assert brier_fair(ens, truth, 0.0).mean() == pytest.approx(0.25, abs=0.005)
        assert brier_biased(ens, truth, 0.0).mean() == pytest.approx(0.25 * (1 + 1 / members), abs=0.005)
    assert (
        brier_biased(np.array([0.0, 1.0]), 1.0, 0.5).shape == ()
    )  # a scalar observation, which properscoring refuses


def test_interval_coverage_of_exchangeable_and_of_narrow_members():
    rng = np.random.default_rng(0)
    ens, obs = rng.standard_normal((39, 20_000)), rng.standard_normal(20_000)
    assert interval_coverage(ens, obs, 0.9).mean() == pytest.approx(0.9, abs=0.01)
    assert interval_coverage(0.7 * ens, obs, 0.9).mean() < 0.8
    with pytest.raises(ValueError, match="0 < level < 1, got 90"):
        interval_coverage(ens, obs, 90)
