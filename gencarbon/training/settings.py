"""What defines a training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gencarbon.config import Config, register
from gencarbon.data.clips import OVERLAP
from gencarbon.data.settings import RefinedConfig
from gencarbon.model.layers import GROUPS


class PhaseConfig(Config):
    """One network's optimisation: AdamW, linear warm-up, cosine decay to zero, exponential moving average."""

    steps: int = Field(gt=0)
    learning_rate: float = Field(8e-4, gt=0)
    warmup: int = Field(100, ge=0, description="steps")
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    ema: float = Field(0.995, gt=0, lt=1)


class WindsConfig(PhaseConfig):
    """The wind network."""

    context: int = Field(2, ge=1, description="steps before and after that it sees")
    batch: int = Field(4, ge=1, description="samples per step and process")


class OneStepConfig(PhaseConfig):
    """The network that samples in one step, trained on the almost fair CRPS."""

    members: int = Field(2, ge=2, description="samples of each window in a step")
    alpha: float = Field(0.95, gt=0, le=1, description="share of the fair CRPS, the rest is the biased one")
    squares: tuple[int, ...] = Field((1, 2, 4), description="sides, in cells, of the means that are scored")
    from_denoiser: bool = Field(
        True, description="begin with the denoiser's weights, or those of `begin`; false: from nothing"
    )


@register("train")
class TrainConfig(Config):
    """A training run on a benchmark tier: first the mean network, then the diffusion of what it leaves."""

    kind: Literal["train"]
    data: str = Field(description="name of the data config whose stores are read")
    name: str
    seed: int = Field(ge=0)
    frames: int = Field(8, gt=OVERLAP, description="frames per window")
    widths: tuple[Annotated[int, Field(ge=GROUPS, multiple_of=GROUPS)], ...] = Field(
        (48, 96, 128), min_length=1, description="channels of each resolution, finest first"
    )
    blocks: int = Field(1, ge=1)
    level_fields: Literal[4, 5] = Field(
        5, description="conditions on levels that the networks see; the fifth is the tracer of variance"
    )
    batch: int = Field(8, ge=1, description="windows per step and process")
    precision: Literal["auto", "no", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware has it"
    )
    refined: RefinedConfig = RefinedConfig()
    winds: WindsConfig | None = Field(
        None, description="left out: the refined run has interpolated winds only"
    )
    begin: str | None = Field(
        None,
        description="a run or a checkpoint whose networks and scales this one begins with; `winds` is left out then, its wind network kept",
    )
    rolled: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of batches whose known frames are the networks' own, made from the window before as in a roll-out",
    )
    beginnings: int = Field(
        0, ge=0, description="windows of training begun from known states, beside those of the refined run"
    )
    corrections: int = Field(
        0,
        ge=0,
        description="windows of training begun from backgrounds, as those that correct or downscale a run whose true state nobody knows",
    )
    scale_samples: int = Field(256, ge=1, description="windows from which the scales are fitted")
    validation_windows: int = Field(32, ge=1)
    checkpoint_every: int = Field(200, ge=1, description="steps")
    mean: PhaseConfig | None = Field(None, description="left out: that of `begin`, as it is")
    remainder: PhaseConfig | None = Field(
        None, description="left out: the diffusion model of `begin` as it is, or none: one_step alone"
    )
    one_step: OneStepConfig | None = Field(None, description="left out: that of `begin`, as it is, or none")

    @model_validator(mode="after")
    def _something_samples(self) -> TrainConfig:
        begun = self.begin is not None and (self.one_step or self.mean) is not None
        if self.remainder is None and not begun and (self.one_step is None or self.one_step.from_denoiser):
            raise ValueError(
                "expected a remainder phase, or a one_step phase with `begin` or with from_denoiser: false, got neither; a mean network alone "
                "does not sample"
            )
        if self.begin is None and self.mean is None:
            raise ValueError(
                "expected a mean phase, or `begin` with a checkpoint that has a mean network, got neither; give one of them"
            )
        if self.begin is not None and self.winds is not None:
            raise ValueError(
                "expected `winds` left out of a run that begins with a checkpoint, whose wind network made what the others learnt from"
            )
        return self
