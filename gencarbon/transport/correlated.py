"""Two tracers on a curve: what a scheme does to their relation. Lauritzen et al. (2012, doi:10.5194/gmd-5-887-2012, section 3.5).

xi = psi(chi) = 0.9 - 0.8 chi^2 at the start, and for ever in the exact solution. A cell off the curve has mixed as nature could
(between the curve and its chord), or in a way it could not: unmixed within the range of the data, or outside it.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

LOW, HIGH = 0.1, 1.0  # range of chi, the cosine bells
POINTS = 200  # points of the curve among which the nearest is sought, before refinement

Value = TypeVar("Value", float, np.ndarray)


def partner(chi: Value) -> Value:
    """xi = psi(chi)."""
    return 0.9 - 0.8 * chi**2


def distance(chi: np.ndarray, xi: np.ndarray) -> np.ndarray:
    """Distance of each cell to the curve, both axes in units of their ranges."""
    wide, high = HIGH - LOW, partner(LOW) - partner(HIGH)
    square = lambda c: ((chi - c) / wide) ** 2 + ((xi - partner(c)) / high) ** 2  # noqa: E731
    curve = np.linspace(LOW, HIGH, POINTS)
    nearest = np.full(chi.shape, curve[0])
    for c in curve[1:]:
        nearest = np.where(square(c) < square(nearest), c, nearest)
    for _ in range(30):  # Newton's method on half the derivative of the square
        slope = -(chi - nearest) / wide**2 + 1.6 * nearest * (xi - partner(nearest)) / high**2
        bend = 1 / wide**2 + (1.6 * (xi - partner(nearest)) + 2.56 * nearest**2) / high**2
        nearest = np.clip(nearest - slope / bend, LOW, HIGH)
    return np.sqrt(square(nearest))


def diagnostics(chi: np.ndarray, xi: np.ndarray, area: np.ndarray) -> dict[str, float]:
    """Mean distances (1): `real` mixing, `unmixing` within the ranges, `overshooting`. chi, xi: (lat, lon) at half the period."""
    chord = partner(LOW) + (partner(HIGH) - partner(LOW)) * (chi - LOW) / (HIGH - LOW)
    rounding = 1e-12
    inside = (chi >= LOW - rounding) & (chi <= HIGH + rounding)
    inside &= (xi >= partner(HIGH) - rounding) & (xi <= partner(LOW) + rounding)
    mixed = inside & (xi <= partner(chi) + rounding) & (xi >= chord - rounding)
    share = distance(chi, xi) * area / area.sum()
    return {
        "real": float(share[mixed].sum()),
        "unmixing": float(share[inside & ~mixed].sum()),
        "overshooting": float(share[~inside].sum()),
    }
