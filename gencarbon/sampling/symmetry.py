"""The symmetries of a passive tracer, measured on whole ensembles: f(alpha b + c, alpha F) = alpha f(b, F) + c."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gencarbon.sampling.pipeline import CO2Pipeline


def transformed(
    sets: dict[str, xr.Dataset], amplitude: float, offset: float, base: float
) -> dict[str, xr.Dataset]:
    """Inputs whose CO2 is base + amplitude (CO2 - base) + offset (ppm) and whose fluxes are amplitude times as large."""
    made = dict(sets)
    for role in ("background", "initial"):
        co2 = sets[role]["co2"]
        made[role] = sets[role].assign(co2=(base + amplitude * (co2 - base) + offset).assign_attrs(co2.attrs))
    flux = sets["fluxes"]["flux"]
    made["fluxes"] = sets["fluxes"].assign(flux=(amplitude * flux).assign_attrs(flux.attrs))
    return made


def equivariance_error(
    pipe: CO2Pipeline, sets: dict[str, Any], amplitude: float, offset: float, base: float = 400.0
) -> float:
    """Largest departure of a member from the law, relative to the standard deviation of its CO2 (dimensionless)."""
    plain = pipe(**sets, members=1, seed=0)["co2"].values
    others: dict[str, Any] = transformed(sets, amplitude, offset, base)
    moved = pipe(**others, members=1, seed=0)["co2"].values
    expected = base + amplitude * (plain - base) + offset
    return float(np.abs(moved - expected).max() / (amplitude * plain.std()))
