"""The generator on winds it has never seen: scores by lead, budget, symmetries."""

from __future__ import annotations

import xarray as xr
from rich.console import Console
from rich.progress import track

from eval.benchmark import Benchmark, Figure, Result
from eval.cases import initial_cases
from eval.submit import entry, write
from gencarbon.evaluation import accumulate, scorecard
from gencarbon.sample_data import load_sample
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.sampling.symmetry import equivariance_error

BY_LEAD = (
    "crps",
    "spread_skill",
    "coarse_mae",
    "refined_mae",
    "mean_network_mae",
    "crps_over_coarse_mae",
    "crps_over_refined_mae",
    "crps_over_mean_network_mae",
    "crps_over_std",
)

MODELS = (  # in the leaderboard: name, description, the run beside the ensemble that it is
    (
        "gencarbon hsco2",
        "the shipped checkpoint: refined run, mean network, diffusion of what it leaves",
        None,
    ),
    ("coarse run", "van Leer on the model grid with aggregated air mass fluxes", "coarse"),
    ("refined run", "the same air mass fluxes on 3 x 3 finer cells, averaged back", "refined"),
    ("mean network", "the shipped checkpoint's regression of the residual, one run", "mean_network"),
)


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: the shipped sample and four members. Full: every initial date of the test split."""
    data = benchmark.data
    pipe = CO2Pipeline.from_pretrained(data["checkpoint"])
    cases = [load_sample()] if quick else initial_cases(data, benchmark.split)
    members = 4 if quick else data["members"]
    total = None
    for case in track(cases, description="initial dates", console=Console(stderr=True)):
        inputs = {role: ds for role, ds in case.items() if role != "reference"}
        ensemble = pipe(**inputs, members=members, seed=benchmark.seeds[0], mean_network=True)
        scores = accumulate(ensemble, case["reference"])
        total = scores if total is None else total + scores
    short = {
        role: ds if role == "initial" else ds.isel(time=slice(0, pipe.frames)) for role, ds in inputs.items()
    }
    scored = total.to_dataset()
    figures = _figures(scored) | {
        "equivariance/offset": Figure(equivariance_error(pipe, short, 1.0, 160.0), "1"),
        "equivariance/amplitude": Figure(equivariance_error(pipe, short, 2.0, 0.0), "1"),
    }
    notes = {
        "initial_dates": [str(t) for t in total.start],
        "members": members,
        "checkpoint_sha256": pipe.digest,
    }
    notes["sampler"] = {k: v for k, v in pipe.scheduler.config.items() if not k.startswith("_")}
    notes["by_level"] = {
        name: scored[f"{name}_by_level"].values.round(4).tolist()
        for name in ("spread_skill", "crps_over_coarse_mae")
    }
    if not quick:
        for model, text, rival in MODELS:
            write(entry(model, "generator", text, total, benchmark.seeds, rival))
    return Result(figures, scorecard(scored), notes)


def _figures(scores: xr.Dataset) -> dict[str, Figure]:
    figures = {"budget_error_max": Figure(float(scores["budget_error_max"]), "1")}
    for name in BY_LEAD:
        units = scores[f"{name}_by_lead"].attrs["units"]
        figures[f"{name}/overall"] = Figure(float(scores[f"{name}_overall"]), units)
        for lead, value in zip(scores["lead_time"].values, scores[f"{name}_by_lead"].values):
            group = "from_day_1" if lead >= 1 else "first_day"
            figures[f"{name}/{group}/{lead:.2f}d"] = Figure(float(value), units)
    return figures
