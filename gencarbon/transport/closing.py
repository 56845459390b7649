"""The part of an estimate of finer winds that moves air up and down: how much of its divergence is to be believed.

Estimated winds are right to a tenth or two, but their divergence is a small difference of large numbers: columns gain air that they cannot
keep, and in rows by the poles and in the uppermost layer most of it is noise, which mixes tracers across layers. What is believed is its
least-squares regression on that of known winds, layers of a column on each other (so that columns close, as those of the known winds do),
row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gencarbon.grid import LatLonGrid
from gencarbon.transport.continuity import barotropic_correction, divergence
from gencarbon.transport.subgrid import from_cells, settled, to_cells


def divergences(lacking: Tensor, factor: int) -> Tensor:
    """Net outflow of fine cells (level, lat, lon) kg s-1 of what interpolated fluxes lack, (level, 2, factor^2, lat, lon) kg s-1."""
    return divergence(*(from_cells(lacking[:, c], factor) for c in (0, 1)))


def fit(made: Tensor, truth: Tensor) -> Tensor:
    """The regression, (lat, level, level), from divergences of estimates and of the truth, both (sample, level, lat, lon); the same for a
    world mirrored in latitude."""
    products = lambda x, y: (xy := torch.einsum("slij,smij->ilm", x, y)) + xy.flip(0)  # noqa: E731
    return products(truth, made) @ torch.linalg.pinv(products(made, made), hermitian=True)


def closed(lacking: Tensor, belief: Tensor, grid: LatLonGrid, factor: int) -> Tensor:
    """What interpolated fluxes lack, (level, 2, factor^2, lat, lon) kg s-1, with as much of its divergence as is believed.

    By the smallest change of fluxes, `settled` afterwards: coarse faces keep their sums. belief: `fit`, (lat, level, level), or (1, level,
    level) for all rows; grid: of the fine cells.
    """
    made = divergences(lacking, factor)
    missing = torch.einsum("ilm,mij->lij", belief.expand(len(grid.lat), -1, -1), made) - made
    weight = torch.tensor(grid.area / grid.area.sum())
    more = barotropic_correction(missing - weight * missing.sum((-2, -1), keepdim=True), grid)
    return settled(lacking + torch.stack([to_cells(x, factor) for x in more], dim=1), factor)
