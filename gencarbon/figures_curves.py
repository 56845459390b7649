"""Scores as curves by lead time, profiles by level, and one cell per lead time and level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gencarbon.figures import (
    COARSE,
    ENSEMBLE,
    ENTRIES,
    MUTED,
    NETWORK,
    REFINED,
    bar,
    canvas,
    label,
    plain,
)

Scores = Mapping[str, xr.Dataset]  # by name of the entry; the first is the one under study
RIVALS = (
    ("coarse", "coarse run", COARSE),
    ("refined", "refined run", REFINED),
    ("mean_network", "mean network", NETWORK),
)


def coloured(scores: Scores) -> list[tuple[str, xr.Dataset, str]]:
    """(label, scores, colour) of each entry; a single one is called "ensemble"."""
    colours = [ENTRIES[n % len(ENTRIES)] for n in range(len(scores))]
    names = ["ensemble"] if len(scores) == 1 else [plain(name) for name in scores]
    return list(zip(names, scores.values(), colours, strict=True))


def lead_curves(scores: Scores) -> Figure:
    """Left: CRPS beside the absolute errors of the deterministic runs. Right: spread-skill ratio."""
    fig = canvas(10.4, 3.7)
    left, right = fig.subplots(1, 2)
    first = next(iter(scores.values()))
    for key, name, colour in RIVALS:
        if f"{key}_mae_by_lead" in first:
            values = first[f"{key}_mae_by_lead"].values
            left.plot(first.lead_time.values, values, color=colour, label=f"{name}, MAE", lw=2.2)
    for name, ds, colour in coloured(scores):
        left.plot(
            ds.lead_time.values, ds.crps_by_lead.values, color=colour, label=f"{name}, fair CRPS", lw=2.2
        )
        right.plot(ds.lead_time.values, ds.spread_skill_by_lead.values, color=colour, lw=2.2)
    left.set_ylim(bottom=0)
    label(left, "Lead time, days", "ppm", "Score of the ensemble and error of its rivals")
    left.legend(frameon=False, fontsize=9)
    right.axhspan(0.8, 1.2, color=ENSEMBLE, alpha=0.08, lw=0)
    right.axhline(1, color=MUTED, lw=1, ls="--")
    right.set_ylim(*_around_one([ds.spread_skill_by_lead.values for ds in scores.values()]))
    for text, height, where in (("too much spread", 0.96, "top"), ("too little spread", 0.04, "baseline")):
        right.annotate(text, (0.02, height), xycoords="axes fraction", va=where, color=MUTED, fontsize=9)
    label(right, "Lead time, days", "spread-skill ratio", "Calibration: 1 is right, band 0.8 to 1.2")
    return fig


def level_profiles(scores: Scores) -> Figure:
    """CRPS and errors, bias, and spread-skill ratio of each level, the surface at the bottom."""
    fig = canvas(10.4, 3.7)
    left, middle, right = fig.subplots(1, 3, sharey=True)
    first = next(iter(scores.values()))
    for key, name, colour in RIVALS:
        if f"{key}_mae_by_level" in first:
            _profile(left, first, f"{key}_mae_by_level", colour, name)
            _profile(middle, first, f"{key}_bias_by_level", colour)
    for name, ds, colour in coloured(scores):
        _profile(left, ds, "crps_by_level", colour, name)
        _profile(middle, ds, "bias_by_level", colour)
        _profile(right, ds, "spread_skill_by_level", colour)
    right.axvspan(0.8, 1.2, color=ENSEMBLE, alpha=0.08, lw=0)
    right.axvline(1, color=MUTED, lw=1, ls="--")
    middle.axvline(0, color=MUTED, lw=1, ls="--")
    left.set_xlim(left=0)
    right.set_xlim(*_around_one([ds.spread_skill_by_level.values for ds in scores.values()]))
    left.set_yticks(every(first.level.values, 12))
    label(left, "ppm", "level (1 = surface)", "Fair CRPS, or MAE of one run")
    middle.xaxis.set_major_locator(MaxNLocator(4))
    label(middle, "ppm", "", "Bias")
    label(right, "ratio", "", "Spread-skill")
    left.legend(frameon=False, fontsize=9)
    return fig


def heat_map(scores: xr.Dataset) -> Figure:
    """CRPS over the error of the coarse run (the CRPS itself where there is none), by lead time and level."""
    fig = canvas(10.4, 0.9 + 0.26 * min(max(scores.sizes["level"], 6), 14))
    ax = fig.subplots()
    rival = "crps_over_coarse_mae" in scores
    values = scores["crps_over_coarse_mae" if rival else "crps"].transpose("level", "lead_time").values
    look: dict[str, Any] = (
        {"cmap": "RdBu_r", "norm": _ratio_norm(values)} if rival else {"cmap": "magma_r", "vmin": 0}
    )
    days, levels = scores.lead_time.values, scores.level.values
    image = ax.pcolormesh(days, levels, values, shading="nearest", **look)
    ax.set_yticks(every(levels, 12))
    title = "Fair CRPS / error of the coarse run" if rival else "Fair CRPS, ppm"
    label(ax, "Lead time, days", "level (1 = surface)", title)
    ax.grid(False)
    bar(ax, image, "below 1: better than the coarse run" if rival else "ppm", "both" if rival else "max")
    return fig


def against_lead(scores: Scores, name: str, title: str, unit: str, right: float | None = None) -> Figure:
    """One score by lead time, beside the value it should have."""
    fig = canvas(5.4, 3.3)
    ax = fig.subplots()
    for entry, ds, colour in coloured(scores):
        if name in ds:
            ax.plot(ds.lead_time.values, ds[name].values, color=colour, lw=2.2, label=entry)
    key = name.removesuffix("_by_lead")
    first = next(iter(scores.values()))
    for rival, text, colour in RIVALS:
        if (other := f"{rival}_{key}_by_lead") in first:
            ax.plot(first.lead_time.values, first[other].values, color=colour, lw=2.2, label=text)
    if right is None:
        ax.set_ylim(bottom=0)
    else:
        ax.axhline(right, color=MUTED, lw=1.2, ls="--", label=f"{right:.3g} is right")
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, right - 0.1), max(high, right + 0.1))
    label(ax, "Lead time, days", unit, title)
    ax.legend(frameon=False, fontsize=9)
    return fig


def against_level(scores: Scores, name: str, title: str, unit: str, beside: str | None = None) -> Figure:
    """One score by level, the surface at the bottom; `beside`: the same score of the reference."""
    fig = canvas(5.4, 3.3)
    ax = fig.subplots()
    for entry, ds, colour in coloured(scores):
        if name in ds:
            _profile(ax, ds, name, colour, entry)
    first = next(iter(scores.values()))
    if beside in first:
        _profile(ax, first, str(beside), MUTED, "reference")
    ax.set_xlim(left=0)
    ax.set_yticks(every(first.level.values, 12))
    label(ax, unit, "level (1 = surface)", title)
    ax.legend(frameon=False, fontsize=9)
    return fig


def every(levels: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the levels, evenly, for ticks."""
    return levels[:: max(1, -(-levels.size // most))]


def _profile(ax: Axes, ds: xr.Dataset, name: str, colour: str, text: str | None = None) -> None:
    ax.plot(ds[name].values, ds.level.values, "o-", color=colour, label=text, lw=2, ms=4)


def _around_one(arrays: list[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([a[np.isfinite(a)] for a in arrays] + [np.ones(1)])
    return min(0.5, float(values.min()) - 0.1), max(1.5, float(values.max()) + 0.1)


def _ratio_norm(values: np.ndarray) -> TwoSlopeNorm:
    finite = values[np.isfinite(values)]
    reach = min(float(np.abs(finite - 1).max()), 1.0) if finite.size else 0.0
    return TwoSlopeNorm(1.0, 1 - max(reach, 0.05), 1 + max(reach, 0.05))
