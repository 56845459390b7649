"""A year of free running from a known state, and from a coarse run alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from eval.benchmark import Figure
from eval.remember import remembered
from gencarbon.data.views import canonical_datasets
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.scores import Scores

DAYS = 365
LAST = 30.0  # days at the end that are scored by themselves


def figures(
    pipe: CO2Pipeline, store: xr.Dataset, data: dict[str, Any], seed: int
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures `rollout/KIND/...` for KIND `known` and `free`, and notes."""
    made: dict[str, Figure] = {}
    frames = round(DAYS * 86400 / float(store.attrs["step_seconds"])) + 1
    if store.sizes["time"] < frames:
        raise InputError(
            f"a roll-out of {DAYS} days needs {frames} frames, the split has {store.sizes['time']}; build a longer one"
        )
    year = store.isel(time=slice(frames))
    for kind in ("known", "free"):
        key = {
            "rollout": kind,
            "digest": pipe.digest,
            "seed": seed,
            "data": data,
            "split": store.attrs["config"],
        }
        make = lambda kind=kind: _year(pipe, year, kind, data["rollout_members"], seed)  # noqa: E731
        scores, finite = remembered("generator", key, make)
        made |= _figures(f"rollout/{kind}", scores, finite)
    return made, {"days": DAYS, "members": data["rollout_members"], "last_days": LAST}


def _year(pipe: CO2Pipeline, store: xr.Dataset, kind: str, members: int, seed: int) -> tuple[Scores, bool]:
    sets = canonical_datasets(store)
    reference, initial = sets.pop("reference"), sets.pop("initial")
    ensemble = pipe(
        **sets, initial=initial if kind == "known" else None, members=members, seed=seed, mean_network=True
    )
    return accumulate(ensemble, reference), bool(np.isfinite(ensemble.co2.values).all())


def _figures(place: str, scores: Scores, finite: bool) -> dict[str, Figure]:
    ds = scores.to_dataset()
    last = ds.lead_time.values > DAYS - LAST
    late = {
        name: mean.total[:, last].sum() / mean.weight[:, last].sum()
        for name, mean in scores.means.items()
        if mean.total.shape[2] > 1
    }
    spread = np.sqrt((scores.members + 1) / scores.members * late["variance"] / late["squared_error"])
    values = {
        "not_finite": float(not finite),
        "budget_error_max": float(ds.budget_error_max),
        "spread_skill_last_month": float(spread),
        "crps_over_coarse_mae_last_month": float(late["crps"] / late["coarse_absolute_error"]),
        "autocorrelation_miss": float(
            np.abs(ds.autocorrelation_members - ds.autocorrelation_reference).max()
        ),
    }
    share = (ds.spectrum_members / ds.spectrum_reference).values[:, 1:]
    values |= {"spectrum_least": float(share.min()), "spectrum_most": float(share.max())}
    made = {f"{place}/{name}": Figure(value, "1") for name, value in values.items()}
    made[f"{place}/waiting_time_w1"] = Figure(float(ds.waiting_time_w1), "day")
    for level, value in zip(ds.level.values, ds.step_change_w1.values):
        made[f"{place}/step_change_w1/level{level}"] = Figure(float(value), "1e-6")
    return made
