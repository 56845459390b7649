"""Coarse air mass fluxes and what interpolation of them lacks, as the wind network reads and learns them: per metre of face.

A sample is a pure function of (seed, index), turned in longitude and mirrored in latitude at random, as those of `clips`.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from gencarbon.constants import EARTH_RADIUS
from gencarbon.data.benchmark import FINE_FLUXES
from gencarbon.errors import InputError
from gencarbon.grid import LatLonGrid
from gencarbon.transport.continuity import coarsen_fluxes
from gencarbon.transport.subgrid import mirrored, subgrid_fluxes, to_cells

AT_ENDS = 0.1  # share of samples that lie at the end of a record, where steps before or after are missing


def face_lengths(grid: LatLonGrid) -> Tensor:
    """Lengths of western and southern faces, (2, lat, lon) m; infinite at the south pole, which no air crosses."""
    bounds, dlon = np.deg2rad(np.array(grid.lat_bounds)), np.deg2rad(np.diff(grid.lon_bounds))
    south = np.cos(bounds[:-1])
    south[0] = np.inf
    west = np.diff(bounds)[:, None] * np.ones_like(dlon)
    return torch.tensor(EARTH_RADIUS * np.stack([west, south[:, None] * dlon]))


def fine_face_lengths(grid: LatLonGrid, factor: int) -> Tensor:
    """Those of cells `factor` times finer, (2, factor^2, lat, lon) m."""
    return to_cells(face_lengths(grid.refine(factor)), factor)


def around(steps: int, k: int, context: int, first: int = 0) -> np.ndarray:
    """Steps k - context ... k + context of a record first ... steps - 1; at its ends the nearest step stands for missing ones."""
    return np.clip(np.arange(k - context, k + context + 1), first, steps - 1)


class WindClips(Dataset):
    """Windows of coarse faces and what the middle step lacks, of a benchmark store with fine fluxes, held in memory.

    augment=False: every window once, evenly spread, as it is.
    """

    def __init__(
        self, store: xr.Dataset, factor: int, context: int, length: int, seed: int, augment: bool = True
    ):
        if not all(name in store for name in FINE_FLUXES):
            raise InputError(
                f"the wind network learns from {FINE_FLUXES[0]}, which the store lacks; build the split with `fine_winds: true`, "
                "or train without `winds`"
            )
        self.grid, self.factor, self.context = LatLonGrid.from_dataset(store), factor, context
        if store.sizes["lat_fine"] != factor * self.grid.shape[0]:
            raise InputError(
                f"the refined run has cells {factor} times finer, got fine fluxes on {store.sizes['lat_fine']} rows for "
                f"{self.grid.shape[0]}; set `refined.factor` to the benchmark's refinement"
            )
        self.length, self.seed, self.augment = length, seed, augment
        faces, lacking = [], []
        coarse_lengths, fine_lengths = face_lengths(self.grid), fine_face_lengths(self.grid, factor)
        for first in range(0, store.sizes["time"], 40):  # a few at a time: they are large
            part = store[list(FINE_FLUXES)].isel(time=slice(first, first + 40)).load()
            fine = [torch.tensor(part[name].values, dtype=torch.float64) for name in FINE_FLUXES]
            coarse = torch.stack(coarsen_fluxes(*fine, factor), dim=-3)
            faces.append((coarse / coarse_lengths).float())
            lacking.append((subgrid_fluxes(*fine, factor) / fine_lengths).float())
        self.faces, self.lacking = torch.cat(faces), torch.cat(lacking)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        steps = len(self.faces)
        if not self.augment:
            return self.window(index * max(1, steps // self.length) % steps, 0, steps, 0, False)
        rng = np.random.default_rng([self.seed, index])
        k, first, last = int(rng.integers(steps)), 0, steps
        if rng.random() < AT_ENDS:
            gap = int(rng.integers(self.context))
            first, last = (k - gap, steps) if rng.random() < 0.5 else (0, k + gap + 1)
        return self.window(
            k, max(first, 0), min(last, steps), int(rng.integers(self.grid.shape[1])), rng.random() < 0.5
        )

    def window(self, k: int, first: int, last: int, turn: int, mirror: bool) -> tuple[Tensor, Tensor]:
        """Faces (2 context + 1, level, 2, lat, lon) around step k of the record first ... last - 1, and what step k lacks (level, 2,
        factor^2, lat, lon)."""
        faces, lacking = self.faces[around(last, k, self.context, first)], self.lacking[k]
        if mirror:
            faces = mirrored(faces[..., None, :, :], 1)[..., 0, :, :]
            lacking = mirrored(lacking, self.factor)
        return torch.roll(faces, turn, -1), torch.roll(lacking, turn, -1)

    def scales(self) -> tuple[Tensor, Tensor]:
        """Sizes of faces and of what they lack, (level, 2), area-weighted."""
        weight = torch.tensor(self.grid.area / self.grid.area.mean(), dtype=torch.float32)
        size = lambda x, dims: ((x**2) * weight).mean(dims).sqrt()  # noqa: E731
        return size(self.faces, (0, 3, 4)), size(self.lacking, (0, 3, 4, 5))
