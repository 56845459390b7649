"""What defines a tier of the benchmark."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gencarbon.config import Config, IsoDate, register

Scheme = Literal["ppm", "van_leer", "upwind"]


class RefinedConfig(Config):
    """The refined run from which the networks start: the coarse air mass fluxes on finer cells."""

    scheme: Scheme = "ppm"
    factor: int = Field(default=3, ge=1, description="its cells are this much finer")
    segment_days: int = Field(default=30, gt=0, description="in training it begins again after so many days")


class SplitConfig(Config):
    """One separate run of the benchmark: its own winds, its own regional fluxes, its own season."""

    name: Literal["train", "validation", "test"]
    start: IsoDate = Field(description="first frame, ISO date")
    days: int = Field(gt=0)
    seed: int = Field(ge=0)
    tracer_spinup_days: int = Field(20, ge=0, description="days of transport before the first frame")
    fine_winds: bool = Field(
        False,
        description="keep the air mass fluxes of the reference's cells, for learning what coarse ones lack",
    )


@register("data")
class DataConfig(Config):
    """HS-CO2 at one size. The model grid has nlat x 2 nlat cells, the reference `refinement` times more each way."""

    kind: Literal["data"]
    name: str
    seed: int = Field(ge=0)
    nlat: int = Field(32, ge=4)
    levels: int = Field(8, ge=2)
    step_hours: int = Field(6, gt=0, le=24)
    refinement: int = Field(3, ge=3)
    truncation: Literal[21, 42, 63, 85] = 42
    spinup_days_t21: int = Field(gt=0)
    spinup_days: int = Field(ge=0, description="further days at `truncation`")
    reference_scheme: Scheme = "ppm"
    background_scheme: Scheme = "van_leer"
    splits: tuple[SplitConfig, ...]
