"""How the spread knob is fitted: the values of a config of kind `calibrate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gencarbon.config import Config, register

FEWEST = 6  # dates from which a power of the detail is told


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
    extend: bool = Field(
        False,
        description="keep the rows that the checkpoint has before the first of lead_days and all else of its knob; frames before it do not "
        "count",
    )
    detail: bool = Field(
        False,
        description="fit how the spread goes with the fine structure of the refined run; dates over a year are needed",
    )
    seed: int = 1

    @property
    def whole(self) -> bool:
        """Whether all of the knob is fitted, not one task's rows alone."""
        return self.task == "lead" and not self.extend

    @model_validator(mode="after")
    def _leads_increase(self) -> CalibrateConfig:
        if list(self.lead_days) != sorted(set(self.lead_days)):
            raise ValueError(f"expected increasing lead_days, got {self.lead_days}")
        return self

    @model_validator(mode="after")
    def _one_task_at_a_time(self) -> CalibrateConfig:
        if self.detail and not self.whole:
            raise ValueError(
                f"expected `detail` with the task lead and no `extend`, got {self.task}; fit the power of the detail on forecasts, then the rest"
            )
        return self

    @model_validator(mode="after")
    def _dates_tell_details_apart(self) -> CalibrateConfig:
        if self.detail and self.dates < FEWEST:
            raise ValueError(f"expected at least {FEWEST} dates to fit `detail` on, got {self.dates}")
        return self
