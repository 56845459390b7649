"""How fast the fair CRPS is and how much memory it takes beside every other library, each in a process of its own, in one run.

The libraries get the layout they like best, members last; ours gets that of an ensemble store, members first, and theirs too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.suites import libraries
from gencarbon.metrics import crps_fair

OURS = {"gencarbon": 0, "gencarbon_members_last": 1}  # member axis


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: a tenth of the points."""
    data = benchmark.data | ({"values": benchmark.data["values"] // 10} if quick else {})
    figures: dict[str, Figure] = {}
    for members in data["members"]:
        cost = {}
        for name in (*OURS, *libraries.crps()):
            Console(stderr=True).print(f"{members} members, {name}")
            call = [sys.executable, "-m", "eval.suites.metrics_speed", json.dumps([name, members, data])]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            cost[name] = json.loads(done.stdout.splitlines()[-1])
            figures[f"time_per_point/M={members}/{name}"] = Figure(cost[name]["ns"], "ns")
            figures[f"extra_memory/M={members}/{name}"] = Figure(cost[name]["memory"], "inputs")
        for name in libraries.crps():
            figures[f"speedup/M={members}/{name}"] = Figure(cost[name]["ns"] / cost["gencarbon"]["ns"], "1")
    return Result(figures, _table(figures, data["members"]), {"libraries": libraries.versions()})


def measure(name: str, members: int, data: dict[str, Any]) -> dict[str, float]:
    """Shortest time of some calls, ns per point, and memory beyond input and result at its peak, in units of the input."""
    points = data["values"] // members
    rng = np.random.default_rng(0)
    ens = (420 + rng.standard_normal((points, members), dtype=np.float32)).astype(np.float32)
    obs = (420 + rng.standard_normal(points, dtype=np.float32)).astype(np.float32)
    score = _score(name)
    if OURS.get(name) == 0:
        ens = np.ascontiguousarray(ens.T)
        score(ens[:, :1000].copy(), obs[:1000])  # compiled now
    else:
        score(ens[:1000].copy(), obs[:1000])
    before = _memory("VmRSS", reset=True)
    result = np.asarray(score(ens, obs))
    extra = _memory("VmHWM") - before - result.nbytes
    times = []
    for _ in range(data["repeats"]):
        begun = time.perf_counter()
        score(ens, obs)
        times.append(time.perf_counter() - begun)
    return {"ns": min(times) / points * 1e9, "memory": max(extra, 0) / ens.nbytes}


def _score(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if name in OURS:
        return lambda ens, obs: crps_fair(ens, obs, axis=OURS[name])
    return libraries.crps()[name][1]


def _memory(field: str, reset: bool = False) -> int:
    """Bytes of this process by Linux's count; reset: its high-water mark begins anew."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def _table(figures: dict[str, Figure], ensemble_sizes: list[int]) -> Table:
    names = [
        key.rsplit("/", 1)[1] for key in figures if key.startswith(f"time_per_point/M={ensemble_sizes[0]}/")
    ]
    table = Table(
        "",
        *(f"M = {M}: ns per point, extra memory" for M in ensemble_sizes),
        title="CRPS of single-precision members",
    )
    for name in names:
        costs = (
            (figures[f"{kind}/M={M}/{name}"].value for kind in ("time_per_point", "extra_memory"))
            for M in ensemble_sizes
        )
        table.add_row(name, *("{:.4g}, {:.2g} x".format(*cost) for cost in costs))
    return table


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
