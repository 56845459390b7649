"""The wind network: what finer winds add to air mass fluxes, from coarse fluxes before, at and after a step."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from gencarbon.model.unet import WindowUNet


class WindNetwork(ModelMixin, ConfigMixin):
    """Coarse faces to the finer faces of their cells, with the scales of both.

    levels; factor: finer cells on a side of a coarse one; context: steps before and after. Fluxes are per metre of face, in any
    one unit; `face_std` and `lacking_std` hold their sizes by level and direction.
    """

    @register_to_config
    def __init__(
        self,
        levels: int = 8,
        factor: int = 3,
        context: int = 2,
        widths: tuple[int, ...] = (64, 96, 128),
        blocks: int = 1,
    ):
        super().__init__()
        self.register_buffer("face_std", torch.ones(levels, 2))
        self.register_buffer("lacking_std", torch.ones(levels, 2))
        inputs, outputs = (2 * context + 1) * levels * 2 + 2, levels * 2 * factor**2
        self.network = WindowUNet(inputs, outputs, tuple(widths), blocks, frames=0)
        self.to(memory_format=torch.channels_last)

    def forward(self, faces: Tensor, lat: Tensor) -> Tensor:
        """faces: (batch, 2 context + 1, level, direction, lat, lon), the step itself in the middle; lat: degrees, (lat,).
        Returns (batch, level, direction, factor^2, lat, lon)."""
        size, angle = faces.shape[-2:], torch.deg2rad(lat).to(faces)
        static = torch.stack([angle.sin(), angle.cos()])[None, :, :, None].expand(len(faces), 2, *size)
        scaled = faces / self.face_std[..., None, None]
        made = self.network(torch.cat([scaled.flatten(1, 3), static], dim=1))
        levels, directions = self.lacking_std.shape
        return made.view(len(faces), levels, directions, -1, *size) * self.lacking_std[..., None, None, None]
