"""What a checkpoint holds beside its networks: the grid it was trained on, and how it samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from numpy.typing import NDArray
from torch import Tensor

from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sampling.samplers import DEFAULT_SAMPLER, ONE_STEP, SAMPLERS, Sampler

LARGEST = 3.0  # of scales by lead, by frame and by detail: a sample further off than this calls for other networks, not for a knob
BY_NAME = SAMPLERS | {"one_step": ONE_STEP}


def hats(
    days: Sequence[float] | NDArray[np.floating], nodes: Sequence[float] | NDArray[np.floating]
) -> NDArray[np.float64]:
    """Weights of linear interpolation from nodes to days, constant beyond the ends: (node, day), which sum to 1 over nodes."""
    return np.stack([np.interp(days, nodes, one) for one in np.eye(len(nodes))])


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

    The knob multiplies samples, which are departures from the mean network: noise at the start of a sampler of few steps tells the spread
    less and less the further its scale is from 1 (decisions/0013). It is a product of

    - a scale by time since the first frame and by level: rows at given days, linear between them, constant beyond. There are three:
      lead_scale at lead_days, where the first frame is known; free_scale at free_days, where no state is; and conserve_scale at
      conserve_days, where the means of wide cells are kept, whose last row is that of all frames where a state is known too;
    - frame_scale, by frame of every window but the first, one value each or one for all;
    - (detail / detail_typical) ** detail_power, by level: detail is how rough a window's refined run is, its differences between
      neighbouring cells over the size of all its variations, which is the networks' unit.

    Where a state is known and no means of wide cells are kept, what is written departs from the refined run by what the samples made times
    an amplitude of the member's own, of mean square 1, whose logarithm has the standard deviation amplitude_spread, by level: nobody knows
    how large the error is, and members that all guess the same make its middle too wide and its tails too thin (decisions/0020).

    All are fitted on validation.
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
        lead_scale: tuple[tuple[float, ...], ...] = ((1.0,),),
        lead_days: tuple[float, ...] = (0.0,),
        frame_scale: tuple[float, ...] = (1.0,),
        detail_power: tuple[float, ...] = (0.0,),
        detail_typical: tuple[float, ...] = (1.0,),
        free_scale: tuple[tuple[float, ...], ...] = ((1.0,),),
        free_days: tuple[float, ...] = (0.0,),
        conserve_scale: tuple[tuple[float, ...], ...] = ((1.0,),),
        conserve_days: tuple[float, ...] = (0.0,),
        amplitude_spread: tuple[float, ...] = (0.0,),
    ):
        for task, rows, days in (
            ("lead", lead_scale, lead_days),
            ("free", free_scale, free_days),
            ("conserve", conserve_scale, conserve_days),
        ):
            if len(rows) != len(days):
                raise InputError(
                    f"scheduler: expected a row of {task}_scale for each of {task}_days, got {len(rows)} and {len(days)}; leave both "
                    "out of its scheduler_config.json and fit them with gencarbon calibrate"
                )
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

    @property
    def has_amplitudes(self) -> bool:
        return bool(np.any(self.config.amplitude_spread))

    def member_amplitude(self, draw: float) -> Tensor:
        """A member's own amplitude, exp(tau z - tau^2), (level, 1, 1, 1), float64, from a standard normal number z of its own."""
        tau = torch.tensor(np.atleast_1d(np.array(self.config.amplitude_spread, float)))
        return (tau * draw - tau**2).exp()[:, None, None, None]

    def sample_scale(
        self, days: Tensor, detail: Tensor, begins: bool, known: bool, conserves: bool
    ) -> Tensor:
        """What multiplies the sample of a window, (level, time, 1, 1), float64.

        days: (time,), since the first frame; detail: (level,), `Normalizer.detail` in units of the amplitude; begins: whether it is the
        first window; known: whether the first frame is; conserves: whether it keeps the means of wide cells.
        """
        vector = lambda name: np.atleast_1d(np.array(self.config[name], float))  # noqa: E731
        task = "conserve" if conserves else "lead" if known else "free"
        since = days + torch.inf if conserves and known else days
        scale = np.atleast_2d(self.config[f"{task}_scale"]).T @ hats(
            since.numpy(), self.config[f"{task}_days"]
        )
        if not begins:
            scale = scale * vector("frame_scale")
        share = detail.double().cpu().numpy() / vector("detail_typical")
        by_level = (share ** vector("detail_power")).clip(1 / LARGEST, LARGEST)
        return torch.tensor(scale * by_level[:, None])[..., None, None]
