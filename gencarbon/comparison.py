"""Is one ensemble better than its rivals, and how sure is that? Paired by frame, with block-bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from gencarbon.errors import InputError
from gencarbon.metrics import Mean, Paired, paired_interval
from gencarbon.scores import BASELINES, TITLES, Scores

CONFIDENCE = 0.95
SEED = 0  # of the bootstrap
LEAD_ROWS = 4  # parts into which lead times are cut
SCORES = {"crps": "CRPS", "squared_error": "squared error of the mean", "energy_score": "energy score"}


def compare(entries: Mapping[str, Scores]) -> xr.Dataset:
    """The first of `entries` (name -> Scores of the same cases) against the others and against its own deterministic rivals.

    dims (row, column): `value`, ratio of the two mean scores (below 1: the first is better); `difference`, first minus rival, with
    `low` and `high` of its 95 % interval, in the unit of the score; `n_eff`, independent frames that the series is worth.
    Fair CRPS of the first against the absolute error of one run, which is its CRPS. Raises InputError for other cases.
    """
    (_, first), *others = entries.items()
    for name, scores in others:
        _check_cases(first, scores, name)
        _check_cells(first, scores, name)
    columns = dict(_columns(first, dict(others)))
    if not columns:
        raise InputError(
            "nothing to compare with: expected a second ensemble or co2_background in the first, got neither"
        )
    rows = dict(_rows(first))
    found = [[_paired(*pair, where) for pair in columns.values()] for where in rows.values()]
    table = {
        "value": "ratio of the scores, first / rival",
        "difference": "first - rival",
        "low": "of the interval",
        "high": "of the interval",
        "n_eff": "effective number of frames",
    }
    ds = xr.Dataset(
        {
            name: (("row", "column"), [[getattr(cell, name) if name != "value" else ratio for cell, ratio in line] for line in found],
                   {"units": "1" if name in ("value", "n_eff") else "1e-6 (squared for squared errors)", "long_name": text})
            for name, text in table.items()
        },
        {"row": list(rows), "column": list(columns)},
    )  # fmt: skip
    return ds.assign_attrs(
        title=f"{next(iter(entries))} against its rivals", level_of_confidence=CONFIDENCE, bootstrap_seed=SEED
    )


def _columns(first: Scores, others: Mapping[str, Scores]) -> Iterator[tuple[str, tuple[Mean, Mean]]]:
    """Label -> (score of the first, score of the rival), each a Mean (start, lead_time, level)."""
    for key in BASELINES:
        if f"{key}_absolute_error" in first.means:
            yield f"CRPS vs {TITLES[key]}", (first.means["crps"], first.means[f"{key}_absolute_error"])
    for name, scores in others.items():
        for key, text in SCORES.items():
            yield f"{text} vs {name}", (first.means[key], scores.means[key])


def _rows(scores: Scores) -> Iterator[tuple[str, tuple[slice | np.ndarray, slice | list[int]]]]:
    """Label -> (lead times, levels) that a row pools."""
    everything = slice(None)
    yield "all", (everything, everything)
    parts = np.array_split(np.arange(scores.lead_time.size), min(LEAD_ROWS, scores.lead_time.size // 4))
    for part in parts if len(parts) > 1 else []:
        a, b = scores.lead_time[part[[0, -1]]]
        yield f"day {a:g} to {b:g}", (part, everything)
    for k, level in enumerate(scores.level):
        yield f"level {level}", (everything, [k])


def _paired(mine: Mean, theirs: Mean, where: tuple) -> tuple[Paired, float]:
    """Interval of the difference over the frames of a row, and the ratio of the pooled scores."""
    leads, levels = where
    a, b = (
        Mean(m.total[:, leads][..., levels], m.weight[:, leads][..., levels]).sum(-1) for m in (mine, theirs)
    )
    if (a.weight == 0).any():  # frames that are masked altogether
        kept = (a.weight > 0).all(axis=0)
        a, b = (Mean(m.total[:, kept], m.weight[:, kept]) for m in (a, b))
    if a.total.size == 0:
        return Paired(np.nan, np.nan, np.nan, 0.0, 0), np.nan
    rng = np.random.default_rng(SEED)
    bottom = float(b.sum().value)
    return paired_interval(a.value, b.value, rng, CONFIDENCE), float(
        a.sum().value
    ) / bottom if bottom else np.nan


def _check_cells(first: Scores, other: Scores, name: str) -> None:
    if not np.array_equal(first.means["crps"].weight, other.means["crps"].weight):
        raise InputError(
            f"ensembles are compared on the same cells, but {name} leaves out others than the first; mask both where either has a NaN"
        )


def _check_cases(first: Scores, other: Scores, name: str) -> None:
    for what, mine, theirs in (
        ("initial dates", first.start.astype(str).tolist(), other.start.astype(str).tolist()),
        ("lead times (days)", first.lead_time.tolist(), other.lead_time.tolist()),
        ("levels", first.level.tolist(), other.level.tolist()),
    ):
        if mine != theirs:
            raise InputError(
                f"ensembles are compared on the same {what}: expected {mine}, got {theirs} of {name}; select what they share first"
            )
