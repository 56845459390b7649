"""The spread knob: scales of samples by lead and level, by frame of a window and by how rough the refined run is, for which spread equals
error on validation winds, and how much members differ in amplitude, for which the error's rank among them is as often inside as outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gencarbon.config import Config, register
from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.backgrounds import WIDER
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.errors import InputError
from gencarbon.metrics import ensemble_variance, spread_skill_ratio
from gencarbon.sampling.amplitude import flat_departure, rank_slopes
from gencarbon.sampling.components import LARGEST, NoiseSchedule, hats
from gencarbon.sampling.ensemble import Forecast, run_members
from gencarbon.sampling.exam import gaussian_moments
from gencarbon.sampling.given import Array
from gencarbon.sampling.pipeline import CO2Pipeline

KNOB = (
    "frame_scale",
    "detail_power",
    "detail_typical",
    "amplitude_spread",
)  # beside the scale by time since the first frame
SEEN = 0.05  # departure of a log ratio from 0 from which the effect of a step is told
LEAST = 0.2  # power of a step
WIDEST = 0.5  # amplitude_spread
FEWEST = 6  # dates from which a power of the detail is told
SPREADS = 0.1, 1.0, 10.0  # of Gaussians that the solver is tried on


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
        (0.0,), min_length=1, description="since the first frame, where the scale has its rows"
    )
    task: Literal["lead", "free", "conserve"] = Field(
        "lead",
        description="whose scale is fitted: of forecasts from a known state, and all else of the knob with it; of corrections of a coarse "
        "run, where no state is known; or of samples that keep the reference's means over wide cells, where none is either",
    )
    detail: bool = Field(
        False,
        description="fit how the spread goes with the fine structure of the refined run; dates over a year are needed",
    )
    seed: int = 1

    @model_validator(mode="after")
    def _leads_increase(self) -> CalibrateConfig:
        if list(self.lead_days) != sorted(set(self.lead_days)):
            raise ValueError(f"expected increasing lead_days, got {self.lead_days}")
        return self

    @model_validator(mode="after")
    def _one_task_at_a_time(self) -> CalibrateConfig:
        if self.detail and self.task != "lead":
            raise ValueError(
                f"expected `detail` with the task lead, got {self.task}; fit the power of the detail on forecasts, then the other tasks"
            )
        return self

    @model_validator(mode="after")
    def _dates_tell_details_apart(self) -> CalibrateConfig:
        if self.detail and self.dates < FEWEST:
            raise ValueError(f"expected at least {FEWEST} dates to fit `detail` on, got {self.dates}")
        return self


Case = tuple[list[Forecast], xr.Dataset]  # what members are made from, and the reference


def forecasts_of(
    pipe: CO2Pipeline, store: xr.Dataset, config: CalibrateConfig, say: Callable[[str], None] = lambda s: None
) -> list[Case]:
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
        if config.task != "lead":
            sets |= {"initial": None}
        if config.task == "conserve":
            sets |= {"background": widened(sets, WIDER), "conserve": True}
        truth = sets.pop("reference")
        made.append((pipe.forecasts(pipe.read(**sets))[0], truth))
        say(f"refined run {k + 1} of {config.dates}, from {str(truth.time.values[0])[:13]}")
    return made


class Ratios(NamedTuple):
    """Of spread to error: overall, (level,), (lead,), (frame of a window,), 1 at a frame that no window but the first makes and where no
    scale by frame is fitted; and of level with lead, (lead, level), and with date, (date, level).
    ranks: (level,), how far the reference's rank is from the middle one, on average, over what flat ranks have and what the
    level's own ratio does to that; settled: (level,), where no amplitudes could bring it nearer to 1."""

    overall: float
    level: Array
    lead: Array
    frame: Array
    lead_and_level: Array
    date_and_level: Array
    ranks: Array
    settled: NDArray[np.bool_]

    @property
    def worst(self) -> float:
        """Largest factor by which the overall one, one of a level, lead or frame, or ranks are off."""
        told = self.overall, *self.level, *self.lead, *self.frame, *self.ranks[~self.settled]
        return float(np.exp(max(abs(np.log(told)))))


def spread_to_error(cases: list[Case], config: CalibrateConfig) -> Ratios:
    """Spread-skill ratios of forecasts, air-mass weighted, generated frames only.

    A lead's value is that of the frames nearest to it, each frame shared by its two neighbours as in linear interpolation.
    """
    variances, squared_errors, off_middle, weights = [], [], [], []
    forecast = cases[0][0][0]
    begin = int(forecast.given.initial is not None)  # what is known is no sample
    for k, (forecasts, truth) in enumerate(cases):
        members = run_members(forecasts, config.seed + k, range(config.members), torch.get_num_threads())
        co2 = np.stack([made[begin:] for _, made, _ in members])
        expected, weight = (truth[name].values[begin:] for name in ("co2", "air_mass"))
        variances.append((ensemble_variance(co2) * weight).sum((-2, -1)))
        squared_errors.append(((co2.mean(0) - expected) ** 2 * weight).sum((-2, -1)))
        ranks = (co2 < expected).sum(0)
        off_middle.append((np.abs(ranks - config.members / 2) * weight).sum((0, -2, -1)))
        weights.append(weight.sum((0, -2, -1)))
    of_dates = np.stack(variances), np.stack(squared_errors)  # (date, time, level)
    variance, squared_error = (x.sum(0) for x in of_dates)
    ratio = lambda v, e: spread_skill_ratio(v, e, config.members)  # noqa: E731
    by_level = ratio(variance.sum(0), squared_error.sum(0))
    ranks = np.sum(off_middle, 0) / np.sum(weights, 0) / flat_departure(config.members)
    ranks = ranks / by_level ** rank_slopes(config.members)[0]
    tau = np.array(forecast.pipe.scheduler.config.amplitude_spread)
    settled = (config.task != "lead") | ((tau == 0) & (ranks > 1)) | ((tau >= WIDEST) & (ranks < 1))
    days = np.arange(begin, config.frames) * forecast.pipe.grid.step_seconds / SECONDS_PER_DAY
    near = hats(days, config.lead_days)
    at = np.arange(forecast.pipe.frames)[:, None] == forecast.frame_of_window[begin:]
    at &= (config.task == "lead") & (
        np.arange(begin, config.frames) >= forecast.pipe.frames
    )  # the first window is told by leads
    v, e = variance.sum(1), squared_error.sum(1)
    return Ratios(
        float(ratio(v.sum(), e.sum())),
        by_level,
        ratio(near @ v, near @ e),
        np.where(at.any(1), ratio(at @ v, np.where(at.any(1), at @ e, 1)), 1.0),
        ratio(near @ variance, near @ squared_error),
        ratio(*(x.sum(1) for x in of_dates)),
        ranks,
        settled,
    )


def details(cases: list[Case]) -> Array:
    """Geometric means over windows of the detail that `NoiseSchedule.sample_scale` takes, (date, level)."""
    of_case = lambda one: np.stack([one.window(k)["detail"].cpu().numpy() for k in range(len(one.starts))])  # noqa: E731
    return np.exp([np.log(of_case(forecasts[0])).mean(0) for forecasts, _ in cases])


def slopes(x: Array, y: Array) -> Array:
    """Of the straight lines through y against x, both (date, level), by least squares: (level,)."""
    x = x - x.mean(0)
    return (x * y).sum(0) / (x**2).sum(0)


def nested(x: Array) -> Any:
    """As tuples, which configs are made of."""
    return tuple(map(nested, x)) if x.ndim else float(x)


def adjusted(
    old: NoiseSchedule,
    found: Ratios,
    config: CalibrateConfig,
    detail: Array | None,
    power: Array | float = 1.0,
) -> NoiseSchedule:
    """A step of the fixed point: every scale over the ratio that it is for, by lead and level to a `power`. detail: of the dates,
    where its power is fitted."""
    c, levels = old.config, np.ones(len(found.level))
    by_days = hats(config.lead_days, c[f"{config.task}_days"]).T @ (
        levels * np.atleast_2d(c[f"{config.task}_scale"])
    )
    scales = {
        f"{config.task}_scale": (by_days / found.lead_and_level**power).clip(1 / LARGEST, LARGEST),
        f"{config.task}_days": np.array(config.lead_days),
    }
    if config.task == "lead":
        by_frame = np.ones(len(found.frame)) * np.array(c.frame_scale)
        tau = levels * np.array(c.amplitude_spread)
        missing = (1 - found.ranks) / rank_slopes(config.members)[1]
        scales |= {
            "frame_scale": (by_frame * found.overall / found.frame).clip(1 / LARGEST, LARGEST),
            "amplitude_spread": np.sqrt((tau**2 + missing).clip(0, WIDEST**2)),
        }
    if detail is not None:
        share = np.mean(power * np.ones_like(found.lead_and_level), axis=0)
        slope = slopes(np.log(detail), np.log(found.date_and_level))
        scales["detail_power"] = (levels * np.array(c.detail_power) - share * slope).clip(0, 1)
        scales["detail_typical"] = np.exp(np.log(detail).mean(0))
    return NoiseSchedule(**old.settings | {name: nested(x) for name, x in scales.items()})


def stepped(power: Array | float, before: Array, after: Array) -> Array:
    """Powers of the next step, one over what the last one did to the log ratios for each part of it that it changed the log scales: networks
    that read their own frames hand spread on, so that over weeks it grows faster than the scale."""
    off = np.log(before)
    effect = (off - np.log(after)) / np.where(np.abs(off) > SEEN, power * off, np.nan)
    return np.where(np.isnan(effect), power, (1 / np.maximum(effect, 1)).clip(LEAST))


def calibrate(
    pipe: CO2Pipeline, store: xr.Dataset, config: CalibrateConfig, say: Callable[[str], None] = print
) -> NoiseSchedule:
    """Fits the scales by level, lead, frame of a window and detail, and the members' own amplitudes, and sets them in the pipeline.

    A fixed point, in steps as long as the spread follows them.

    Kept are those, of all that were tried, whose `Ratios.worst` is nearest to 1. Returns the new scheduler, which is
    that of the pipeline.
    """
    if config.sampler is not None and config.sampler != pipe.scheduler.config.sampler:
        pipe.scheduler = NoiseSchedule(config.sampler)
    cases = forecasts_of(pipe, store, config, say)
    detail = details(cases) if config.detail else None
    show = lambda x: " ".join(f"{v:.3f}" for v in np.ravel(x))  # noqa: E731
    tried: list[tuple[float, NoiseSchedule]] = []
    power: Array | float = 1.0
    before: Array | None = None
    while True:
        found = spread_to_error(cases, config)
        if before is not None:
            power = stepped(power, before, found.lead_and_level)
        before = found.lead_and_level
        tried.append((found.worst, pipe.scheduler))
        shown = f"by level {show(found.level)}; by lead {show(found.lead)}; by frame {show(found.frame)}; "
        shown += f"by date {show(np.exp(np.log(found.date_and_level).mean(1)))}; ranks by level {show(found.ranks)}"
        say(f"spread-skill {found.overall:.3f}; {shown}")
        if len(tried) > config.rounds:
            break
        pipe.scheduler = adjusted(pipe.scheduler, found, config, detail, power)
        names = (f"{config.task}_scale", *(KNOB if config.task == "lead" else ()))
        say("next " + "; ".join(f"{n} {show(pipe.scheduler.config[n])}" for n in names))
    worst, pipe.scheduler = min(tried, key=lambda one: one[0])
    say(f"kept: the worst of these ratios is off by a factor of {worst:.3f}")
    if pipe.scheduler.config.sampler != "one_step":  # which solves nothing
        solver = pipe.scheduler.solver
        own = [gaussian_moments(solver, s, solver.stochastic * solver.steps).std_ratio for s in SPREADS]
        say(
            f"the solver's own spread of Gaussians of spread {show(SPREADS)}, over the exact one: {show(own)}"
        )
    return pipe.scheduler
