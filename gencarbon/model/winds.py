"""The wind network: what finer winds add to air mass fluxes, from coarse winds before, at and after a step."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from gencarbon.model.unet import WindowUNet


class WindNetwork(ModelMixin, ConfigMixin):
    """Coarse winds to the finer faces of their cells, with the scales of both.

    levels; factor: finer cells on a side of a coarse one; context: steps before and after; fields: of a level and step; rows: of the fine
    cells, pole to pole, or 1. Fluxes are per metre of face, in any one unit; `input_std` and `lacking_std` hold their sizes by level and
    field or direction. `belief` (rows, level, level) says what is believed of their divergence, see `gencarbon.transport.closing`.
    """

    config_name: Any
    config: Any

    @register_to_config
    def __init__(
        self,
        levels: int = 8,
        factor: int = 3,
        context: int = 2,
        fields: int = 4,
        widths: tuple[int, ...] = (64, 96, 128),
        blocks: int = 1,
        rows: int = 1,
    ):
        super().__init__()
        self.register_buffer("input_std", torch.ones(levels, fields))
        self.register_buffer("lacking_std", torch.ones(levels, 2))
        self.register_buffer("belief", torch.eye(levels).repeat(rows, 1, 1))
        inputs, outputs = (2 * context + 1) * levels * fields + 2, levels * 2 * factor**2
        self.network = WindowUNet(inputs, outputs, tuple(widths), blocks, frames=0)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-arg]

    def forward(self, winds: Tensor, lat: Tensor) -> Tensor:
        """winds: (batch, 2 context + 1, level, field, lat, lon), the step itself in the middle; lat: degrees, (lat,).
        Returns (batch, level, direction, factor^2, lat, lon)."""
        size, angle = winds.shape[-2:], torch.deg2rad(lat).to(winds)
        static = torch.stack([angle.sin(), angle.cos()])[None, :, :, None].expand(len(winds), 2, *size)
        scaled = winds / self.input_std[..., None, None]
        made = self.network(torch.cat([scaled.flatten(1, 3), static], dim=1))
        levels, directions = self.lacking_std.shape
        return made.view(len(winds), levels, directions, -1, *size) * self.lacking_std[..., None, None, None]
