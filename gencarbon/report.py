"""The report: one HTML file with its figures inside, which asks the network for nothing; and files for papers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined

from gencarbon.errors import InputError
from gencarbon.fieldplayer import player
from gencarbon.figures_catalogue import Plate, comparison_plate, map_plates, score_plates, station_plate
from gencarbon.figures_comparison import FEW, cells, confidence
from gencarbon.figures_stations import has_map, station_table
from gencarbon.figures_tables import lead_table, overview
from gencarbon.latex import comparison_tex, scores_tex
from gencarbon.scorecard import versions

CALIBRATED = (0.8, 1.2)  # spread-skill ratios that a reader may call calibrated
BUDGET_CLOSES = 1e-6  # of the accumulated net flux
PAPER_DPI, SCREEN_DPI = 200, 144


@dataclass(frozen=True)
class Entry:
    """An ensemble, its scores (from `evaluate`) and the name it has in the report."""

    name: str
    ensemble: xr.Dataset
    scores: xr.Dataset


@dataclass(frozen=True)
class Tile:
    """One number of the header. state: "good", "warn" or "plain"."""

    title: str
    value: str
    text: str
    state: str


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, its caption and what it shows in words for those who do not see it."""

    title: str
    caption: str
    alt: str
    uri: str
    half: bool


def write_report(
    entries: Iterable[Entry],
    reference: xr.Dataset,
    path: str | Path,
    comparison: xr.Dataset | None = None,
    stations: xr.Dataset | None = None,
) -> Path:
    """Write the report of the first of `entries`, compared with the others, to `path`.

    comparison: (row, column) `value`, `difference`, `low`, `high`, `n_eff`; stations: scores per station.
    What is not given is left out.
    """
    checked = _checked(entries)
    names = _names(checked)
    page = Environment(
        loader=PackageLoader("gencarbon", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    html = page.render(
        first_name=names[0],
        player=player(dict(zip(names, (e.ensemble for e in checked), strict=True)), reference),
        stills=[_picture(plate) for plate in map_plates(checked[0].ensemble, reference)],
        comparison=_comparison(comparison),
        stations=None if stations is None else station_table(stations),
        pictures=[_picture(plate) for plate in _plates(checked, comparison, stations)],
        **_words(checked, reference),
    )
    out = Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html, encoding="utf-8")
    return out


def write_paper_files(
    entries: Iterable[Entry],
    reference: xr.Dataset,
    folder: str | Path,
    comparison: xr.Dataset | None = None,
) -> list[Path]:
    """Write every static figure (PNG) and the tables scores.tex and comparison.tex into `folder`; their paths."""
    checked = _checked(entries)
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for plate in [*map_plates(checked[0].ensemble, reference), *_plates(checked, comparison, None)]:
        paths.append(out / f"{plate.file}.png")
        plate.draw().savefig(paths[-1], dpi=PAPER_DPI, facecolor="white")
    tables = {"scores": scores_tex(_scores(checked))}
    if comparison is not None:
        tables["comparison"] = comparison_tex(comparison, _names(checked)[0])
    for name, text in tables.items():
        paths.append(out / f"{name}.tex")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def tiles(scores: xr.Dataset) -> list[Tile]:
    """The verdict: error against the coarse run, calibration, budget."""
    out = []
    if "crps_over_coarse_mae_overall" in scores:
        ratio = float(scores.crps_over_coarse_mae_overall)
        crps, coarse = float(scores.crps_overall), float(scores.coarse_mae_overall)
        text = f"CRPS {crps:.3g} ppm; the coarse run errs by {coarse:.3g} ppm"
        out.append(Tile("CRPS / coarse-run error", f"{ratio:.3f}", text, "good" if ratio < 1 else "warn"))
    spread = float(scores.spread_skill_overall)
    low, high = CALIBRATED
    word = "too little spread" if spread < low else "too much spread" if spread > high else "calibrated"
    text = f"{word}: 1 is right, {low} to {high} is close"
    out.append(Tile("Spread-skill ratio", f"{spread:.2f}", text, "good" if low <= spread <= high else "warn"))
    out.append(_budget_tile(float(scores.budget_error_max)))
    text = "fair CRPS over the standard deviation of CO₂ in space"
    out.append(Tile("CRPS / CO₂ variability", f"{float(scores.crps_over_std_overall):.3f}", text, "plain"))
    return out


def _budget_tile(error: float) -> Tile:
    title = "Mass-budget error"
    if np.isnan(error):
        return Tile(title, "–", "not known: the ensemble lacks fluxes or air masses, or has gaps", "plain")
    closes = error <= BUDGET_CLOSES
    text = f"of the net flux, worst member and frame: the budget {'closes' if closes else 'does not close'}"
    return Tile(title, _power(error), text, "good" if closes else "warn")


def provenance(entry: Entry, reference: xr.Dataset) -> list[tuple[str, str]]:
    """Where the numbers come from, as (name, value)."""
    ensemble = entry.ensemble
    period = " to ".join(_hour(t) for t in ensemble.time.values[[0, -1]])
    grid = f"{ensemble.sizes['lat']} x {ensemble.sizes['lon']} cells, {ensemble.sizes['level']} levels"
    rows = [
        ("Period shown", period),
        ("Grid", grid),
        ("Reference", str(reference.attrs.get("title", "not named"))),
    ]
    rows += [
        (str(k).replace("_", " ").capitalize(), str(v))
        for k, v in entry.scores.attrs.items()
        if k not in ("title", "Conventions")
    ]
    return [*rows, ("Software", ", ".join(f"{k} {v}" for k, v in versions().items()))]


def _checked(entries: Iterable[Entry]) -> list[Entry]:
    checked = list(entries)
    if not checked:
        raise InputError("a report needs at least one entry, got none; give Entry(name, ensemble, scores)")
    return checked


def _names(entries: Sequence[Entry]) -> list[str]:
    """The names of the entries, told apart by their number where they are equal."""
    names = [e.name for e in entries]
    return [f"{name} ({n + 1})" if names.count(name) > 1 else name for n, name in enumerate(names)]


def _scores(entries: Sequence[Entry]) -> dict[str, xr.Dataset]:
    return dict(zip(_names(entries), (e.scores for e in entries), strict=True))


def _words(entries: Sequence[Entry], reference: xr.Dataset) -> dict[str, Any]:
    """The text of the page: title, tiles, tables, provenance."""
    first = entries[0]
    return {
        "title": first.ensemble.attrs.get("title", "CO₂ ensemble"),
        "subtitle": _subtitle(entries),
        "tiles": tiles(first.scores),
        "lead_table": lead_table(first.scores),
        "overview": overview(_scores(entries)) if len(entries) > 1 else None,
        "provenance": [(n, provenance(e, reference)) for n, e in zip(_names(entries), entries, strict=True)],
    }


def _plates(
    entries: Sequence[Entry], comparison: xr.Dataset | None, stations: xr.Dataset | None
) -> list[Plate]:
    plates = list(score_plates(_scores(entries)))
    if comparison is not None:
        plates.insert(0, comparison_plate(comparison))
    if stations is not None and has_map(stations):
        plates.append(station_plate(stations))
    return plates


def _comparison(comparison: xr.Dataset | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    rows = cells(comparison)
    return {
        "columns": [str(c) for c in comparison["column"].values],
        "rows": rows,
        "few": any(cell.few for _, line in rows for cell in line),
        "limit": FEW,
        "confidence": confidence(comparison),
    }


def _subtitle(entries: Sequence[Entry]) -> str:
    ensemble, scores = entries[0].ensemble, entries[0].scores
    days = float(scores.lead_time[-1])
    dates = "one initial date" if scores.sizes["start"] == 1 else f"{scores.sizes['start']} initial dates"
    rivals = ", ".join(_names(entries)[1:])
    compared = f", compared with {rivals}" if rivals else ""
    return (
        f"{ensemble.sizes['member']} members, {days:g} days, {dates}, scored against reference transport"
        + compared
    )


def _hour(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "h")).replace("T", " ") + " h UTC"


def _power(value: float) -> str:
    """3e-11 as 3 × 10⁻¹¹; 0 and infinity as they are."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    digits, exponent = f"{value:.0e}".split("e")
    return f"{digits} × 10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _picture(plate: Plate) -> Picture:
    buffer = BytesIO()
    plate.draw().savefig(buffer, format="png", dpi=SCREEN_DPI, facecolor="white")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(plate.title, plate.caption, plate.alt, uri, plate.half)
