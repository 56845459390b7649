"""Where no state is known: means of wide cells downscaled and kept, and coarse runs corrected, by time since the first frame."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import track
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.cases import built_as, case_starts, split_store
from eval.remember import remembered
from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.backgrounds import WIDER, with_blocks_of
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.evaluation import accumulate
from gencarbon.grid import coarsen_mean
from gencarbon.intervals import date_intervals
from gencarbon.metrics import Mean, spread_skill_ratio
from gencarbon.sample_data import load_sample
from gencarbon.sampling.pipeline import CO2Pipeline

RUNS = {
    "downscaling": ("interpolation", "corrected"),
    "correction": ("coarse",),
}  # held against, without a spread
LAW = {
    "downscaling": ("block_mean_error", "1e-6"),
    "correction": ("budget_error_max", "1"),
}  # that every member keeps
SPANS = {
    "first_frame": 0.0,
    "to_1d": 1.0,
    "1_to_2d": 2.0,
    "2_to_5d": 5.0,
    "5_to_10d": 10.0,
    "after_10d": np.inf,
}  # end, days
ABOUT = {
    "downscaling": "the reference's means over wide cells as the coarse input, whose interpolation keeps them too; corrected: by the mean "
    "error of interpolation over the period `bias`",
    "correction": "the benchmark's coarse run as the background",
}


def run(benchmark: Benchmark, quick: bool) -> Result:
    """This part of the generator's benchmark alone. Quick: the shipped sample, four members, no corrected interpolation."""
    data, seed = benchmark.data, benchmark.seeds[0]
    pipe = CO2Pipeline.from_pretrained(data["checkpoint"])
    if quick:
        made = reduce(
            or_, (_pooled(pipe, task, [_date(pipe, load_sample(), task, None, 4, seed)], 4) for task in RUNS)
        )
        notes: dict[str, Any] = {}
    else:
        whole = data | {"built": built_as(data)}
        made, notes = figures(pipe, split_store(data, benchmark.split), whole, seed)
    notes |= {"checkpoint_sha256": pipe.digest, "sampler": pipe.scheduler.settings}
    table = Table("", *SPANS, "overall", title="Where no state is known")
    for task, runs in RUNS.items():
        for name in ("crps", "spread_skill", *(f"crps_over_{one}_mae" for one in runs)):
            values = [made.get(f"{task}/{name}/{where}") for where in (*SPANS, "overall")]
            table.add_row(f"{task}: {name}", *("" if one is None else f"{one.value:.3f}" for one in values))
    return Result(made, table, notes)


def figures(
    pipe: CO2Pipeline, store: xr.Dataset, data: dict[str, Any], seed: int
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures `downscaling/...` and `correction/...`, and notes."""
    like = split_store(data["bias"], data["bias"]["split"])
    bias_of = {"bias": data["bias"], "of": like.attrs["config"]}
    bias = remembered("generator", bias_of, lambda: _bias(like))
    frames, members = data["beginning_frames"], data["beginning_members"]
    starts = case_starts({"frames": frames}, store, data["beginning_dates"])
    made: dict[str, Figure] = {}
    for task in RUNS:
        found = []
        for first in track(starts, description=task, console=Console(stderr=True)):
            key = {
                "beginning": task,
                "first": first,
                "digest": pipe.digest,
                "seed": seed,
                "data": data,
                "bias": bias_of,
            }
            sets = canonical_datasets(store, slice(first, first + frames))
            make = lambda c=sets, t=task, s=seed + first: _date(pipe, c, t, bias, members, s)  # noqa: E731
            found.append(remembered("generator", key, make))
        made |= _pooled(pipe, task, found, members)
    return made, {"task": ABOUT, "members": members, "dates": len(starts), "frames": frames}


def _date(
    pipe: CO2Pipeline,
    sets: dict[str, xr.Dataset],
    task: str,
    bias: np.ndarray | None,
    members: int,
    seed: int,
) -> tuple[dict[str, Mean], float]:
    """Sums of one date, (time, level), and the largest miss of the law that members keep. sets: of `canonical_datasets`; bias: mean error of
    interpolation, (level, lat, lon) ppm."""
    keeps, truth = task == "downscaling", sets["reference"]
    background = widened(sets, WIDER) if keeps else sets["background"]
    ensemble = pipe(sets["winds"], sets["fluxes"], background, members=members, seed=seed, conserve=keeps)
    scores = accumulate(ensemble, truth)
    found = {name: scores.means[name].sum(0) for name in ("crps", "variance", "squared_error")}
    plain = _interpolated(sets) if keeps else background.co2.values
    runs = {RUNS[task][0]: plain}
    if keeps and bias is not None:
        runs["corrected"] = plain - bias
    for name, values in runs.items():
        found[name] = Mean.of(np.abs(values - truth.co2.values), truth.air_mass.values, axis=(-2, -1))
    if not keeps:
        return found, float(scores.budget_error.max())
    means = coarsen_mean(ensemble.co2.values, WIDER, ensemble.air_mass.values)
    return found, float(np.abs(means - background.co2.values).max())


def _pooled(
    pipe: CO2Pipeline, task: str, found: list[tuple[dict[str, Mean], float]], members: int
) -> dict[str, Figure]:
    law, units = LAW[task]
    made = _figures(task, [sums for sums, _ in found], pipe.grid.step_seconds / SECONDS_PER_DAY, members)
    return made | {f"{task}/{law}": Figure(max(miss for _, miss in found), units)}


def _figures(task: str, dates: list[dict[str, Mean]], step_days: float, members: int) -> dict[str, Figure]:
    """Scores of all levels by span of time and overall, and of all times by level; with intervals, unless there is one date."""
    sums = {name: Mean.stack([date[name] for date in dates]) for name in dates[0]}  # (date, time, level)
    frames, levels = (np.arange(n) for n in sums["crps"].total.shape[1:])
    span = np.searchsorted(list(SPANS.values()), frames * step_days - 1e-9)[:, None]
    places = {name: (span == k) | (levels < 0) for k, name in enumerate(SPANS) if (span == k).any()}
    places |= {f"level{level}": (span >= 0) & (levels == level) for level in levels}
    places["overall"] = (span >= 0) & (levels >= 0)

    def scores(drawn: np.ndarray) -> dict[str, float]:
        values = {}
        for place, here in places.items():
            m = {
                n: float(x.total[drawn][:, here].sum() / x.weight[drawn][:, here].sum())
                for n, x in sums.items()
            }
            values[f"crps/{place}"] = m["crps"]
            values[f"spread_skill/{place}"] = float(
                spread_skill_ratio(m["variance"], m["squared_error"], members)
            )
            values |= {f"crps_over_{one}_mae/{place}": m["crps"] / m[one] for one in RUNS[task] if one in m}
        return values

    units = lambda name: "1e-6" if name.startswith("crps/") else "1"  # noqa: E731
    made = {
        f"{task}/{name}": Figure(value, units(name)) for name, value in scores(np.arange(len(dates))).items()
    }
    for name, ends in date_intervals(scores, len(dates)).items() if len(dates) > 1 else ():
        made |= {
            f"interval/{task}/{name}/{end}": Figure(v, units(name)) for end, v in zip(("low", "high"), ends)
        }
    return made


def _interpolated(sets: dict[str, xr.Dataset]) -> np.ndarray:
    return with_blocks_of(sets["reference"].co2.values, WIDER, sets["reference"].air_mass.values)


def _bias(store: xr.Dataset) -> np.ndarray:
    """Mean error of interpolation, (level, lat, lon) ppm."""
    parts = (canonical_datasets(store, slice(k, k + 40)) for k in range(0, store.sizes["time"], 40))
    return sum((_interpolated(p) - p["reference"].co2.values).sum(0) for p in parts) / store.sizes["time"]
