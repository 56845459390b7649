"""Is the ensemble calibrated, conservative and as sharp as the reference? Ranks, budget, spectra, memory."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gencarbon.figures import COARSE, ENSEMBLE, INK, MUTED, canvas, label
from gencarbon.figures_curves import Scores, coloured

PALE = "#b9c3cc"  # the reference, drawn wide behind what should follow it
MEAN = "#a3347f"
SPECTRA = (  # variable, label, colour, line
    ("spectrum_reference", "reference", PALE, "-"),
    ("spectrum_members", "members, mean of their powers", ENSEMBLE, "-"),
    ("spectrum_mean", "ensemble mean", MEAN, "--"),
)


def rank_figure(scores: Scores) -> Figure:
    """Share of the cells in which the reference has each rank; flat for a calibrated ensemble."""
    fig = canvas(5.4, 3.3)
    ax = fig.subplots()
    top = 1.5
    for n, (name, ds, colour) in enumerate(coloured(scores)):
        counts = ds.rank_count_overall.values
        share = counts / counts.mean()
        top = max(top, 1.1 * float(share.max()))
        if n == 0:
            ax.bar(ds["rank"].values, share, color=colour, width=0.86, label=name)
        else:  # ensembles of another size have other ranks: outlines on the axis of the first
            place = np.linspace(0, next(iter(scores.values())).sizes["rank"] - 1, share.size)
            ax.step(place, share, where="mid", color=colour, lw=2, label=name)
    ax.axhline(1, color=INK, lw=1.2, ls="--")
    ax.set_ylim(0, top)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    label(ax, "Rank of the reference among the members", "share / uniform share", "Rank histogram")
    if len(scores) > 1:
        ax.legend(frameon=False, fontsize=9)
    return fig


def budget_figure(scores: Scores) -> Figure:
    """Relative budget error of every member and frame on a logarithmic axis."""
    fig = canvas(5.4, 3.3)
    ax = fig.subplots()
    floor = np.finfo(np.float64).eps
    for name, ds, colour in coloured(scores):
        days = ds.lead_time.values
        dots = np.maximum(ds.budget_error.transpose("lead_time", "start", "member").values, floor)
        ax.plot(days, dots.reshape(days.size, -1), ".", color=colour, alpha=0.45, ms=5, mew=0)
        worst = np.maximum(ds.budget_error_max_by_lead.values, floor)
        single = len(scores) == 1
        ax.plot(days, worst, color=INK if single else colour, lw=1.4, label="largest" if single else name)
    ax.axhline(1e-6, color=COARSE, lw=1.2, ls="--", label="1e-6 of the net flux")
    ax.set_yscale("log")
    errors = np.concatenate([ds.budget_error.values.ravel() for ds in scores.values()])
    largest = errors[np.isfinite(errors)].max(initial=0)  # without net flux an error is infinite
    ax.set_ylim(bottom=floor / 3, top=max(1e-4, 10 * largest))
    label(ax, "Lead time, days", "relative error", "CO$_2$ mass budget, one dot per member and frame")
    ax.legend(frameon=False, fontsize=9)
    return fig


def spectrum_figure(scores: xr.Dataset) -> Figure:
    """Power by degree of the spherical harmonics, in up to three levels: what the mean smooths away."""
    levels = scores.level.values
    shown = levels[sorted({0, levels.size // 2, levels.size - 1})]
    fig = canvas(10.4, 3.7)
    axes = fig.subplots(1, shown.size, squeeze=False)[0]
    for ax, level in zip(axes, shown, strict=True):
        for name, text, colour, line in SPECTRA:
            if name in scores:
                power = scores[name].sel(level=level)
                keep = (power.degree.values > 0) & (power.values > 0)
                style = {"color": colour, "ls": line, "lw": _width(name), "label": text}
                ax.loglog(power.degree.values[keep], power.values[keep], **style)
        label(ax, "Degree", "ppm²" if ax is axes[0] else "", f"Level {level}")
    axes[0].legend(frameon=False, fontsize=9)
    return fig


def memory_figure(scores: xr.Dataset) -> Figure:
    """Autocorrelation in time of reference and members."""
    fig = canvas(5.4, 3.3)
    ax = fig.subplots()
    names = (
        ("reference", PALE, "-"),
        ("members", ENSEMBLE, "-"),
    )
    for name, colour, line in names:
        if (variable := f"autocorrelation_{name}") in scores:
            array = scores[variable]
            others = [d for d in array.dims if d != "lag"]
            lag = array.lag.values
            days = lag / np.timedelta64(1, "D") if lag.dtype.kind == "m" else lag
            ax.plot(days, array.mean(others).values, color=colour, ls=line, lw=_width(variable), label=name)
    ax.axhline(0, color=MUTED, lw=1, ls="--")
    label(ax, "Lag, days", "correlation", "Autocorrelation in time")
    ax.legend(frameon=False, fontsize=9)
    return fig


def _width(name: str) -> float:
    return 6.0 if name.endswith("_reference") else 2.0
