"""Every static figure of a report with its file name and its words; a figure whose scores are missing is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gencarbon import figures, figures_checks, figures_curves, figures_stations
from gencarbon.figures_comparison import FEW, comparison_figure, confidence
from gencarbon.figures_curves import Scores


@dataclass(frozen=True)
class Plate:
    """One figure: how to draw it, its file name, title, caption, and what it shows for those who do not see it."""

    file: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    half: bool = False


def map_plates(ensemble: xr.Dataset, reference: xr.Dataset) -> list[Plate]:
    """Fields, errors and spread of the last frame."""
    rows = figures.snapshot(ensemble, reference)
    when = f"{np.datetime_as_string(ensemble.time.values[-1], 'h').replace('T', ' ')} h UTC, the last frame"
    return [
        Plate(
            "fields_last_frame",
            "CO₂ fields",
            f"Dry-air mole fraction at {when}, in the lowest layer and as the air-mass-weighted column mean. "
            "One scale per row.",
            "Maps of CO₂: the reference beside one ensemble member, the ensemble mean and the coarse run.",
            lambda: figures.field_maps(ensemble, rows),
        ),
        Plate(
            "errors_last_frame",
            "Errors and spread",
            "Errors against the reference share one scale per row; a calibrated spread is large where errors "
            f"are. {when}.",
            "Maps of the error of the ensemble mean, the error of the coarse run, and the ensemble spread.",
            lambda: figures.error_maps(ensemble, rows),
        ),
    ]


def score_plates(scores: Scores) -> Iterator[Plate]:
    """The figures of the scores, in reading order; several entries are drawn together where that is readable."""
    first = next(iter(scores.values()))
    yield from _curves(scores, first)
    yield from _calibration(scores, first)
    yield from _laws(scores, first)


def comparison_plate(comparison: xr.Dataset) -> Plate:
    """Differences with their intervals."""
    return Plate(
        "comparison",
        "Differences and their certainty",
        f"Score of the ensemble minus score of its rival, with the {confidence(comparison)} interval. Left of "
        f"the line the ensemble is better; hollow marks rest on fewer than {FEW} independent samples.",
        "Differences of scores with intervals, one panel per rival, one line per region of the scores.",
        lambda: comparison_figure(comparison),
    )


def station_plate(stations: xr.Dataset) -> Plate:
    """Stations on a map."""
    return Plate(
        "stations",
        "Bias at stations",
        "Ensemble mean minus observation at each station, averaged over time.",
        f"Map of {stations.sizes['station']} stations coloured by the bias of the ensemble mean.",
        lambda: figures_stations.station_map(stations),
    )


def _curves(scores: Scores, first: xr.Dataset) -> Iterator[Plate]:
    yield Plate(
        "scores_by_lead",
        "By lead time",
        "All levels, weighted with air mass. The CRPS of a single run is its absolute error, so the curves "
        "compare like with like.",
        f"Curves by lead time: fair CRPS ({float(first.crps_overall):.3g} ppm overall) beside the mean absolute "
        "errors of the deterministic runs, and the spread-skill ratio "
        f"({float(first.spread_skill_overall):.2f} overall).",
        lambda: figures_curves.lead_curves(scores),
    )
    yield Plate(
        "scores_by_level",
        "By level",
        "All lead times. Level 1 touches the surface.",
        "Profiles by level of CRPS and mean absolute errors, bias, and spread-skill ratio.",
        lambda: figures_curves.level_profiles(scores),
    )
    rival = "crps_over_coarse_mae" in first
    if first.sizes["lead_time"] > 1 and first.sizes["level"] > 1:
        yield Plate(
            "scores_by_lead_and_level",
            "By lead and level",
            (
                "Blue cells are better than the coarse run, red ones worse."
                if rival
                else "All cells of a level."
            )
            + _of_first(scores),
            "Every lead time and level as a coloured cell: fair CRPS"
            + (" over the error of the coarse run." if rival else " in ppm."),
            lambda: figures_curves.heat_map(first),
        )


def _calibration(scores: Scores, first: xr.Dataset) -> Iterator[Plate]:
    yield Plate(
        "rank_histogram",
        "Calibration",
        "Flat is calibrated; a bowl means too little spread, a dome too much, a slope a bias. Ties are "
        f"broken at random.{_rank_numbers(first)}",
        "Histogram of the rank of the reference among the members, relative to the uniform share.",
        lambda: figures_checks.rank_figure(scores),
        half=True,
    )
    if coverage := [name for name in ("coverage_by_lead", "coverage90_by_lead") if name in first]:
        nominal = float(first.attrs.get("nominal_coverage", 0.9))
        yield Plate(
            "coverage_by_lead",
            "Coverage",
            f"Share of the cells whose reference lies within the central {100 * nominal:.3g} % of the ensemble.",
            f"Curve by lead time of the share of cells covered by the central interval; {nominal:.3g} is right.",
            lambda: figures_curves.against_lead(scores, coverage[0], "Central interval", "share", nominal),
            half=True,
        )
    if "energy_score_by_lead" in first:
        yield Plate(
            "energy_score_by_lead",
            "Energy score",
            "The CRPS of whole fields: it sees wrong patterns that cell by cell scores miss. Lower is better.",
            "Curve by lead time of the energy score of the ensemble, lower is better.",
            lambda: figures_curves.against_lead(scores, "energy_score_by_lead", "Energy score", _unit(first)),
            half=True,
        )


def _laws(scores: Scores, first: xr.Dataset) -> Iterator[Plate]:
    if first.budget_error.notnull().any():
        yield Plate(
            "mass_budget",
            "Mass budget",
            "Distance of each member's CO₂ mass from initial mass plus accumulated surface flux, over that flux.",
            "Mass-budget error of every member and frame on a log scale; the largest is "
            f"{float(first.budget_error.max()):.0e}.",
            lambda: figures_checks.budget_figure(scores),
            half=True,
        )
    if "continuity_residual_members" in first:
        yield Plate(
            "continuity_by_level",
            "Continuity",
            "How far each frame is from the transport of the frame before it by the given winds; members should "
            "depart from it as much as the reference does, which feels winds finer than the grid.",
            "Profile by level of the residual of the continuity equation, of members and of the reference.",
            lambda: figures_curves.against_level(
                scores,
                "continuity_residual_members",
                "Departure from transport",
                "ppm per step",
                "continuity_residual_reference",
            ),
            half=True,
        )
    if {"autocorrelation_reference", "autocorrelation_members"} & set(first.data_vars):
        yield Plate(
            "autocorrelation",
            "Memory",
            "A member should forget as fast as the reference does, neither frozen nor flickering."
            + _of_first(scores),
            "Autocorrelation in time of reference and members against the lag in days.",
            lambda: figures_checks.memory_figure(first),
            half=True,
        )
    if "step_change_w1" in first:
        yield Plate(
            "step_changes_by_level",
            "Changes from frame to frame",
            "Wasserstein distance between the changes of members and those of the reference: 0 where members "
            "move as the reference does.",
            "Profile by level of the distance between changes of members and of the reference, in ppm.",
            lambda: figures_curves.against_level(scores, "step_change_w1", "Distance of changes", "ppm"),
            half=True,
        )
    if {"spectrum_reference", "spectrum_members"} & set(first.data_vars):
        yield Plate(
            "spectra",
            "Spectra",
            "Power by degree of the spherical harmonics: members should follow the reference down to the "
            "smallest scales; their mean is smoother, as it should be." + _of_first(scores),
            "Power spectra of reference, members and ensemble mean at up to three levels, on log axes.",
            lambda: figures_checks.spectrum_figure(first),
        )


def _of_first(scores: Scores) -> str:
    return f" Shown: {next(iter(scores))}." if len(scores) > 1 else ""


def _rank_numbers(first: xr.Dataset) -> str:
    parts = []
    for name, text in (("reliability_index", "Reliability index"), ("rank_p_value", "p-value of flatness")):
        for found in (name, f"{name}_overall"):
            if found in first and first[found].size:
                values = first[found].values.ravel()
                low, high = f"{np.nanmin(values):.2g}", f"{np.nanmax(values):.2g}"
                parts.append(f"{text}: {low}." if low == high else f"{text} by level: {low} to {high}.")
                break
    return "".join(f" {part}" for part in parts)


def _unit(first: xr.Dataset) -> str:
    return first["energy_score_by_lead"].attrs.get("units", "1e-6").replace("1e-6", "ppm")
