"""What an evaluation leaves behind: `scores.nc`, `scores.json`, and a table for the terminal."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import properscoring
import scipy
import xarray as xr
from rich import box
from rich.table import Table

from gencarbon.metrics.compare import FEW

LEAD_DAYS = (1, 2, 3, 5, 7, 10)
COLUMNS = {
    "crps": ("CRPS\nppm", ".3f"),
    "coarse_mae": ("coarse\nMAE ppm", ".3f"),
    "crps_over_coarse_mae": ("CRPS /\ncoarse", ".3f"),
    "crps_over_refined_mae": ("CRPS /\nrefined", ".3f"),
    "crps_over_mean_network_mae": ("CRPS /\nmean net", ".3f"),
    "crps_over_std": ("CRPS /\nstd", ".3f"),
    "spread_skill": ("spread-\nskill", ".2f"),
    "bias": ("bias\nppm", "+.3f"),
}


def write_scores(scores: xr.Dataset, out_dir: str | Path) -> tuple[Path, Path]:
    """Write `scores.nc` (netCDF 3) and `scores.json` into `out_dir` (made if needed); returns the paths."""
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    netcdf, text = folder / "scores.nc", folder / "scores.json"
    write_netcdf(scores, netcdf)
    text.write_text(json.dumps(summary(scores), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return netcdf, text


def write_netcdf(ds: xr.Dataset, path: Path) -> None:
    """netCDF 3, which everything reads."""
    _netcdf3(ds).to_netcdf(path, engine="scipy")


def summary(scores: xr.Dataset) -> dict[str, Any]:
    """The figures that a person quotes, as plain numbers with units; null where a score is undefined."""
    groups: dict[str, dict[str, Any]] = {"overall": {}, "by_lead": {}, "by_level": {}}
    for name in scores.data_vars:
        for group, entries in groups.items():
            if str(name).endswith(f"_{group}") and not str(name).startswith("budget"):
                entries[str(name).removesuffix(f"_{group}")] = _figure(scores[name])
    return {
        "title": scores.attrs.get("title", ""),
        "lead_time": _figure(scores.lead_time),
        "level": _figure(scores.level),
        **groups,
        "budget_error_max": _figure(scores.budget_error_max),
        "budget_error_max_by_lead": _figure(scores.budget_error_max_by_lead),
        "provenance": {k: v.item() if isinstance(v, np.generic) else v for k, v in scores.attrs.items()},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The software that computed the scores."""
    modules = {"numpy": np, "scipy": scipy, "xarray": xr, "properscoring": properscoring}
    return {"python": platform.python_version()} | {k: str(m.__version__) for k, m in modules.items()}


def scorecard(scores: xr.Dataset) -> Table:
    """A table for the terminal: whole days of lead (`LEAD_DAYS`, where present), levels, all pooled."""
    table = Table(
        title=f"gencarbon scorecard: {scores.sizes['member']} members, {scores.sizes['start']} start date(s)",
        box=box.SIMPLE_HEAD,
        padding=0,
        collapse_padding=True,
        pad_edge=False,
        caption="level 1 touches the surface",
    )
    columns = {name: form for name, form in COLUMNS.items() if f"{name}_overall" in scores}
    table.add_column("", no_wrap=True)
    for title, _ in columns.values():
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("budget\nerror", justify="right", no_wrap=True)

    def row(label: str, suffix: str, where: dict[str, Any], budget: float | None) -> None:
        cells = [fixed(scores[name + suffix].sel(where), form) for name, (_, form) in columns.items()]
        table.add_row(label, *cells, "" if budget is None else "-" if np.isnan(budget) else f"{budget:.0e}")

    for day in [d for d in LEAD_DAYS if np.any(scores.lead_time.values == d)]:
        row(
            f"day {day}",
            "_by_lead",
            {"lead_time": day},
            float(scores.budget_error_max_by_lead.sel(lead_time=day)),
        )
    table.add_section()
    for level in scores.level.values:
        row(f"level {level}", "_by_level", {"level": level}, None)
    table.add_section()
    row("all", "_overall", {}, float(scores.budget_error_max))
    return table


def comparison_table(comparison: xr.Dataset) -> Table:
    """Ratios of the first ensemble's scores to its rivals', green where it is surely better, red where surely worse."""
    table = Table(title=comparison.attrs["title"], box=box.SIMPLE_HEAD, padding=0, collapse_padding=True, pad_edge=False,
                  caption="ratio of scores, below 1 the first is better; * the 95 % interval of the difference excludes 0; "
                          f"† worth fewer than {FEW} independent frames")  # fmt: skip
    table.add_column("", no_wrap=True)
    for column in comparison.column.values:
        table.add_column(str(column), justify="right")
    for row in comparison.row.values:
        cells = [comparison.sel(row=row, column=column) for column in comparison.column.values]
        table.add_row(str(row), *(_verdict(cell) for cell in cells))
    return table


def _verdict(cell: xr.Dataset) -> str:
    value, low, high = (float(cell[name]) for name in ("value", "low", "high"))
    few = float(cell.n_eff) < FEW
    sure = low > 0 or high < 0
    text = f"{value:.3f}{'*' if sure else ''}{'†' if few else ''}"
    return f"[{'green' if high < 0 else 'red'}]{text}[/]" if sure else text


def fixed(value: float | xr.DataArray, form: str) -> str:
    """A number with the format's digits, and no minus sign before a zero."""
    text = format(float(value), form)
    return text.replace("-", "+") if not any(c in "123456789" for c in text) and "e" not in form else text


def _figure(array: xr.DataArray) -> dict[str, Any]:
    finite = np.where(np.isfinite(array.values), array.values.astype(object), np.array(None))
    return {
        "value": finite.tolist(),
        "dims": list(array.dims),
        "units": array.attrs.get("units", "1"),
        "long_name": array.attrs.get("long_name", ""),
    }


def _netcdf3(ds: xr.Dataset) -> xr.Dataset:
    """A copy whose integers fit netCDF 3 (32 bits)."""
    small = {name: v.astype(np.int32) for name, v in ds.variables.items() if v.dtype.kind in "iu"}
    return ds.assign_coords({k: v for k, v in small.items() if k in ds.coords}).assign(
        {k: v for k, v in small.items() if k not in ds.coords}
    )
