"""Coarse fields on a finer grid: cell means, surface pressure and air mass fluxes that sum to the coarse ones exactly.

Along a line of cells, the mean over each part of a cell comes from the polynomial that has the right mean in the cell and its
neighbours on each side; between lines of faces, values come from Lagrange's polynomial through the nearest lines. Both are
linear, commute with shifts in longitude and with the mirror in latitude, and continue over a pole along the opposite meridian.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

HALO = 8  # neighbours on each side: winds vary down to two cells, where shorter polynomials are flat


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values (at, node) of the polynomials that are 1 at one node and 0 at the others."""
    others = [np.delete(nodes, k) for k in range(len(nodes))]
    return np.stack([np.prod((at[:, None] - o) / (n - o), axis=1) for n, o in zip(nodes, others)], axis=1)


@lru_cache(maxsize=8)
def _parts(factor: int, halo: int) -> Tensor:
    """Weights (part, neighbour) of the 2 halo + 1 cell means that give the means of the `factor` parts of the middle cell.

    The sum of cells up to a face is interpolated; a part is the difference of that sum between its edges.
    """
    sums = _lagrange(np.arange(-halo, halo + 2) - 0.5, np.linspace(-0.5, 0.5, factor + 1))
    beyond = np.cumsum(sums[:, ::-1], axis=1)[:, ::-1][:, 1:]  # a cell is part of the sum at every later face
    return torch.tensor(factor * np.diff(beyond, axis=0))


def _shares(factor: int, halo: int) -> Tensor:
    """As `_parts`, for sums instead of means."""
    return _parts(factor, halo) / factor


@lru_cache(maxsize=8)
def _between(factor: int, halo: int) -> Tensor:
    """Weights (line, neighbour) on the lines 1 - halo .. halo for `factor` lines from line 0 up to line 1."""
    return torch.tensor(_lagrange(np.arange(1 - halo, halo + 1), np.arange(factor) / factor))


@lru_cache(maxsize=32)
def _band(kind: Callable[[int, int], Tensor], factor: int, halo: int, cells: int) -> Tensor:
    """Weights of `kind` as a matrix (cells + neighbours - 1, cells * factor): one product of matrices is faster than many short sums."""
    weights = kind(factor, halo)
    band = torch.zeros(cells + weights.shape[1] - 1, cells, factor, dtype=weights.dtype)
    for k in range(cells):
        band[k : k + weights.shape[1], k] = weights.mT
    return band.flatten(1)


def _apply(padded: Tensor, kind: Callable[[int, int], Tensor], factor: int, halo: int) -> Tensor:
    """(..., n + neighbours - 1) -> (..., n * factor) along the last axis by the weights of `kind`."""
    cells = padded.shape[-1] - kind(factor, halo).shape[1] + 1
    return padded @ _band(kind, factor, halo, cells).to(padded.device)


def _around(x: Tensor, before: int, after: int) -> Tensor:
    """Halo along longitude."""
    return torch.cat([x[..., x.shape[-1] - before :], x, x[..., :after]], -1)


def over_poles(x: Tensor, halo: int, sign: float) -> Tensor:
    """Halo of rows beyond each pole: the opposite meridian, `sign` -1 for eastward components."""
    half = x.shape[-1] // 2
    south, north = x[..., :halo, :].flip(-2), x[..., -halo:, :].flip(-2)
    return torch.cat([sign * torch.roll(south, half, -1), x, sign * torch.roll(north, half, -1)], -2)


def refine_mean(field: Tensor, factor: int) -> Tensor:
    """Cell means (..., lat, lon) on `factor` times finer cells. Block means by number, not by area, are kept."""
    halo = min(HALO, *field.shape[-2:])
    rows = _apply(over_poles(field, halo, 1.0).mT, _parts, factor, halo).mT
    return _apply(_around(rows, halo, halo), _parts, factor, halo)


def refine_mole_fraction(q: Tensor, factor: int, air_mass: Tensor) -> Tensor:
    """Mole fractions on finer cells of `air_mass` (kg), with each coarse cell's tracer mass kept exactly."""
    fine = refine_mean(q, factor)
    blocks = (*fine.shape[:-2], q.shape[-2], factor, q.shape[-1], factor)
    mass = air_mass.expand(fine.shape).reshape(blocks)
    mean = (fine.reshape(blocks) * mass).sum((-3, -1)) / mass.sum((-3, -1))
    return fine + (q - mean).repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def refine_fluxes(east: Tensor, north: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Fluxes (kg s-1) through western and southern faces of finer cells; sums over a coarse face are its flux.

    Inside a coarse cell they are interpolated and do not close continuity: `continuity.close` does that.
    """
    halo = min(HALO, *east.shape[-2:])
    across = _apply(over_poles(east, halo, -1.0).mT, _shares, factor, halo).mT
    fine_east = _apply(_around(across, halo - 1, halo), _between, factor, halo)
    lines = _apply(_around(north, halo, halo), _shares, factor, halo)
    pole = torch.zeros_like(lines[..., :1, :])  # the last row of lines: the north pole
    half = lines.shape[-1] // 2
    beyond_south = torch.roll(lines[..., 1:halo, :].flip(-2), half, -1)
    beyond_north = torch.roll(lines[..., 1 - halo :, :].flip(-2), half, -1)
    padded = torch.cat([beyond_south, lines, pole, beyond_north], -2)
    return fine_east, _apply(padded.mT, _between, factor, halo).mT
