"""Does the evaluation do with little memory what does not fit in it, and with two workers of a cluster the same, sooner?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.provenance import peak_memory
from gencarbon.data.files import open_dataset
from gencarbon.evaluation import evaluate
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.terminal import cache_folder
from gencarbon.variables import describe, level_coordinates

GB = 1e9


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: stores of a fortieth of the frames."""
    data = benchmark.data | ({"frames": 12, "cluster_frames": 24} if quick else {})
    folder = cache_folder() / "scale"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say = Console(stderr=True).print
    try:
        say("writing the large store")
        size = write(folder / "large", data, data["frames"])
        say(f"scoring {size / GB:.1f} GB on this machine")
        alone = _child("threads", folder / "large", "")
        shutil.rmtree(folder / "large")
        write(folder / "small", data, data["cluster_frames"])
        times: dict[int, float] = {}
        digests = {_child("threads", folder / "small", "")["digest"]}
        for turn in range(data["turns"]):
            for workers in (1, 2):
                say(f"cluster of {workers} worker(s), turn {turn + 1}")
                found = _child("cluster", folder / "small", str(workers))
                times[workers] = min(times.get(workers, np.inf), found["seconds"])
                digests.add(found["digest"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = {
        "store_size": Figure(size / GB, "GB"),
        "peak_memory": Figure(alone["memory"] / GB, "GB"),
        "time_per_gigabyte": Figure(alone["seconds"] / (size / GB), "s GB-1"),
        "cluster/seconds/1_worker": Figure(times[1], "s"),
        "cluster/seconds/2_workers": Figure(times[2], "s"),
        "cluster/speedup": Figure(times[1] / times[2], "1"),
        "cluster/same_bits": Figure(float(len(digests) == 1), "1"),
    }
    table = Table("figure", "value", "units", title=benchmark.title)
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.4g}", figure.units)
    return Result(figures, table)


def write(folder: Path, data: dict[str, Any], frames: int) -> int:
    """An ensemble and its reference of correlated noise, uncompressed; returns the ensemble's bytes."""
    grid, levels = LatLonGrid.equiangular(data["rows"], 2 * data["rows"]), HybridLevels.sigma(data["levels"])
    shape = (frames, data["levels"], *grid.shape)
    coords = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(frames) * np.timedelta64(6, "h"),
        **grid.coordinates(),
        **level_coordinates(levels),
    }
    lat, lon = (np.deg2rad(x).astype(np.float32) for x in (grid.lat[:, None], grid.lon))

    def field(seed: int, chunk: tuple[tuple[int, ...], tuple[int, ...]]) -> dask.array.Array:
        noise = dask.array.random.default_rng(seed).standard_normal(
            chunk[0], dtype=np.float32, chunks=chunk[1]
        )
        return 415 + 3 * np.sin(lat) * np.cos(lon) + noise

    air = np.broadcast_to(levels.air_mass(np.full((1, *grid.shape), 1e5), grid), shape)
    dims = ("time", "level", "lat", "lon")
    reference: dict[str, Any] = {
        "co2": (dims, field(0, (shape, (1, *shape[1:])))),
        "air_mass": (dims, dask.array.from_array(air, chunks=(1, *shape[1:]))),
    }
    everyone = (data["ensemble_members"], *shape)
    ensemble: dict[str, Any] = {
        "co2": (("member", *dims), field(1, (everyone, (data["ensemble_members"], 1, *shape[1:]))))
    }
    for name, fields in {"reference": reference, "ensemble": ensemble}.items():
        ds = describe(xr.Dataset(fields, coords))
        ds.to_zarr(
            folder / f"{name}.zarr",
            encoding={key: {"compressors": None} for key in ds.data_vars},
            consolidated=False,
        )
    return 4 * int(np.prod(everyone))


def _child(how: str, folder: Path, argument: str) -> dict[str, Any]:
    call = [sys.executable, "-m", "eval.suites.evaluation_scale", how, str(folder), argument]
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def score(folder: Path, scheduler: str | None) -> dict[str, Any]:
    """Seconds, peak memory (bytes) of this process, and a digest of every score's bits."""
    ensemble, reference = (open_dataset(folder / f"{name}.zarr") for name in ("ensemble", "reference"))
    begun = time.perf_counter()
    scores = evaluate(ensemble, reference, scheduler=scheduler)
    seconds = time.perf_counter() - begun
    digest = zlib.crc32(
        b"".join(
            np.ascontiguousarray(scores[name].values).tobytes() for name in sorted(scores.data_vars, key=str)
        )
    )
    return {"seconds": seconds, "memory": peak_memory(), "digest": digest}


def main(how: str, folder: str, argument: str) -> None:
    """One measurement, printed as JSON."""
    if how == "threads":
        print(json.dumps(score(Path(folder), None)))
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=int(argument), threads_per_worker=1, dashboard_address=None) as cluster:
        score(Path(folder), cluster.scheduler_address)  # workers import and compile
        print(json.dumps(score(Path(folder), cluster.scheduler_address)))


if __name__ == "__main__":
    main(*sys.argv[1:])
