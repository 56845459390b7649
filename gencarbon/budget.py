"""The one owner of mass, in float64.

    mass(t_n) = mass(t_0) + sum_{k<n} sum_cells flux_k area step

Errors are divided by the accumulated net flux, never by the total mass of CO2, which would hide everything.
"""

from __future__ import annotations

import numpy as np

from gencarbon.constants import kgkg_to_ppm, ppm_to_kgkg


def co2_mass(co2: np.ndarray, air_mass: np.ndarray) -> np.ndarray:
    """Mass of CO2, (...) kg, of a dry mole fraction (..., level, lat, lon) ppm in air_mass (..., level, lat, lon) kg."""
    total = np.einsum("...lyx,...lyx->...", np.asarray(co2, np.float64), np.asarray(air_mass, np.float64))
    return ppm_to_kgkg(total)


def mass_to_ppm(kg: np.ndarray, air_mass: np.ndarray) -> np.ndarray:
    """The uniform mole fraction, (...) ppm, whose CO2 mass in air_mass (..., level, lat, lon) kg is `kg`."""
    return kgkg_to_ppm(kg / np.asarray(air_mass, np.float64).sum(axis=(-3, -2, -1)))


def accumulated_flux(flux: np.ndarray, area: np.ndarray, step_seconds: float) -> np.ndarray:
    """CO2 added since the first frame, (time,) kg, of flux (time, lat, lon) kg m-2 s-1, each a mean over [t, t + step).

    The first value is 0; the flux of the last frame acts after it and is not used.
    """
    per_step = (
        np.einsum("tyx,yx->t", np.asarray(flux, np.float64), np.asarray(area, np.float64)) * step_seconds
    )
    return np.concatenate([[0.0], np.cumsum(per_step[:-1])])


def budget_error_of_masses(mass: np.ndarray, accumulated: np.ndarray) -> np.ndarray:
    """|mass_n - mass_0 - accumulated_n| / |accumulated_n|, for masses that were summed frame by frame.

    mass: (..., time) kg CO2; accumulated: (time,), or as mass, kg CO2 of net flux since frame 0.
    Returns (..., time), unit 1.
    The denominator is the net flux and not the CO2 mass of the air, beside which every error looks small.
    The first frame is 0 by definition. A later frame with no net flux is 0 if its mass
    has not changed by a bit, and infinite otherwise. NaN where a mass is.
    """
    m, added = np.asarray(mass, dtype=np.float64), np.asarray(accumulated, dtype=np.float64)
    if m.shape[-1] != added.shape[-1]:
        raise ValueError(
            f"expected one accumulated flux for each of {m.shape[-1]} frames, got {added.shape[-1]}; select the "
            f"same times"
        )
    gap = np.abs(m - m[..., :1] - added)
    with np.errstate(divide="ignore"):
        return np.divide(gap, np.abs(added), out=np.zeros_like(gap), where=gap != 0)


def budget_error(
    co2: np.ndarray, air_mass: np.ndarray, flux: np.ndarray, area: np.ndarray, step_seconds: float
) -> np.ndarray:
    """|mass - (initial mass + accumulated flux)| / |accumulated flux|, (..., time); the first frame is 0 by definition.

    co2 (..., time, level, lat, lon) ppm; air_mass (time, level, lat, lon) kg; flux (time, lat, lon) kg m-2 s-1; area (lat, lon) m2.
    """
    mass, added = co2_mass(co2, air_mass), accumulated_flux(flux, area, step_seconds)
    return budget_error_of_masses(mass, added)
