"""Differences of scores with their intervals: who is better, by how much, and whether that is certain."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gencarbon.figures import INK, MUTED, canvas, label, plain
from gencarbon.metrics.compare import FEW

SYMBOLS = {"better": "▲", "worse": "▼", "undecided": "○", "missing": "–"}
COLOURS = {"better": "#00795a", "worse": "#c8460a", "undecided": "#7b8792", "missing": "#7b8792"}
MARKERS = {"better": "^", "worse": "v", "undecided": "o", "missing": "o"}


@dataclass(frozen=True)
class Cell:
    """First entry against one rival: ratio of the scores, difference first - rival with its interval."""

    ratio: float
    difference: float
    low: float
    high: float
    n_eff: float
    units: str = "ppm"

    @property
    def verdict(self) -> str:
        """ "better" | "worse" (the interval excludes 0; low scores win) | "undecided" | "missing"."""
        if not np.isfinite([self.low, self.high]).all():
            return "missing"
        return "better" if self.high < 0 else "worse" if self.low > 0 else "undecided"

    @property
    def few(self) -> bool:
        """Whether fewer than `FEW` independent samples (or an unknown number) carry the interval."""
        return self.verdict != "missing" and not self.n_eff >= FEW

    @property
    def symbol(self) -> str:
        """The verdict for those who do not see colours."""
        return SYMBOLS[self.verdict]

    @property
    def value(self) -> str:
        """The ratio, marked where the samples are few."""
        if not np.isfinite(self.ratio):
            return "–"
        return f"{self.ratio:.3f}" + ("†" if self.few else "")

    @property
    def interval(self) -> str:
        """The difference and its interval as text."""
        if self.verdict == "missing":
            return ""
        low, middle, high = (self.signed(x).replace("-", "−") for x in (self.low, self.difference, self.high))
        return f"{middle} [{low}, {high}]"

    def signed(self, x: float) -> str:
        """A bound or the difference, to a hundredth of the width of the interval or finer."""
        width = self.high - self.low
        decimals = int(np.clip(2 - np.floor(np.log10(width)), 0, 8)) if width > 0 else 3
        return f"{x:+.{decimals}f}"

    @property
    def words(self) -> str:
        """All of the cell in words."""
        if self.verdict == "missing":
            return "no result"
        n = f"{self.n_eff:.0f}" if np.isfinite(self.n_eff) else "unknown"
        return f"{self.verdict}: difference {self.interval} {self.units}, {n} independent samples"


def cells(comparison: xr.Dataset) -> list[tuple[str, list[Cell]]]:
    """(row label, one cell per column) of a comparison."""
    full = comparison[["value", "difference", "low", "high", "n_eff"]].broadcast_like(comparison["value"])
    full = full.transpose("row", "column")
    units = [_units(comparison, str(column)) for column in comparison["column"].values]
    arrays = [full[name].values for name in ("value", "difference", "low", "high", "n_eff")]
    stacked = np.stack(arrays, axis=-1).astype(np.float64).tolist()
    return [
        (str(row), [Cell(*_five(numbers), unit) for numbers, unit in zip(line, units, strict=True)])
        for row, line in zip(comparison["row"].values, stacked, strict=True)
    ]


def _five(numbers: list[float]) -> tuple[float, float, float, float, float]:
    value, difference, low, high, n_eff = numbers
    return value, difference, low, high, n_eff


def _units(comparison: xr.Dataset, column: str) -> str:
    """Those of a difference: ppm, or its square for squared errors."""
    given = comparison["difference"].attrs.get("units", "1e-6")
    return given if not given.startswith("1e-6") else "ppm²" if "squared" in column else "ppm"


def confidence(comparison: xr.Dataset) -> str:
    """The level of confidence of the intervals, such as "95 %"."""
    return f"{100 * float(comparison.attrs.get('level_of_confidence', 0.95)):g} %"


def comparison_figure(comparison: xr.Dataset) -> Figure:
    """A panel per rival: difference and interval of each row, its shape and colour saying the verdict."""
    rows, columns = cells(comparison), [str(c) for c in comparison["column"].values]
    fig = canvas(10.4, 1.3 + 0.27 * len(rows))
    axes = fig.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for n, (ax, title) in enumerate(zip(axes, columns, strict=True)):
        for place, (_, line) in enumerate(rows):
            _whisker(ax, place, line[n])
        ax.axvline(0, color=INK, lw=1, ls="--")
        label(
            ax,
            f"difference, {plain(rows[0][1][n].units)}",
            "",
            plain(fill(title, max(14, 80 // len(columns)))),
        )
        ax.xaxis.set_major_locator(MaxNLocator(3 if len(columns) > 3 else 5))
    axes[0].set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
    axes[0].invert_yaxis()
    marks = [
        Line2D([], [], color=COLOURS[v], marker=MARKERS[v], lw=0, label=v)
        for v in ("better", "undecided", "worse")
    ]
    fig.legend(
        handles=marks, loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=MUTED
    )
    return fig


def _whisker(ax: Axes, place: int, cell: Cell) -> None:
    if cell.verdict == "missing":
        return
    colour = COLOURS[cell.verdict]
    ax.plot([cell.low, cell.high], [place, place], color=colour, lw=2.2, solid_capstyle="round")
    face = "white" if cell.few else colour
    ax.plot(cell.difference, place, MARKERS[cell.verdict], color=colour, mfc=face, ms=7)
