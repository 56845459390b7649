"""The nearest package that can be installed: the downscaling diffusion of Ai2's `fme`, trained on the same fields, beside `gencarbon downscale`.

Both turn the reference's means over 11.25 degree cells, and winds, into fields on 5.6 degree cells. `fme` sees one frame at a time, as it is
made to; ours sees windows, fluxes and its refined run. `fme` lives in an environment of its own, made on the first run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.cases import case_starts, split_store
from eval.provenance import ROOT
from gencarbon.data.backgrounds import WIDER
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from gencarbon.grid import coarsen_mean
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.scores import Scores
from gencarbon.terminal import cache_folder

SCORES = ("crps", "spread_skill", "energy_score", "bias")
REPRODUCIBLE = (
    "training_same_seed_twice",
    "sampling_same_seed_twice",
    "sampling_batch_of_1_as_of_4",
    "same_noise_batch_of_1_as_of_4",
)


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Full only: a quick run has no `fme`."""
    if quick:
        raise InputError("peers needs the environment of fme and the built benchmark; run it without --quick")
    data, seed = benchmark.data, benchmark.seeds[0]
    pipe = CO2Pipeline.from_pretrained(data["checkpoint"])
    store, folder = split_store(data, benchmark.split), cache_folder() / "peers"
    frames = [range(k, k + data["frames"], data["every"]) for k in case_starts(data, store, data["dates"])]
    report = _peer(
        folder, split_store(data, "train"), store, [k for some in frames for k in some], data, seed
    )
    with np.load(folder / "out" / "ensemble.npz") as found:
        theirs = found["ensemble"].astype(np.float64)
    scores: dict[str, list[Scores]] = {"fme": [], "gencarbon": []}
    misses = {"fme": 0.0, "gencarbon": 0.0}
    seconds, same = [], True
    for n, some in enumerate(frames):
        sets = canonical_datasets(store, slice(some.start, some.stop))
        coarse, kept = widened(sets, WIDER), slice(None, None, data["every"])
        sample = partial(pipe, sets["winds"], sets["fluxes"], coarse, seed=seed, conserve=True)
        began = time.process_time()
        ours = sample(members=data["members"])
        seconds.append((time.process_time() - began) / ours.co2[..., 0, 0, 0].size)
        same &= n > 0 or bool(np.array_equal(sample(members=1).co2[0], ours.co2[0]))
        ours, truth = ours.isel(time=kept), sets["reference"].isel(time=kept)
        block = theirs[:, n * len(some) : (n + 1) * len(some)]
        made = {"gencarbon": ours, "fme": ours.assign(co2=(ours.co2.dims, block, ours.co2.attrs))}
        for name, ensemble in made.items():
            scores[name].append(accumulate(ensemble, truth))
            means = coarsen_mean(ensemble.co2.values, WIDER, truth.air_mass.values)
            misses[name] = max(misses[name], float(np.abs(means - coarse.co2.values[kept]).max()))
    pooled = {name: reduce(add, found).to_dataset() for name, found in scores.items()}
    figures = {
        f"{name}/{score}": Figure(float(ds[f"{score}_overall"]), ds[f"{score}_overall"].attrs["units"])
        for name, ds in pooled.items()
        for score in SCORES
    }
    figures |= {f"{name}/block_mean_error": Figure(miss, "1e-6") for name, miss in misses.items()}
    figures["crps_over_fme"] = Figure(figures["gencarbon/crps"].value / figures["fme/crps"].value, "1")
    figures["fme/seconds_per_frame"] = Figure(report["sampling_cpu_seconds_per_frame_and_member"], "s")
    figures["gencarbon/seconds_per_frame"] = Figure(float(np.mean(seconds)), "s")
    figures["gencarbon/batch_of_1_as_of_many"] = Figure(float(same), "1")
    for name in REPRODUCIBLE:
        figures[f"fme/{name}"] = Figure(float(report["reproducible"][name]), "1")
    figures["fme/parameters"] = Figure(float(report["parameters"]), "1")
    figures["gencarbon/parameters"] = Figure(float(sum(p.numel() for p in pipe.denoiser.parameters())), "1")
    return Result(
        figures,
        _table(figures),
        {"fme": report, "checkpoint_sha256": pipe.digest, "members": data["members"]},
    )


def _table(figures: dict[str, Figure]) -> Table:
    table = Table(
        "", "gencarbon", "fme", title="Downscaling from 11.25 to 5.6 degrees, all frames and levels"
    )
    names = dict.fromkeys(name.partition("/")[2] for name in figures if "/" in name)
    for name in names:
        cells = [figures.get(f"{who}/{name}") for who in ("gencarbon", "fme")]
        table.add_row(name, *("" if cell is None else f"{cell.value:.4g} {cell.units}" for cell in cells))
    return table


def _peer(
    folder: Path, train: xr.Dataset, test: xr.Dataset, frames: list[int], data: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Trains and samples in the peer's environment, unless that was done with the same settings; its report."""
    out, wanted = (
        folder / "out",
        {"data": data, "seed": seed, "frames": frames, "config": test.attrs["config"]},
    )
    asked = json.dumps(wanted, sort_keys=True)
    if not (out / "report.json").exists() or (out / "asked.json").read_text() != asked:
        python = _environment(folder / "venv")
        (folder / "data").mkdir(parents=True, exist_ok=True)
        _fields(train, range(0, train.sizes["time"], 2)).to_netcdf(folder / "data" / "train.nc")
        _fields(test, frames).to_netcdf(folder / "data" / "test.nc")
        Console(stderr=True).print(f"training fme for {data['minutes']} minutes of processor time")
        options = {name: data[name] for name in ("minutes", "width", "members", "threads")}
        options |= {"learning-rate": data["learning_rate"], "seed": seed}
        call = [str(python), str(ROOT / "scripts" / "peer_fme.py"), str(folder / "data"), str(out)]
        subprocess.run([*call, *(f"--{k}={v}" for k, v in options.items())], check=True)
        (out / "asked.json").write_text(asked)
    return json.loads((out / "report.json").read_text())


def _environment(path: Path) -> Path:
    """Python of the peer's virtual environment, made where missing."""
    python = path / "bin" / "python"
    if not (path / "ready").exists():
        Console(stderr=True).print("installing fme in an environment of its own: about 4 minutes, 1.6 GB")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(path)], check=True)
        pins = ["-c", str(ROOT / "constraints.txt"), "-r", str(ROOT / "eval" / "peer_fme.txt")]
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", *pins], check=True)
        (path / "ready").touch()
    return python


def _fields(store: xr.Dataset, frames: Iterable[int]) -> xr.Dataset:
    """Frames as `scripts/peer_fme.py` reads them: levels, wide means and winds as variables of their own."""
    sets = canonical_datasets(store.isel(time=list(frames)))
    truth, wide, winds = sets["reference"].co2, widened(sets, WIDER).co2, sets["winds"]
    air = sets["reference"].air_mass.values
    made: dict[str, Any] = {}
    for k in range(truth.sizes["level"]):
        made[f"fine_{k + 1}"] = (("time", "lat", "lon"), truth.values[:, k].astype(np.float32))
        made[f"coarse_{k + 1}"] = (("time", "lat_wide", "lon_wide"), wide.values[:, k].astype(np.float32))
        for name in ("u", "v"):
            mean = coarsen_mean(winds[name].values[:, k].astype(np.float64), WIDER, air[:, k])
            made[f"{name}_{k + 1}"] = (("time", "lat_wide", "lon_wide"), mean.astype(np.float32))
    coords = {name: truth[name] for name in ("time", "lat", "lon")}
    return xr.Dataset(
        made, coords | {f"{axis}_wide": (f"{axis}_wide", wide[axis].values) for axis in ("lat", "lon")}
    )
