"""How fast the transport runs, each case in a process of its own.

The fewest bytes a substep can move: every tracer read and written once, the air's mass at both ends and its three fluxes read once.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.memory import keep_freed_memory
from gencarbon.transport.checks import count_substeps
from gencarbon.transport.continuity import MassFluxes, close, conserve_air, face_fluxes
from gencarbon.transport.solver import Transport

MODES = {  # limited, compiled
    "linear": (False, False),
    "linear_compiled": (False, True),
    "limited": (True, False),
    "limited_compiled": (True, True),
}
LEVELS = 10


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: without torch.compile, which takes most of the time."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    modes = [name for name, (_, compiled) in MODES.items() if not compiled or (compiler and not quick)]
    figures: dict[str, Figure] = {}
    for case in itertools.product(benchmark.data["threads"], modes, benchmark.data["grids"]):
        Console(stderr=True).print("{} core(s), {}, {}".format(*case))
        call = [sys.executable, "-m", "eval.suites.transport_speed", json.dumps([*case, benchmark.data])]
        measured = json.loads(
            subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )
        figures |= {name: Figure(value, units) for name, (value, units) in measured.items()}
    return Result(figures, _table(figures, benchmark), {"compiler": bool(compiler), "layers": LEVELS})


def storm(grid: LatLonGrid, levels: HybridLevels, seconds: float) -> MassFluxes:
    """Strong winds across both poles, closed."""
    lat, lon = (torch.deg2rad(torch.tensor(x)) for x in (grid.lat[:, None], grid.lon))
    shear = torch.linspace(0.3, 1.5, levels.count, dtype=torch.float64)[:, None, None]
    wave = torch.cos(lat) ** 2 * torch.sin(5 * lon)
    u = shear * (30 * torch.cos(lat) + 20 * torch.sin(lat) * torch.cos(lon) + 10 * wave)
    v = shear * (-20 * torch.sin(lon) + 15 * torch.cos(lat) ** 2 * torch.cos(6 * lon))
    ps = conserve_air(
        torch.stack([1e5 + 1000 * torch.sin(lon + d) * torch.cos(lat) for d in (0.0, 0.05)]), grid
    )
    return close(*face_fluxes(u, v, ps[0], grid, levels), ps[0], ps[1], seconds, grid, levels)


def measure(threads: int, mode: str, grid_name: str, data: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """Figures of one case: name -> (value, units)."""
    torch.set_num_threads(threads)
    keep_freed_memory()  # as the command line does
    (rows, seconds), (limited, compiled), levels = (
        data["grids"][grid_name],
        MODES[mode],
        HybridLevels.sigma(LEVELS),
    )
    grid = LatLonGrid.equiangular(rows, 2 * rows)
    air, model = storm(grid, levels, seconds), Transport(grid, levels, "ppm", limited, compiled=compiled)
    substeps, cells = count_substeps(air, seconds, None), LEVELS * rows * 2 * rows
    found, case = {}, f"{mode}/{grid_name}/{threads}_cores"
    work: dict[Any, Callable[[], Any]] = {}
    for tracers in data["tracers"]:
        q = torch.rand(tracers, LEVELS, *grid.shape, dtype=torch.float64)
        still = torch.zeros(tracers, *grid.shape)
        values = torch.rand(
            (2 * tracers + 5) * cells // 2, dtype=torch.float64
        )  # a copy reads and writes each
        work[tracers] = partial(model.step, q, air, still, seconds)
        work[f"copy {tracers}"] = values.clone
    with torch.no_grad():
        took = _best(work, data["repeats"])
    for tracers in data["tracers"]:
        found[f"days_per_second/{case}/{tracers}_tracers"] = (
            seconds / SECONDS_PER_DAY / took[tracers],
            "day s-1",
        )
        found[f"least_bytes_per_substep/{case}/{tracers}_tracers"] = (8.0 * (2 * tracers + 5) * cells, "byte")
        copying = substeps * took[f"copy {tracers}"]
        found[f"time_over_copying/{case}/{tracers}_tracers"] = (took[tracers] / copying, "1")
    few, many = data["tracers"]
    found[f"cost_per_tracer_8_over_1/{case}"] = (took[many] / many / (took[few] / few), "1")
    return found


def _best(work: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, float]:
    """The shortest time of each piece of work, s, after a first call. They take turns, so that what else the machine does at
    times meets them all alike."""
    times: dict[Any, list[float]] = {name: [] for name in work}
    for _ in range(repeats + 1):
        for name, call in work.items():
            begun = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begun)
    return {name: min(taken[1:]) for name, taken in times.items()}


def _table(figures: dict[str, Figure], benchmark: Benchmark) -> Table:
    few, many = benchmark.data["tracers"]
    table = Table("scheme", "grid", "cores", f"days/s, {few} tracer", f"days/s, {many}", "cost per tracer", f"over copying, {few}", f"{many}",
                  title=benchmark.title)  # fmt: skip
    for name, ratio in figures.items():
        if name.startswith("cost_per_tracer"):
            case = name.split("/", 1)[1]
            value = lambda kind, tracers: f"{figures[f'{kind}/{case}/{tracers}_tracers'].value:.3g}"  # noqa: E731, B023
            speed, copy = (
                [value(kind, t) for t in (few, many)] for kind in ("days_per_second", "time_over_copying")
            )
            table.add_row(*case.replace("_cores", "").split("/"), *speed, f"{ratio.value:.2f}", *copy)
    return table


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
