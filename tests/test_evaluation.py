"""The evaluation: figures against the metrics by hand, invariances, pooling, files, and every refusal."""

import json
from io import StringIO

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate, evaluate, scorecard, write_scores
from gencarbon.metrics import crps_fair, rmse, spread_skill, weighted_mean, weighted_variance
from tests.synthetic import synthetic_ensemble


def test_figures_are_those_of_the_metrics_on_the_whole_arrays(tiny_ensemble):
    E, R = tiny_ensemble
    s = evaluate(E, R)
    co2, truth, air = E.co2.values[:, 1:], R.co2.values[1:], R.air_mass.values[1:]
    crps, mae = crps_fair(co2, truth), np.abs(E.co2_background.values[1:] - truth)
    network = np.abs(E.co2_mean_network.values[1:] - truth)
    std = np.sqrt(np.average(weighted_variance(truth, air, (1, 2, 3)), weights=air.sum((1, 2, 3))))
    expected = {
        "crps_overall": weighted_mean(crps, air),
        "coarse_mae_overall": weighted_mean(mae, air),
        "crps_skill_coarse_overall": 1 - (crps * air).sum() / (mae * air).sum(),
        "crps_over_coarse_mae_overall": (crps * air).sum() / (mae * air).sum(),
        "crps_over_mean_network_mae_overall": (crps * air).sum() / (network * air).sum(),
        "rmse_overall": rmse(co2.mean(0), truth, air),
        "coarse_rmse_overall": rmse(E.co2_background.values[1:], truth, air),
        "spread_skill_overall": spread_skill(co2, truth, air),
        "co2_std_overall": std,
        "crps_over_std_overall": weighted_mean(crps, air) / std,
    }
    for name, value in expected.items():
        assert float(s[name]) == pytest.approx(float(value), rel=1e-10), name
    np.testing.assert_allclose(s.crps, weighted_mean(crps, air, (2, 3)), rtol=1e-10)
    np.testing.assert_allclose(s.crps_by_level, weighted_mean(crps, air, (0, 2, 3)), rtol=1e-10)
    np.testing.assert_allclose(
        s.spread_skill_by_lead[3], spread_skill(co2[:, 3], truth[3], air[3]), rtol=1e-10
    )
    np.testing.assert_allclose(
        s.co2_std[2, 1], np.sqrt(weighted_variance(truth[2, 1], air[2, 1])), rtol=1e-10
    )


def test_a_calibrated_ensemble_reads_as_calibrated(tiny_ensemble):
    s = evaluate(*tiny_ensemble)
    assert float(s.spread_skill_overall) == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(s.rank_count_overall / s.rank_count_overall.mean(), 1, atol=0.25)
    assert float(s.budget_error_max) < 1e-10
    narrow = tiny_ensemble[0].copy()
    narrow["co2"] = (narrow.co2.mean("member") + 0.5 * (narrow.co2 - narrow.co2.mean("member"))).assign_attrs(
        units="1e-6"
    )
    t = evaluate(narrow.transpose("member", ...), tiny_ensemble[1])
    assert float(t.spread_skill_overall) < 0.6  # half the spread is caught
    assert float(t.rank_count_overall[0] / t.rank_count_overall.mean()) > 1.5


def test_the_coarse_run_as_its_own_ensemble_has_no_skill(tiny_ensemble):
    E, R = tiny_ensemble
    E["co2"] = E.co2_background.expand_dims(member=E.member)
    assert float(evaluate(E, R).crps_skill_coarse_overall) == pytest.approx(0, abs=1e-12)


def test_the_known_first_frame_is_left_out_and_an_unknown_one_is_scored(tiny_ensemble):
    E, R = tiny_ensemble
    np.testing.assert_allclose(evaluate(E, R).lead_time, np.arange(1, 9) / 4)
    E.attrs.pop("initial_frame")
    np.testing.assert_allclose(evaluate(E, R).lead_time, np.arange(9) / 4)


def test_a_lazy_store_in_any_chunks_and_a_longer_reference_change_nothing(tiny_ensemble, tmp_path):
    E, R = tiny_ensemble
    E.chunk({"member": 2, "time": 4, "lat": 3}).to_zarr(tmp_path / "e.zarr")
    longer = xr.concat(
        [R, R.isel(time=[-1]).assign_coords(time=R.time[[-1]] + np.timedelta64(6, "h"))],
        "time",
        data_vars="minimal",
    )
    xr.testing.assert_identical(evaluate(xr.open_zarr(tmp_path / "e.zarr"), longer), evaluate(E, R))


def test_member_order_and_dimension_order_change_nothing(tiny_ensemble):
    E, R = tiny_ensemble
    s, t = (
        evaluate(E, R),
        evaluate(E.isel(member=[3, 1, 5, 0, 2, 4]).transpose("lon", "lat", "level", "time", ...), R),
    )
    xr.testing.assert_allclose(
        s.drop_vars("budget_error"), t.drop_vars("budget_error"), rtol=1e-6, atol=1e-11
    )
    np.testing.assert_array_equal(s.rank_count, t.rank_count)


def test_pooling_initial_dates_is_one_evaluation_of_all_cases():
    (E, R), (F, Q) = synthetic_ensemble(seed=1), synthetic_ensemble(seed=2, start="2001-02-01")
    a, b = accumulate(E, R), accumulate(F, Q)
    s = (a + b).to_dataset()
    crps = np.concatenate([crps_fair(e.co2.values[:, 1:], r.co2.values[1:]) for e, r in ((E, R), (F, Q))])
    air = np.concatenate([R.air_mass.values[1:], Q.air_mass.values[1:]])
    assert float(s.crps_overall) == pytest.approx(float(weighted_mean(crps, air)), rel=1e-10)
    assert s.budget_error.shape == (2, 6, 8)
    assert s.attrs["seed"] == "1, 2"
    assert float(s.rank_count_overall.sum()) == 2 * 8 * 3 * 8 * 16
    mean_of_ratios = np.mean([float(x.to_dataset().spread_skill_overall) for x in (a, b)])
    assert abs(mean_of_ratios - float(s.spread_skill_overall)) > 1e-9  # pooled before the root, not after


def test_a_leaking_member_shows_in_the_budget(tiny_ensemble):
    E, R = tiny_ensemble
    E["co2"] = E.co2 + 1e-3 * ((E.member == 2) & (E.time == E.time[5]))
    E["co2"] = E.co2.transpose("member", "time", "level", "lat", "lon").assign_attrs(units="1e-6")
    s = evaluate(E, R)
    assert np.argwhere(s.budget_error.values > 1e-6).tolist() == [[0, 2, 4]]
    assert float(s.budget_error_max) > 1e-6


def test_every_score_has_units_and_a_long_name(tiny_ensemble):
    s = evaluate(*tiny_ensemble)
    for name, variable in s.variables.items():
        assert variable.attrs.get("units"), name
        assert variable.attrs.get("long_name") or variable.attrs.get("standard_name"), name


def test_written_scores_come_back(tiny_ensemble, tmp_path):
    s = evaluate(*tiny_ensemble)
    netcdf, text = write_scores(s, tmp_path / "new" / "out")
    with xr.open_dataset(netcdf, engine="scipy") as back:
        xr.testing.assert_allclose(back, s)
        assert back.attrs["members"] == 6
        assert back.crps.attrs == s.crps.attrs
    figures = json.loads(text.read_text())
    assert figures["overall"]["crps"] == {
        "value": pytest.approx(float(s.crps_overall)),
        "dims": [],
        "units": "1e-6",
        "long_name": "fair CRPS of CO2 (ppm), all lead times and levels",
    }
    assert figures["by_lead"]["spread_skill"]["value"] == pytest.approx(
        s.spread_skill_by_lead.values.tolist()
    )
    assert figures["provenance"]["seed"] == 0
    assert {"python", "numpy", "xarray", "properscoring"} <= figures["versions"].keys()


def test_an_undefined_score_is_null_in_json(tiny_ensemble, tmp_path):
    E, R = tiny_ensemble
    E["co2_background"] = R.co2.copy()
    _, text = write_scores(evaluate(E, R), tmp_path)
    assert json.loads(text.read_text())["overall"]["crps_over_coarse_mae"]["value"] is None


def printed(scores):
    console = Console(width=120, record=True, file=StringIO())
    console.print(scorecard(scores))
    return console.export_text()


def test_scorecard_shows_days_levels_and_all(tiny_ensemble):
    E, R = tiny_ensemble
    text = printed(evaluate(E, R))
    for label in (
        "day 1",
        "day 2",
        "level 1 ",
        "level 3",
        "touches the surface",
        "all",
        "mean net",
        "budget",
    ):
        assert label in text
    assert "day 3" not in text
    assert "mean net" not in printed(evaluate(E.drop_vars("co2_mean_network"), R))


def test_an_ensemble_without_rivals_is_scored(tiny_ensemble):
    E, R = tiny_ensemble
    s = evaluate(E.drop_vars(["co2_background", "co2_mean_network"]), R)
    assert "coarse_mae" not in s
    assert float(s.crps_overall) > 0


def _nan(E, R):
    co2 = E.co2.values.copy()
    co2[4, 3, 0, 2, 2] = np.nan
    return E.assign(co2=E.co2.copy(data=co2)), R


def _reference_nan(E, R):
    return E, R.assign(co2=R.co2.where(R.lat > -70).assign_attrs(R.co2.attrs))


def _units(E, R, value):
    return E, R.assign(co2=R.co2.assign_attrs(units=value))


def _gap(E, R):
    return E.isel(time=[0, 1, 3, 4]), R


BAD = {
    "no variable": (
        lambda E, R: (E.drop_vars("co2"), R),
        r"ensemble needs the variables .* got no \['co2'\].*rename",
    ),
    "no reference variable": (
        lambda E, R: (E, R.drop_vars("air_mass")),
        r"reference needs .* got no \['air_mass'\]",
    ),
    "wrong dimensions": (
        lambda E, R: (E.rename(member="realization"), R),
        "co2 of the ensemble needs the dimensions .*; rename",
    ),
    "one member": (lambda E, R: (E.isel(member=[0]), R), "at least 2 members, got 1; sample more"),
    "mass mixing ratio": (
        lambda E, R: _units(E, R, "kg kg-1"),
        "co2 of the reference must be .* got 'kg kg-1'; .*convert .*kgkg_to_ppm",
    ),
    "no units": (
        lambda E, R: (E.assign(co2=E.co2.assign_attrs(units=None)), R),
        "co2 of the ensemble must be .* got None",
    ),
    "background units": (
        lambda E, R: (E.assign(co2_background=E.co2_background.assign_attrs(units="mol mol-1")), R),
        "co2_background of the ensemble must be .* got 'mol mol-1'",
    ),
    "flux per year": (
        lambda E, R: (E.assign(flux=E.flux.assign_attrs(units="kgC m-2 yr-1")), R),
        "flux of the ensemble must have units 'kg m-2 s-1', got 'kgC m-2 yr-1'; convert it",
    ),
    "air mass in Pg": (
        lambda E, R: (E, R.assign(air_mass=R.air_mass.assign_attrs(units="Pg"))),
        "air_mass of the reference must have units 'kg', got 'Pg'",
    ),
    "no shared times": (
        lambda E, R: (E, R.assign_coords(time=R.time + np.timedelta64(365, "D"))),
        "every time of the ensemble .* got 9 of 9 missing, first 2001-01-01.*give the reference of the "
        "same period",
    ),
    "unequal times": (lambda E, R: (E, R.isel(time=slice(0, 7))), "got 2 of 9 missing"),
    "gap": (_gap, "one regular step, got 4 frames with steps .*; select"),
    "one frame": (lambda E, R: (E.isel(time=[0]), R), "at least 2 frames .* got 1 frames"),
    "repeated times": (
        lambda E, R: (E, R.isel(time=[0, *range(9)])),
        "each time once in the reference, got 1 repeated; drop",
    ),
    "other grid": (
        lambda E, R: (E, R.isel(lat=slice(None, None, 2))),
        r"expected the lat of the ensemble .* 8 values -78.75 .. 78.75, got 4 values .*; coarsen the",
    ),
    "shifted grid": (lambda E, R: (E, R.assign_coords(lon=R.lon + 1.0)), "expected the lon of the ensemble"),
    "other levels": (
        lambda E, R: (E, R.isel(level=[0, 1])),
        "expected the level of the ensemble .* 3 values",
    ),
    "other hybrid levels": (
        lambda E, R: (E, R.assign(hybrid_b=R.hybrid_b**2)),
        "expected the hybrid_b of the ensemble",
    ),
    "NaN": (
        _nan,
        "finite co2 in the ensemble, got NaN or infinity of member 4 at 2001-01-01T18.*; sample that frame "
        "again",
    ),
    "reference NaN": (_reference_nan, "finite co2 in the reference, got NaN"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(tiny_ensemble, case):
    spoil, message = BAD[case]
    with pytest.raises(InputError, match=message):
        evaluate(*spoil(*tiny_ensemble))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda E: E.isel(member=slice(0, 4)), "same ensemble size: expected 6, got 4; select"),
        (lambda E: E.isel(time=slice(0, 5)), "same lead times"),
        (lambda E: E.drop_vars("co2_mean_network"), "same scores"),
    ],
)
def test_pooling_of_unlike_ensembles_is_refused(tiny_ensemble, change, message):
    E, R = tiny_ensemble
    with pytest.raises(InputError, match=message):
        accumulate(E, R) + accumulate(change(E), R)


def test_pooling_of_other_levels_is_refused(tiny_ensemble):
    E, R = tiny_ensemble
    upper = [ds.isel(level=[1, 2]) for ds in (E, R)]
    with pytest.raises(InputError, match=r"same levels: expected \[1, 2, 3\], got \[2, 3\]"):
        accumulate(E, R) + accumulate(*upper)
