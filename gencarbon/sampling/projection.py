"""The mass constraint, in float64: every frame of every member holds the CO2 that its budget says.

    D += w (M* - <m, D>) / <m, w>,      w = C m

with C the (diagonal) covariance of the generated remainder: mass goes where the ensemble is uncertain, not where air is thick.
The target M* is pinned to the initial mass and the accumulated flux, never to the previous step. In downscaling there is one for
every wide cell and level: what the coarse run holds there.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def contents(x: Tensor, blocks: int | None) -> Tensor:
    """Sums of (batch, level, time, lat, lon) over whole frames, (batch, 1, time, 1, 1), or over blocks of `blocks` x `blocks` cells,
    (batch, level, time, lat / blocks, lon / blocks)."""
    if blocks is None:
        return x.sum((1, 3, 4), keepdim=True)
    return x.unflatten(-2, (-1, blocks)).unflatten(-1, (-1, blocks)).sum((-3, -1))


def _everywhere(sums: Tensor, blocks: int | None) -> Tensor:
    """A value per frame or block, for every cell of it."""
    return sums if blocks is None else sums.repeat_interleave(blocks, -2).repeat_interleave(blocks, -1)


@dataclass(frozen=True)
class MassProjection:
    """Projects states x that mean co2 = offset + unit * x. Tensors float64, (batch, level, time, lat, lon).

    air_mass: kg; target: `contents` of air_mass * co2 (ppm kg), over frames or `blocks`; free: (batch, time), 0 where a frame is known.
    """

    air_mass: Tensor
    target: Tensor
    offset: Tensor
    unit: Tensor
    free: Tensor
    blocks: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The nearest state, in units of the remainder's spread, that closes the budget in every free frame."""
        gradient = self.air_mass * self.unit
        return x + gradient * _everywhere(self.miss(x) / contents(gradient**2, self.blocks), self.blocks)

    def miss(self, x: Tensor) -> Tensor:
        """Target minus content of free frames, ppm kg."""
        content = contents(self.air_mass * (self.offset + self.unit * x), self.blocks)
        return self.free[:, None, :, None, None] * (self.target - content)


def close_budget(
    co2: Tensor, air_mass: Tensor, weight: Tensor, target: Tensor, blocks: int | None = None
) -> tuple[Tensor, Tensor]:
    """The last step: negatives clipped, then one exact projection. Returns co2 and the mean it moved, (batch, time) ppm.

    co2, air_mass, weight: (batch, level, time, lat, lon) ppm, kg and any positive unit; target: as for `MassProjection`.
    """
    clipped = co2.clamp(min=0)
    share = air_mass * weight
    for _ in range(2):  # the second pass removes the round-off of the first
        miss = target - contents(air_mass * clipped, blocks)
        clipped = clipped + share * _everywhere(miss / contents(air_mass * share, blocks), blocks)
    moved = contents(air_mass * (clipped - co2), None) / contents(air_mass, None)
    return clipped, moved[:, 0, :, 0, 0]
