"""The budget score: a closing ensemble passes, and every kind of leak is caught."""

import numpy as np
import pytest

from gencarbon.budget import accumulated_flux, budget_error, co2_mass
from gencarbon.constants import kg_co2_to_pgc
from gencarbon.metrics import budget_error_of_masses
from tests.synthetic import STEP_HOURS

STEP = STEP_HOURS * 3600.0


def arrays(ensemble):
    return (ensemble[name].values for name in ("co2", "air_mass", "flux", "cell_area"))


def test_a_closing_ensemble_closes_for_every_member_and_frame(tiny_ensemble):
    co2, air, flux, area = arrays(tiny_ensemble[0])
    error = budget_error(co2, air, flux, area, STEP)
    assert error.shape == (6, 9)
    assert error.max() < 1e-10


@pytest.mark.parametrize("leak", ["one member", "one frame", "no flux", "float32"])
def test_a_violated_budget_is_caught(tiny_ensemble, leak):
    co2, air, flux, area = arrays(tiny_ensemble[0])
    co2 = co2.copy()
    if leak == "one member":
        co2[3, 1:] += 1e-4
    elif leak == "one frame":
        co2[2, 5] += 1e-4
    elif leak == "no flux":
        flux = np.zeros_like(flux) + 1e-12
    else:
        co2 = co2.astype(np.float32)
    error = budget_error(co2, air, flux, area, STEP)
    assert error.max() > 1e-6
    if leak == "one frame":
        assert np.argwhere(error > 1e-6).tolist() == [[2, 5]]


def test_masses_summed_frame_by_frame_give_the_error_of_the_whole(tiny_ensemble):
    co2, air, flux, area = arrays(tiny_ensemble[0])
    co2 = co2 + 1e-3 * np.random.default_rng(0).standard_normal(co2.shape)
    masses = np.stack([co2_mass(co2[:, n], air[n]) for n in range(9)], axis=-1)
    by_frame = budget_error_of_masses(masses, accumulated_flux(flux, area, STEP))
    np.testing.assert_allclose(by_frame, budget_error(co2, air, flux, area, STEP), rtol=1e-6, atol=1e-12)


def test_the_denominator_is_the_net_flux():
    """Mass 1000 + 10, flux says 8: the error is 2 / 8, not 2 / 1000."""
    np.testing.assert_allclose(budget_error_of_masses([1000.0, 1010.0], [0.0, 8.0]), [0, 0.25])


def test_without_net_flux_an_unchanged_mass_closes_and_a_changed_one_does_not():
    np.testing.assert_array_equal(budget_error_of_masses([5.0, 5.0, 6.0], [0.0, 0.0, 0.0]), [0, 0, np.inf])


def test_one_ppm_of_the_atmosphere_in_pgc():
    """+1 ppm everywhere in 5.1352e18 kg of dry air is 2.1295 PgC."""
    air = np.full((1, 2, 2), 5.1352e18 / 4)
    assert kg_co2_to_pgc(co2_mass(np.ones((1, 2, 2)), air)) == pytest.approx(2.1295, abs=5e-4)


def test_a_flux_for_each_frame_is_needed():
    with pytest.raises(ValueError, match="one accumulated flux for each of 3 frames, got 2; select"):
        budget_error_of_masses(np.zeros(3), np.zeros(2))


def test_a_mass_that_is_not_known_is_not_called_closed():
    error = budget_error_of_masses(np.array([[1.0, np.nan, 3.0]]), np.array([0.0, 1.0, 2.0]))
    assert np.isnan(error[0, 1])
    assert error[0, 2] == 0
