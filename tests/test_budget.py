import numpy as np
import pytest

from gencarbon.budget import accumulated_flux, budget_error, co2_mass, mass_to_ppm
from gencarbon.constants import kg_co2_to_pgc, kgkg_to_ppm, pgc_to_kg_co2, ppm_to_kgkg


def test_conversions_invert_each_other():
    assert kgkg_to_ppm(ppm_to_kgkg(417.3)) == pytest.approx(417.3, rel=1e-15)
    assert kg_co2_to_pgc(pgc_to_kg_co2(9.9)) == pytest.approx(9.9, rel=1e-15)


def test_one_ppm_everywhere_weighs_what_the_literature_says():
    air = np.full((1, 2, 2), 5.1352e18 / 4)
    assert kg_co2_to_pgc(co2_mass(np.ones((1, 2, 2)), air)) == pytest.approx(2.1295, rel=2e-4)


def test_mass_is_summed_in_float64():
    rng = np.random.default_rng(0)
    co2, air = rng.uniform(399, 401, (8, 96, 192)).astype(np.float32), np.ones((8, 96, 192), np.float32)
    exact = co2.astype(np.float64).sum()
    assert co2_mass(co2, air) == pytest.approx(ppm_to_kgkg(exact), rel=1e-14)
    running = np.cumsum(co2.ravel(), dtype=np.float32)[-1]
    assert abs(running / exact - 1) > 1e-9  # the classic mistake is caught


def test_budget_error_sees_a_leak_and_divides_by_the_net_flux():
    air, area = np.full((3, 1, 2, 2), 1e15), np.full((2, 2), 1e12)
    flux = np.full((3, 2, 2), 2e-8)
    added = accumulated_flux(flux, area, 21600.0)
    assert added[0] == 0 and added[2] == pytest.approx(2 * 4 * 1e12 * 2e-8 * 21600)
    co2 = 400 + mass_to_ppm(added, air)[:, None, None, None] * np.ones((3, 1, 2, 2))
    assert budget_error(co2, air, flux, area, 21600.0).max() < 1e-9
    leak = co2.copy()
    leak[2] += 0.01 * (co2[2] - 400)
    assert budget_error(leak, air, flux, area, 21600.0)[2] == pytest.approx(0.01, rel=1e-6)
