"""The look of every figure (Matplotlib's Agg), and the maps of one frame on plain longitude and latitude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from gencarbon.metrics.field import weighted_mean

INK, MUTED, GRID = "#1c2733", "#5b6875", "#e3e7eb"
COARSE, REFINED, NETWORK = "#c1552b", "#b08900", "#7a6aa8"
ENTRIES = ("#0b6e83", "#2f2f9e", "#5f9e3f", "#a3347f")  # the ensemble under study, then its rivals
ENSEMBLE = ENTRIES[0]
FIELD_MAP, ERROR_MAP, SPREAD_MAP = "YlGnBu_r", "RdBu_r", "magma_r"
STYLE: dict[str, Any] = {"fontsize": 10, "color": INK}


def snapshot(
    ensemble: xr.Dataset, reference: xr.Dataset, frame: int = -1, member: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """One frame as maps: row ("Lowest layer" | "Column mean") -> name -> (lat, lon) ppm.

    The column mean is weighted with air mass, i.e. with pressure thickness, as XCO2 is.
    """
    truth, now = reference.sel(time=ensemble.time.values[frame]), ensemble.isel(time=frame)
    order = ("level", "lat", "lon")
    air = truth.air_mass.transpose(*order).values
    members = now.co2.transpose("member", *order).values.astype(np.float64)
    fields = {
        "reference": truth.co2.transpose(*order).values.astype(np.float64)[np.newaxis],
        "members": members,
    }
    if "co2_background" in now:
        fields["coarse"] = now.co2_background.transpose(*order).values.astype(np.float64)[np.newaxis]
    rows = {
        "Lowest layer": {name: values[:, 0] for name, values in fields.items()},
        "Column mean": {name: weighted_mean(values, air, axis=1) for name, values in fields.items()},
    }
    return {row: _maps(values, member) for row, values in rows.items()}


def _maps(fields: dict[str, np.ndarray], member: int) -> dict[str, np.ndarray]:
    truth, members = fields["reference"][0], fields["members"]
    mean = members.mean(axis=0)
    maps = {"Reference": truth, f"Member {member}": members[member], "Ensemble mean": mean}
    errors = {"Error of the ensemble mean": mean - truth}
    if "coarse" in fields:
        maps["Coarse run"] = fields["coarse"][0]
        errors["Error of the coarse run"] = fields["coarse"][0] - truth
    return maps | errors | {"Ensemble spread": members.std(axis=0, ddof=1)}


def field_maps(ensemble: xr.Dataset, rows: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Reference, one member, ensemble mean and coarse run on one scale per row."""
    names = [n for n in next(iter(rows.values())) if not n.startswith(("Error", "Ensemble spread"))]
    fig, axes = _map_axes(ensemble, rows, names)
    for maps, line in zip(rows.values(), axes, strict=True):
        low, high = field_range([maps[n] for n in names])
        images = [
            _map(ax, ensemble, maps[n], FIELD_MAP, low, high) for ax, n in zip(line, names, strict=True)
        ]
        bar(line[-1], images[-1], "CO$_2$, ppm", "both")
    return fig


def error_maps(ensemble: xr.Dataset, rows: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Errors of the ensemble mean and of the coarse run on one symmetric scale, and the spread."""
    names = [n for n in next(iter(rows.values())) if n.startswith("Error")] + ["Ensemble spread"]
    fig, axes = _map_axes(ensemble, rows, names)
    for maps, line in zip(rows.values(), axes, strict=True):
        low, high = size_range([maps[n] for n in names[:-1]], signed=True)
        for ax, name in zip(line[:-1], names[:-1], strict=True):
            image = _map(ax, ensemble, maps[name], ERROR_MAP, low, high)
        bar(line[-2], image, "error, ppm", "both")
        low, high = size_range(maps["Ensemble spread"], signed=False)
        image = _map(line[-1], ensemble, maps["Ensemble spread"], SPREAD_MAP, low, high)
        bar(line[-1], image, "spread, ppm", "max")
    return fig


def field_range(values: ArrayLike) -> tuple[float, float]:
    """What the colours of fields span: all but the outermost 0.5 % on each side; NaN are passed over."""
    finite = _finite(values)
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0


def size_range(values: ArrayLike, signed: bool) -> tuple[float, float]:
    """From 0, or symmetric about it, to the size that 0.5 % of the values exceed; NaN are passed over."""
    sizes = np.abs(_finite(values))
    high = float(np.percentile(sizes, 99.5)) if sizes.size else 0.0
    high = high if high > 0 else 1.0
    return -high if signed else 0.0, high


def _finite(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def plain(name: str) -> str:
    """A name from outside as Matplotlib draws it: no mathematics, never left out of a legend."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def canvas(width: float, height: float) -> Figure:
    """An empty figure in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def label(ax: Axes, x: str, y: str, title: str) -> None:
    """Title and axis names in the house style, a light grid, no frame."""
    ax.set_title(title, loc="left", fontweight="bold", pad=8, **STYLE)
    ax.set_xlabel(x, fontsize=9, color=MUTED)
    ax.set_ylabel(y, fontsize=9, color=MUTED)
    ax.tick_params(labelsize=9, colors=MUTED, length=0)
    ax.grid(color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(GRID)


def _map_axes(ensemble: xr.Dataset, rows: dict[str, Any], names: Sequence[str]) -> tuple[Figure, np.ndarray]:
    width = 11.2 / len(names)
    fig = canvas(11.2, len(rows) * (0.4 * width + 0.2) + 0.3)
    axes = fig.subplots(len(rows), len(names), squeeze=False, sharex=True, sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, loc="left", fontweight="bold", pad=7, **STYLE)
    for ax, row in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(row, fontweight="bold", labelpad=6, **STYLE)
    return fig, axes


def _map(ax: Axes, ensemble: xr.Dataset, field: np.ndarray, colours: str, low: float, high: float) -> Any:
    image = ax.pcolormesh(
        ensemble.lon.values, ensemble.lat.values, field, cmap=colours, vmin=low, vmax=high, shading="nearest"
    )
    ax.set(
        xticks=[60, 180, 300],
        yticks=[-60, 0, 60],
        xticklabels=["60°E", "180°", "60°W"],
        yticklabels=["60°S", "0°", "60°N"],
    )
    ax.tick_params(labelsize=8, colors=MUTED, length=2)
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_color(MUTED)
        spine.set_linewidth(0.6)
    return image


def bar(ax: Axes, image: Any, text: str, extend: str) -> None:
    """A bar as high as the map it stands beside."""
    drawn = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0.0, 0.035, 1.0)), extend=extend)
    drawn.set_label(text, fontsize=9, color=MUTED)
    drawn.outline.set_visible(False)
    drawn.ax.tick_params(labelsize=8, colors=MUTED, length=2)
    drawn.locator = MaxNLocator(5)
    drawn.update_ticks()
