"""Members' own amplitudes, exp(tau z - tau^2): their draws z, and how ranks of the reference among members tell tau (decisions/0020)."""

from __future__ import annotations

from functools import lru_cache
from math import comb
from statistics import NormalDist

import numpy as np

GOLDEN, TINY = (5**0.5 - 1) / 2, 1e-9


def own_draw(seed: int, member: int) -> float:
    """A standard normal number owned by a member, the same in all its windows.

    Those of members 0 to M - 1 are spread evenly for any M, steps of the golden ratio apart: of random ones an ensemble's spread would be
    off by a tenth. Those of members 8 or 13 apart are near each other, and so are those of one of so many input members.
    """
    begin = np.random.default_rng([seed, 0x616D706C]).random()
    return NormalDist().inv_cdf(max((begin + member * GOLDEN) % 1, TINY))


def flat_departure(members: int) -> float:
    """Mean distance of the rank from the middle one where all `members` + 1 ranks are as frequent."""
    return float(np.abs(np.arange(members + 1) - members / 2).mean())


@lru_cache
def rank_slopes(members: int) -> tuple[float, float]:
    """What the mean distance of the rank from the middle one, over `flat_departure`, gains with log(spread / error) and with tau^2 of the
    members, at 0, of a Gaussian reference.

    A reference of y has rank k with Binomial(members, p), p = P(member < y), of which dp / dlog(spread) = -y phi(y) and
    dp / dtau^2 = (3 y - y^3) / 2 phi(y). For many members -2 / pi and 2 / pi.
    """
    y, k = np.linspace(-8, 8, 1601), np.arange(members)
    normal = NormalDist()
    p, phi = (np.array([of(v) for v in y])[:, None] for of in (normal.cdf, normal.pdf))
    others = [comb(members - 1, j) for j in k] * p**k * (1 - p) ** (members - 1 - k)
    off = np.abs(np.arange(members + 1) - members / 2)
    per_p = members * (others @ np.diff(off)) * phi[:, 0] ** 2  # Bernstein polynomials' derivative
    by_spread, by_tails = (np.trapezoid(per_p * change, y) for change in (-y, (3 * y - y**3) / 2))
    return float(by_spread / flat_departure(members)), float(by_tails / flat_departure(members))
