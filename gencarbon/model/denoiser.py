"""The residual generator: a mean network, and a denoiser of what the mean network leaves.

Shapes: level fields (batch, level, time, lat, lon); surface fields (batch, surface, time, lat, lon); static (batch, static, lat, lon);
known (batch, time), 1 where a frame is known; sigma (batch, time), 0 where it is.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from gencarbon.model.noise import log_sigma, preconditioning
from gencarbon.model.unet import WindowUNet

GROWTH = 0.4  # of the residual where it is known to vanish, in its unit
FREE = 2.0  # size of the residual where nothing of it is known


class ResidualDenoiser(ModelMixin, ConfigMixin):
    """The networks of the generator, saved together. Conditions (see `Normalizer.encode`): `levels`, `surface`, `static`.

    Residuals are small after a known state and large after a guessed one. Inside, all are divided by `scale`, which known frames tell.

    levels, frames: of the window. level_fields: how many conditioning fields on levels the networks see, the first ones; surface_fields,
    static_fields: in two dimensions. one_step: with a third network, like the denoiser's, that goes from noise to a sample at once.
    """

    config_name: Any
    config: Any

    @register_to_config
    def __init__(
        self,
        levels: int = 8,
        frames: int = 8,
        level_fields: int = 5,
        surface_fields: int = 2,
        static_fields: int = 7,
        widths: tuple[int, ...] = (48, 96, 128),
        blocks: int = 2,
        one_step: bool = False,
    ):
        super().__init__()
        outputs = levels * frames
        common = ((level_fields + 1) * levels + surface_fields + 1) * frames + static_fields + 1
        self.mean_net = WindowUNet(common, outputs, tuple(widths), blocks, frames=0)
        self.remainder_net = WindowUNet(common + outputs, outputs, tuple(widths), blocks, frames=frames)
        self.one_step_net = (
            WindowUNet(common + outputs, outputs, tuple(widths), blocks, frames=frames) if one_step else None
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-arg]

    @staticmethod
    def scale(residual: Tensor, known: Tensor) -> Tensor:
        """Size to be expected of the residual of a window, (batch, 1, 1, 1, 1): that of its known frames, and growth; read there only."""
        mask = known[:, None, :, None, None].to(residual.dtype)
        frames, cells = known.sum(1).to(residual.dtype), residual[:, :, 0].numel() / len(residual)
        square = (residual * mask).square().sum((1, 2, 3, 4)) / (frames * cells).clamp(min=1)
        size = torch.where(frames > 0, (square + GROWTH**2).sqrt(), torch.full_like(square, FREE))
        return size[:, None, None, None, None]

    def mean(self, cond: dict[str, Tensor], residual: Tensor, known: Tensor) -> Tensor:
        """The expected residual. `residual` is read in known frames only, and returned there as it is."""
        mask, scale = known[:, None, :, None, None].to(residual.dtype), self.scale(residual, known)
        guess = self.mean_net(self._stack(cond, residual * mask / scale, known, scale)).view_as(residual)
        return mask * residual + (1 - mask) * scale * guess

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        cond: dict[str, Tensor],
        mean: Tensor,
        known: Tensor,
        network: WindowUNet | None = None,
    ) -> Tensor:
        """The denoised remainder D(x; sigma), by default the denoiser's; with `one_step_net` and noise of the largest level, a sample.

        The remainder is what `mean` leaves of the residual, over `scale` and a unit per level (`Normalizer.remainder_unit`). Known frames
        have remainder 0: x is ignored there and 0 returned.
        """
        mask = known[:, None, :, None, None].to(x.dtype)
        level = sigma.to(x.dtype) * (1 - known.to(x.dtype))
        c_skip, c_out, c_in = (c[:, None, :, None, None] for c in preconditioning(level))
        x = x * (1 - mask)
        scale = self.scale(mean, known)  # known frames of the mean are those of the residual
        stack = torch.cat([self._stack(cond, mean / scale, known, scale), (c_in * x).flatten(1, 2)], dim=1)
        raw = (network or self.remainder_net)(stack, log_sigma(level)).view_as(x)
        return (1 - mask) * (c_skip * x + c_out * raw)

    def _stack(self, cond: dict[str, Tensor], residual: Tensor, known: Tensor, scale: Tensor) -> Tensor:
        """Every frame's fields as channels of one image."""
        size, seen = residual.shape[-2:], self.config.level_fields * residual.shape[1]
        mask = known[..., None, None].to(residual.dtype).expand(-1, -1, *size)
        return torch.cat(
            [
                cond["levels"][:, :seen].flatten(1, 2),
                residual.flatten(1, 2),
                cond["surface"].flatten(1, 2),
                mask,
                cond["static"],
                scale[..., 0].log().expand(-1, -1, *size),
            ],
            dim=1,
        )
