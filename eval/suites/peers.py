"""The nearest package that can be installed: the downscaling diffusion of Ai2's `fme`, beside `gencarbon downscale`, both trained from nothing
on the same fields for the same time of the processor; and the shipped checkpoint, which has been trained for longer.

All turn the reference's means over 11.25 degree cells, winds, surface pressure and fluxes into fields on 5.6 degree cells. `fme` sees one
frame at a time, as it is made to, and its inputs on wide cells; ours sees windows, a clock and its refined run, whose making counts as
training, and learns from mixtures, turns and mirror images of the same fields.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.cases import split_store
from eval.fme_peer import fme_ensemble, scored_frames
from eval.provenance import ROOT
from gencarbon.data.backgrounds import WIDER
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from gencarbon.grid import coarsen_mean
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.scores import Scores
from gencarbon.terminal import cache_folder
from gencarbon.training.optimise import cpu_seconds_of
from gencarbon.training.settings import TrainConfig
from gencarbon.training.train import hardware_precision

SCORES = ("crps", "spread_skill", "energy_score", "bias")
REPRODUCIBLE = (
    "training_same_seed_twice",
    "sampling_same_seed_twice",
    "sampling_batch_of_1_as_of_4",
    "same_noise_batch_of_1_as_of_4",
)
OURS = ("gencarbon", "shipped")  # trained here, trained for longer
PEERS = ("fme", "fme_closed")  # as it is, and moved to the means of the wide cells as ours are


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Full only: a quick run has no `fme`."""
    if quick:
        raise InputError("peers needs the environment of fme and the built benchmark; run it without --quick")
    data, seed = benchmark.data, benchmark.seeds[0]
    stores = {name: split_store(data, name) for name in ("train", "validation", benchmark.split)}
    trained, minutes = _trained(data)
    report, theirs, trials = fme_ensemble(stores, data, minutes, seed)
    pipes = dict(zip(OURS, map(CO2Pipeline.from_pretrained, (str(trained), data["checkpoint"]))))
    figures = _compared(pipes, theirs, stores[benchmark.split], data, seed)
    figures |= {f"fme/{name}": Figure(float(report["reproducible"][name]), "1") for name in REPRODUCIBLE}
    figures |= {
        "fme/seconds_per_frame": Figure(report["sampling_cpu_seconds_per_frame_and_member"], "s"),
        "fme/parameters": Figure(float(report["parameters"]), "1"),
        "fme/training_minutes": Figure(report["training_cpu_seconds"] / 60, "min"),
        "fme/training_minutes_over_ours": Figure(report["training_cpu_seconds"] / 60 / minutes, "1"),
        "gencarbon/training_minutes": Figure(minutes, "min"),
    }
    ours = figures["gencarbon/parameters"].value
    figures["fme/parameters_over_ours"] = Figure(figures["fme/parameters"].value / ours, "1")
    precision = hardware_precision(TrainConfig.load(ROOT / data["train"]).precision)
    notes = {
        "fme": report,
        "training_precision": {"gencarbon": precision, "fme": "no"},
        "fme_validation_crps_ppm_by_learning_rate": trials,
        "checkpoint_sha256": {name: pipe.digest for name, pipe in pipes.items()},
        "members": data["members"],
    }
    return Result(figures, _table(figures), notes)


def _compared(
    pipes: dict[str, CO2Pipeline], theirs: np.ndarray, store: xr.Dataset, data: dict[str, Any], seed: int
) -> dict[str, Figure]:
    """Scores of `theirs`, (member, time, level, lat, lon) ppm, and of samples of `pipes`, with their cost and what they keep."""
    scores: dict[str, list[Scores]] = {name: [] for name in (*pipes, *PEERS)}
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    misses, same = dict.fromkeys(scores, 0.0), dict.fromkeys(pipes, True)
    for n, some in enumerate(scored_frames(data, store)):
        sets = canonical_datasets(store, slice(some.start, some.stop))
        coarse, kept = widened(sets, WIDER), slice(None, None, data["every"])
        made = {}
        for name, pipe in pipes.items():
            sample = partial(pipe, sets["winds"], sets["fluxes"], coarse, seed=seed, conserve=True)
            began = time.process_time()
            ours = sample(members=data["members"])
            seconds[name].append((time.process_time() - began) / ours.co2[..., 0, 0, 0].size)
            same[name] &= n > 0 or bool(np.array_equal(sample(members=1).co2[0], ours.co2[0]))
            made[name] = ours.isel(time=kept)
        block = theirs[:, n * len(some) : (n + 1) * len(some)]
        truth, told = sets["reference"].isel(time=kept), coarse.co2.values[kept]
        for name, values in (("fme", block), ("fme_closed", _closed(block, told, truth.air_mass.values))):
            made[name] = ours.isel(time=kept).assign(co2=(ours.co2.dims, values, ours.co2.attrs))
        for name, ensemble in made.items():
            scores[name].append(accumulate(ensemble, truth))
            means = coarsen_mean(ensemble.co2.values, WIDER, truth.air_mass.values)
            misses[name] = max(misses[name], float(np.abs(means - told).max()))
    figures = _scores(scores) | {f"{k}/block_mean_error": Figure(v, "1e-6") for k, v in misses.items()}
    dates = {k: [float(s.to_dataset()["crps_overall"]) for s in found] for k, found in scores.items()}
    for name, pipe in pipes.items():
        networks = pipe.denoiser.mean_net, pipe.sampling_network
        count = sum(p.numel() for network in networks for p in network.parameters())
        figures |= {
            f"{name}/seconds_per_frame": Figure(float(np.mean(seconds[name])), "s"),
            f"{name}/batch_of_1_as_of_many": Figure(float(same[name]), "1"),
            f"{name}/parameters": Figure(float(count), "1"),
        }
        for peer in PEERS:
            ratio = figures[f"{name}/crps"].value / figures[f"{peer}/crps"].value
            worst = max(a / b for a, b in zip(dates[name], dates[peer]))
            figures |= {
                f"{name}/crps_over_{peer}": Figure(ratio, "1"),
                f"{name}/crps_over_{peer}_worst_date": Figure(worst, "1"),
            }
    return figures


def _trained(data: dict[str, Any]) -> tuple[Path, float]:
    """The checkpoint that `gencarbon train` makes of the benchmark's config, which goes on where it was killed, and its minutes of the
    processor, refined runs included. Of a go that was killed what it spent after its last line of log is not counted."""
    path = ROOT / data["train"]
    config = TrainConfig.load(path)
    folder = cache_folder() / "runs" / config.name
    finished = (folder / "pipeline" / "model_index.json").exists()  # which is written last
    if not finished or (folder / "config.json").read_text() != config.model_dump_json(indent=1):
        Console(stderr=True).print(f"training ours from nothing with {data['train']}", soft_wrap=True)
        threads = os.environ | {"OMP_NUM_THREADS": str(data["threads"])}
        subprocess.run([sys.executable, "-m", "gencarbon", "train", str(path)], check=True, env=threads)
    return folder / "pipeline", cpu_seconds_of(folder / "log.jsonl") / 60


def _closed(members: np.ndarray, told: np.ndarray, air_mass: np.ndarray) -> np.ndarray:
    """Members (..., lat, lon) ppm, each wide cell moved as a whole so that its mean is what was `told`, (..., wide lat, wide lon) ppm."""
    misses = told - coarsen_mean(members, WIDER, air_mass)
    return members + misses.repeat(WIDER, -2).repeat(WIDER, -1)


def _scores(scores: dict[str, list[Scores]]) -> dict[str, Figure]:
    pooled = {name: reduce(add, found).to_dataset() for name, found in scores.items()}
    return {
        f"{name}/{score}": Figure(float(ds[f"{score}_overall"]), ds[f"{score}_overall"].attrs["units"])
        for name, ds in pooled.items()
        for score in SCORES
    }


def _table(figures: dict[str, Figure]) -> Table:
    who = (*OURS, *PEERS)
    table = Table("", *who, title="Downscaling from 11.25 to 5.6 degrees")
    for name in dict.fromkeys(name.partition("/")[2] for name in figures):
        cells = [figures.get(f"{one}/{name}") for one in who]
        table.add_row(name, *("" if cell is None else f"{cell.value:.4g} {cell.units}" for cell in cells))
    return table
