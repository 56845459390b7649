"""The mass constraint, in float64: every frame of every member holds the CO2 that its budget says.

    D += w (M* - <m, D>) / <m, w>,      w = C m

with C the (diagonal) covariance of the generated remainder: mass goes where the ensemble is uncertain, not where air is thick.
The target M* is pinned to the initial mass and the accumulated flux, never to the previous step.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MassProjection:
    """Projects states x that mean co2 = offset + unit * x. Tensors float64, (batch, level, time, lat, lon).

    air_mass: kg; target: (batch, time) ppm kg, the air-mass-weighted sum of co2; free: (batch, time), 0 where a frame is known.
    """

    air_mass: Tensor
    target: Tensor
    offset: Tensor
    unit: Tensor
    free: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The nearest state, in units of the remainder's spread, that closes the budget in every free frame."""
        gradient = self.air_mass * self.unit
        return x + gradient * self._per_frame(self.miss(x) / (gradient**2).sum((1, 3, 4)))

    def miss(self, x: Tensor) -> Tensor:
        """Target minus content of free frames, (batch, time) ppm kg."""
        content = (self.air_mass * (self.offset + self.unit * x)).sum((1, 3, 4))
        return self.free * (self.target - content)

    @staticmethod
    def _per_frame(a: Tensor) -> Tensor:
        return a[:, None, :, None, None]


def close_budget(co2: Tensor, air_mass: Tensor, weight: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The last step: negatives clipped, then one exact projection. Returns co2 and the mean it moved, (batch, time) ppm.

    co2, air_mass, weight: (batch, level, time, lat, lon) ppm, kg and any positive unit; target: (batch, time) ppm kg.
    """
    clipped = co2.clamp(min=0)
    share = air_mass * weight
    for _ in range(2):  # the second pass removes the round-off of the first
        miss = target - (air_mass * clipped).sum((1, 3, 4))
        clipped = clipped + share * (miss / (air_mass * share).sum((1, 3, 4)))[:, None, :, None, None]
    return clipped, (air_mass * (clipped - co2)).sum((1, 3, 4)) / air_mass.sum((1, 3, 4))
