"""The nearest package that can be installed: the downscaling diffusion of Ai2's `fme`, trained on the same fields, beside `gencarbon downscale`.

Both turn the reference's means over 11.25 degree cells, and winds, into fields on 5.6 degree cells. `fme` sees one frame at a time, as it is
made to; ours sees windows, fluxes and its refined run. `fme` lives in an environment of its own, made on the first run. Its learning rate
is the best of several on validation, after a part of the time; the best one's training then goes on. A killed run goes on.
"""

from __future__ import annotations

import hashlib
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
from gencarbon.metrics import crps_fair
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
    store = split_store(data, benchmark.split)
    stores = {name: split_store(data, name) for name in ("train", "validation")} | {"test": store}
    frames = _dates(data, store)
    report, theirs, trials = _peer(stores, data, seed)
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
    sampling = pipe.denoiser.mean_net, pipe.sampling_network
    figures["gencarbon/parameters"] = Figure(
        float(sum(p.numel() for n in sampling for p in n.parameters())), "1"
    )
    notes = {"fme": report, "fme_validation_crps_ppm_by_learning_rate": trials}
    return Result(
        figures, _table(figures), notes | {"checkpoint_sha256": pipe.digest, "members": data["members"]}
    )


def _dates(data: dict[str, Any], store: xr.Dataset) -> list[range]:
    """The frames of a split that are scored, date by date."""
    return [range(k, k + data["frames"], data["every"]) for k in case_starts(data, store, data["dates"])]


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
    stores: dict[str, xr.Dataset], data: dict[str, Any], seed: int
) -> tuple[dict[str, Any], np.ndarray, dict[str, float]]:
    """The peer's report and ensemble of the test split, (member, time, level, lat, lon) ppm, and the CRPS on validation by learning rate.

    What was made with the same settings is kept."""
    asked = data | {"seed": seed, "config": {name: store.attrs["config"] for name, store in stores.items()}}
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    home = cache_folder() / "peers"
    folder, python = home / name, _environment(home / "venv")
    folder.mkdir(exist_ok=True)
    frames = {
        split: range(0, store.sizes["time"], 2)
        if split == "train"
        else [k for some in _dates(data, store) for k in some]
        for split, store in stores.items()
    }
    for split, store in stores.items():
        if not (folder / f"{split}.nc").exists():
            whole = folder / f"{split}.tmp"
            _fields(store, frames[split]).to_netcdf(whole)
            whole.rename(folder / f"{split}.nc")

    def sampled(rate: float, split: str, minutes: float, members: int) -> tuple[dict[str, Any], np.ndarray]:
        out = folder / f"{rate:g}"
        if not (out / f"{split}.json").exists():
            say = f"fme at learning rate {rate:g}: {minutes:g} minutes of processor time, then samples of {split}"
            Console(stderr=True).print(say, soft_wrap=True)
            options = {"sample": split, "minutes": minutes, "learning-rate": rate, "seed": seed}
            options |= {"members": members, "width": data["width"], "threads": data["threads"]}
            call = [str(python), str(ROOT / "scripts" / "peer_fme.py"), str(folder), str(out)]
            subprocess.run([*call, *(f"--{k}={v}" for k, v in options.items())], check=True)
        with np.load(out / f"{split}.npz") as found:
            return json.loads((out / f"{split}.json").read_text()), found["ensemble"].astype(np.float64)

    truth = canonical_datasets(stores["validation"].isel(time=frames["validation"]))["reference"]
    trials = {}
    for rate in data["learning_rates"]:
        _, members = sampled(rate, "validation", data["trial_minutes"], data["trial_members"])
        trials[rate] = float(np.average(crps_fair(members, truth.co2.values), weights=truth.air_mass.values))
    best = min(trials, key=trials.__getitem__)
    report, ensemble = sampled(best, "test", data["minutes"], data["members"])
    return report, ensemble, {f"{rate:g}": value for rate, value in trials.items()}


def _environment(path: Path) -> Path:
    """Python of the peer's virtual environment, made where it is missing or was made from other requirements."""
    python = path / "bin" / "python"
    wanted, ready = (ROOT / "eval" / "peer_fme.txt").read_text(), path / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        Console(stderr=True).print("installing fme in an environment of its own: about 4 minutes, 1.6 GB")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(path)], check=True)
        pins = ["-c", str(ROOT / "constraints.txt"), "-r", str(ROOT / "eval" / "peer_fme.txt")]
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", *pins], check=True)
        ready.write_text(wanted)
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
