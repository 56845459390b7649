"""Scores of ensembles: numpy arrays in, numpy arrays out, sums kept in float64. One file a family."""

from gencarbon.budget import budget_error, budget_error_of_masses
from gencarbon.metrics.aggregate import Mean
from gencarbon.metrics.compare import Paired, paired_interval
from gencarbon.metrics.crps import (
    crps_biased,
    crps_fair,
    crps_gaussian,
    crps_threshold_weighted,
    quantile_score,
)
from gencarbon.metrics.field import absolute_error, bias, rmse, weighted_mean, weighted_variance
from gencarbon.metrics.joint import energy_score_fair, variogram_score
from gencarbon.metrics.probabilistic import (
    brier_biased,
    brier_fair,
    ensemble_variance,
    interval_coverage,
    ratio,
    skill,
    spread_skill,
    spread_skill_ratio,
)
from gencarbon.metrics.ranks import decorrelated_points, flatness, rank_histogram, ranks, reliability_index

__all__ = [
    "Mean",
    "Paired",
    "absolute_error",
    "bias",
    "brier_biased",
    "brier_fair",
    "budget_error",
    "budget_error_of_masses",
    "crps_biased",
    "crps_fair",
    "crps_gaussian",
    "crps_threshold_weighted",
    "decorrelated_points",
    "energy_score_fair",
    "ensemble_variance",
    "flatness",
    "interval_coverage",
    "paired_interval",
    "quantile_score",
    "rank_histogram",
    "ranks",
    "ratio",
    "reliability_index",
    "rmse",
    "skill",
    "spread_skill",
    "spread_skill_ratio",
    "variogram_score",
    "weighted_mean",
    "weighted_variance",
]
