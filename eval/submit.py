"""`python -m eval.submit MODEL --ensembles E1.zarr E2.zarr ...`: score a model's ensembles on the test split and write its result file.

One ensemble of at least two members for each initial date of the benchmark, sampled from its winds and fluxes; any order.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from eval.benchmark import load_benchmark
from eval.cases import initial_cases
from eval.provenance import provenance
from eval.scorecard import LEADERBOARD, Model
from gencarbon.data.files import open_dataset
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from gencarbon.scores import Scores

FIGURES = ("crps", "crps_over_std", "spread_skill", "coverage", "energy_score", "bias", "rmse")
RUN = {
    "crps": "mae",
    "bias": "bias",
    "rmse": "rmse",
}  # figure of a single run -> what it is called in the scores


def entry(
    model: str,
    benchmark: str,
    description: str,
    scores: Scores,
    seeds: Sequence[int],
    rival: str | None = None,
) -> Model:
    """The result file of pooled scores: of the ensemble, or of the deterministic run `rival` ("coarse", ...) beside it."""
    ds = scores.to_dataset()
    if rival is None:
        names = {name: name for name in FIGURES}
        budget = {"budget_error_max": _figure(ds.budget_error_max)}
    else:
        names, budget = {name: f"{rival}_{key}" for name, key in RUN.items()}, {}
    figures: dict[str, Any] = budget | {
        f"{name}/overall": _figure(ds[f"{key}_overall"]) for name, key in names.items()
    }
    for name, key in names.items():
        by_lead = ds[f"{key}_by_lead"]
        figures |= {
            f"{name}/{lead:.2f}d": _figure(by_lead.sel(lead_time=lead))
            for lead in ds.lead_time.values
            if lead % 1 == 0
        }
    origin = provenance()
    return Model(
        model=model,
        benchmark=benchmark,
        description=description,
        members=1 if rival else scores.members,
        figures=figures,
        initial_dates=tuple(str(t) for t in scores.start),
        seeds=tuple(seeds),
        versions=origin["versions"],
        commit=origin["commit"],
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def write(model: Model, folder: Path = LEADERBOARD) -> Path:
    """Write eval/leaderboard/BENCHMARK/MODEL.json, in place of an earlier one."""
    name = re.sub(r"[^a-z0-9]+", "_", model.model.lower()).strip("_")
    path = folder / model.benchmark / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(model.model_dump(mode="json"), indent=1, allow_nan=False) + "\n")
    return path


def pooled(ensembles: Sequence[xr.Dataset], cases: Sequence[dict[str, xr.Dataset]]) -> Scores:
    """Scores of one ensemble for each case, found by their first frames. Raises InputError where one is missing or too many."""
    given = {ds.time.values[0]: ds for ds in ensembles}
    wanted = [case["reference"].time.values[0] for case in cases]
    if len(given) != len(ensembles) or set(given) != set(wanted):
        raise InputError(
            f"expected one ensemble for each initial date {[str(t)[:16] for t in wanted]}, got {sorted(str(t)[:16] for t in given)}; "
            "sample the dates that are missing"
        )
    total: Any = None
    for date, case in zip(wanted, cases):
        times = case["reference"].time.values
        if not np.array_equal(given[date].time.values, times):
            raise InputError(
                f"expected {times.size} frames from {times[0]} to {times[-1]}, got others; sample the whole case"
            )
        scores = accumulate(given[date].assign_attrs(initial_frame="known"), case["reference"])
        total = scores if total is None else total + scores
    return total


def _figure(value: xr.DataArray) -> dict[str, Any]:
    number = float(value)
    return {"value": number if abs(number) < float("inf") else None, "units": value.attrs["units"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eval.submit", description=__doc__)
    parser.add_argument("model", help="name in the scorecard")
    parser.add_argument("--benchmark", default="generator", help="a file of eval/benchmarks, without .yaml")
    parser.add_argument(
        "--description", required=True, help="one sentence: what it is, what it was trained on"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ensembles", nargs="+", type=Path, required=True, help="one store for each initial date"
    )
    options = parser.parse_args(arguments)
    try:
        benchmark = load_benchmark(options.benchmark)
        scores = pooled(
            [open_dataset(path) for path in options.ensembles], initial_cases(benchmark.data, benchmark.split)
        )
        path = write(entry(options.model, options.benchmark, options.description, scores, (options.seed,)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written: {path.relative_to(Path(__file__).parent.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
