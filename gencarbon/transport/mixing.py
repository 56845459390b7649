"""Vertical mixing within columns: eddy diffusion and convection by mass fluxes, implicit, conserving every column's tracer.

Both are linear in the column, m dq/dt = -C q, with columns of C that sum to zero (what leaves a layer enters another) and rows that
sum to zero (a uniform column stays uniform). One implicit step, (m + dt C) q' = m q, is stable for any strength and makes no new
extremum. It is applied as fluxes through the inner interfaces, F = H (q_below - q_above), with H shared by all tracers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gencarbon.constants import GRAVITY
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.reconstruction import weighted_sum

SCALE_HEIGHT = (
    7500.0  # m   of an isothermal atmosphere at 256 K; turns pressure into height for the diffusivity
)


@dataclass(frozen=True)
class Diffusivity:
    """Eddy diffusivity, m2 s-1: `boundary_layer` below sigma_top (Held-Suarez: 0.7), `free` above."""

    boundary_layer: float = 20.0
    free: float = 0.5
    sigma_top: float = 0.7

    def exchange(self, levels: HybridLevels, grid: LatLonGrid) -> Tensor:
        """Air exchanged through inner interfaces, (level - 1, lat, lon) kg s-1, for a surface pressure of 1000 hPa.

        E = rho K A / dz with rho = p / (g H) and dz = H ln(p_below / p_above) between layer centres.
        """
        p = np.array(levels.a) + np.array(levels.b) * 1e5
        centre = (p[1:] + p[:-1]) / 2
        k = np.where(p[1:-1] / 1e5 > self.sigma_top, self.boundary_layer, self.free)
        per_area = p[1:-1] / (GRAVITY * SCALE_HEIGHT) * k / (SCALE_HEIGHT * np.log(centre[:-1] / centre[1:]))
        return torch.tensor(per_area[:, None, None] * grid.area)


@dataclass(frozen=True)
class Convection:
    """A steady tropical plume for idealised runs: air rises from below sigma_base, leaves between the middle of its way and sigma_top.

    strength: kg m-2 s-1 of updraft at the equator, times exp(-(lat / width)^2); width in degrees.
    """

    strength: float = 0.01
    width: float = 15.0
    sigma_base: float = 0.9
    sigma_top: float = 0.2

    def plume(self, levels: HybridLevels, grid: LatLonGrid) -> tuple[Tensor, Tensor]:
        """Air entrained into and detrained from the updraft, each (level, lat, lon) kg s-1."""
        sigma = (np.array(levels.a) + np.array(levels.b) * 1e5) / 1e5

        def share(low: float, high: float) -> np.ndarray:
            overlap = np.clip(np.minimum(sigma[:-1], high) - np.maximum(sigma[1:], low), 0, None)
            if not overlap.any():
                raise InputError(
                    f"a plume from sigma {self.sigma_base:g} to {self.sigma_top:g} needs layers there, got sigma {sigma[0]:g} to "
                    f"{sigma[-1]:g}; set sigma_base and sigma_top within the levels"
                )
            return overlap / overlap.sum()

        rising = self.strength * np.exp(-((grid.lat / self.width) ** 2))[:, None] * grid.area
        inflow, outflow = (
            share(self.sigma_base, 1.0),
            share(self.sigma_top, (self.sigma_top + self.sigma_base) / 2),
        )
        return torch.tensor(inflow[:, None, None] * rising), torch.tensor(outflow[:, None, None] * rising)


@dataclass(frozen=True)
class ColumnMixing:
    """Strengths of mixing, given or parameterised.

    exchange: air exchanged by eddies through inner interfaces, (..., level - 1, lat, lon) kg s-1, not negative.
    entrained, detrained: air entering and leaving a convective updraft, (..., level, lat, lon) kg s-1, not negative; their sum from
    the surface up is the updraft, not negative and 0 at the top; as much air sinks outside it.
    """

    exchange: Tensor
    entrained: Tensor | None = None
    detrained: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.entrained is None) != (self.detrained is None):
            raise InputError(
                "an updraft needs both entrained and detrained air, got one of them; give both or neither"
            )
        for name, value in (
            ("exchange", self.exchange),
            ("entrained", self.entrained),
            ("detrained", self.detrained),
        ):
            if value is not None and not bool(((value >= 0) & torch.isfinite(value)).all()):
                raise InputError(
                    f"{name} must not be negative or NaN, got {float(value.min()):.3g} kg s-1; it is an amount of air"
                )
        if self.entrained is not None:
            updraft, scale = self._updraft(), float(self.entrained.abs().max())
            if (
                float(updraft.min()) < -1e-9 * scale
                or float(updraft[..., -1, :, :].abs().max()) > 1e-9 * scale
            ):
                raise InputError(
                    "entrained minus detrained air, summed from the surface up, must stay positive and end at 0, "
                    f"got {float(updraft.min()):.3g} .. {float(updraft[..., -1, :, :].abs().max()):.3g} kg s-1; detrain what was entrained"
                )

    def _check_cells(self, levels: int, rows: int, columns: int) -> None:
        for name, value, layers in (
            ("exchange", self.exchange, levels - 1),
            ("entrained", self.entrained, levels),
        ):
            if value is not None and tuple(value.shape[-3:]) != (layers, rows, columns):
                raise InputError(
                    f"{name} must have the shape {(layers, rows, columns)} of the air's cells, got {tuple(value.shape[-3:])}; regrid it first"
                )

    def _updraft(self) -> Tensor:
        assert self.entrained is not None and self.detrained is not None
        return torch.cumsum(self.entrained - self.detrained, -3)

    def operator(self, mass: Tensor, seconds: float) -> Tensor:
        """H, (..., level - 1, level - 1, lat, lon) kg, of an implicit step in columns of `mass` (..., level, lat, lon) kg.

        With D the differences of layers below and above each interface, q' = q - m^-1 D^T F and F = dt K D q':
        H = (1 + dt K D m^-1 D^T)^-1 dt K.
        """
        self._check_cells(*mass.shape[-3:])
        m = mass.double()
        if self.entrained is None:
            return _tridiagonal(seconds * self.exchange.to(m), 1 / m)
        m = m.movedim(-3, -1)
        eye = torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)
        differences = eye[:-1] - eye[1:]
        strength = seconds * torch.diag_embed(self.exchange.to(m).movedim(-3, -1))
        strength = strength + seconds * torch.cumsum(self._convective_flux().to(m), -1)[..., :-1]
        feedback = strength @ ((differences / m[..., None, :]) @ differences.mT)
        solved = torch.linalg.solve(eye[1:, 1:] + feedback, strength.expand(feedback.shape))
        return solved.movedim((-2, -1), (-4, -3)).contiguous()

    def _convective_flux(self) -> Tensor:
        """Tracer through inner interfaces per unit q, (..., level - 1, level): up in the plume, down with the air around it.

        Plume: (U_below + E) c = U_below c_below + E q; U = sum of E - D. Heimann and Keeling (1989, doi:10.1029/GM055p0237).
        """
        assert self.entrained is not None
        entrained, updraft = self.entrained.movedim(-3, -1), self._updraft().movedim(-3, -1).clamp(min=0)
        below = torch.cat([torch.zeros_like(updraft[..., :1]), updraft[..., :-1]], -1)
        passing = below + entrained
        stays = torch.where(passing > 0, below / torch.where(passing > 0, passing, 1.0), 0.0)
        count = updraft.shape[-1]
        recursion = torch.eye(count, dtype=stays.dtype, device=stays.device) - torch.diag_embed(
            stays[..., 1:], -1
        )
        in_plume = torch.linalg.solve_triangular(recursion, torch.diag_embed(1 - stays), upper=False)
        around = torch.eye(count, dtype=stays.dtype, device=stays.device)[1:]
        return updraft[..., :-1, None] * (in_plume[..., :-1, :] - around)


def _tridiagonal(exchanged: Tensor, lightness: Tensor) -> Tensor:
    """H of `ColumnMixing.operator` where interfaces feel only their neighbours, by elimination: whole fields at a time, which takes a
    tenth of the time of small matrices. exchanged: dt K, (..., level - 1, lat, lon) kg; lightness: 1 / m, (..., level, lat, lon) kg-1.
    """
    count = lightness.shape[-3] - 1
    unit = torch.eye(count, dtype=lightness.dtype, device=lightness.device)[..., None, None]
    k, below, above = (
        x.unsqueeze(-4) for x in (exchanged, lightness[..., :-1, :, :], lightness[..., 1:, :, :])
    )
    rows: list[Tensor] = []
    later: list[Tensor] = []  # of each row, the weight of the next
    for i in range(count):
        ki, up, down = (x[..., i : i + 1, :, :] for x in (k, above, below))
        row, pivot = ki * unit[i], 1 + ki * (up + down)
        if i > 0:
            row, pivot = row + ki * down * rows[-1], pivot + ki * down * later[-1]
        rows.append(row / pivot)
        later.append(-ki * up / pivot)
    for i in range(count - 2, -1, -1):
        rows[i] = rows[i] - later[i] * rows[i + 1]
    return torch.cat(rows, -4)


def mix(q: Tensor, mass: Tensor, operator: Tensor) -> Tensor:
    """q (..., tracer, level, lat, lon) after one step of `operator`; mass broadcasts against q, kg."""
    if q.shape[-3] == 1:
        return q
    step = q[..., :-1, :, :] - q[..., 1:, :, :]
    columns = [operator[..., :, j, :, :].unsqueeze(-4) for j in range(step.shape[-3])]
    upward = weighted_sum(columns, [step[..., j : j + 1, :, :] for j in range(step.shape[-3])])
    nothing = torch.zeros_like(upward[..., :1, :, :])
    return q + (torch.cat([nothing, upward], -3) - torch.cat([upward, nothing], -3)) / mass
