"""What finer winds add to interpolated air mass fluxes, as fields on the coarse cells.

The fine faces of a coarse cell, `factor` x `factor` to the east and as many to the north, are its channels. Fluxes that are
interpolated from the coarse ones have the right sum over every coarse face, so what they lack sums to zero there: `settled` keeps
that law whatever a network says, and the fine fluxes then move the same air between coarse cells as the coarse ones do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gencarbon.transport.continuity import coarsen_fluxes
from gencarbon.transport.refine import refine_fluxes


def to_cells(fine: Tensor, factor: int) -> Tensor:
    """(..., lat factor, lon factor) -> (..., factor^2, lat, lon): row and column within the coarse cell as one axis."""
    rows, columns = fine.shape[-2] // factor, fine.shape[-1] // factor
    parts = fine.reshape(*fine.shape[:-2], rows, factor, columns, factor)
    return parts.movedim((-3, -1), (-4, -3)).reshape(*fine.shape[:-2], factor**2, rows, columns)


def from_cells(cells: Tensor, factor: int) -> Tensor:
    """The inverse of `to_cells`."""
    rows, columns = cells.shape[-2:]
    parts = cells.reshape(*cells.shape[:-3], factor, factor, rows, columns).movedim((-4, -3), (-3, -1))
    return parts.reshape(*cells.shape[:-3], rows * factor, columns * factor)


def subgrid_fluxes(east: Tensor, north: Tensor, factor: int) -> Tensor:
    """What interpolation of the coarse fluxes lacks: (..., 2, factor^2, lat, lon) kg s-1, eastward first, of fluxes through western and
    southern faces of fine cells, (..., lat factor, lon factor) kg s-1."""
    interpolated = refine_fluxes(*coarsen_fluxes(east, north, factor), factor)
    return torch.stack(
        [to_cells(fine - guess, factor) for fine, guess in zip((east, north), interpolated)], dim=-4
    )


def settled(lacking: Tensor, factor: int) -> Tensor:
    """(..., 2, factor^2, lat, lon) with the mean over each coarse face taken off: west, the first column; south, the first row."""
    made = lacking.unflatten(-3, (factor, factor)).clone()
    west, south = made[..., 0, :, 0, :, :], made[..., 1, 0, :, :, :]
    made[..., 0, :, 0, :, :] = west - west.mean(-3, keepdim=True)
    made[..., 1, 0, :, :, :] = south - south.mean(-3, keepdim=True)
    made[..., 1, 0, :, 0, :] = 0  # no air crosses the south pole
    return made.flatten(-4, -3)


def mirrored(lacking: Tensor, factor: int) -> Tensor:
    """The same in the world mirrored in latitude: northward fluxes change sign, and a southern face was a northern one."""
    east, north = (from_cells(lacking[..., c, :, :, :], factor) for c in (0, 1))
    beyond = torch.cat([north[..., 1:, :], torch.zeros_like(north[..., :1, :])], dim=-2)
    return torch.stack([to_cells(x.flip(-2), factor) for x in (east, -beyond)], dim=-4)
