"""`gencarbon sample` and `downscale`: an ensemble written member by member, by one process or many under `accelerate launch`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from gencarbon.data.checks import refuse_existing
from gencarbon.data.ensemble_store import EnsembleWriter, only_writer
from gencarbon.sampling.ensemble import mean_network_run, run_members
from gencarbon.sampling.given import Given
from gencarbon.sampling.pipeline import CO2Pipeline


def sample_to_store(
    pipe: CO2Pipeline,
    inputs: dict[str, Any],
    members: int,
    seed: int,
    out: Path,
    start: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
    conserve: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> int:
    """Samples `members` members into the Zarr store `out`, continuing a run that was killed. Returns the number of processes.

    inputs: `winds`, `fluxes`, `background`, `initial` as for the pipeline. `start(total)` is told how many windows this
    process will make and returns what to call after each. `tell` is told what was done to inputs (units, names, dates). Raises
    InputError before any work, also where another run is writing the same ensemble.
    """
    state = PartialState(
        cpu=not torch.cuda.is_available()
    )  # told so, it finds its fellows on machines without GPU too
    refuse_existing(out, ".zarr")
    with only_writer(out) if state.is_main_process else nullcontext():
        given = pipe.to(state.device).read(**inputs, conserve=conserve, members=members)
        if state.is_main_process:
            tell(given[0].about["notes"])
        fingerprint = {
            "checkpoint": pipe.digest,
            "seed": seed,
            "inputs": _digest(given),
            "conserve": conserve,
        }
        begun = EnsembleWriter.begun(out, members, pipe.frames, fingerprint)
        state.wait_for_everyone()  # all have looked before the first one begins
        forecasts, template = pipe.forecasts(given, members)
        template.attrs["seed"] = seed
        if state.is_main_process and not begun:
            template["co2_mean_network"] = (("time", "level", "lat", "lon"), mean_network_run(forecasts))
            EnsembleWriter.create(out, template, members, pipe.frames, fingerprint)
        state.wait_for_everyone()
        writer = EnsembleWriter.create(out, template, members, pipe.frames, fingerprint, create=False)
        done = set(writer.done_members())
        state.wait_for_everyone()
        mine = [m for m in range(members) if m not in done][state.process_index :: state.num_processes]
        windows = len(forecasts[0].starts) + (forecasts[0].given.initial is not None)
        tick = start(windows * len(mine))
        for member, co2, correction in run_members(
            forecasts, seed, mine, _workers(state.num_processes), tick
        ):
            assert member is not None
            writer.write(member, 0, co2, correction)
            writer.finish_member(member)
        state.wait_for_everyone()
        if state.is_main_process:
            writer.close()
        state.wait_for_everyone()
        return state.num_processes


def _workers(processes: int) -> int:
    """Members at a time: one a core, shared among processes of this machine."""
    return max(1, (torch.get_num_threads() if processes == 1 else 1))


def _digest(given: list[Given]) -> str:
    """SHA-256 over everything that members are conditioned on."""
    total = hashlib.sha256()
    for one in given:
        time, air = one.time.astype("datetime64[s]").astype(np.int64), (one.air.east, one.air.north)
        fields = one.u, one.v, one.surface_pressure, one.flux, one.coarse, one.initial
        for array in (time, *air, *fields):
            total.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
