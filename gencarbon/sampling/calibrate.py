"""Fits the spread knob: scales of samples by time since the first frame and level, by frame of a window and by how rough the refined run is,
for which spread equals error on validation winds, and how much members differ in amplitude, for which the error's rank among them is as often
inside as outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.backgrounds import WIDER
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.errors import InputError
from gencarbon.sampling.amplitude import rank_slopes
from gencarbon.sampling.components import LARGEST, NoiseSchedule, hats
from gencarbon.sampling.exam import gaussian_moments
from gencarbon.sampling.given import Array
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.sampling.rounds import Rounds
from gencarbon.sampling.settings import CalibrateConfig
from gencarbon.sampling.spread import WIDEST, Case, Ratios, judged_days, spread_to_error

KNOB = (
    "frame_scale",
    "detail_power",
    "detail_typical",
    "amplitude_spread",
)  # beside the scale by time since the first frame
SEEN = 0.05  # departure of a log ratio from 0 from which the effect of a step is told
LEAST = 0.2  # power of a step
SPREADS = 0.1, 1.0, 10.0  # of Gaussians that the solver is tried on


def forecasts_of(
    pipe: CO2Pipeline,
    store: xr.Dataset,
    config: CalibrateConfig,
    say: Callable[[str], None] = lambda s: None,
    tick: Callable[[], None] = lambda: None,
) -> list[Case]:
    """One case per date. Refined runs are made here and serve every round; `tick` after each."""
    last, made = store.sizes["time"] - config.frames, []
    step_days = float(store.attrs["step_seconds"]) / SECONDS_PER_DAY
    if last < 0 or config.lead_days[-1] > (config.frames - 1) * step_days:
        raise InputError(
            f"calibration needs forecasts that fit into the split and reach every lead, got {config.frames} frames of {step_days:g} days, "
            f"a split of {store.sizes['time']} and leads to {config.lead_days[-1]:g} days; set frames, or fewer leads"
        )
    judged_days(config, step_days)
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
        tick()
    return made


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
    scale, at = f"{config.task}_scale", f"{config.task}_days"
    rows, days = levels * np.atleast_2d(c[scale]), np.array(c[at])
    fitted = hats(config.lead_days, days).T @ rows / found.lead_and_level**power
    stay = config.extend & (days < config.lead_days[0])
    scales = {
        scale: np.concatenate([rows[stay], fitted.clip(1 / LARGEST, LARGEST)]),
        at: np.concatenate([days[stay], config.lead_days]),
    }
    if config.whole:
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
    pipe: CO2Pipeline,
    store: xr.Dataset,
    config: CalibrateConfig,
    say: Callable[[str], None] = print,
    rounds: Rounds | None = None,
    tick: Callable[[], None] = lambda: None,
) -> NoiseSchedule:
    """Fits the rows of the config's task by lead and level and, where `CalibrateConfig.whole`, scales by frame of a window and detail and the
    members' own amplitudes, and sets them in the pipeline.

    A fixed point, in steps as long as the spread follows them; `rounds` that are there already are not sampled again. `tick` after every
    date of the refined runs and of each round.

    Kept are those, of all that were tried, whose `Ratios.worst` is nearest to 1. Returns the new scheduler, which is
    that of the pipeline.
    """
    if config.sampler is not None and config.sampler != pipe.scheduler.config.sampler:
        pipe.scheduler = NoiseSchedule(config.sampler)
    rounds, goes = rounds or Rounds(), config.rounds + 1
    cases = forecasts_of(pipe, store, config, say, tick) if config.detail or len(rounds.found) < goes else []
    detail = details(cases) if config.detail else None
    show = lambda x: " ".join(f"{v:.3f}" for v in np.ravel(x))  # noqa: E731
    tried: list[tuple[float, NoiseSchedule]] = []
    power: Array | float = 1.0
    for go in range(goes):
        if go == len(rounds.found):
            rounds.add(spread_to_error(cases, config, tick))
        found = rounds.found[go]
        if go > 0:
            power = stepped(power, rounds.found[go - 1].lead_and_level, found.lead_and_level)
        tried.append((found.worst, pipe.scheduler))
        shown = f"by level {show(found.level)}; by lead {show(found.lead)}; by frame {show(found.frame)}; "
        shown += f"by date {show(np.exp(np.log(found.date_and_level).mean(1)))}; ranks by level {show(found.ranks)}"
        say(f"spread-skill {found.overall:.3f}; {shown}")
        if go < config.rounds:
            pipe.scheduler = adjusted(pipe.scheduler, found, config, detail, power)
            names = (f"{config.task}_scale", *(KNOB if config.whole else ()))
            say("next " + "; ".join(f"{n} {show(pipe.scheduler.config[n])}" for n in names))
    worst, pipe.scheduler = min(tried, key=lambda one: one[0])
    held = np.isin(pipe.scheduler.config[f"{config.task}_scale"], (LARGEST, 1 / LARGEST)).sum()
    say(
        f"kept: the worst of these ratios is off by a factor of {worst:.3f}"
        + f"; {held} scales are held at their bounds" * bool(held)
    )
    if pipe.scheduler.config.sampler != "one_step":  # which solves nothing
        solver = pipe.scheduler.solver
        own = [gaussian_moments(solver, s, solver.stochastic * solver.steps).std_ratio for s in SPREADS]
        say(
            f"the solver's own spread of Gaussians of spread {show(SPREADS)}, over the exact one: {show(own)}"
        )
    return pipe.scheduler
