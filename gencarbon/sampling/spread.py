"""Spread over error of forecasts, and ranks of the reference among their members: what the knob is fitted to bring to 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.errors import InputError
from gencarbon.metrics import ensemble_variance, spread_skill_ratio
from gencarbon.sampling.amplitude import flat_departure, rank_slopes
from gencarbon.sampling.components import hats
from gencarbon.sampling.ensemble import Forecast, run_members
from gencarbon.sampling.given import Array
from gencarbon.sampling.settings import CalibrateConfig

WIDEST = 0.5  # amplitude_spread

Case = tuple[list[Forecast], xr.Dataset]  # what members are made from, and the reference


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


def judged_days(config: CalibrateConfig, step_days: float) -> Array:
    """Since the first frame, of the frames that count: (frame,). Raises InputError where no frame is near one of lead_days."""
    begin = int(config.task == "lead")  # what is known is no sample
    if config.extend:
        begin = max(begin, int(np.ceil(config.lead_days[0] / step_days - 1e-9)))
    days = np.arange(begin, config.frames, dtype=np.float64) * step_days
    if not days.size or (hats(days, config.lead_days).sum(1) == 0).any():
        raise InputError(
            f"calibration needs a frame near each of lead_days, got {list(config.lead_days)} and frames from {begin * step_days:g} to "
            f"{(config.frames - 1) * step_days:g} days; set frames, or other leads"
        )
    return days


def spread_to_error(
    cases: list[Case], config: CalibrateConfig, tick: Callable[[], None] = lambda: None
) -> Ratios:
    """Spread-skill ratios of forecasts, air-mass weighted, generated frames only; `tick` after every date.

    A lead's value is that of the frames nearest to it, each frame shared by its two neighbours as in linear interpolation.
    """
    variances, squared_errors, off_middle, weights = [], [], [], []
    forecast = cases[0][0][0]
    days = judged_days(config, forecast.pipe.grid.step_seconds / SECONDS_PER_DAY)
    begin = config.frames - len(days)
    for k, (forecasts, truth) in enumerate(cases):
        members = run_members(forecasts, config.seed + k, range(config.members), torch.get_num_threads())
        co2 = np.stack([made[begin:] for _, made, _ in members])
        expected, weight = (truth[name].values[begin:] for name in ("co2", "air_mass"))
        variances.append((ensemble_variance(co2) * weight).sum((-2, -1)))
        squared_errors.append(((co2.mean(0) - expected) ** 2 * weight).sum((-2, -1)))
        ranks = (co2 < expected).sum(0)
        off_middle.append((np.abs(ranks - config.members / 2) * weight).sum((0, -2, -1)))
        weights.append(weight.sum((0, -2, -1)))
        tick()
    of_dates = np.stack(variances), np.stack(squared_errors)  # (date, time, level)
    variance, squared_error = (x.sum(0) for x in of_dates)
    ratio = lambda v, e: spread_skill_ratio(v, e, config.members)  # noqa: E731
    by_level = ratio(variance.sum(0), squared_error.sum(0))
    ranks = np.sum(off_middle, 0) / np.sum(weights, 0) / flat_departure(config.members)
    ranks = ranks / by_level ** rank_slopes(config.members)[0]
    tau = np.array(forecast.pipe.scheduler.config.amplitude_spread)
    settled = (not config.whole) | ((tau == 0) & (ranks > 1)) | ((tau >= WIDEST) & (ranks < 1))
    near = hats(days, config.lead_days)
    at = np.arange(forecast.pipe.frames)[:, None] == forecast.frame_of_window[begin:]
    later = np.arange(begin, config.frames) >= forecast.pipe.frames  # the first window is told by leads
    at &= later & config.whole
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
