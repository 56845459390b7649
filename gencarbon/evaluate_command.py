"""`gencarbon evaluate`: everything that can be said of some ensembles, in a folder that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import xarray as xr
from rich.table import Table

from gencarbon.comparison import compare
from gencarbon.data.checks import refuse_existing
from gencarbon.data.input_members import expanded
from gencarbon.evaluation import accumulate
from gencarbon.evaluation_checks import check, check_alike
from gencarbon.observation_scores import score_columns, score_stations, station_table
from gencarbon.report import Entry, write_paper_files, write_report
from gencarbon.residual import check_winds, transport_residual
from gencarbon.scorecard import comparison_table, scorecard, write_netcdf, write_scores
from gencarbon.scores import BASELINES


@dataclass(frozen=True)
class Inputs:
    """Opened datasets and wishes. ensembles: name -> E, the first under study."""

    ensembles: dict[str, xr.Dataset]
    reference: xr.Dataset
    stations: xr.Dataset | None = None
    columns: xr.Dataset | None = None
    winds: xr.Dataset | None = None
    mask_nan: bool = False
    scheduler: str | None = None


def evaluate_to_folder(
    inputs: Inputs, out: Path, progress: Callable[[str, int, int], None]
) -> tuple[list[Table], Path]:
    """Score, write `out`; returns tables for the terminal and the path of the report. Raises InputError before any work."""
    refuse_existing(out)
    inputs = replace(inputs, ensembles={name: expanded(ds) for name, ds in inputs.ensembles.items()})
    for ensemble in inputs.ensembles.values():
        check(ensemble, inputs.reference)
    first = next(iter(inputs.ensembles.values()))
    check_alike(inputs.ensembles)
    winds = None if inputs.winds is None else check_winds(first, inputs.winds)
    observed = _observed(inputs)  # small beside the rest, and its input is as easily wrong
    sums = {
        name: accumulate(
            ensemble,
            inputs.reference,
            inputs.mask_nan,
            inputs.scheduler,
            partial(progress, name),
        )
        for name, ensemble in inputs.ensembles.items()
    }
    rivals = len(sums) > 1 or any(name in first for name in BASELINES.values())
    comparison = compare(sums) if rivals else None
    scores = {name: found.to_dataset() for name, found in sums.items()}
    if winds is not None:
        name = next(iter(scores))
        scores[name] = scores[name].merge(transport_residual(first, inputs.reference, winds))
    unfinished = out.with_name(out.name + ".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _write(inputs, scores, comparison, observed, unfinished)
        unfinished.rename(out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    tables = [scorecard(s) for s in scores.values()] + (
        [comparison_table(comparison)] if comparison is not None and len(sums) > 1 else []
    )
    return [*tables, *(station_table(s) for s in observed.values())], out / "report.html"


def _observed(inputs: Inputs) -> dict[str, xr.Dataset]:
    """Scores of the first ensemble against observations, "stations" and "columns" where given."""
    first, found = next(iter(inputs.ensembles.values())), {}
    if inputs.stations is not None:
        found["stations"] = score_stations(first, inputs.stations, inputs.mask_nan)
    if inputs.columns is not None:
        found["columns"] = score_columns(first, inputs.columns, inputs.mask_nan)
    return found


def _write(
    inputs: Inputs,
    scores: dict[str, xr.Dataset],
    comparison: xr.Dataset | None,
    observed: dict[str, xr.Dataset],
    folder: Path,
) -> None:
    folder.mkdir()
    for n, (name, ds) in enumerate(scores.items()):
        write_scores(
            ds.assign_attrs(ensemble=name),
            folder if n == 0 else folder / "rivals" / f"{n}_{name.replace('/', '_')}",
        )
    compared = {} if comparison is None else {"comparison": comparison}
    for name, ds in (compared | observed).items():
        write_netcdf(ds, folder / f"{name}.nc")
    entries = [Entry(name, ensemble, scores[name]) for name, ensemble in inputs.ensembles.items()]
    write_report(entries, inputs.reference, folder / "report.html", comparison, observed.get("stations"))
    write_paper_files(entries, inputs.reference, folder / "paper", comparison)
