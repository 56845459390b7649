"""Flux-form advection, one direction at a time, exact in mass for any reconstruction.

A face that passes the air mass M during a step (kg, positive towards higher index) takes it from the cell upwind, and with it the
mean of q over that part of the cell. With c = |M| / m the share of the upwind cell's air m that leaves, and q in the cell a parabola
of its mean and two edge values (Colella and Woodward 1984, doi:10.1016/0021-9991(84)90143-8),

    F = M [c (3 - 2 c) mean + (1 - c)^2 near edge - c (1 - c) far edge].

The bracket's weights sum to 1, so a uniform field stays uniform; one flux leaves a cell and enters the next, so mass is conserved.
Schemes without a limiter are linear in q: F is then one sum over six cells, whose weights depend on the air alone and serve every
tracer. Along latitude circles air may come from many cells away (flux-form semi-Lagrangian, Lin and Rood 1996,
doi:10.1175/1520-0493(1996)124<2046:MFFSLT>2.0.CO;2), so that polar rows need no small steps.

Shapes: q (..., tracer, level, lat, lon); mass and moved broadcast against it, kg. Each step returns the new q and mass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gencarbon.transport.reconstruction import (
    Stencil,
    cell_edges,
    horizontal_stencils,
    vertical_stencils,
    weighted_sum,
)

EAST, NORTH, UP = -1, -2, -3
Stencils = tuple[Stencil, Stencil]


def advect_east(
    q: Tensor, mass: Tensor, moved: Tensor, scheme: str, limited: bool, far_rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """One zonal step on rings; `moved` through western faces. Any Courant number in the `far_rows` rows next to each pole (default:
    all), at most 1 in the others."""
    stencils, rows = horizontal_stencils(scheme), q.shape[NORTH]
    around = torch.cat([q[..., -3:], q, q[..., :2]], EAST)
    flux = _face_flux(around, torch.cat([mass[..., -1:], mass], EAST), moved, stencils, scheme, limited, EAST)
    far_rows = rows if far_rows is None else far_rows
    if 2 * far_rows >= rows:
        flux = _flux_from_afar(q, mass, moved, flux, scheme, limited)
    elif far_rows:
        caps = lambda x: torch.cat([x[..., :far_rows, :], x[..., rows - far_rows :, :]], NORTH)  # noqa: E731
        afar = _flux_from_afar(caps(q), caps(mass), caps(moved), caps(flux), scheme, limited)
        middle = flux[..., far_rows : rows - far_rows, :]
        flux = torch.cat([afar[..., :far_rows, :], middle, afar[..., far_rows:, :]], NORTH)
    mass_new = mass + moved - torch.roll(moved, -1, EAST)
    gain = 1 / mass_new
    moved_in = (q * (mass * gain)).addcmul_(flux, gain)
    return moved_in.addcmul_(torch.roll(flux, -1, EAST), gain, value=-1), mass_new


def advect_north(q: Tensor, mass: Tensor, moved: Tensor, scheme: str, limited: bool) -> tuple[Tensor, Tensor]:
    """One meridional step; `moved` through southern faces. Beyond a pole lies the opposite meridian."""
    half = q.shape[EAST] // 2
    over = lambda rows: torch.roll(rows.flip(NORTH), half, EAST)  # noqa: E731
    around = torch.cat([over(q[..., :2, :]), q, over(q[..., -2:, :])], NORTH)
    return _advect(q, around, mass, moved, horizontal_stencils(scheme), scheme, limited, NORTH)


def advect_up(
    q: Tensor, mass: Tensor, moved: Tensor, scheme: str, limited: bool, stencils: Stencils | None = None
) -> tuple[Tensor, Tensor]:
    """One vertical step; `moved` through lower interfaces. stencils: `vertical_stencils` of about this mass, made here if None."""
    if q.shape[UP] == 1:
        return q, mass  # a single layer has no interface
    bottom, top = q[..., :1, :, :], q[..., -1:, :, :]
    around = torch.cat([bottom, bottom, q, top, top], UP)
    return _advect(q, around, mass, moved, stencils or vertical_stencils(scheme, mass), scheme, limited, UP)


def _advect(
    q: Tensor,
    around: Tensor,
    mass: Tensor,
    moved: Tensor,
    stencils: Stencils,
    scheme: str,
    limited: bool,
    dim: int,
) -> tuple[Tensor, Tensor]:
    """A step along `dim` with nothing through the outermost faces."""
    n = q.shape[dim] - 1
    inner = moved.narrow(dim, 1, n)
    flux = _face_flux(around, mass, inner, stencils, scheme, limited, dim)
    mass_new = mass.clone()
    mass_new.narrow(dim, 0, n).sub_(inner)
    mass_new.narrow(dim, 1, n).add_(inner)
    gain = 1 / mass_new
    q = q * (mass * gain)
    q.narrow(dim, 0, n).addcmul_(flux, gain.narrow(dim, 0, n), value=-1)
    q.narrow(dim, 1, n).addcmul_(flux, gain.narrow(dim, 1, n))
    return q, mass_new


def _face_flux(
    around: Tensor, mass: Tensor, moved: Tensor, stencils: Stencils, scheme: str, limited: bool, dim: int
) -> Tensor:
    """Tracer through the faces between n cells (n - 1 along `dim`); `around` has the cells and a halo of two on each side."""
    faces = moved.shape[dim]
    behind, ahead = mass.narrow(dim, 0, faces), mass.narrow(dim, 1, faces)
    forward = (moved > 0).to(moved)
    own, near, far = _parabola(moved, moved.abs() / _upwind(forward, behind, ahead))
    if not limited or scheme == "upwind":
        near_cells = _along_flow(stencils[1], stencils[0], forward, dim)
        far_cells = _along_flow(stencils[0], stencils[1], forward, dim)
        weights = [a * near + b * far for a, b in zip(near_cells, far_cells)]
        weights[2] = weights[2] + own
        return _sum_of_six(around, weights, forward, dim)
    left, right = cell_edges(around, stencils, scheme, limited, dim)
    # By weights that vanish on the cell downwind: choosing between the cells themselves takes several times as long.
    weights = [w * toward for toward in (forward, 1 - forward) for w in (moved, near, far)]
    ends = (around, 2), (right, 0), (left, 0), (around, 3), (left, 1), (right, 1)
    return weighted_sum(weights, [x.narrow(dim, at, faces) for x, at in ends])


def _upwind(forward: Tensor, behind: Tensor, ahead: Tensor) -> Tensor:
    """`behind` where air moves forward (1), `ahead` where it does not (0): exactly, and ten times as fast as `torch.where`."""
    return torch.lerp(ahead, behind, forward)


def _parabola(moved: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the upwind cell's mean, near and far edge in F; c: its share that passes."""
    return moved * c * (3 - 2 * c), moved * (1 - c) ** 2, moved * c * (c - 1)


def _along_flow(
    forward_edge: Stencil, backward_edge: tuple[Any, ...], forward: Tensor, dim: int
) -> list[Tensor | float]:
    """A stencil of the upwind cell in the order of the flow: the last weight is furthest downwind."""
    faces = forward.shape[dim]
    return [
        _upwind(forward, a.narrow(dim, 0, faces), b.narrow(dim, 1, faces)) if isinstance(a, Tensor) else a
        for a, b in zip(forward_edge, backward_edge[::-1])
    ]


def _sum_of_six(around: Tensor, weights: list[Tensor], forward: Tensor, dim: int) -> Tensor:
    """Sum over the three cells on each side of a face; weights: five, in the order of the flow."""
    nothing, faces = torch.zeros_like(weights[2]), forward.shape[dim]
    both = zip([*weights, nothing], [nothing, *weights[::-1]])
    return weighted_sum(
        [_upwind(forward, a, b) for a, b in both], [around.narrow(dim, k, faces) for k in range(6)]
    )


def _flux_from_afar(
    q: Tensor, mass: Tensor, moved: Tensor, near: Tensor, scheme: str, limited: bool
) -> Tensor:
    """Fluxes through western faces on rings; where the air comes from beyond the next cell, whole cells and a part of one.

    With s the air mass from the first face eastward and T(s) the tracer in it, F = T(S) - T(S - M) for a face at S.
    """
    n = q.shape[EAST]
    ring_mean = q.mean(
        EAST, keepdim=True
    )  # passes exactly, F = M ring_mean; sums along the ring see only the rest
    rest = q - ring_mean
    around = torch.cat([rest[..., -2:], rest, rest[..., :2]], EAST)
    left, right = cell_edges(around, horizontal_stencils(scheme), scheme, limited, EAST)
    total = mass.sum(EAST, keepdim=True)
    face = torch.cat([torch.zeros_like(total), torch.cumsum(mass, EAST)], EAST)
    target = face[..., :-1] - moved
    turns = torch.floor(target / total)
    cell = (torch.searchsorted(face, target - turns * total, right=True) - 1).clamp(0, n - 1)
    part = (target - turns * total - torch.gather(face, EAST, cell)) / torch.gather(mass, EAST, cell)
    content = torch.cat([torch.zeros_like(rest[..., :1]), torch.cumsum(mass * rest, EAST)], EAST)
    index = cell.expand(q.shape)
    pick = lambda x: torch.gather(x, EAST, index)  # noqa: E731
    taken = torch.gather(mass, EAST, cell) * part
    _, near_left, far_right = _parabola(taken, part)
    upstream = pick(content) + taken * pick(rest) + near_left * pick(left) + far_right * pick(right)
    afar = content[..., :-1] - upstream - turns * content[..., -1:] + moved * ring_mean
    return torch.where(moved.abs() <= torch.where(moved > 0, torch.roll(mass, 1, EAST), mass), near, afar)
