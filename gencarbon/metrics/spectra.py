"""Power by scale: zonal wavenumber on each circle of latitude, spherical-harmonic degree on the globe.

Take spectra of each member and average the powers. The spectrum of an ensemble mean falls off at small scales
because the members differ there, whether or not any member is smooth.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def zonal_power(field: ArrayLike) -> Array:
    """|F_k|^2, twice for each wavenumber whose negative twin is folded in, F_k = mean_x f exp(-i k x).

    field: (..., lat, lon) on equally spaced longitudes. Returns (..., lat, wavenumber 0..nlon//2), the field's
    units squared. Parseval: the sum over wavenumber is the mean of field^2 over longitude, for even and odd nlon.
    """
    f = np.asarray(field, dtype=np.float64)
    nlon = f.shape[-1]
    power = np.abs(np.fft.rfft(f, axis=-1) / nlon) ** 2
    power[..., 1 : (nlon + 1) // 2] *= 2  # all but the mean and, for even nlon, nlon/2, which is its own twin
    return power


def degree_power(field: ArrayLike, lat: ArrayLike) -> Array:
    """S_l = sum_m |a_lm|^2, a_lm the coefficients on harmonics whose squared modulus has area mean 1.

    field: (..., lat, lon) values at the points lat_j = -90 + (j + .5) 180/nlat degrees, south to north, and
    equally spaced longitudes. Returns (..., degree 0..nlat//2), the field's units squared.

    Exact for fields of degree l <= nlat//2: there the sum over l is the area mean of field^2. Two harmonics
    multiply to a polynomial in sin(lat) of degree l + l', and Fejer's first rule integrates nlat - 1 exactly. That
    covers every pair but one: l = l' = nlat/2, for even nlat. The rule finds the squared norm of that harmonic
    1 + e_m instead of 1,

        e_m = (-1)^m 2/(n - 1) [C(n, l) / 2^n]^2 l!^2 / ((l - m)! (l + m)!),   n = nlat, l = n/2,

    at most 4 / (pi n (n - 1)), or 1.3e-3 of the coefficient on 32 latitudes. Division by the norm the rule
    finds removes it. A harmonic with nlat/2 < l <= nlat is in none of these degrees, but for a leak of less than
    1 % of its power (.3 % on 32 latitudes): of a field that is not smooth, the sum is the power in l <= nlat//2.
    Raises ValueError for other latitudes, or for fewer longitudes than degrees can be told apart on.
    """
    f, y = np.asarray(field, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    _check_grid(f.shape, y)
    nlat, nlon = f.shape[-2:]
    lmax = nlat // 2
    F = np.fft.rfft(f, axis=-1)[..., : lmax + 1] / nlon
    a = np.einsum("mlj,...jm->...ml", _analysis(nlat, lmax), F)
    power = np.abs(a) ** 2
    return np.asarray(power[..., 0, :] + 2 * power[..., 1:, :].sum(axis=-2))  # m > 0 stands for -m too


def power_ratio(members: ArrayLike, reference: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Array:
    """sum of the members' power / M / sum of the reference's power: 1 if they have the same variance at a scale.

    members: (member, ..., k), one spectrum for each member and never that of the ensemble mean;
    reference: (..., k). The sums run over `axis` of the reference, by default all but the last: returns (k,).
    axis=() keeps all: (..., k). A ratio of sums, so that a quiet day with little power does not rule the result.
    NaN where the reference has no power. Raises ValueError if the shapes do not fit.
    """
    p, ref = np.asarray(members, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if p.shape[1:] != ref.shape:
        raise ValueError(
            f"expected the spectra of members (member, *{ref.shape}) beside a reference {ref.shape}, got {p.shape}; "
            f"take the power of each member, the member axis first"
        )
    pooled = tuple(range(ref.ndim - 1)) if axis is None else axis
    mean, total = p.mean(axis=0).sum(axis=pooled), ref.sum(axis=pooled)
    return np.asarray(mean / np.where(total == 0, np.nan, total))


def fejer_weights(nlat: int) -> Array:
    """w_j = (1 - 2 sum_{k=1}^{n/2} cos(2 k theta_j) / (4 k^2 - 1)) / n at theta_j = (j + .5) pi / n. (lat,), sum 1.

    Fejer's first rule (1933), after Waldvogel (2006), doi:10.1007/s10543-006-0045-4, divided by 2:
    sum_j w_j p(sin lat_j) is the area mean of any polynomial p of degree < nlat.
    """
    theta = (np.arange(nlat) + 0.5) * np.pi / nlat
    k = np.arange(1, nlat // 2 + 1)
    return np.asarray((1 - 2 * np.cos(2 * np.outer(theta, k)) @ (1 / (4 * k**2 - 1))) / nlat)


@lru_cache(maxsize=4)
def legendre(nlat: int, lmax: int) -> Array:
    """Associated Legendre functions P_lm(sin lat) with area mean of P^2 = 1; no Condon-Shortley sign.

    Recurrence in l at fixed m of the normalised functions, which neither grows nor cancels; Holmes and
    Featherstone (2002), doi:10.1007/s00190-002-0216-2, eqs 11-13, find it good to degree 1900.
    Returns (m, l, lat), read-only, 0 where l < m: about 2 nlat^3 bytes for lmax = nlat/2 (12 MB at 1 degree).
    """
    phi = -np.pi / 2 + (np.arange(nlat) + 0.5) * np.pi / nlat
    x, cos = np.sin(phi), np.cos(phi)
    P = np.zeros((lmax + 1, lmax + 1, nlat))
    P[0, 0] = 1
    for l in range(1, lmax + 1):
        m = np.arange(l)[:, np.newaxis]
        a = np.sqrt((4 * l**2 - 1) / (l**2 - m**2))
        b = np.sqrt(((l - 1) ** 2 - m**2) / (4 * (l - 1) ** 2 - 1))  # 0 for m = l - 1, which has no l - 2
        P[:l, l] = a * (x * P[:l, l - 1] - b * P[:l, l - 2])
        P[l, l] = np.sqrt(1 + 1 / (2 * l)) * cos * P[l - 1, l - 1]
    P.flags.writeable = False  # the cache hands out one array to all
    return P


@lru_cache(maxsize=4)
def _analysis(nlat: int, lmax: int) -> Array:
    """(m, l, lat): weights that turn F_m(lat) into a_lm, divided by the squared norm that the rule itself finds."""
    P = legendre(nlat, lmax)
    weighted = P * fejer_weights(nlat)
    norm = (weighted * P).sum(axis=-1, keepdims=True)
    return np.divide(weighted, norm, out=np.zeros_like(P), where=norm > 0)  # l < m has no function


def _check_grid(shape: tuple[int, ...], lat: Array) -> None:
    """The Legendre transform below is written for one family of grids."""
    n = lat.size
    if lat.ndim != 1 or len(shape) < 2 or shape[-2] != n:
        raise ValueError(
            f"expected a field (..., lat, lon) with {n} latitudes, got {shape}; transpose or select it first"
        )
    if not np.allclose(lat, -90 + (np.arange(n) + 0.5) * 180 / n, rtol=0, atol=1e-3):
        raise ValueError(
            f"expected {n} cell centres from {-90 + 90 / n:g} to {90 - 90 / n:g} degrees, south to north, got "
            f"{lat[0]:g} to {lat[-1]:g}; sort the latitudes or remap to an equiangular global grid"
        )
    if shape[-1] <= 2 * (n // 2):
        raise ValueError(
            f"expected more than {2 * (n // 2)} longitudes to tell degrees up to {n // 2} apart, got {shape[-1]}; "
            f"remap to fewer latitudes"
        )
