"""The spread knob: the scale of the initial noise for which spread equals error on validation winds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import xarray as xr
from pydantic import Field

from gencarbon.config import Config, register
from gencarbon.data.views import canonical_datasets
from gencarbon.metrics import ensemble_variance, spread_skill_ratio
from gencarbon.sampling.components import NoiseSchedule
from gencarbon.sampling.pipeline import CO2Pipeline


@register("calibrate")
class CalibrateConfig(Config):
    """How the knob is fitted: forecasts from `dates` initial dates spread over the validation split."""

    kind: Literal["calibrate"]
    data: str = Field(description="name of the data config whose validation split is used")
    checkpoint: str
    dates: int = Field(3, ge=1)
    frames: int = Field(44, ge=8, description="as long as the forecasts that the knob is for")
    members: int = Field(6, ge=2)
    rounds: int = Field(2, ge=1, description="fixed-point steps")
    seed: int = 1


def spread_to_error(pipe: CO2Pipeline, store: xr.Dataset, config: CalibrateConfig) -> float:
    """Overall spread-skill ratio of forecasts over `store`, air-mass weighted, generated frames only."""
    last = store.sizes["time"] - config.frames
    variance, squared_error = 0.0, 0.0
    for k in range(config.dates):
        first = round(k * last / max(1, config.dates - 1))
        sets = canonical_datasets(store, slice(first, first + config.frames))
        truth = sets.pop("reference")
        co2 = pipe(**sets, members=config.members, seed=config.seed)["co2"].values[:, 1:]
        weight = truth["air_mass"].values[1:]
        variance += (ensemble_variance(co2) * weight).sum()
        squared_error += ((co2.mean(0) - truth["co2"].values[1:]) ** 2 * weight).sum()
    return float(spread_skill_ratio(variance, squared_error, config.members))


def calibrate(
    pipe: CO2Pipeline, store: xr.Dataset, config: CalibrateConfig, say: Callable[[str], None] = print
) -> float:
    """Fits `noise_scale` and sets it in the pipeline; a fixed point, since spread is nearly linear in it."""
    for _ in range(config.rounds):
        scale = float(pipe.scheduler.config.noise_scale)
        ratio = spread_to_error(pipe, store, config)
        settings = {k: v for k, v in pipe.scheduler.config.items() if not k.startswith("_")}
        pipe.scheduler = NoiseSchedule(**settings | {"noise_scale": scale / ratio})
        say(f"noise scale {scale:.3f}: spread-skill {ratio:.3f}; next {scale / ratio:.3f}")
    return float(pipe.scheduler.config.noise_scale)
