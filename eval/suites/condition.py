"""Does the generator use what it is given? Wrong winds and fluxes must hurt, unseen ones must not, and CO2 that is added must be there."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from eval.benchmark import Figure
from eval.cases import case_starts
from eval.remember import remembered
from gencarbon.budget import co2_mass
from gencarbon.data.views import canonical_datasets
from gencarbon.evaluation import accumulate
from gencarbon.intervals import date_intervals
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.sampling.symmetry import transformed

PULSE = 1e-6  # kg m-2 s-1 for one step, in one cell: some ten times the strongest flux there is
CELLS = ((24, 10), (7, 50))  # row and column of cells in the westerlies, north and south
LATER = 8  # frames after the pulse
SHIFT = 160.0  # ppm
UNSEEN = {
    "initial": 1.0,
    "fossil": -0.5,
    "land": 2.0,
    "ocean": 3.0,
    "regional": -2.0,
}  # of the tagged tracers


def figures(
    pipe: CO2Pipeline, store: xr.Dataset, data: dict[str, Any], seed: int
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Figures `condition/...`, and notes."""
    starts = case_starts(data, store, data["condition_dates"])
    names = ("plain", "bare", "permuted_winds", "permuted_fluxes", "shifted", "unseen_fluxes")
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for k, first in enumerate(starts):
        other = starts[(k + len(starts) // 2) % len(starts)]
        for name in names:
            key = {
                "condition": name,
                "first": first,
                "other": other,
                "digest": pipe.digest,
                "seed": seed,
                "data": data,
            }
            make = lambda n=name, f=first, o=other: _case(pipe, store, n, f, o, data, seed)  # noqa: E731
            scores[name].append(remembered("generator", key, make))

    def ratios(dates: np.ndarray) -> dict[str, float]:
        crps, coarse = (
            {n: np.mean([found[k][i] for k in dates]) for n, found in scores.items()} for i in (0, 1)
        )
        # other fluxes make other CO2: what counts is the CRPS in units of the coarse run's error
        unseen, plain = (crps[name] / coarse[name] for name in ("unseen_fluxes", "plain"))
        wrong = {name: crps[name] / crps["bare"] for name in ("permuted_winds", "permuted_fluxes")}
        return wrong | {"shifted": crps["shifted"] / crps["plain"], "unseen_fluxes": unseen / plain}

    made = {f"condition/{n}": Figure(float(v), "1") for n, v in ratios(np.arange(len(starts))).items()}
    for name, ends in date_intervals(ratios, len(starts)).items():
        for end, value in zip(("low", "high"), ends):
            made[f"interval/condition/{name}/{end}"] = Figure(value, "1")
    made |= _pulse(pipe, canonical_datasets(store, slice(starts[0], starts[0] + pipe.frames + LATER)), seed)
    about = "winds of a date half a split away; fluxes turned by half the globe; CRPS over that with the right ones, no background in either"
    laws = "shifted and pulse_mass_error hold by construction; unseen is a mixture of the tagged tracers outside the training's total"
    return made, {
        "permuted": about,
        "laws": laws,
        "unseen": UNSEEN,
        "dates": len(starts),
        "pulse_kg_m-2_s-1": PULSE,
    }


def _case(
    pipe: CO2Pipeline, store: xr.Dataset, name: str, first: int, other: int, data: dict[str, Any], seed: int
) -> tuple[float, float]:
    """CRPS and the coarse run's absolute error (ppm), all leads, of one date."""
    frames = data["condition_frames"]
    weights = None
    if name == "unseen_fluxes":
        weights = np.array([UNSEEN[str(tracer)] for tracer in store.tracer_name.values])
    sets: dict[str, Any] = canonical_datasets(store, slice(first, first + frames), weights)
    reference = sets.pop("reference")
    if name == "permuted_winds":
        wrong = canonical_datasets(store, slice(other, other + frames))["winds"]
        sets["winds"] = wrong.assign_coords(time=sets["winds"].time)
    if name == "permuted_fluxes":
        sets["fluxes"] = sets["fluxes"].roll(lon=sets["fluxes"].sizes["lon"] // 2, roll_coords=False)
    if name in ("bare", "permuted_winds", "permuted_fluxes"):
        del sets["background"]  # it would tell of the right winds and fluxes
    if name == "shifted":
        base = float(store.attrs["base_co2_ppm"])
        sets = transformed(sets, 1.0, SHIFT, base)
        reference = reference.assign(co2=(reference.co2 + SHIFT).assign_attrs(reference.co2.attrs))
    ensemble = pipe(**sets, members=data["condition_members"], seed=seed + first)
    scored = accumulate(ensemble, reference).to_dataset()
    return float(scored.crps_overall), float(scored.coarse_mae_overall)


def _pulse(pipe: CO2Pipeline, sets: dict[str, Any], seed: int) -> dict[str, Figure]:
    """CO2 added in one cell: its mass in every member, how far east all runs take it in two days, and how far members differ from the refined one."""
    sets = {role: ds for role, ds in sets.items() if role in ("winds", "fluxes", "initial")}
    plain, worst, ways = pipe(**sets, members=4, seed=seed), 0.0, []
    step = float((plain.time.values[1] - plain.time.values[0]) / np.timedelta64(1, "s"))
    for row, column in CELLS:
        flux = sets["fluxes"].flux.copy(deep=True)
        flux[0, row, column] += PULSE
        pulsed = pipe(**sets | {"fluxes": sets["fluxes"].assign(flux=flux)}, members=4, seed=seed)
        added = PULSE * float(plain.cell_area[row, column]) * step
        gained = co2_mass(pulsed.co2.values - plain.co2.values, plain.air_mass.values)[:, 1:]
        worst = max(worst, float(np.abs(gained / added - 1).max()))
        ways += [[_east_of(pulsed[n] - plain[n], plain.air_mass, column) for n in ("co2", "co2_refined")]]
    return {
        "condition/pulse_mass_error": Figure(worst, "1"),
        "condition/pulse_way": Figure(float(min(way.min() for both in ways for way in both)), "cells"),
        "condition/pulse_way_miss": Figure(
            max(float(np.abs(made - refined).max()) for made, refined in ways), "cells"
        ),
    }


def _east_of(difference: xr.DataArray, air: xr.DataArray, column: int) -> np.ndarray:
    """How many cells east of `column` the mean of a plume lies in the last frame, by member."""
    last = (difference * air).isel(time=LATER).sum(("level", "lat"))
    size = last.sizes["lon"]
    offset = (np.arange(size) - column + size // 2) % size - size // 2
    return np.asarray((last.clip(min=0) * offset).sum("lon") / last.clip(min=0).sum("lon"))
