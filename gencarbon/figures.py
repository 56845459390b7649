"""The figures of the report, drawn with Matplotlib's Agg: plain longitude-latitude maps, curves, profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gencarbon.metrics.field import weighted_mean

INK, MUTED, GRID = "#1c2733", "#5b6875", "#e3e7eb"
ENSEMBLE, COARSE, REFINED, NETWORK = "#0b6e83", "#c1552b", "#b08900", "#7a6aa8"
FIELD_MAP, ERROR_MAP, SPREAD_MAP = "YlGnBu_r", "RdBu_r", "magma_r"
STYLE: dict[str, Any] = {"fontsize": 10, "color": INK}


def snapshot(
    ensemble: xr.Dataset, reference: xr.Dataset, member: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """The last frame as maps: row ("Lowest layer" | "Column mean") -> name -> (lat, lon) ppm.

    The column mean is weighted with air mass, i.e. with pressure thickness, as XCO2 is.
    """
    truth, last = reference.sel(time=ensemble.time.values[-1]), ensemble.isel(time=-1)
    order = ("level", "lat", "lon")
    air = truth.air_mass.transpose(*order).values
    members = last.co2.transpose("member", *order).values.astype(np.float64)
    fields = {
        "reference": truth.co2.transpose(*order).values.astype(np.float64)[np.newaxis],
        "members": members,
    }
    if "co2_background" in last:
        fields["coarse"] = last.co2_background.transpose(*order).values.astype(np.float64)[np.newaxis]
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
        low, high = np.percentile([maps[n] for n in names], [0.5, 99.5])
        images = [
            _map(ax, ensemble, maps[n], FIELD_MAP, low, high) for ax, n in zip(line, names, strict=True)
        ]
        _colour_bar(line[-1], images[-1], "CO$_2$, ppm", "both")
    return fig


def error_maps(ensemble: xr.Dataset, rows: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Errors of the ensemble mean and of the coarse run on one symmetric scale, and the spread."""
    names = [n for n in next(iter(rows.values())) if n.startswith("Error")] + ["Ensemble spread"]
    fig, axes = _map_axes(ensemble, rows, names)
    for maps, line in zip(rows.values(), axes, strict=True):
        limit = float(np.percentile(np.abs([maps[n] for n in names[:-1]]), 99.5)) or 1.0
        for ax, name in zip(line[:-1], names[:-1], strict=True):
            image = _map(ax, ensemble, maps[name], ERROR_MAP, -limit, limit)
        _colour_bar(line[-2], image, "error, ppm", "both")
        high = float(np.percentile(maps["Ensemble spread"], 99.5)) or 1.0
        image = _map(line[-1], ensemble, maps["Ensemble spread"], SPREAD_MAP, 0, high)
        _colour_bar(line[-1], image, "spread, ppm", "max")
    return fig


def lead_curves(scores: xr.Dataset) -> Figure:
    """Left: CRPS beside the absolute errors of the deterministic runs. Right: spread-skill ratio."""
    fig = Figure(figsize=(10.4, 3.7), layout="constrained")
    left, right = fig.subplots(1, 2)
    days = scores.lead_time.values
    rivals = [
        ("coarse_mae", "coarse run, MAE", COARSE),
        ("refined_mae", "refined run, MAE", REFINED),
        ("mean_network_mae", "mean network, MAE", NETWORK),
    ]
    for name, label, colour in [*rivals, ("crps", "ensemble, fair CRPS", ENSEMBLE)]:
        if f"{name}_by_lead" in scores:
            left.plot(days, scores[f"{name}_by_lead"].values, color=colour, label=label, lw=2.2)
    left.set_ylim(bottom=0)
    _label(left, "Lead time, days", "ppm", "Score of the ensemble and error of its rivals")
    left.legend(frameon=False, fontsize=9)
    right.axhspan(0.8, 1.2, color=ENSEMBLE, alpha=0.08, lw=0)
    right.axhline(1, color=MUTED, lw=1, ls="--")
    ratio = scores.spread_skill_by_lead.values
    right.plot(days, ratio, color=ENSEMBLE, lw=2.2)
    right.set_ylim(min(0.5, np.nanmin(ratio) - 0.1), max(1.5, np.nanmax(ratio) + 0.1))
    right.annotate(
        "too much spread", (0.02, 0.96), xycoords="axes fraction", va="top", color=MUTED, fontsize=9
    )
    right.annotate("too little spread", (0.02, 0.04), xycoords="axes fraction", color=MUTED, fontsize=9)
    _label(right, "Lead time, days", "spread-skill ratio", "Calibration: 1 is right, band 0.8 to 1.2")
    return fig


def level_profiles(scores: xr.Dataset) -> Figure:
    """CRPS and errors, bias, and spread-skill ratio of each level, the surface at the bottom."""
    fig = Figure(figsize=(10.4, 3.7), layout="constrained")
    left, middle, right = fig.subplots(1, 3, sharey=True)
    level, spread_skill = scores.level.values, scores.spread_skill_by_level.values
    for prefix, label, colour in (
        ("coarse", "coarse run", COARSE),
        ("refined", "refined run", REFINED),
        ("mean_network", "mean network", NETWORK),
        ("", "ensemble", ENSEMBLE),
    ):
        error, offset = (f"{prefix}_mae", f"{prefix}_bias") if prefix else ("crps", "bias")
        if f"{error}_by_level" in scores:
            left.plot(scores[f"{error}_by_level"].values, level, "o-", color=colour, label=label, lw=2, ms=4)
            middle.plot(scores[f"{offset}_by_level"].values, level, "o-", color=colour, lw=2, ms=4)
    right.axvspan(0.8, 1.2, color=ENSEMBLE, alpha=0.08, lw=0)
    right.axvline(1, color=MUTED, lw=1, ls="--")
    middle.axvline(0, color=MUTED, lw=1, ls="--")
    right.plot(spread_skill, level, "o-", color=ENSEMBLE, lw=2, ms=4)
    left.set_xlim(left=0)
    right.set_xlim(min(0.5, np.nanmin(spread_skill) - 0.1), max(1.5, np.nanmax(spread_skill) + 0.1))
    left.set_yticks(level if level.size <= 12 else level[:: -(-level.size // 12)])
    _label(left, "ppm", "level (1 = surface)", "Fair CRPS, or MAE of one run")
    middle.xaxis.set_major_locator(MaxNLocator(4))
    _label(middle, "ppm", "", "Bias")
    _label(right, "ratio", "", "Spread-skill")
    left.legend(frameon=False, fontsize=9)
    return fig


def rank_figure(scores: xr.Dataset) -> Figure:
    """Share of the cells in which the reference has each rank; flat for a calibrated ensemble."""
    fig = Figure(figsize=(5.4, 3.3), layout="constrained")
    ax = fig.subplots()
    counts = scores.rank_count_overall.values
    share = counts / counts.mean()
    ax.bar(scores["rank"].values, share, color=ENSEMBLE, width=0.86)
    ax.axhline(1, color=INK, lw=1.2, ls="--")
    ax.set_ylim(0, max(1.5, 1.1 * share.max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label(ax, "Rank of the reference among the members", "share / uniform share", "Rank histogram")
    return fig


def budget_figure(scores: xr.Dataset) -> Figure:
    """Relative budget error of every member and frame on a logarithmic axis."""
    fig = Figure(figsize=(5.4, 3.3), layout="constrained")
    ax = fig.subplots()
    floor = np.finfo(np.float64).eps
    days = scores.lead_time.values
    for run in scores.budget_error.values:
        for member in run:
            ax.plot(days, np.maximum(member, floor), ".", color=ENSEMBLE, alpha=0.45, ms=5, mew=0)
    ax.plot(
        days, np.maximum(scores.budget_error_max_by_lead.values, floor), color=INK, lw=1.4, label="largest"
    )
    ax.axhline(1e-6, color=COARSE, lw=1.2, ls="--", label="1e-6 of the net flux")
    ax.set_yscale("log")
    ax.set_ylim(bottom=floor / 3, top=max(1e-4, 10 * float(scores.budget_error_max)))
    _label(ax, "Lead time, days", "relative error", "CO$_2$ mass budget, one dot per member and frame")
    ax.legend(frameon=False, fontsize=9)
    return fig


def _label(ax: Axes, x: str, y: str, title: str) -> None:
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
    fig = Figure(figsize=(11.2, len(rows) * (0.4 * width + 0.2) + 0.3), layout="constrained")
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


def _colour_bar(ax: Axes, image: Any, label: str, extend: str) -> None:
    """A bar as high as the map it stands beside."""
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0.0, 0.035, 1.0)), extend=extend)
    bar.set_label(label, fontsize=9, color=MUTED)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8, colors=MUTED, length=2)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()
