"""Scores as rows of text, for the page and for LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from gencarbon.scorecard import LEAD_DAYS, fixed

Table = dict[str, list[list[str]]]  # "head" and "rows"

COLUMNS = {
    "crps": ("CRPS, ppm", ".3f"),
    "crps_over_coarse_mae": ("CRPS / coarse run", ".3f"),
    "crps_over_refined_mae": ("CRPS / refined run", ".3f"),
    "crps_over_mean_network_mae": ("CRPS / mean network", ".3f"),
    "spread_skill": ("Spread-skill", ".2f"),
    "bias": ("Bias, ppm", "+.3f"),
}


def columns_of(scores: Iterable[xr.Dataset]) -> list[str]:
    """Those of `COLUMNS` that any of the datasets has."""
    datasets = list(scores)
    return [name for name in COLUMNS if any(f"{name}_overall" in ds for ds in datasets)]


def titles(columns: Iterable[str]) -> list[str]:
    """The heads of columns."""
    return [COLUMNS[name][0] for name in columns]


def by_lead(scores: xr.Dataset, columns: list[str]) -> list[list[str]]:
    """A row per whole day of lead (`LEAD_DAYS`, where present)."""
    days = [d for d in LEAD_DAYS if np.any(scores.lead_time.values == d)]
    return [[f"{d} d", *_cells(scores, columns, "_by_lead", lead_time=d)] for d in days]


def by_level(scores: xr.Dataset, columns: list[str]) -> list[list[str]]:
    """A row per level."""
    return [[f"level {k}", *_cells(scores, columns, "_by_level", level=k)] for k in scores.level.values]


def overall(scores: xr.Dataset, columns: list[str], label: str = "All") -> list[str]:
    """One row: all leads and levels."""
    return [label, *_cells(scores, columns, "_overall")]


def lead_table(scores: xr.Dataset) -> Table:
    """Figures at whole days of lead: a head and rows of text."""
    columns = columns_of([scores])
    return {
        "head": [["Lead", *titles(columns)]],
        "rows": [*by_lead(scores, columns), overall(scores, columns)],
    }


def overview(scores: Mapping[str, xr.Dataset]) -> Table:
    """One row per entry, all leads and levels."""
    columns = columns_of(scores.values())
    rows = [[*overall(ds, columns, name), _budget(float(ds.budget_error_max))] for name, ds in scores.items()]
    return {"head": [["Ensemble", *titles(columns), "Budget error"]], "rows": rows}


def _budget(error: float) -> str:
    return f"{error:.0e}" if np.isfinite(error) else "–"


def _cells(scores: xr.Dataset, columns: list[str], suffix: str, **where: float) -> list[str]:
    return [
        fixed(scores[name + suffix].sel(where), COLUMNS[name][1]) if name + suffix in scores else "–"
        for name in columns
    ]
