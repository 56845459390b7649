"""Edge values of cells as fixed sums of their neighbours' means, and the limiters that keep them from making new extrema.

A stencil is five weights, of the cells two and one before, the cell itself, one and two after. Evenly spaced cells have the same
stencil everywhere; layers of unequal mass have one per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    """Left and right edges less their cells' means; the first and last two cells of q along `dim` are halo."""
    count = q.shape[dim] - 4
    before, here, after = (q.narrow(dim, k, count) for k in (1, 2, 3))
    if limited and scheme == "ppm":
        return _monotone_parabola(q, _face_stencil(stencils, dim), dim)
    cells = [q.narrow(dim, k, count) for k in range(5)]
    left, right = (weighted_sum(stencil, cells) for stencil in stencils)
    if limited and scheme == "van_leer":
        half = _monotone_line((right - left) / 2, here - before, after - here)
        return -half, half
    return left - here, right - here


def _face_stencil(stencils: tuple[Stencil, tuple[Any, ...]], dim: int) -> Stencil:
    """Four weights of each face, of which there is one more than cells: left edges, and the right edge of the last cell."""
    return tuple(
        torch.cat([a, b.narrow(dim, b.shape[dim] - 1, 1)], dim) if isinstance(a, Tensor) else a
        for a, b in zip(stencils[0][:4], stencils[1][1:])
    )


def weighted_sum(weights: Sequence[Tensor | float], values: Sequence[Tensor]) -> Tensor:
    """Values times their weights, in as few passes over memory as there are weights that are not zero."""
    terms = [(w, value) for w, value in zip(weights, values) if isinstance(w, Tensor) or w != 0]
    total = terms[0][0] * terms[0][1]
    for w, value in terms[1:]:
        total = total.addcmul_(w, value) if isinstance(w, Tensor) else total.add_(value, alpha=w)
    return total


def _monotone_line(half: Tensor, back: Tensor, ahead: Tensor) -> Tensor:
    """Half of a cell's slope, of the sign of the steps from and to its neighbours and no larger than either; zero at an extremum
    (van Leer 1977, monotonised)."""
    low = torch.maximum(back, ahead).clamp(max=0)
    high = torch.minimum(back, ahead).clamp(min=0)
    return torch.clamp(half, low, high)


def _monotone_parabola(q: Tensor, faces: Stencil, dim: int) -> tuple[Tensor, Tensor]:
    """Edges that make no new extremum, less their cells' means.

    Each lies between the means of its two cells. A parabola must also not turn inside its cell: its edges lie on both sides of the
    mean, neither more than twice as far from it as the other (the same as Colella and Woodward 1984, 1.10).
    """
    count = q.shape[dim] - 4
    steps = q.narrow(dim, 1, count + 3) - q.narrow(dim, 0, count + 3)
    last, step, following = (steps.narrow(dim, k, count + 1) for k in range(3))
    w0, _, w2, w3 = faces  # they sum to 1, so the edge less the cell before it is a sum of steps
    rise = torch.relu(step)
    edge = torch.clamp(weighted_sum((w2 + w3, -w0, w3), (step, last, following)), step - rise, rise)
    left = edge.narrow(dim, 0, count) - step.narrow(dim, 0, count)
    right = edge.narrow(dim, 1, count)
    return _across(left, right), _across(right, left)


def _across(edge: Tensor, other: Tensor) -> Tensor:
    """An edge (less the mean) of the sign opposite to the other's, at most twice as far."""
    limit = -2 * other
    high = torch.relu(limit)
    return torch.clamp(edge, limit.sub_(high), high)
