"""The report: one HTML file with its figures inside, which asks the network for nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from gencarbon import figures
from gencarbon.scorecard import LEAD_DAYS, fixed, versions

CALIBRATED = (0.8, 1.2)  # spread-skill ratios that a reader may call calibrated
BUDGET_CLOSES = 1e-6  # of the accumulated net flux


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
    half: bool = False


def write_report(ensemble: xr.Dataset, reference: xr.Dataset, scores: xr.Dataset, path: str | Path) -> Path:
    """Write the report of `scores` (from `evaluate`) to `path`; maps show the last frame."""
    page = Environment(
        loader=PackageLoader("gencarbon", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    html = page.render(
        title=ensemble.attrs.get("title", "CO₂ ensemble"),
        subtitle=_subtitle(ensemble, scores),
        tiles=tiles(scores),
        pictures=list(pictures(ensemble, reference, scores)),
        table=lead_table(scores),
        provenance=provenance(ensemble, reference, scores),
    )
    out = Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html, encoding="utf-8")
    return out


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
    budget = float(scores.budget_error_max)
    closes = budget <= BUDGET_CLOSES
    text = "of the net flux, worst member and frame: " + (
        "the budget closes" if closes else "the budget does not close"
    )
    out.append(Tile("Mass-budget error", _power(budget), text, "good" if closes else "warn"))
    text = "fair CRPS over the standard deviation of CO₂ in space"
    out.append(Tile("CRPS / CO₂ variability", f"{float(scores.crps_over_std_overall):.3f}", text, "plain"))
    return out


def pictures(ensemble: xr.Dataset, reference: xr.Dataset, scores: xr.Dataset) -> Iterator[Picture]:
    """The figures in reading order."""
    rows = figures.snapshot(ensemble, reference)
    when = f"{_hour(ensemble.time.values[-1])}, the last frame"
    s = {name: float(scores[name]) for name in ("spread_skill_overall", "budget_error_max", "crps_overall")}
    yield _picture(
        figures.field_maps(ensemble, rows),
        "CO₂ fields",
        f"Dry-air mole fraction at {when}, in the lowest layer and as the air-mass-weighted column mean. "
        f"One scale per row.",
        "Maps of CO₂: the reference beside one ensemble member, the ensemble mean and the coarse run.",
    )
    yield _picture(
        figures.error_maps(ensemble, rows),
        "Errors and spread",
        f"Errors against the reference share one scale per row; a calibrated spread is large where errors "
        f"are. {when}.",
        "Maps of the error of the ensemble mean, the error of the coarse run, and the ensemble spread.",
    )
    yield _picture(
        figures.lead_curves(scores),
        "By lead time",
        "All levels, weighted with air mass. The CRPS of a single run is its absolute error, so the curves "
        "compare like with like.",
        f"Curves by lead time: fair CRPS ({s['crps_overall']:.3g} ppm overall) beside the mean absolute "
        f"errors of the "
        f"deterministic runs, and the spread-skill ratio ({s['spread_skill_overall']:.2f} overall).",
    )
    yield _picture(
        figures.level_profiles(scores),
        "By level",
        "All lead times. Level 1 touches the surface.",
        "Profiles by level of CRPS and mean absolute errors, bias, and spread-skill ratio.",
    )
    yield _picture(
        figures.rank_figure(scores),
        "Calibration",
        "Flat is calibrated; a bowl means too little spread, a dome too much, a slope a bias. Ties are "
        "broken at random.",
        "Histogram of the rank of the reference among the members, relative to the uniform share.",
        half=True,
    )
    yield _picture(
        figures.budget_figure(scores),
        "Mass budget",
        "Distance of each member's CO₂ mass from initial mass plus accumulated surface flux, over that flux.",
        f"Mass-budget error of every member and frame on a log scale; the largest is "
        f"{s['budget_error_max']:.0e}.",
        half=True,
    )


def lead_table(scores: xr.Dataset) -> dict[str, list[list[str]]]:
    """Figures at whole days of lead: a head and rows of text."""
    columns = {
        "crps": ("CRPS, ppm", ".3f"),
        "crps_over_coarse_mae": ("CRPS / coarse run", ".3f"),
        "crps_over_refined_mae": ("CRPS / refined run", ".3f"),
        "crps_over_mean_network_mae": ("CRPS / mean network", ".3f"),
        "spread_skill": ("Spread-skill", ".2f"),
        "bias": ("Bias, ppm", "+.3f"),
    }
    columns = {k: v for k, v in columns.items() if f"{k}_overall" in scores}
    rows = []
    for day in [d for d in LEAD_DAYS if np.any(scores.lead_time.values == d)]:
        cells = [fixed(scores[f"{k}_by_lead"].sel(lead_time=day), f) for k, (_, f) in columns.items()]
        rows.append([f"{day} d", *cells])
    rows.append(["All", *(fixed(scores[f"{k}_overall"], f) for k, (_, f) in columns.items())])
    return {"head": [["Lead", *(title for title, _ in columns.values())]], "rows": rows}


def provenance(ensemble: xr.Dataset, reference: xr.Dataset, scores: xr.Dataset) -> list[tuple[str, str]]:
    """Where the numbers come from, as (name, value)."""
    period = " to ".join(_hour(t) for t in ensemble.time.values[[0, -1]])
    grid = f"{ensemble.sizes['lat']} x {ensemble.sizes['lon']} cells, {ensemble.sizes['level']} levels"
    rows = [
        ("Period shown", period),
        ("Grid", grid),
        ("Reference", str(reference.attrs.get("title", "not named"))),
    ]
    rows += [
        (str(k).replace("_", " ").capitalize(), str(v))
        for k, v in scores.attrs.items()
        if k not in ("title", "Conventions")
    ]
    return [*rows, ("Software", ", ".join(f"{k} {v}" for k, v in versions().items()))]


def _subtitle(ensemble: xr.Dataset, scores: xr.Dataset) -> str:
    days = float(scores.lead_time[-1])
    dates = "one initial date" if scores.sizes["start"] == 1 else f"{scores.sizes['start']} initial dates"
    return f"{ensemble.sizes['member']} members, {days:g} days, {dates}, scored against reference transport"


def _hour(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "h")).replace("T", " ") + " h UTC"


def _power(value: float) -> str:
    """3e-11 as 3 × 10⁻¹¹; 0 and infinity as they are."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    digits, exponent = f"{value:.0e}".split("e")
    return f"{digits} × 10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _picture(figure: Figure, title: str, caption: str, alt: str, half: bool = False) -> Picture:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=144, facecolor="white")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(title, caption, alt, uri, half)
