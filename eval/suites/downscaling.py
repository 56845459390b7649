"""From 11.25 to 5.6 degrees: the reference's means over wide cells in, ensembles on the model grid out, beside interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from eval.benchmark import Figure
from eval.cases import case_starts, split_store
from eval.remember import remembered
from gencarbon.data.backgrounds import WIDER, with_blocks_of
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.evaluation import accumulate
from gencarbon.grid import coarsen_mean
from gencarbon.intervals import date_intervals
from gencarbon.metrics import Mean
from gencarbon.sampling.pipeline import CO2Pipeline


def figures(
    pipe: CO2Pipeline, store: xr.Dataset, data: dict[str, Any], seed: int
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures `downscaling/...`, and notes."""
    train = split_store(data, "train")
    correction = remembered("generator", {"correction": train.attrs["config"]}, lambda: _bias(train))
    totals: dict[str, list[Mean]] = {
        name: [] for name in ("crps", "interpolated", "corrected", "variance", "squared_error")
    }
    worst, members = 0.0, data["downscaling_members"]
    for first in case_starts(data, store, data["downscaling_dates"]):
        key = {"downscaling": first, "digest": pipe.digest, "seed": seed, "data": data}
        make = lambda k=first: _date(pipe, store, slice(k, k + data["frames"]), correction, members, seed + k)  # noqa: E731
        found, miss = remembered("generator", key, make)
        worst = max(worst, miss)
        for name, mean in found.items():
            totals[name].append(mean)

    def ratios(dates: np.ndarray) -> dict[str, float]:
        mean = {name: _pooled(found, dates) for name, found in totals.items()}
        return {
            "crps": mean["crps"],
            "crps_over_interpolation_mae": mean["crps"] / mean["interpolated"],
            "crps_over_corrected_mae": mean["crps"] / mean["corrected"],
            "spread_skill": float(
                np.sqrt((members + 1) / members * mean["variance"] / mean["squared_error"])
            ),
        }

    count, units = len(totals["crps"]), {"crps": "1e-6"}
    made = {f"downscaling/{n}": Figure(v, units.get(n, "1")) for n, v in ratios(np.arange(count)).items()}
    for name, ends in date_intervals(ratios, count).items():
        for end, value in zip(("low", "high"), ends):
            made[f"interval/downscaling/{name}/{end}"] = Figure(value, units.get(name, "1"))
    made["downscaling/block_mean_error"] = Figure(worst, "1e-6")
    about = "the reference's block means as the coarse input; interpolation keeps them too; corrected by its mean error in training"
    return made, {"task": about, "members": members, "dates": count}


def _pooled(found: list[Mean], dates: np.ndarray) -> float:
    return float(sum(found[k].total for k in dates) / sum(found[k].weight for k in dates))


def _interpolated(sets: dict[str, xr.Dataset]) -> np.ndarray:
    return with_blocks_of(sets["reference"].co2.values, WIDER, sets["reference"].air_mass.values)


def _bias(train: xr.Dataset) -> np.ndarray:
    """Mean error of interpolation in the training split, (level, lat, lon) ppm."""
    parts = [canonical_datasets(train, slice(k, k + 40)) for k in range(0, train.sizes["time"], 40)]
    return np.mean([(_interpolated(p) - p["reference"].co2.values).mean(0) for p in parts], axis=0)


def _date(
    pipe: CO2Pipeline, store: xr.Dataset, period: slice, correction: np.ndarray, members: int, seed: int
) -> tuple[dict[str, Mean], float]:
    """Sums over all frames of one date, and the largest error of a block's mean (ppm)."""
    sets = canonical_datasets(store, period)
    coarse, truth = widened(sets, WIDER), sets["reference"]
    ensemble = pipe(sets["winds"], sets["fluxes"], coarse, members=members, seed=seed, conserve=True)
    means = coarsen_mean(ensemble.co2.values, WIDER, ensemble.air_mass.values)
    scores = accumulate(ensemble, truth).means
    plain = _interpolated(sets)
    air = truth.air_mass.values
    found = {name: scores[name].sum() for name in ("crps", "variance", "squared_error")}
    found["interpolated"] = Mean.of(np.abs(plain - truth.co2.values), air)
    found["corrected"] = Mean.of(np.abs(plain - correction - truth.co2.values), air)
    return found, float(np.abs(means - coarse.co2.values).max())
