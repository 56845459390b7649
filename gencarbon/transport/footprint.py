"""Gradients of offline runs, checkpointed in time, and footprints: what a station or a column feels of every surface flux before it.

Transport without a limiter is linear, q_k+1 = A_k q_k + B_k f_k. For a receptor w at frame n the adjoint runs backwards,

    lambda_n = w,   lambda_k = A_k^T lambda_k+1,   footprint_k = B_k^T lambda_k+1,

one interval at a time, so a month takes no more memory than a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gencarbon.constants import M_CO2
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.offline import AirMotion, OfflineRun

UMOL = 1e-6 * M_CO2  # kg of CO2 in a micromole


@dataclass(frozen=True)
class Footprint:
    """Sensitivities of receptors.

    flux: (receptor, time, lat, lon) ppm per (umol m-2 s-1) that lasts from its frame to the next. initial: (receptor, level, lat,
    lon) ppm per ppm of the first frame; they sum to 1.
    """

    flux: np.ndarray
    initial: np.ndarray


def _cell(grid: LatLonGrid, lat: float, lon: float) -> tuple[int, int]:
    if not -90 <= lat <= 90:
        raise InputError(
            f"latitude must lie within -90..90 degrees north, got {lat:g}; correct the receptor's place"
        )
    if not np.isfinite(lon):
        raise InputError(
            f"longitude must be a number of degrees east, got {lon:g}; correct the receptor's place"
        )
    row = int(np.clip(np.searchsorted(grid.lat_bounds, lat, side="right") - 1, 0, grid.shape[0] - 1))
    eastward = (lon - grid.lon_bounds[0]) % 360 + grid.lon_bounds[0]
    return row, int(
        np.clip(np.searchsorted(grid.lon_bounds, eastward, side="right") - 1, 0, grid.shape[1] - 1)
    )


def station(grid: LatLonGrid, levels: HybridLevels, lat: float, lon: float, level: int = 1) -> np.ndarray:
    """The receptor of the cell around a station, (level, lat, lon) 1; level 1 touches the surface."""
    if level not in range(1, levels.count + 1):
        raise InputError(f"level must be 1 (at the surface) to {levels.count}, got {level}")
    weights = np.zeros((levels.count, *grid.shape))
    weights[(level - 1, *_cell(grid, lat, lon))] = 1.0
    return weights


def column(
    grid: LatLonGrid,
    levels: HybridLevels,
    lat: float,
    lon: float,
    surface_pressure: np.ndarray,
    kernel: np.ndarray | float = 1.0,
) -> np.ndarray:
    """The receptor of a column mean, (level, lat, lon) 1: layers by their air, times an averaging kernel (level,).

    surface_pressure: (lat, lon) Pa at the time of the sounding.
    """
    if not np.isfinite(kernel).all():
        raise InputError(
            "an averaging kernel must be finite, got NaN or infinity; fill or drop its layers first"
        )
    air = levels.thickness(surface_pressure)
    row, place = _cell(grid, lat, lon)
    weights = np.zeros_like(air)
    weights[:, row, place] = kernel * air[:, row, place] / air[:, row, place].sum()
    return weights


def footprint(
    run: OfflineRun,
    air: AirMotion,
    receptors: np.ndarray,
    frames: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Footprint:
    """The footprints of receptors (receptor, level, lat, lon), each at its frame (default: all at the last).

    run: on the grid of the air (factor 1). Raises InputError.
    """
    ps = run.pressure(air)
    last = len(ps) - 1
    frames = [last] * len(receptors) if frames is None else list(frames)
    if run.factor != 1:
        raise InputError(
            f"footprints are taken on the grid of the winds, got a run refined {run.factor} times; use factor=1"
        )
    if receptors.shape[1:] != run.transport.cells or len(frames) != len(receptors):
        raise InputError(
            f"expected receptors (receptor, level, lat, lon) on cells {run.transport.cells} and a frame for each, got "
            f"{receptors.shape} and {len(frames)} frames"
        )
    if not all(frame in range(1, last + 1) for frame in frames):
        raise InputError(
            f"frames of receptors must lie within 1..{last}, got {frames}; give winds up to each observation"
        )
    weights, observed = torch.tensor(np.asarray(receptors, np.float64)), torch.tensor(frames)
    adjoint = torch.zeros_like(weights)
    flux = np.zeros((len(receptors), last, *run.grid.shape))
    for done, k in enumerate(reversed(range(max(frames)))):
        adjoint = adjoint + weights * (observed == k + 1)[:, None, None, None]
        q, f = (
            torch.zeros_like(weights, requires_grad=True),
            torch.zeros(len(receptors), *run.grid.shape, dtype=torch.float64, requires_grad=True),
        )
        adjoint, felt = torch.autograd.grad(run.advance(q, f, k, air, ps), (q, f), adjoint)
        flux[:, k] = felt.numpy() * UMOL
        progress(done + 1, max(frames))
    return Footprint(flux, adjoint.numpy())


def trajectory(run: OfflineRun, initial: Tensor, flux: Tensor, air: AirMotion) -> Tensor:
    """As `OfflineRun.states` on the cells of the run, (time, tracer, level, lat, lon) ppm, differentiable in both.

    Only the frames are kept for the backward pass; what lies between is computed again.
    """
    ps, states = run.pressure(air), [initial]
    for k in range(len(ps) - 1):
        states.append(checkpoint(run.advance, states[-1], flux[:, k], k, air, ps, use_reentrant=False))
    return torch.stack(states)
