"""The generator on winds it has never seen: by lead against every rival, over a year, downscaling, and what its condition does."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console, Group
from rich.progress import track

from eval.benchmark import Benchmark, Figure, Result
from eval.cases import built_as, initial_cases, split_store
from eval.remember import remembered
from eval.rivals import limited_runs, roster, with_sampler
from eval.submit import entry, write
from eval.suites import beginnings, condition, rollout
from gencarbon.baselines import Archive
from gencarbon.evaluation import accumulate, scorecard
from gencarbon.intervals import ratio_intervals, score_intervals
from gencarbon.sample_data import load_sample
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.sampling.symmetry import equivariance_error
from gencarbon.scores import Scores

BY_LEAD = ("crps", "spread_skill", "crps_over_std")
RUNS = ("coarse", "van_leer", "ppm", "refined", "mean_network")  # single runs beside the ensemble
SETTLED = 2.0  # days of lead from which most limits hold
MODELS = (  # in the leaderboard: name, description, the run beside the ensemble that it is
    ("gencarbon hsco2", "the shipped checkpoint: refined run, mean network, generated remainder", None),
    ("coarse run", "van Leer on the model grid with aggregated air mass fluxes", "coarse"),
    ("refined run", "air mass fluxes on 3 x 3 finer cells, with those that the wind network adds", "refined"),
    ("mean network", "the shipped checkpoint's regression of the residual, one run", "mean_network"),
)
PUBLISHED = (
    "Residual flow matching on CarbonTracker: 30-day CRPS .61 mole ppm, spread / error .27 by its own definition. Real winds, fluxes and "
    "observations' scale of variability, another grid, reference and spread measure: a different task, not a comparison."
)


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: the shipped sample, four members, no rivals. Full: every initial date of the test split, and all parts."""
    data, seed = benchmark.data, benchmark.seeds[0]
    pipe = CO2Pipeline.from_pretrained(data["checkpoint"])
    notes: dict[str, Any] = {
        "checkpoint_sha256": pipe.digest,
        "sampler": pipe.scheduler.settings,
        "published": PUBLISHED,
    }
    if quick:
        ours, _ = _scores(pipe, load_sample(), {}, 4, 4, seed, mean_network=True)
        figures = _figures(ours, intervals=False) | _ranks(ours, ours)
    else:
        store = split_store(data, benchmark.split)
        rollout.year_of(store)  # refused now, not when all else is done
        ours, few, apart, rivals = _all_dates(benchmark, pipe)
        figures = _figures(ours, intervals=True) | _ranks(ours, apart) | _against(ours, few, rivals)
        for part in (rollout, beginnings, condition):
            more, said = part.figures(pipe, store, shared_settings(data), seed)
            figures |= more
            notes[part.__name__.rpartition(".")[2]] = said
        for model, text, rival in MODELS:
            write(entry(model, "generator", text, ours, benchmark.seeds, rival))
        for name, scores in rivals.items():
            write(entry(name, "generator", "see eval/rivals.py", scores, benchmark.seeds))
    figures |= _symmetries(pipe, load_sample())
    scored = ours.to_dataset()
    notes |= {
        "initial_dates": [str(t) for t in ours.start],
        "members": ours.members,
        "by_level": {
            n: scored[f"{n}_by_level"].values.round(4).tolist() for n in ("spread_skill", "crps_over_std")
        },
        "spread_skill_by_date": ours.figures((1, 2))["spread_skill"].round(3).tolist(),
    }
    return Result(figures, Group(scorecard(scored), PUBLISHED), notes)


def shared_settings(data: dict[str, Any]) -> dict[str, Any]:
    """What every part depends on, the splits included; who else takes part changes nobody's scores."""
    settings = {name: value for name, value in data.items() if name not in ("twin", "samplers")}
    return settings | {"built": built_as(data)}


def _all_dates(benchmark: Benchmark, pipe: CO2Pipeline) -> tuple[Scores, Scores, Scores, dict[str, Scores]]:
    """Pooled scores of the generator, of its first members, as many as rivals have, of those of its forecasts that do not overlap in
    time, and of every rival. Every date has noise of its own."""
    data, seed = shared_settings(benchmark.data), benchmark.seeds[0]
    store = split_store(data, benchmark.split)
    models = {"gencarbon": pipe, **roster(pipe, Archive(split_store(data, "train")), benchmark.data)}
    limited = remembered("generator", {"limited": store.attrs["config"]}, lambda: limited_runs(store))
    for name, settings in benchmark.data["samplers"].items():
        models[name] = with_sampler(pipe, settings)
    parts: dict[str, list[tuple[Scores, Scores]]] = {name: [] for name in models}
    cases = list(initial_cases(data, benchmark.split))
    for case in track(cases, description="initial dates", console=Console(stderr=True)):
        first = int(np.searchsorted(store.time.values, case["reference"].time.values[0]))
        beside = {n: run[first : first + data["frames"]] for n, run in limited.items()}
        for name, model in models.items():
            digest = getattr(model, "digest", "no weights")
            key = {"case": first, "model": name, "digest": digest, "seed": seed, "data": data}
            members = data["members" if model is pipe else "rival_members"]
            make = lambda m=model, b=beside, c=case, n=members, s=seed + first: _scores(  # noqa: E731
                m, c, b, n, data["rival_members"], s, m is pipe
            )
            parts[name].append(remembered("generator", key, make))
    whole = {name: reduce(add, [scores for scores, _ in found]) for name, found in parts.items()}
    times = [case["reference"].time.values for case in cases]
    stride = max(1, int(np.ceil((times[0][-1] - times[0][0]) / (times[1][0] - times[0][0]))))
    ours = parts["gencarbon"]
    few, apart = reduce(add, [scores for _, scores in ours]), reduce(add, [s for s, _ in ours[::stride]])
    return whole.pop("gencarbon"), few, apart, whole


def _scores(
    model: Callable[..., xr.Dataset],
    case: dict[str, xr.Dataset],
    beside: dict[str, np.ndarray],
    members: int,
    few: int,
    seed: int,
    mean_network: bool,
) -> tuple[Scores, Scores]:
    """Scores of all members, and of the first `few`: the variogram score favours large ensembles."""
    inputs = {role: ds for role, ds in case.items() if role != "reference"}
    more = {"mean_network": True} if mean_network else {}
    ensemble = model(**inputs, members=members, seed=seed, **more)
    for name, run in beside.items():
        ensemble[name] = (ensemble.co2_background.dims, run, ensemble.co2_background.attrs)
    whole = accumulate(ensemble, case["reference"])
    if few == members:
        return whole, whole
    return whole, accumulate(ensemble.isel(member=slice(few)), case["reference"])


def _group(lead: float) -> str:
    return "settled" if lead >= SETTLED else "first_days"


def _figures(scores: Scores, intervals: bool) -> dict[str, Figure]:
    ds = scores.to_dataset()
    runs = [name for name in RUNS if f"{name}_mae_overall" in ds]
    names = [*BY_LEAD, *(f"{r}_mae" for r in runs), *(f"crps_over_{r}_mae" for r in runs)]
    bounds = score_intervals(scores, names) if intervals else {}
    overall = score_intervals(scores, names, axes=(0, 1, 2)) if intervals else {}
    figures = {"budget_error_max": Figure(float(ds.budget_error_max), "1")}
    for name in names:
        units = ds[f"{name}_by_lead"].attrs["units"]
        figures[f"{name}/overall"] = Figure(float(ds[f"{name}_overall"]), units)
        for k, lead in enumerate(ds.lead_time.values):
            where = f"{name}/{_group(lead)}/{lead:.2f}d"
            figures[where] = Figure(float(ds[f"{name}_by_lead"][k]), units)
            if bounds and lead % 1 == 0:
                for end, values in zip(("low", "high"), bounds[name]):
                    figures[f"interval/{name}/{lead:.0f}d/{end}"] = Figure(float(values[k]), units)
        for end, values in zip(("low", "high"), overall.get(name, ())):
            figures[f"interval/{name}/overall/{end}"] = Figure(float(values), units)
    for level, value in zip(ds.level.values, ds.spread_skill_by_level.values):
        figures[f"spread_skill/level{level}"] = Figure(float(value), "1")
    return figures | _spectra(ds)


def _ranks(scores: Scores, apart: Scores) -> dict[str, Figure]:
    """apart: of forecasts that share no time; the errors of two at the same time are alike, and a test of flatness would count them twice."""
    ds, by_level = scores.to_dataset(), apart.to_dataset().rank_p_value
    figures = {"coverage90/overall": Figure(float(ds.coverage90_overall), "1")}
    for k, level in enumerate(ds.level.values):
        figures[f"rank_p/level{level}"] = Figure(float(by_level[k]), "1")
        figures[f"coverage90/level{level}"] = Figure(float(ds.coverage90_by_level[k]), "1")
    return figures


def _spectra(ds: xr.Dataset) -> dict[str, Figure]:
    share = (ds.spectrum_members / ds.spectrum_reference).values
    return {
        f"spectrum/level{level}/degree{degree:02d}": Figure(float(share[k, degree]), "1")
        for k, level in enumerate(ds.level.values)
        for degree in range(1, share.shape[1])
    }


def _against(ours: Scores, few: Scores, rivals: dict[str, Scores]) -> dict[str, Figure]:
    """Our CRPS over each rival ensemble's, by lead, with paired intervals, and what else tells them apart, of as many members."""
    mine, alike, figures = ours.to_dataset(), few.to_dataset(), {}
    for name, scores in rivals.items():
        ds = scores.to_dataset()
        for k, lead in enumerate(ds.lead_time.values):
            ratio = float(mine.crps_by_lead[k] / ds.crps_by_lead[k])
            figures[f"crps_over_rival/{name}/{_group(lead)}/{lead:.2f}d"] = Figure(ratio, "1")
        for end, values in zip(("low", "high"), ratio_intervals(ours, scores, "crps")):
            for k, lead in enumerate(ds.lead_time.values):
                if lead % 1 == 0:
                    figures[f"interval/crps_over_{name}/{lead:.0f}d/{end}"] = Figure(float(values[k]), "1")
        for score in ("crps", "spread_skill", "energy_score", "variogram_score"):
            units = ds[f"{score}_overall"].attrs["units"]
            figures[f"rival/{name}/{score}"] = Figure(float(ds[f"{score}_overall"]), units)
    for score in ("energy_score", "variogram_score"):
        figures[f"{score}/overall"] = Figure(
            float(alike[f"{score}_overall"]), alike[f"{score}_overall"].attrs["units"]
        )
    return figures


def _symmetries(pipe: CO2Pipeline, case: dict[str, Any]) -> dict[str, Figure]:
    short = {
        role: ds if role == "initial" else ds.isel(time=slice(0, pipe.frames))
        for role, ds in case.items()
        if role != "reference"
    }
    return {
        "equivariance/offset": Figure(equivariance_error(pipe, short, 1.0, 160.0), "1"),
        "equivariance/amplitude": Figure(equivariance_error(pipe, short, 2.0, 0.0), "1"),
    }
