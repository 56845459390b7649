"""A year of free running: an emulator from a known state, winds and fluxes alone, and a correction of a coarse run from no known state."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.cases import built_as, split_store
from eval.remember import remembered
from gencarbon.data.views import canonical_datasets
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from gencarbon.sample_data import load_sample
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.scores import Scores

DAYS = 365
LAST = 30.0  # days at the end that are scored by themselves
KINDS = {"emulator": "background", "free": "initial"}  # and what it is not told


def run(benchmark: Benchmark, quick: bool) -> Result:
    """This part of the generator's benchmark alone. Quick: the shipped sample, four members."""
    data, seed = benchmark.data, benchmark.seeds[0]
    pipe = CO2Pipeline.from_pretrained(data["checkpoint"])
    if quick:
        case = load_sample()
        figured = reduce(
            or_, (_figures(f"rollout/{kind}", _scored(pipe, case, kind, 4, seed)) for kind in KINDS)
        )
        notes: dict[str, Any] = {}
    else:
        store = split_store(data, benchmark.split)
        figured, notes = figures(pipe, store, data | {"built": built_as(data)}, seed)
    notes |= {"checkpoint_sha256": pipe.digest, "sampler": pipe.scheduler.settings}
    table = Table("", *KINDS, title="A roll-out over all of it")
    for name in sorted({name.split("/", 2)[2] for name in figured}):
        table.add_row(name, *(f"{figured[f'rollout/{kind}/{name}'].value:.3g}" for kind in KINDS))
    return Result(figured, table, notes)


def figures(
    pipe: CO2Pipeline, store: xr.Dataset, data: dict[str, Any], seed: int
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures `rollout/KIND/...` for KIND `emulator` and `free`, and notes."""
    made: dict[str, Figure] = {}
    year = year_of(store)
    for kind in KINDS:
        key = {"rollout": kind, "digest": pipe.digest, "seed": seed, "data": data}
        make = lambda kind=kind: _scored(  # noqa: E731
            pipe, canonical_datasets(year), kind, data["rollout_members"], seed
        )
        made |= _figures(f"rollout/{kind}", remembered("generator", key, make))
    return made, {"days": DAYS, "members": data["rollout_members"], "last_days": LAST}


def year_of(store: xr.Dataset) -> xr.Dataset:
    """Its first year. Raises InputError where it is shorter."""
    frames = round(DAYS * 86400 / float(store.attrs["step_seconds"])) + 1
    if store.sizes["time"] < frames:
        raise InputError(
            f"a roll-out of {DAYS} days needs {frames} frames, the split has {store.sizes['time']}; build a longer one"
        )
    return store.isel(time=slice(frames))


def _scored(pipe: CO2Pipeline, sets: dict[str, Any], kind: str, members: int, seed: int) -> Scores | None:
    """Scores of one run over all frames; None where a member is not finite: no score is, then. sets: of `canonical_datasets`."""
    sets = dict(sets)
    reference, coarse = sets.pop("reference"), sets.pop(KINDS[kind])
    ensemble = pipe(**sets, members=members, seed=seed)
    if not np.isfinite(ensemble.co2.values).all():
        return None
    if kind == "emulator":  # which has none: the benchmark's coarse run to be held against
        ensemble["co2_background"] = (ensemble.co2_refined.dims, coarse.co2.values, coarse.co2.attrs)
    return accumulate(ensemble, reference)


def _figures(place: str, scores: Scores | None) -> dict[str, Figure]:
    if scores is None:  # the limits on the other figures are missed with it
        missing = ("budget_error_max", "spread_skill_last_month", "spectrum_least", "spectrum_most")
        made = {f"{place}/{name}": Figure(float("nan"), "1") for name in missing}
        return made | {f"{place}/not_finite": Figure(1.0, "1")}
    ds = scores.to_dataset()
    last = ds.lead_time.values > ds.lead_time.values[-1] - LAST
    late = {
        name: mean.total[:, last].sum() / mean.weight[:, last].sum()
        for name, mean in scores.means.items()
        if mean.total.shape[2] > 1
    }
    spread = np.sqrt((scores.members + 1) / scores.members * late["variance"] / late["squared_error"])
    values = {
        "not_finite": 0.0,
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
