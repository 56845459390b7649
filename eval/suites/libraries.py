"""Other libraries' scores, behind one signature: members last, (point, member), and (point,)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from gencarbon import metrics as m
from gencarbon.errors import InputError

NAMES = ("properscoring", "scores", "scoringrules", "xskillscore")
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def versions() -> dict[str, str]:
    """The libraries compared with, and numba, without which properscoring is a hundred times slower."""
    return {name: version(name) for name in (*NAMES, "numba")}


def crps() -> dict[str, tuple[str, Score]]:
    """name -> (estimator, score). Raises InputError where the extra `judges` is not installed."""
    try:
        import properscoring
        import scores.probability
        import scoringrules
        import xskillscore
    except ImportError as error:
        raise InputError(f"this benchmark needs {error.name}; pip install 'gencarbon[judges]'") from None

    def labelled(ens: np.ndarray, obs: np.ndarray) -> tuple[xr.DataArray, xr.DataArray]:
        return xr.DataArray(ens, dims=("point", "member")), xr.DataArray(obs, dims="point")

    def xskill(ens: np.ndarray, obs: np.ndarray) -> np.ndarray:
        x, y = labelled(ens, obs)
        return xskillscore.crps_ensemble(y, x, dim=[]).values

    def by_scores(ens: np.ndarray, obs: np.ndarray) -> np.ndarray:
        x, y = labelled(ens, obs)
        return scores.probability.crps_for_ensemble(x, y, "member", method="fair", preserve_dims="all").values

    return {
        "properscoring": ("biased", lambda ens, obs: properscoring.crps_ensemble(obs, ens)),
        "xskillscore": ("biased", xskill),
        "scores": ("fair", by_scores),
        "scoringrules": ("fair", lambda ens, obs: scoringrules.crps_ensemble(obs, ens, estimator="fair", backend="numba")),
        "scoringrules_qd": ("biased", lambda ens, obs: scoringrules.crps_ensemble(obs, ens, estimator="qd", backend="numba")),
    }  # fmt: skip


def differences(rng: np.random.Generator) -> list[tuple[str, float, str]]:
    """Largest relative difference of our scores to every library's of the same definition."""
    judges = crps()
    import properscoring
    import scores.probability
    import scoringrules

    ens, obs = 410 + rng.standard_normal((500, 10)), 410 + rng.standard_normal(500)
    ours = {"fair": m.crps_fair(ens, obs, axis=1), "biased": m.crps_biased(ens, obs, axis=1)}
    found: list[tuple[str, Any, Any]] = [
        (f"crps_{kind}/{name}", score(ens, obs), ours[kind]) for name, (kind, score) in judges.items()
    ]
    x, y = ens[:300].reshape(100, 10, 3), obs[:300].reshape(100, 3)  # (case, member, variable)
    energy = [m.energy_score_fair(a, b) for a, b in zip(x, y)]
    variogram = [m.variogram_score(a, b, p=0.5) for a, b in zip(x, y)]
    found += [
        ("energy_fair/scoringrules", scoringrules.energy_score(y, x, m_axis=-2, v_axis=-1, estimator="fair", backend="numba"), energy),
        ("variogram/scoringrules", scoringrules.variogram_score(y, x, p=0.5, m_axis=-2, v_axis=-1, estimator="nrg", backend="numba"), variogram),
        ("crps_gaussian/scoringrules", scoringrules.crps_normal(obs, 410.0, 1.0), m.crps_gaussian(410.0, 1.0, obs)),
        ("crps_gaussian/properscoring", properscoring.crps_gaussian(obs, 410.0, 1.0), m.crps_gaussian(410.0, 1.0, obs)),
        ("brier_biased/properscoring", properscoring.threshold_brier_score(obs, ens, 410.5), m.brier_biased(ens, obs, 410.5, axis=1)),
        ("threshold_weighted/scores", _tw_scores(scores.probability, ens, obs), m.crps_threshold_weighted(ens, obs, 410.5, axis=1)),
        ("brier_fair/scores", _brier_scores(scores.probability, ens, obs), m.brier_fair(ens, obs, 410.5, axis=1)),
    ]  # fmt: skip
    return [
        (f"libraries/{name}", _gap(np.asarray(theirs), np.asarray(mine)), "1") for name, theirs, mine in found
    ]


def _tw_scores(probability: Any, ens: np.ndarray, obs: np.ndarray) -> np.ndarray:
    x, y = xr.DataArray(ens, dims=("point", "member")), xr.DataArray(obs, dims="point")
    return probability.tail_tw_crps_for_ensemble(
        x, y, "member", 410.5, method="fair", tail="upper", preserve_dims="all"
    ).values


def _brier_scores(probability: Any, ens: np.ndarray, obs: np.ndarray) -> np.ndarray:
    import operator

    x, y = xr.DataArray(ens, dims=("point", "member")), xr.DataArray(obs, dims="point")
    found = probability.brier_score_for_ensemble(
        x, y, "member", 410.5, preserve_dims="all", event_threshold_operator=operator.gt
    )
    return found.squeeze().values


def _gap(theirs: np.ndarray, mine: np.ndarray) -> float:
    return float(np.abs(theirs - mine).max() / np.abs(mine).mean())
