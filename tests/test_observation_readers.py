"""Files of observations, read; what cannot be used is counted, what cannot be known is refused."""

import numpy as np
import pytest
import torch
import xarray as xr

from gencarbon.data.observations import read_observations
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.observation_scores import SOUNDINGS, score_columns
from tests import layouts_observations as layouts
from tests.layouts_observations import COLUMNS, COUNT, REJECTED, START, lite, mip, obspack, prior, tccon
from tests.test_observations import field, operator

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = HybridLevels((0.0, 0.0, 500.0, 3000.0, 4000.0, 0.0), (1.0, 0.85, 0.6, 0.25, 0.05, 0.0))
TIMES = START + np.arange(5) * np.timedelta64(6, "h")
PPM = {"units": "1e-6"}


def test_a_site_is_a_station_without_what_its_flags_reject(tmp_path):
    made = read_observations(obspack(tmp_path))
    good = np.delete(np.arange(COUNT), REJECTED)
    assert made["co2"].dims == ("station", "time")
    assert made["co2"].attrs["units"] == made["co2_error"].attrs["units"] == "1e-6"
    np.testing.assert_allclose(made["co2"][0], 410 + 0.1 * good, rtol=1e-12)
    np.testing.assert_array_equal(made["time"], layouts.where()[0][good])
    assert np.isnan(made["co2_error"][0, list(good).index(4)])  # 0 is no error
    assert float(made["co2_error"][0, 0]) == pytest.approx(0.2)
    assert float(made["lat"][0]) == 19.536
    assert float(made["altitude"][0, 0]) == 3437
    assert made["station_name"].values.tolist() == ["MLO"]
    said = made.attrs["repairs"]
    assert f"{len(REJECTED)} of {COUNT} rejected by qcflag" in said
    assert "fixed site" in said
    blind = read_observations(obspack(tmp_path, change=lambda ds: ds.drop_vars("qcflag")))
    assert blind.sizes["time"] == COUNT
    assert "no qcflag" in blind.attrs["repairs"]


def test_a_moving_platform_keeps_the_position_of_every_observation(tmp_path):
    made = read_observations(obspack(tmp_path, moving=True, dim="obs"))
    good = np.delete(np.arange(COUNT), REJECTED)
    assert made["co2"].dims == ("observation",)
    np.testing.assert_allclose(made["lat"], layouts.where()[1][good])
    np.testing.assert_allclose(made["altitude"], np.linspace(300, 12000, COUNT)[good])
    assert "moving" in made.attrs["repairs"]
    at_rest = lambda ds: ds.assign_attrs(site_longitude=np.float32(-1e34))  # noqa: E731
    assert read_observations(obspack(tmp_path, change=at_rest))["co2"].dims == ("observation",)
    profile = lambda ds: ds.assign(latitude=ds.latitude + np.linspace(0, 1, COUNT))  # noqa: E731
    over_a_site = read_observations(obspack(tmp_path, change=profile))
    assert over_a_site["co2"].dims == ("observation",)  # whatever site_longitude says


def test_lost_positions_and_values_are_counted(tmp_path):
    def lose(ds):
        ds["latitude"][0], ds["altitude"][1], ds["value"][4] = -1e34, np.nan, np.nan
        return ds

    made = read_observations(obspack(tmp_path, moving=True, change=lose))
    assert made.sizes["observation"] == COUNT - len(REJECTED) - 3
    assert "1 of 12 without a value" in made.attrs["repairs"]
    assert "2 of 12 without a time or a position" in made.attrs["repairs"]


@pytest.mark.parametrize("write", COLUMNS, ids=lambda f: f.__name__)
def test_columns_are_read_lazily_and_good_ones_only(write, tmp_path):
    made = read_observations(write(tmp_path))
    good = np.delete(np.arange(COUNT), layouts.BAD) if write is not tccon else np.arange(COUNT)
    assert made.sizes["sounding"] == COLUMNS[write] == good.size
    assert set(SOUNDINGS) <= set(made.variables)  # the layout that scores read
    for name, dims in SOUNDINGS.items():
        assert made[name].dims == dims
    assert made["averaging_kernel"].chunks is not None
    p = made["pressure_level"].values
    assert made["pressure_level"].attrs["units"] == "Pa"
    np.testing.assert_allclose(made["co2_prior"], prior(p), rtol=1e-6)
    np.testing.assert_allclose(made["pressure_weight"].sum("retrieval_level"), 1, rtol=1e-6)
    np.testing.assert_array_equal(made["time"], layouts.where()[0][good])
    if write is not tccon:
        surface = 9.8e4 + 3e3 * np.cos(np.deg2rad(made["lat"].values))
        np.testing.assert_allclose(p[:, -1], surface, rtol=1e-6)
        assert "2 of 12 of bad quality" in made.attrs["repairs"]


def test_a_canonical_file_can_be_scored(tiny_ensemble, tmp_path):
    E, _ = tiny_ensemble
    seen = read_observations(lite(tmp_path))
    seen["time"] = ("sounding", E.time.values[1] + (seen.time.values - START) / 4)
    assert score_columns(E, seen).sizes["sounding"] == COLUMNS[lite]


def test_the_wet_prior_is_dried_and_forgetting_it_costs_ppm(tmp_path):
    path = tccon(tmp_path)
    made, raw = read_observations(path), xr.open_dataset(path)
    assert "dried" in made.attrs["repairs"]
    assert "X2007" in made.attrs["repairs"]
    forgotten = made.assign(co2_prior=(made["co2_prior"].dims, raw["prior_co2"].values, PPM))
    x = field()
    error = (operator(forgotten)(x) - operator(made)(x)).numpy()
    assert 0.5 < error.min() < error.max() < 5
    # by the file's own formula, on wet mole fractions
    x = torch.full_like(x, 412.0)
    f, o, a = (raw[name].values for name in ("prior_h2o", "integration_operator", "ak_xco2"))
    by_hand = raw["prior_xco2"].values + (o * a * (412 * (1 - f) - raw["prior_co2"].values)).sum(axis=1)
    np.testing.assert_allclose(operator(made)(x), by_hand, atol=0.03)  # the oxygen column, divided out


def test_an_operator_that_does_not_give_its_own_prior_is_left_out(tmp_path):
    def spoil(ds):
        ds["integration_operator"][5] *= 1.02
        return ds

    made = read_observations(tccon(tmp_path, change=spoil))
    assert made.sizes["sounding"] == COUNT - 1
    assert "1 of 12 whose integration operator does not give prior_xco2" in made.attrs["repairs"]


def without_units(name):
    def change(ds):
        ds[name].attrs.pop("units")
        return ds

    return change


def units(name, text):
    return lambda ds: ds.assign({name: ds[name].assign_attrs(units=text)})


@pytest.mark.parametrize(
    ("write", "change", "said"),
    [
        (obspack, without_units("value"), "variable value as: co2: expected units ppm.*no units attribute"),
        (obspack, units("value", "furlong"), "furlong"),
        (obspack, without_units("altitude"), "altitude: expected units m, got no units"),
        (obspack, units("altitude", "km"), "altitude: expected units m, got units 'km'"),
        (obspack, lambda ds: ds.assign(value=ds.value / 200), "co2: expected 50 .. 5000 ppm"),
        (obspack, lambda ds: ds.assign(qcflag=("time", np.full(COUNT, b"N.."))), "12 of 12 rejected"),
        (lite, without_units("xco2_apriori"), "xco2_apriori.*no units attribute"),
        (lite, without_units("pressure_levels"), "pressure_levels.*no units attribute"),
        (lite, units("co2_profile_apriori", "K"), "co2_profile_apriori.*'K'"),
        (lite, lambda ds: ds.drop_vars("xco2_quality_flag"), "expected variable xco2_quality_flag"),
        (mip, without_units("psurf"), "psurf.*no units attribute"),
        (tccon, lambda ds: ds.drop_vars("prior_h2o"), "expected variable prior_h2o.*cannot be dried"),
        (tccon, without_units("prior_h2o"), "prior_h2o: expected units 1, got no units"),
        (tccon, units("prior_h2o", "percent"), "prior_h2o: expected units 1, got units 'percent'"),
        (tccon, lambda ds: ds.assign(prior_h2o=ds.prior_h2o * 1e6), "prior_h2o: expected mol mol-1 below"),
        (tccon, without_units("prior_pressure"), "prior_pressure.*no units attribute"),
        (tccon, lambda ds: ds.drop_vars("integration_operator"), "expected variable integration_operator"),
        (
            tccon,
            lambda ds: ds.assign_coords(ak_altitude=ds.ak_altitude + 1),
            "ak_altitude: expected the levels",
        ),
        (tccon, lambda ds: ds.assign(ak_xco2=ds.ak_xco2.T), "ak_xco2: expected dims"),
    ],
)
def test_what_cannot_be_known_is_refused(write, change, said, tmp_path):
    path = write(tmp_path, change=change)
    with pytest.raises(InputError, match=said):
        read_observations(path)


def test_a_dry_prior_is_not_dried_twice(tmp_path):
    dry = {"standard_name": "dry_atmosphere_mole_fraction_of_carbon_dioxide"}
    change = lambda ds: ds.assign(prior_co2=ds.prior_co2.assign_attrs(dry))  # noqa: E731
    with pytest.raises(InputError, match="expected a wet mole fraction"):
        read_observations(tccon(tmp_path, change=change))


def test_unknown_layouts_are_refused(tiny_ensemble, tmp_path):
    with pytest.raises(InputError, match="expected one of ObsPack, OCO-2 Lite, .*TCCON, got variables"):
        read_observations(tiny_ensemble[0])
    with pytest.raises(InputError, match="nothing at this path"):
        read_observations(tmp_path / "none.nc")
