"""Winds, fluxes and states that carry members: who is given what, and whose budget a member closes."""

import numpy as np
import pytest
import xarray as xr

from gencarbon import InputError, evaluate
from gencarbon.data.files import open_dataset
from gencarbon.data.input_members import by_input_member, expanded
from gencarbon.sampling.store_run import sample_to_store
from tests import canonical
from tests.tiny_model import inputs, tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline(steps=3)


def several_fluxes(sets, factors=(1.0, 2.0)):
    parts = [
        sets["fluxes"].assign(flux=(f * sets["fluxes"].flux).assign_attrs(sets["fluxes"].flux.attrs))
        for f in factors
    ]
    return xr.concat(parts, "number")


def test_a_member_is_what_it_would_be_with_its_own_input_alone(pipe):
    sets = inputs()
    both = pipe(**sets | {"fluxes": several_fluxes(sets)}, members=3, seed=2)
    assert both.input_of_member.values.tolist() == [0, 1, 0] and both.attrs["inputs"] == 2
    for factor, which in ((1.0, [0, 2]), (2.0, [1])):
        alone = pipe(**sets | {"fluxes": several_fluxes(sets, (factor,)).isel(number=0)}, members=3, seed=2)
        assert np.array_equal(both.co2[which], alone.co2[which])
        assert "input" not in alone.dims and "input_of_member" not in alone.coords
    assert both.flux.dims == ("input", "time", "lat", "lon") and both.air_mass.dims == (
        "time",
        "level",
        "lat",
        "lon",
    )
    runs = [
        pipe(**sets | {"fluxes": several_fluxes(sets, (f,)).isel(number=0)}, members=1) for f in (1.0, 2.0)
    ]
    assert np.allclose(both.co2_refined, (runs[0].co2_refined + runs[1].co2_refined) / 2, atol=1e-9)


def test_every_member_closes_the_budget_of_its_own_fluxes_and_air(pipe, tmp_path):
    sets = inputs()
    winds = xr.concat([sets["winds"], sets["winds"].assign(u=sets["winds"].u + 3.0)], "realization")
    winds["surface_pressure"] = winds.surface_pressure + xr.DataArray([0.0, 100.0], dims="realization")
    winds.surface_pressure.attrs = sets["winds"].surface_pressure.attrs
    winds["hybrid_a"], winds["hybrid_b"] = sets["winds"].hybrid_a, sets["winds"].hybrid_b
    given = sets | {"fluxes": several_fluxes(sets), "winds": winds}
    made = pipe(**given, members=3, mean_network=True)
    reference = sets["background"].assign(air_mass=made.air_mass.isel(input=0, drop=True))
    scores = evaluate(made, reference)
    assert made.air_mass.dims[0] == "input" and float(scores.budget_error_max) < 1e-9
    swapped = made.assign_coords(input_of_member=("member", [1, 0, 1]))
    assert (
        float(evaluate(swapped, reference).budget_error_max) > 1e-3
    )  # with another member's fluxes it does not close
    sample_to_store(pipe, given, 3, 0, tmp_path / "e.zarr")
    stored = open_dataset(tmp_path / "e.zarr")
    xr.testing.assert_equal(stored.co2.load(), made.co2)
    assert float(evaluate(stored, reference).crps_overall) == float(scores.crps_overall)
    assert expanded(stored).flux.sizes["member"] == 3


def test_numbers_of_members_that_differ_are_refused():
    sets = inputs()
    with pytest.raises(InputError, match="'winds': 3, 'fluxes': 2"):
        by_input_member(sets | {"fluxes": several_fluxes(sets), "winds": sets["winds"].expand_dims(member=3)})
    assert (
        len(by_input_member(sets)) == 1 and len(by_input_member(sets | {"fluxes": several_fluxes(sets)})) == 2
    )
    assert canonical.fluxes(8).identical(by_input_member(sets)[0]["fluxes"])
