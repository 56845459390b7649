"""What a checkpoint holds beside its networks: the grid it was trained on, and how it samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sampling.samplers import DEFAULT_SAMPLER, ONE_STEP, SAMPLERS, Sampler

BY_NAME = SAMPLERS | {"one_step": ONE_STEP}


class ModelGrid(ModelMixin, ConfigMixin):
    """Cells, levels and time step of a checkpoint and its refined run, as a component that diffusers can save."""

    config_name: Any
    config: Any

    @register_to_config
    def __init__(
        self,
        lat_bounds: tuple,
        lon_bounds: tuple,
        hybrid_a: tuple,
        hybrid_b: tuple,
        step_seconds: float,
        refined_scheme: str = "van_leer",
        refined_factor: int = 3,
    ):
        super().__init__()
        self.register_buffer("cell_area", torch.tensor(self.cells.area))

    @property
    def cells(self) -> LatLonGrid:
        return LatLonGrid(tuple(self.config.lat_bounds), tuple(self.config.lon_bounds))

    @property
    def layers(self) -> HybridLevels:
        return HybridLevels(tuple(self.config.hybrid_a), tuple(self.config.hybrid_b))

    @property
    def step_seconds(self) -> float:
        return float(self.config.step_seconds)


class NoiseSchedule(SchedulerMixin, ConfigMixin):
    """The sampler of a checkpoint, its noise levels, and the spread knob.

    noise_scale multiplies the initial noise, which scales the ensemble's spread (linearly for a Gaussian): one value per level, or one for
    all. lead_scale does so too, by time since the known state: its values at lead_days, linear between them, the last one after them and
    where no state is known. frame_scale multiplies the sample itself, by frame of every window but the first, one value each or one for
    all: the noise of a frame hardly tells its spread. All are fitted on validation.
    """

    config_name: Any
    config: Any

    @register_to_config
    def __init__(
        self,
        sampler: str = DEFAULT_SAMPLER,
        steps: int | None = None,
        sigma_max: float | None = None,
        sigma_min: float | None = None,
        rho: float | None = None,
        noise_scale: tuple[float, ...] = (1.0,),
        lead_scale: tuple[float, ...] = (1.0,),
        lead_days: tuple[float, ...] = (0.0,),
        frame_scale: tuple[float, ...] = (1.0,),
    ):
        default = BY_NAME[sampler]
        given = {"steps": steps, "sigma_max": sigma_max, "sigma_min": sigma_min, "rho": rho}
        self.register_to_config(
            **{name: getattr(default, name) if value is None else value for name, value in given.items()}
        )

    @property
    def solver(self) -> Sampler:
        default, c = BY_NAME[self.config.sampler], self.config
        return Sampler(default.solver, c.steps, c.sigma_max, c.sigma_min, c.rho, default.stochastic)

    @property
    def settings(self) -> dict[str, Any]:
        """What `NoiseSchedule(**settings)` was made from."""
        return {k: v for k, v in self.config.items() if not k.startswith("_")}

    def start_scale(self, lead_days: Tensor) -> Tensor:
        """What multiplies the initial noise of a window, (level or 1, time, 1, 1); lead_days: (time,), inf where no state is known."""
        by_lead = np.interp(lead_days.numpy(), self.config.lead_days, self.config.lead_scale)
        by_level = torch.tensor(np.atleast_1d(self.config.noise_scale), dtype=torch.float64)
        return by_level[:, None, None, None] * torch.tensor(by_lead)[:, None, None]

    @property
    def sample_scale(self) -> Tensor:
        """What multiplies the sample of a window, (time or 1, 1, 1), float64."""
        return torch.tensor(np.atleast_1d(self.config.frame_scale), dtype=torch.float64)[:, None, None]
