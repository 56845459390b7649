"""Scores of ensembles: numpy arrays in, numpy arrays out, sums kept in float64."""

from gencarbon.metrics.aggregate import Mean
from gencarbon.metrics.field import absolute_error, bias, rmse, weighted_mean, weighted_variance
from gencarbon.metrics.mass import budget_error_of_masses, member_budget_error
from gencarbon.metrics.probabilistic import (
    crps_biased,
    crps_fair,
    ensemble_variance,
    rank_histogram,
    ratio,
    skill,
    spread_skill,
    spread_skill_ratio,
)

__all__ = [
    "Mean",
    "absolute_error",
    "bias",
    "budget_error_of_masses",
    "crps_biased",
    "crps_fair",
    "ensemble_variance",
    "member_budget_error",
    "rank_histogram",
    "ratio",
    "rmse",
    "skill",
    "spread_skill",
    "spread_skill_ratio",
    "weighted_mean",
    "weighted_variance",
]
