"""Flux-form advection, one direction at a time, exact in mass for any reconstruction.

A face that passes the air mass M during a step (kg, positive towards higher index) passes the tracer

    F = T(S) - T(S - M),      T(s) = integral of q over the air mass coordinate s,

with S the coordinate of the face. In a cell, q is the parabola of its mean and two edge values (Colella and Woodward 1984,
doi:10.1016/0021-9991(84)90143-8). Because F = M for q = 1, a uniform field stays uniform; because one flux leaves a cell and
enters the next, mass is conserved. Along latitude circles S - M may lie many cells upstream (flux-form semi-Lagrangian, Lin and
Rood 1996, doi:10.1175/1520-0493(1996)124<2046:MFFSLT>2.0.CO;2), so that polar rows need no small steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCHEMES = ("ppm", "van_leer", "upwind")


def edges(q: Tensor, scheme: str, limited: bool) -> tuple[Tensor, Tensor]:
    """Left and right edge values of the cells of q (..., n + 4), of which the first and last two are halo: (..., n)."""
    qm2, qm1, q0, qp1, qp2 = (q[..., k : q.shape[-1] - 4 + k] for k in range(5))
    if scheme == "upwind":
        return q0, q0
    if scheme == "van_leer":
        slope = (qp1 - qm1) / 2
        if limited:
            slope = _monotonised(slope, q0 - qm1, qp1 - q0)
        return q0 - slope / 2, q0 + slope / 2
    left, right = 7 / 12 * (qm1 + q0) - (qm2 + qp1) / 12, 7 / 12 * (q0 + qp1) - (qm1 + qp2) / 12
    return (
        _monotone_parabola(q0, _between(left, qm1, q0), _between(right, q0, qp1))
        if limited
        else (left, right)
    )


def _monotonised(slope: Tensor, back: Tensor, ahead: Tensor) -> Tensor:
    """Van Leer's (1977) monotonised central slope."""
    bound = torch.minimum(slope.abs(), 2 * torch.minimum(back.abs(), ahead.abs()))
    return torch.where(back * ahead > 0, torch.sign(slope) * bound, 0.0)


def _between(value: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(value, torch.maximum(a, b)), torch.minimum(a, b))


def _monotone_parabola(q: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Colella and Woodward (1984), eq. 1.10: no new extremum inside a cell."""
    jump, curvature = right - left, 6 * q - 3 * (left + right)
    extremum = (right - q) * (q - left) <= 0
    left_new = torch.where(jump * curvature > jump * jump, 3 * q - 2 * right, left)
    right_new = torch.where(jump * curvature < -jump * jump, 3 * q - 2 * left, right)
    return torch.where(extremum, q, left_new), torch.where(extremum, q, right_new)


def _cumulative(xi: Tensor, q: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Integral of the parabola from the left edge to the fraction xi of the cell's air mass."""
    curvature = 6 * q - 3 * (left + right)
    return xi * (left + xi * ((right - left + curvature) / 2 - xi * curvature / 3))


def _swept(moved: Tensor, mass: Tensor, q: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Tracer through each inner face of n cells, (..., n - 1), when no face empties its upwind cell."""
    behind, ahead = moved / mass[..., :-1], -moved / mass[..., 1:]
    forward = mass[..., :-1] * (
        q[..., :-1] - _cumulative(1 - behind, q[..., :-1], left[..., :-1], right[..., :-1])
    )
    backward = -mass[..., 1:] * _cumulative(ahead, q[..., 1:], left[..., 1:], right[..., 1:])
    return torch.where(moved > 0, forward, backward)


def advect_east(q: Tensor, mass: Tensor, moved: Tensor, scheme: str, limited: bool) -> tuple[Tensor, Tensor]:
    """One zonal step on rings. q: (tracer, level, lat, lon); mass, moved (through western faces): (level, lat, lon) kg.

    Returns the new q and the new mass. Any Courant number.
    """
    n = q.shape[-1]
    ring_mean = q.mean(
        -1, keepdim=True
    )  # advected exactly, F = M ring_mean; sums along the ring see only the rest
    q = q - ring_mean
    left, right = edges(torch.cat([q[..., -2:], q, q[..., :2]], -1), scheme, limited)
    total = mass.sum(-1, keepdim=True)
    face = torch.cat([torch.zeros_like(total), torch.cumsum(mass, -1)], -1)  # (level, lat, lon + 1)
    target = face[..., :-1] - moved
    turns = torch.floor(target / total)
    cell = (torch.searchsorted(face, target - turns * total, right=True) - 1).clamp(0, n - 1)
    xi = (target - turns * total - torch.gather(face, -1, cell)) / torch.gather(mass, -1, cell)
    content = torch.cat([torch.zeros_like(q[..., :1]), torch.cumsum(mass * q, -1)], -1)
    index = cell.expand(q.shape)
    pick = [torch.gather(a, -1, index) for a in (q, left, right)]
    upstream = torch.gather(content, -1, index) + torch.gather(mass, -1, cell) * _cumulative(xi, *pick)
    flux = content[..., :-1] - upstream - turns * content[..., -1:]
    q, mass = _update(q, mass, flux, moved, lambda f: torch.roll(f, -1, -1))
    return q + ring_mean, mass


def advect_north(q: Tensor, mass: Tensor, moved: Tensor, scheme: str, limited: bool) -> tuple[Tensor, Tensor]:
    """One meridional step; `moved` through southern faces, kg. Beyond a pole lies the opposite meridian."""
    half = q.shape[-1] // 2
    beyond_south, beyond_north = (
        torch.roll(q[..., :2, :].flip(-2), half, -1),
        torch.roll(q[..., -2:, :].flip(-2), half, -1),
    )
    halo = torch.cat([beyond_south, q, beyond_north], -2).movedim(-2, -1)
    left, right = edges(halo, scheme, limited)
    flux = _swept(moved[..., 1:, :].mT, mass.mT, q.mT, left, right).mT
    flux = torch.cat([torch.zeros_like(flux[..., :1, :]), flux], -2)
    return _update(q, mass, flux, moved, _drop_first_append_zero(-2))


def advect_up(q: Tensor, mass: Tensor, moved: Tensor, scheme: str, limited: bool) -> tuple[Tensor, Tensor]:
    """One vertical step; `moved` through lower interfaces, kg. Edge values are interpolated in air mass, for unequal layers."""
    if q.shape[-3] == 1:
        return q, mass  # a single layer has no interface
    qz, mz = q.movedim(-3, -1), mass.movedim(-3, -1)
    if scheme == "upwind":
        left, right = qz, qz
    else:
        inner = (mz[..., 1:] * qz[..., :-1] + mz[..., :-1] * qz[..., 1:]) / (mz[..., 1:] + mz[..., :-1])
        left, right = torch.cat([qz[..., :1], inner], -1), torch.cat([inner, qz[..., -1:]], -1)
        if limited:
            left, right = _monotone_parabola(qz, left, right)
    flux = _swept(moved.movedim(-3, -1)[..., 1:], mz, qz, left, right)
    flux = torch.cat([torch.zeros_like(flux[..., :1]), flux], -1).movedim(-1, -3)
    return _update(q, mass, flux, moved, _drop_first_append_zero(-3))


def _drop_first_append_zero(dim: int):
    """Fluxes through the far faces of cells whose near faces are given, with nothing through the last."""
    return lambda f: torch.cat(
        [f.narrow(dim, 1, f.shape[dim] - 1), torch.zeros_like(f.narrow(dim, 0, 1))], dim
    )


def _update(q, mass, flux, moved, far) -> tuple[Tensor, Tensor]:
    mass_new = mass - (far(moved) - moved)
    return (mass * q - (far(flux) - flux)) / mass_new, mass_new
