"""Edge values of cells as fixed sums of their neighbours' means, and the limiters that keep them from making new extrema.

A stencil is five weights, of the cells two and one before, the cell itself, one and two after. Evenly spaced cells have the same
stencil everywhere; layers of unequal mass have one per cell.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCHEMES = ("ppm", "van_leer", "upwind")
Stencil = tuple[Tensor | float, ...]
# Left edges; right ones are the mirror. Upwind: the mean. Van Leer (1977): half a centred slope. PPM: Colella and Woodward (1984, 1.9).
LEFT_EDGE: dict[str, Stencil] = {
    "upwind": (0.0, 0.0, 1.0, 0.0, 0.0),
    "van_leer": (0.0, 1 / 4, 1.0, -1 / 4, 0.0),
    "ppm": (-1 / 12, 7 / 12, 7 / 12, -1 / 12, 0.0),
}


def horizontal_stencils(scheme: str) -> tuple[Stencil, Stencil]:
    """Left and right edges of evenly spaced cells."""
    return LEFT_EDGE[scheme], LEFT_EDGE[scheme][::-1]


def vertical_stencils(scheme: str, mass: Tensor) -> tuple[Stencil, Stencil]:
    """Left (lower) and right (upper) edges of layers of unequal mass (..., level, lat, lon): weights shaped as `mass`.

    Van Leer: an interface lies on the line through its two layers' centres. PPM: on the quartic of Colella and Woodward (1984, 1.6
    to 1.8) where there are two layers on each side. The outermost edges are their layers' means.
    """
    count = mass.shape[-3]
    if scheme == "upwind":
        return horizontal_stencils(scheme)
    behind, ahead = mass.narrow(-3, 0, count - 1), mass.narrow(-3, 1, count - 1)
    line = torch.zeros_like(behind), ahead / (behind + ahead), behind / (behind + ahead)
    inner = [
        line[0],
        line[1],
        line[2],
        line[0],
    ]  # weights of two layers below, two above each inner interface
    if scheme == "ppm" and count >= 4:
        quartic = _quartic(*(mass.narrow(-3, k, count - 3) for k in range(4)))
        inner = [
            torch.cat([w.narrow(-3, 0, 1), q, w.narrow(-3, count - 2, 1)], -3) for w, q in zip(inner, quartic)
        ]
    bottom, top = mass.narrow(-3, 0, 1), mass.narrow(-3, count - 1, 1)
    zeros, ones = torch.zeros_like(bottom), torch.ones_like(top)
    below = [torch.cat([ones if k == 2 else zeros, w], -3) for k, w in enumerate(inner)]
    above = [torch.cat([w, ones if k == 1 else zeros], -3) for k, w in enumerate(inner)]
    none = torch.zeros_like(mass)
    return (*below, none), (none, *above)


def _quartic(m0: Tensor, m1: Tensor, m2: Tensor, m3: Tensor) -> list[Tensor]:
    """Weights of four layers of mass m0..m3 in the value at the interface between the middle two."""
    total = m0 + m1 + m2 + m3
    pair, low, high = m1 + m2, (m0 + m1) / (2 * m1 + m2), (m3 + m2) / (2 * m2 + m1)
    middle = m1 / pair + 2 * m1 * m2 / pair * (low - high) / total  # of q2 - q1
    slope_1, slope_2 = m2 * high / total, -m1 * low / total  # of the slopes of layers 1 and 2, eq. 1.7
    ahead_1, back_1 = _slope(m0, m1, m2)
    ahead_2, back_2 = _slope(m1, m2, m3)
    step_01, step_12, step_23 = (
        slope_1 * back_1,
        middle + slope_1 * ahead_1 + slope_2 * back_2,
        slope_2 * ahead_2,
    )
    return [-step_01, 1 + step_01 - step_12, step_12 - step_23, step_23]


def _slope(before: Tensor, here: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the steps to the next and from the last layer in the mean slope of a layer (eq. 1.7)."""
    scale = here / (before + here + after)
    return scale * (2 * before + here) / (after + here), scale * (here + 2 * after) / (before + here)


def cell_edges(
    q: Tensor, stencils: tuple[Stencil, Stencil], scheme: str, limited: bool, dim: int
) -> tuple[Tensor, Tensor]:
    """Left and right edges of the cells of q, of which the first and last two along `dim` are halo."""
    count = q.shape[dim] - 4
    around = [q.narrow(dim, k, count) for k in range(5)]
    left, right = (_sum(stencil, around) for stencil in stencils)
    if not limited or scheme == "upwind":
        return left, right
    return _monotone(*around[1:4], left, right, parabola=scheme == "ppm")


def _sum(stencil: Stencil, cells: list[Tensor]) -> Tensor:
    """Cells times their weights, in as few passes over memory as there are weights."""
    total = stencil[2] * cells[2]
    for k in (0, 1, 3, 4):
        w = stencil[k]
        if isinstance(w, Tensor):
            total = total.addcmul_(w, cells[k])
        elif w != 0:
            total = total.add_(cells[k], alpha=w)
    return total


def _monotone(
    before: Tensor, here: Tensor, after: Tensor, left: Tensor, right: Tensor, parabola: bool
) -> tuple[Tensor, Tensor]:
    """Edges that make no new extremum: none at an extremum, else between the cell's mean and its neighbours'.

    A parabola must also not turn inside the cell: neither edge more than twice as far from the mean as the other (the same as
    Colella and Woodward 1984, 1.10). A line has both equally far (van Leer 1977, monotonised).
    """
    back, ahead = here - before, after - here
    rising = (
        (torch.sign(back) + torch.sign(ahead)).mul_(0.5).detach()
    )  # 0 at an extremum; 1/2 beside a flat step, which bounds by 0
    if not parabola:
        half = torch.minimum(
            (right - left).mul_(rising / 2).clamp(min=0), torch.minimum(back.abs(), ahead.abs())
        ).mul_(rising)
        return here - half, here + half
    low = torch.minimum((here - left).mul_(rising).clamp(min=0), back.abs())
    high = torch.minimum((right - here).mul_(rising).clamp(min=0), ahead.abs())
    left = torch.addcmul(here, rising, torch.minimum(low, 2 * high), value=-1)
    return left, torch.addcmul(here, rising, torch.minimum(high, 2 * low))
