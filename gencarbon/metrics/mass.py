"""The mass budget as a score: how far each frame is from initial mass + accumulated flux."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gencarbon.budget import budget_error

Array = NDArray[np.float64]


def budget_error_of_masses(mass: ArrayLike, accumulated: ArrayLike) -> Array:
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


def member_budget_error(
    co2: ArrayLike, air_mass: ArrayLike, flux: ArrayLike, area: ArrayLike, step_seconds: float
) -> Array:
    """Relative budget error of each member and frame, (member, time), of an ensemble that fits in memory.

    co2: (member, time, level, lat, lon) ppm; air_mass: (time, level, lat, lon) kg; flux: (time, lat, lon)
    kg m-2 s-1, mean over [t, t + step); area: (lat, lon) m2.
    """
    x, m, f, a = (np.asarray(v, dtype=np.float64) for v in (co2, air_mass, flux, area))
    return np.asarray(budget_error(x, m, f, a, step_seconds))
