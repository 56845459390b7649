"""The spread knob: scales of noise by level and lead, of samples by frame of a window, for which spread equals error on validation winds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from pydantic import Field, model_validator

from gencarbon.config import Config, register
from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.views import canonical_datasets
from gencarbon.errors import InputError
from gencarbon.metrics import ensemble_variance, spread_skill_ratio
from gencarbon.sampling.components import NoiseSchedule
from gencarbon.sampling.ensemble import Forecast, run_members
from gencarbon.sampling.exam import gaussian_moments
from gencarbon.sampling.given import Array
from gencarbon.sampling.pipeline import CO2Pipeline

SPREADS = 0.1, 1.0, 10.0  # of Gaussians that the solver is tried on
# Scales by lead and by frame: far from 1 the spread no longer follows the noise, which the networks normalise.
LARGEST = 2.0


@register("calibrate")
class CalibrateConfig(Config):
    """How the knob is fitted: forecasts from `dates` initial dates spread over the validation split."""

    kind: Literal["calibrate"]
    data: str = Field(description="name of the data config whose validation split is used")
    checkpoint: str
    sampler: Literal["dpmpp_2m", "heun", "stochastic_heun", "one_step"] | None = Field(
        None, description="left out: that of the checkpoint"
    )
    dates: int = Field(3, ge=1)
    frames: int = Field(44, ge=8, description="as long as the forecasts that the knob is for")
    members: int = Field(6, ge=2)
    rounds: int = Field(2, ge=1, description="fixed-point steps")
    lead_days: tuple[float, ...] = Field(
        (0.0,), description="where the scale by lead has its values; one: no such scale"
    )
    seed: int = 1

    @model_validator(mode="after")
    def _leads_increase(self) -> CalibrateConfig:
        if list(self.lead_days) != sorted(set(self.lead_days)):
            raise ValueError(f"expected increasing lead_days, got {self.lead_days}")
        return self


Case = tuple[list[Forecast], xr.Dataset]  # what members are made from, and the reference


def forecasts_of(pipe: CO2Pipeline, store: xr.Dataset, config: CalibrateConfig) -> list[Case]:
    """One case per date. Refined runs, most of the work, are made here and serve every round."""
    last, made = store.sizes["time"] - config.frames, []
    step_days = float(store.attrs["step_seconds"]) / SECONDS_PER_DAY
    if last < 0 or config.lead_days[-1] > (config.frames - 1) * step_days:
        raise InputError(
            f"calibration needs forecasts that fit into the split and reach every lead, got {config.frames} frames of {step_days:g} days, "
            f"a split of {store.sizes['time']} and leads to {config.lead_days[-1]:g} days; set frames, or fewer leads"
        )
    for k in range(config.dates):
        first = round(k * last / max(1, config.dates - 1))
        sets: dict[str, Any] = canonical_datasets(store, slice(first, first + config.frames))
        truth = sets.pop("reference")
        made.append((pipe.forecasts(**sets)[0], truth))
    return made


class Ratios(NamedTuple):
    """Of spread to error: overall, (level,), (lead,), (frame of a window,), 1 at a frame that no window but the first makes."""

    overall: float
    level: Array
    lead: Array
    frame: Array

    @property
    def worst(self) -> float:
        """Largest factor by which one is off."""
        return float(np.exp(max(abs(np.log([self.overall, *self.level, *self.lead, *self.frame])))))


def spread_to_error(cases: list[Case], config: CalibrateConfig) -> Ratios:
    """Spread-skill ratios of forecasts, air-mass weighted, generated frames only.

    A lead's value is that of the frames nearest to it, each frame shared by its two neighbours as in linear interpolation.
    """
    variance: Any = 0.0
    squared_error: Any = 0.0
    for k, (forecasts, truth) in enumerate(cases):
        members = run_members(forecasts, config.seed + k, range(config.members), torch.get_num_threads())
        co2 = np.stack([made[1:] for _, made, _ in members])
        weight = truth["air_mass"].values[1:]
        variance = variance + (ensemble_variance(co2) * weight).sum((-2, -1))
        squared_error = squared_error + ((co2.mean(0) - truth["co2"].values[1:]) ** 2 * weight).sum((-2, -1))
    forecast = cases[0][0][0]
    days = np.arange(1, config.frames) * forecast.pipe.grid.step_seconds / SECONDS_PER_DAY
    near = np.stack([np.interp(days, config.lead_days, one) for one in np.eye(len(config.lead_days))])
    at = np.arange(forecast.pipe.frames)[:, None] == forecast.frame_of_window[1:]
    at[:, : forecast.pipe.frames - 1] = False  # what the first window lacks is told by leads
    ratio = lambda v, e: spread_skill_ratio(v, e, config.members)  # noqa: E731
    v, e = variance.sum(1), squared_error.sum(1)
    return Ratios(
        float(ratio(v.sum(), e.sum())),
        ratio(variance.sum(0), squared_error.sum(0)),
        ratio(near @ v, near @ e),
        np.where(at.any(1), ratio(at @ v, np.where(at.any(1), at @ e, 1)), 1.0),
    )


def calibrate(
    pipe: CO2Pipeline, store: xr.Dataset, config: CalibrateConfig, say: Callable[[str], None] = print
) -> NoiseSchedule:
    """Fits the scales by level, lead and frame of a window and sets them in the pipeline; a fixed point, since spread is nearly
    linear in them.

    Kept are the scales, of all that were tried, whose worst ratio of spread to error is nearest to 1. Returns the new scheduler, which is
    that of the pipeline.
    """
    if config.sampler is not None and config.sampler != pipe.scheduler.config.sampler:
        pipe.scheduler = NoiseSchedule(config.sampler)
    cases = forecasts_of(pipe, store, config)
    old = pipe.scheduler.config
    by_level = np.ones(pipe.grid.layers.count) * np.array(old.noise_scale)
    by_lead = np.interp(config.lead_days, old.lead_days, old.lead_scale)
    by_frame = np.ones(pipe.frames) * np.array(old.frame_scale)
    show = lambda x: " ".join(f"{v:.3f}" for v in x)  # noqa: E731
    tried: list[tuple[float, NoiseSchedule]] = []
    while True:
        found = spread_to_error(cases, config)
        tried.append((found.worst, pipe.scheduler))
        shown = f"by level {show(found.level)}; by lead {show(found.lead)}; by frame {show(found.frame)}"
        say(f"spread-skill {found.overall:.3f}; {shown}")
        if len(tried) > config.rounds:
            break
        by_level = by_level / found.level
        by_lead, by_frame = (
            (scale * found.overall / ratio).clip(1 / LARGEST, LARGEST)
            for scale, ratio in ((by_lead, found.lead), (by_frame, found.frame))
        )
        scales = {
            "noise_scale": by_level,
            "lead_scale": by_lead,
            "lead_days": np.array(config.lead_days),
            "frame_scale": by_frame,
        }
        settings = pipe.scheduler.settings | {name: tuple(map(float, x)) for name, x in scales.items()}
        pipe.scheduler = NoiseSchedule(**settings)
        say(f"next scale by level {show(by_level)}; by lead {show(by_lead)}; by frame {show(by_frame)}")
    worst, pipe.scheduler = min(tried, key=lambda one: one[0])
    say(f"kept: the worst of these ratios is off by a factor of {worst:.3f}")
    if pipe.scheduler.config.sampler != "one_step":  # which solves nothing
        solver = pipe.scheduler.solver
        own = [gaussian_moments(solver, s, solver.stochastic * solver.steps).std_ratio for s in SPREADS]
        say(
            f"the solver's own spread of Gaussians of spread {show(SPREADS)}, over the exact one: {show(own)}"
        )
    return pipe.scheduler
