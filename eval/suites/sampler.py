"""The Gaussian exam: our samplers beside the schedulers of diffusers, with the perfect denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from rich.table import Table
from torch import Tensor

from eval.benchmark import Benchmark, Figure, Result
from gencarbon.sampling.exam import Draw, Moments, gaussian_moments
from gencarbon.sampling.samplers import SAMPLERS, Denoise, Sampler


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Every sampler at every spread of the benchmark. It takes seconds, so the quick run is the full one."""
    spreads = [float(s) for s in benchmark.data["spreads"]]
    figures: dict[str, Figure] = {}
    notes: dict[str, Any] = {}
    columns = [f"{label} s={s:g}" for label in ("std", "mean") for s in spreads]
    table = Table("sampler", "noise levels", "evaluations", *columns, title=benchmark.title)
    for name, levels, draw, draws in _candidates():
        moments = [gaussian_moments(draw, s, draws) for s in spreads]
        figures |= _figures(name, spreads, moments)
        notes[name] = levels
        std, mean = [f"{m.std_ratio:.3f}" for m in moments], [f"{m.mean_gain:.3f}" for m in moments]
        table.add_row(name, levels, str(moments[0].evaluations), *std, *mean)
    return Result(figures, table, {"noise_levels": notes})


def _figures(name: str, spreads: list[float], moments: list[Moments]) -> dict[str, Figure]:
    figures = {f"{name}/evaluations": Figure(moments[0].evaluations, "1")}
    for s, m in zip(spreads, moments, strict=True):
        figures[f"{name}/std_ratio/s={s:g}"] = Figure(m.std_ratio, "1")
        figures[f"{name}/mean_gain/s={s:g}"] = Figure(m.mean_gain, "1")
    return figures


def _candidates() -> list[tuple[str, str, Draw, int]]:
    """(name, noise levels in words, draw, steps that may draw noise); ours are named `gencarbon/...`."""
    ours = SAMPLERS | {"dpmpp_2m_12": replace(SAMPLERS["dpmpp_2m"], steps=12)}
    rows: list[tuple[str, str, Draw, int]] = [
        (f"gencarbon/{name}", _levels(s), s, s.steps if s.stochastic else 0) for name, s in ours.items()
    ]
    levels = {"sigma_data": 1.0, "sigma_max": 80.0, "sigma_min": 0.02, "rho": 7.0}
    words = "{} steps {sigma_max:g}/{sigma_min:g}/{rho:g}"
    for steps in (20, 40):
        euler = _borrowed(lambda: EDMEulerScheduler(**levels), steps)
        rows.append((f"diffusers/euler_{steps}", words.format(steps, **levels), euler, 0))
    churned = _borrowed(lambda: EDMEulerScheduler(**levels), 40, s_churn=16.0)
    rows.append(("diffusers/euler_40_churn_16", words.format(40, **levels), churned, 40))
    for label, changed in (("", {}), ("_rho_12", {"sigma_min": 0.01, "rho": 12.0})):
        values = levels | changed
        multistep = _borrowed(partial(EDMDPMSolverMultistepScheduler, **values), 20)
        rows.append((f"diffusers/dpmpp_2m_20{label}", words.format(20, **values), multistep, 0))
    return rows


def _levels(sampler: Sampler) -> str:
    return f"{sampler.steps} steps {sampler.sigma_max:g}/{sampler.sigma_min:g}/{sampler.rho:g}"


def _borrowed(make: Callable[[], Any], steps: int, **step_options: float) -> Draw:
    """A diffusers scheduler in the loop its documentation shows, as a function of (denoise, start, noise).

    The scheduler wants the raw network F, D = c_skip x + c_out F, so F is recovered from D. It draws its own
    noise; the exam needs that noise to be known, so the drawing function is replaced while it runs, and
    nothing else.
    """

    def draw(denoise: Denoise, start: Tensor, noise: Callable[[int], Tensor]) -> Tensor:
        scheduler = make()
        scheduler.set_timesteps(steps)
        x = start.float() * scheduler.init_noise_sigma
        for i, timestep in enumerate(scheduler.timesteps):
            sigma = float(scheduler.sigmas[i])
            scheduler.scale_model_input(x, timestep)
            F = (denoise(x, sigma) - x / (1 + sigma**2)) / (sigma / math.sqrt(1 + sigma**2))
            drawn = patch(
                f"{type(scheduler).__module__}.randn_tensor", lambda *a, i=i, **k: noise(i).to(k["dtype"])
            )
            with drawn:
                x = scheduler.step(F, timestep, x, **step_options).prev_sample
        return x

    return draw
