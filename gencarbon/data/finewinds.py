"""Coarse air mass fluxes and what interpolation of them lacks, as the wind network reads and learns them: per metre of face.

Mean winds of cells tell more than the fluxes through their faces: the reference's cells inside have a mean that an interpolation
between faces misses, by the `excess`. It is zero where the fluxes were themselves estimated from those winds.

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
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import coarsen_fluxes
from gencarbon.transport.offline import AirMotion
from gencarbon.transport.refine import refine_fluxes
from gencarbon.transport.subgrid import mirrored, subgrid_fluxes, to_cells

BLOCK = 40  # steps at a time: fine fluxes are large
NO_EXCESS = 0.15  # share of samples without cell winds
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


def crossed_lengths(grid: LatLonGrid, factor: int) -> Tensor:
    """`fine_face_lengths` to multiply with: 0 at the south pole."""
    lengths = fine_face_lengths(grid, factor)
    return torch.where(torch.isinf(lengths), 0.0, lengths)


def around(steps: int, k: int, context: int, first: int = 0) -> np.ndarray:
    """Steps k - context ... k + context of a record first ... steps - 1; at its ends the nearest step stands for missing ones."""
    return np.clip(np.arange(k - context, k + context + 1), first, steps - 1)


def wind_inputs(
    air: AirMotion,
    cell_winds: tuple[np.ndarray, np.ndarray] | None,
    grid: LatLonGrid,
    levels: HybridLevels,
    factor: int,
) -> Tensor:
    """What the wind network reads of every step: fluxes through western and southern faces, and the excess of cell winds, eastward and
    northward, over them: (time, level, 4, lat, lon) kg m-1 s-1. cell_winds: u, v (time, level, lat, lon) m s-1 at frames."""
    made = []
    for first in range(0, len(air.east), BLOCK):
        cut = slice(first, first + BLOCK)
        east, north = (torch.tensor(f[cut], dtype=torch.float64) for f in (air.east, air.north))
        faces = torch.stack([east, north], dim=-3) / face_lengths(grid)
        if cell_winds is None:
            excess = torch.zeros_like(faces)
        else:
            frames = np.minimum(np.arange(first, first + len(east) + 1), len(air.east) - 1)
            middle = lambda x: (x[frames][:-1] + x[frames][1:]) / 2  # noqa: B023, E731
            column = levels.air_mass(middle(air.surface_pressure), grid) / grid.area
            carried = [torch.tensor(middle(np.asarray(w, np.float64)) * column) for w in cell_winds]
            excess = torch.stack(carried, dim=-3) - _cell_means(
                *refine_fluxes(east, north, factor), grid, factor
            )
        made.append(torch.cat([faces, excess], dim=-3).float())
    whole = torch.cat(made)
    if len(whole) > 1:
        whole[-1, :, 2:] = whole[-2, :, 2:]  # the last step has no winds at its end
    return whole


def _cell_means(east: Tensor, north: Tensor, grid: LatLonGrid, factor: int) -> Tensor:
    """Means over coarse cells of finer fluxes, trapezoidal from one edge of the cell to the other: (..., 2, lat, lon) kg m-1 s-1."""
    rows, columns = (x.unflatten(d, (-1, factor)).sum(d) for x, d in ((east, -2), (north, -1)))
    beyond = torch.cat([columns[..., 1:, :], torch.zeros_like(columns[..., :1, :])], dim=-2)
    across = ((rows + torch.roll(rows, -1, -1)) / 2).unflatten(-1, (-1, factor)).mean(-1)
    along = ((columns + beyond) / 2).unflatten(-2, (-1, factor)).mean(-2)
    bounds, dlon = np.deg2rad(np.array(grid.lat_bounds)), np.deg2rad(np.diff(grid.lon_bounds))
    width = torch.tensor(EARTH_RADIUS * np.cos((bounds[1:] + bounds[:-1]) / 2)[:, None] * dlon)
    return torch.stack([across / face_lengths(grid)[0], along / width], dim=-3)


class WindClips(Dataset):
    """Windows of coarse winds and what the middle step lacks, of a benchmark store with fine fluxes, held in memory.

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
        coarse, lacking = [], []
        for first in range(0, store.sizes["time"], BLOCK):
            part = store[list(FINE_FLUXES)].isel(time=slice(first, first + BLOCK)).load()
            east, north = (torch.tensor(part[name].values, dtype=torch.float64) for name in FINE_FLUXES)
            coarse.append(torch.stack(coarsen_fluxes(east, north, factor)).numpy())
            beyond = subgrid_fluxes(east, north, factor)
            lacking.append((beyond / fine_face_lengths(self.grid, factor)).float())
        faces = np.concatenate(coarse, axis=1)
        air = AirMotion(
            store["surface_pressure"].values, faces[0], faces[1], float(store.attrs["step_seconds"])
        )
        cell_winds = store["u"].values, store["v"].values
        self.winds = wind_inputs(air, cell_winds, self.grid, HybridLevels.from_dataset(store), factor)
        self.lacking = torch.cat(lacking)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        steps = len(self.winds)
        if not self.augment:
            return self.window(index * max(1, steps // self.length) % steps, 0, steps, 0, False)
        rng = np.random.default_rng([self.seed, index])
        k, first, last = int(rng.integers(steps)), 0, steps
        if rng.random() < AT_ENDS:
            gap = int(rng.integers(self.context))
            first, last = (k - gap, steps) if rng.random() < 0.5 else (0, k + gap + 1)
        turn, mirror = int(rng.integers(self.grid.shape[1])), rng.random() < 0.5
        winds, lacking = self.window(k, max(first, 0), min(last, steps), turn, mirror)
        if rng.random() < NO_EXCESS:
            winds[:, :, 2:] = 0
        return winds, lacking

    def window(self, k: int, first: int, last: int, turn: int, mirror: bool) -> tuple[Tensor, Tensor]:
        """`wind_inputs` (2 context + 1, level, 4, lat, lon) around step k of the record first ... last - 1, and what step k lacks
        (level, 2, factor^2, lat, lon)."""
        winds, lacking = self.winds[around(last, k, self.context, first)], self.lacking[k]
        if mirror:
            faces = mirrored(winds[:, :, :2, None], 1)[..., 0, :, :]
            sign = torch.tensor([1.0, -1.0])[:, None, None]
            winds = torch.cat([faces, sign * winds[:, :, 2:].flip(-2)], dim=2)
            lacking = mirrored(lacking, self.factor)
        return torch.roll(winds, turn, -1), torch.roll(lacking, turn, -1)

    def scales(self) -> tuple[Tensor, Tensor]:
        """Sizes of `wind_inputs` (level, 4) and of what is lacking (level, 2), area-weighted."""
        weight = torch.tensor(self.grid.area / self.grid.area.mean(), dtype=torch.float32)
        size = lambda x, dims: ((x**2) * weight).mean(dims).sqrt()  # noqa: E731
        levels = range(self.winds.shape[1])  # one at a time: the squares of all would double the memory
        inputs = torch.stack([size(self.winds[:, k], (0, 2, 3)) for k in levels])
        return inputs, torch.stack([size(self.lacking[:, k], (0, 2, 3, 4)) for k in levels])
