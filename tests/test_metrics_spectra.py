"""Laws of the spectra: Parseval, single harmonics, exactness of the quadrature, and what an ensemble mean would hide."""

import math

import numpy as np
import pytest
from scipy.special import sph_harm_y

from gencarbon.metrics.spectra import degree_power, fejer_weights, legendre, power_ratio, zonal_power


def latitudes(n):
    return -90 + (np.arange(n) + 0.5) * 180 / n


def harmonic(l, m, nlat, nlon):
    """Real part of Y_lm by scipy (an independent code), scaled to area mean square 1, on the grid of cell centres."""
    colatitude = np.deg2rad(90 - latitudes(nlat))[:, None]
    longitude = 2 * np.pi * np.arange(nlon) / nlon
    y = sph_harm_y(l, m, colatitude, longitude).real
    return y * math.sqrt(4 * math.pi * (1 if m == 0 else 2))


def random_field(nlat, nlon, lmax, seed=0):
    """A field of degree <= lmax and the power that was put into each degree."""
    rng = np.random.default_rng(seed)
    field, power = np.zeros((nlat, nlon)), np.zeros(nlat // 2 + 1)
    for l in range(lmax + 1):
        for m in range(l + 1):
            a, shift = rng.standard_normal(), rng.integers(nlon)
            field += a * np.roll(harmonic(l, m, nlat, nlon), shift, axis=1)
            power[l] += a**2
    return field, power


@pytest.mark.parametrize("nlon", [9, 10, 64, 65])
def test_zonal_power_obeys_parseval_for_even_and_odd(nlon):
    field = 3 + np.random.default_rng(nlon).standard_normal((2, 4, nlon))
    power = zonal_power(field)
    assert power.shape == (2, 4, nlon // 2 + 1)
    np.testing.assert_allclose(power.sum(-1), (field**2).mean(-1), rtol=1e-13)
    naive = 2 * np.abs(np.fft.rfft(field) / nlon) ** 2  # the mean folded too
    assert np.all(np.abs(naive.sum(-1) - (field**2).mean(-1)) > 1)


def test_zonal_power_of_a_wave_is_half_its_squared_amplitude():
    x = 2 * np.pi * np.arange(12) / 12
    power = zonal_power(5 + 2 * np.cos(3 * x + 0.4) + 1.5 * np.cos(6 * x))
    np.testing.assert_allclose(power, [25, 0, 0, 2, 0, 0, 2.25], atol=1e-14)  # 6 = nlon/2 is not folded


@pytest.mark.parametrize("n", [7, 8, 31, 32])
def test_fejer_weights_integrate_polynomials_of_degree_below_n(n):
    x = np.sin(np.deg2rad(latitudes(n)))
    w = fejer_weights(n)
    moments = [w @ x**k - (0 if k % 2 else 1 / (k + 1)) for k in range(n)]
    np.testing.assert_allclose(moments, 0, atol=1e-15)
    cosine = np.cos(np.deg2rad(latitudes(n)))
    assert abs(cosine @ x**2 / cosine.sum() - 1 / 3) > 1e-4  # weights cos(lat) are caught
    np.testing.assert_allclose(w, w[::-1], rtol=1e-13)


@pytest.mark.parametrize(("l", "m"), [(0, 0), (1, 0), (1, 1), (5, 2), (15, 15), (16, 0), (16, 9)])
def test_a_single_harmonic_has_all_its_power_in_its_degree(l, m):
    power = degree_power(harmonic(l, m, 32, 64), latitudes(32))
    np.testing.assert_allclose(power, np.eye(17)[l], atol=1e-12)


@pytest.mark.parametrize(("nlat", "nlon"), [(16, 32), (15, 30), (16, 17)])
def test_degree_power_is_exact_to_half_the_latitudes(nlat, nlon):
    """Also for the last degree, nlat//2, and on the fewest longitudes allowed."""
    field, power = random_field(nlat, nlon, nlat // 2)
    np.testing.assert_allclose(
        degree_power(field, latitudes(nlat)), power, rtol=1e-11
    )  # rounding of nlat^2 sums


def test_the_mean_square_on_a_finer_grid_is_the_sum_over_degrees():
    """The area mean of field^2 from 4 times as many points, where its quadrature is exact."""
    nlat, fine = 12, 48
    amplitudes = np.random.default_rng(1).standard_normal((nlat // 2 + 1, nlat // 2 + 1))

    def field(n):
        return sum(
            amplitudes[l, m] * harmonic(l, m, n, 2 * n) for l in range(nlat // 2 + 1) for m in range(l + 1)
        )

    truth = fejer_weights(fine) @ (field(fine) ** 2).mean(-1)
    assert degree_power(field(nlat), latitudes(nlat)).sum() == pytest.approx(truth, rel=1e-12)
    assert (
        abs(fejer_weights(nlat) @ (field(nlat) ** 2).mean(-1) / truth - 1) > 1e-5
    )  # l = nlat/2, uncorrected


@pytest.mark.parametrize("n", [8, 32])
def test_the_norm_of_the_last_degree_is_off_by_the_stated_amount(n):
    """Every product of harmonics up to nlat/2 is exact under Fejer's rule but that of l = l' = nlat/2."""
    P, l = legendre(n, n // 2), n // 2
    gram = np.einsum("mlj,mkj,j->mlk", P, P, fejer_weights(n))
    central = (math.comb(n, l) / 2**n) ** 2
    for m in range(l + 1):
        orders = math.factorial(l) ** 2 / (math.factorial(l - m) * math.factorial(l + m))
        e = (-1) ** m * 2 / (n - 1) * central * orders
        assert gram[m, l, l] - 1 == pytest.approx(e, abs=1e-14)
        assert abs(e) < 4 / (math.pi * n * (n - 1))
    gram[:, l, l] = 1
    unit = np.array([np.diag((np.arange(l + 1) >= m).astype(float)) for m in range(l + 1)])
    unit[:, l, l] = 1
    np.testing.assert_allclose(gram, unit, atol=1e-13)
    assert gram.shape == (l + 1, l + 1, l + 1)


def test_a_degree_beyond_the_last_is_missing_but_for_a_small_leak():
    """Exactness ends where the docstring says; zonal harmonics leak most."""
    for l in range(9, 17):
        leaks = [degree_power(harmonic(l, m, 16, 32), latitudes(16)).sum() for m in range(min(l, 15) + 1)]
        assert max(leaks) == leaks[0] < 0.01
        assert leaks[0] > 1e-5


def test_legendre_functions_stay_normalised_at_high_degree():
    """By the rule itself, exact for l + l' < nlat; the factorials of the textbook formula overflow at degree 86."""
    P, w = legendre(181, 90), fejer_weights(181)
    norms = np.einsum("mj,mj,j->m", P[:, 90], P[:, 90], w)
    np.testing.assert_allclose(norms, 1, rtol=1e-12)


def test_power_does_not_depend_on_longitude_or_hemisphere_and_scales_as_a_square():
    rng = np.random.default_rng(2)
    field, lat = rng.standard_normal((3, 16, 32)), latitudes(16)
    power = degree_power(field, lat)
    assert power.shape == (3, 9)
    np.testing.assert_allclose(degree_power(np.roll(field, 5, axis=-1), lat), power, rtol=1e-11)
    np.testing.assert_allclose(degree_power(field[..., ::-1, :], lat), power, rtol=1e-11)
    np.testing.assert_allclose(degree_power(3 * field, lat), 9 * power, rtol=1e-12)
    np.testing.assert_allclose(degree_power(field[1], lat), power[1], rtol=1e-12)
    wrong = degree_power(np.roll(field, 3, axis=-2), lat)  # a rotation on the grid is none on the sphere
    assert np.abs(wrong / power - 1).max() > 0.1


def test_power_ratio_of_members_and_not_of_their_mean():
    rng = np.random.default_rng(3)
    members, truth = rng.standard_normal((10, 200, 4, 32)), rng.standard_normal((200, 4, 32))
    ratio = power_ratio(zonal_power(members), zonal_power(truth))
    assert ratio.shape == (17,)
    np.testing.assert_allclose(
        ratio, 1, atol=0.2
    )  # 800 circles: sd .05 at the mean and at nlon/2, .035 between
    of_the_mean = power_ratio(zonal_power(members.mean(0))[None], zonal_power(truth))
    assert np.all(of_the_mean < 0.2)  # 1/M: looks blurred, though no member is


def test_power_ratio_is_a_ratio_of_sums():
    members, reference = np.array([[[1.0, 0.0], [3.0, 0.0]]]), np.array([[1.0, 0.0], [1e-6, 0.0]])
    assert power_ratio(members, reference)[0] == pytest.approx(4 / (1 + 1e-6))
    assert np.isnan(power_ratio(members, reference)[1])
    each = power_ratio(members, reference, axis=())
    np.testing.assert_allclose(each[:, 0], [1, 3e6])
    assert each[:, 0].mean() > 1e6  # a mean of ratios is ruled by the quiet day


def test_power_ratio_refuses_an_ensemble_without_members():
    with pytest.raises(
        ValueError, match=r"\(member, \*\(4, 9\)\) beside a reference \(4, 9\), got \(4, 9\); take"
    ):
        power_ratio(np.ones((4, 9)), np.ones((4, 9)))


@pytest.mark.parametrize(
    ("lat", "got"),
    [
        (latitudes(16)[::-1], "got 84.375 to -84.375; sort"),
        (np.linspace(-90, 90, 16), "got -90 to 90; sort"),
        (np.degrees(np.arcsin(np.polynomial.legendre.leggauss(16)[0])), "remap to an equiangular"),
    ],
)
def test_other_latitudes_are_refused(lat, got):
    with pytest.raises(ValueError, match=got):
        degree_power(np.zeros((16, 32)), lat)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"with 16 latitudes, got \(32, 16\); transpose"):
        degree_power(np.zeros((32, 16)), latitudes(16))
    with pytest.raises(ValueError, match="expected more than 16 longitudes .* got 16; remap"):
        degree_power(np.zeros((16, 16)), latitudes(16))
