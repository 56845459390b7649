"""The downscaling diffusion of Ai2's `fme`, trained and sampled by `scripts/peer_fme.py` in an environment of its own, made on the first run.

Its learning rate is the best of several on validation, each after a part of the time; the best one's training then goes on. A killed run
goes on, and what was made with the same settings is kept.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from eval.cases import case_starts
from eval.provenance import ROOT
from gencarbon.data.backgrounds import WIDER
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.grid import LatLonGrid, coarsen_mean
from gencarbon.metrics import crps_fair
from gencarbon.terminal import cache_folder

SCRIPT, REQUIREMENTS = ROOT / "scripts" / "peer_fme.py", ROOT / "eval" / "peer_fme.txt"
OURS_ALONE = "config", "checkpoint", "train"  # of the benchmark's data


def scored_frames(data: dict[str, Any], store: xr.Dataset) -> list[range]:
    """The frames of a split that are scored, date by date."""
    return [range(k, k + data["frames"], data["every"]) for k in case_starts(data, store, data["dates"])]


def fme_ensemble(
    stores: dict[str, xr.Dataset], data: dict[str, Any], minutes: float, seed: int
) -> tuple[dict[str, Any], np.ndarray, dict[str, float]]:
    """The peer's report and ensemble of the test split, (member, time, level, lat, lon) ppm, and its CRPS on validation by learning rate, ppm.

    minutes: of the processor, all threads together, for its training. What the other learning rates took comes on top."""
    asked = {key: value for key, value in data.items() if key not in OURS_ALONE} | {
        "seed": seed,
        "minutes": minutes,
    }
    asked |= {"config": {name: store.attrs["config"] for name, store in stores.items()}}
    asked |= {path.name: path.read_text() for path in (SCRIPT, REQUIREMENTS)}
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    home = cache_folder() / "peers"
    folder, python = home / name, _environment(home / "venv")
    folder.mkdir(exist_ok=True)
    frames = {
        split: range(store.sizes["time"])
        if split == "train"
        else [k for some in scored_frames(data, store) for k in some]
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
            call = [str(python), str(SCRIPT), str(folder), str(out)]
            subprocess.run([*call, *(f"--{k}={v}" for k, v in options.items())], check=True)
        with np.load(out / f"{split}.npz") as found:
            return json.loads((out / f"{split}.json").read_text()), found["ensemble"].astype(np.float64)

    truth = canonical_datasets(stores["validation"].isel(time=frames["validation"]))["reference"]
    trials = {}
    for rate in data["learning_rates"]:
        _, members = sampled(rate, "validation", minutes * data["trial_share"], data["trial_members"])
        trials[rate] = float(np.average(crps_fair(members, truth.co2.values), weights=truth.air_mass.values))
    best = min(trials, key=trials.__getitem__)
    report, ensemble = sampled(best, "test", minutes, data["members"])
    return report, ensemble, {f"{rate:g}": value for rate, value in trials.items()}


def _environment(path: Path) -> Path:
    """Python of the peer's virtual environment, made where it is missing or was made from other requirements."""
    python = path / "bin" / "python"
    wanted, ready = REQUIREMENTS.read_text(), path / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        Console(stderr=True).print("installing fme in an environment of its own: about 4 minutes, 1.6 GB")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(path)], check=True)
        pins = ["-c", str(ROOT / "constraints.txt"), "-r", str(REQUIREMENTS)]
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", *pins], check=True)
        ready.write_text(wanted)
    return python


def _fields(store: xr.Dataset, frames: Iterable[int]) -> xr.Dataset:
    """Frames as `scripts/peer_fme.py` reads them: levels, wide means, winds, surface pressure and fluxes as variables of their own."""
    sets = canonical_datasets(store.isel(time=list(frames)))
    truth, wide, winds = sets["reference"].co2, widened(sets, WIDER).co2, sets["winds"]
    air, area = sets["reference"].air_mass.values, LatLonGrid.from_dataset(store).area
    made: dict[str, Any] = {}
    for k in range(truth.sizes["level"]):
        made[f"fine_{k + 1}"] = (("time", "lat", "lon"), truth.values[:, k].astype(np.float32))
        made[f"coarse_{k + 1}"] = (("time", "lat_wide", "lon_wide"), wide.values[:, k].astype(np.float32))
        for name in ("u", "v"):
            mean = coarsen_mean(winds[name].values[:, k].astype(np.float64), WIDER, air[:, k])
            made[f"{name}_{k + 1}"] = (("time", "lat_wide", "lon_wide"), mean.astype(np.float32))
    for name, field in (("surface_pressure", winds.surface_pressure), ("flux", sets["fluxes"].flux)):
        mean = coarsen_mean(field.values.astype(np.float64), WIDER, area)
        made[name] = (("time", "lat_wide", "lon_wide"), mean.astype(np.float32))
    coords = {name: truth[name] for name in ("time", "lat", "lon")}
    return xr.Dataset(
        made, coords | {f"{axis}_wide": (f"{axis}_wide", wide[axis].values) for axis in ("lat", "lon")}
    )
