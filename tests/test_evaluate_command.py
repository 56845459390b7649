"""`gencarbon evaluate` as a whole: several ensembles, masks, a cluster, other people's ensembles; nothing half-written."""

import numpy as np
import pytest
import xarray as xr

from gencarbon.comparison import compare
from gencarbon.errors import InputError
from gencarbon.evaluate_command import Inputs, evaluate_to_folder
from gencarbon.evaluation import accumulate, evaluate
from tests.synthetic import synthetic_ensemble


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as running:
        yield running.scheduler_address


def spoiled(E, *where):
    co2 = E.co2.values.copy()
    co2[where] = np.nan
    return E.assign(co2=E.co2.copy(data=co2))


def evaluated(tmp_path, inputs):
    return evaluate_to_folder(inputs, tmp_path / "out", lambda name, done, total: None)


def test_two_ensembles_are_scored_compared_and_written(tmp_path):
    (E, R), (F, _) = synthetic_ensemble(), synthetic_ensemble(seed=5)
    tables, report = evaluated(tmp_path, Inputs({"A": E, "B": F}, R))
    assert len(tables) == 3
    assert report.is_file()
    written = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*")}
    assert {
        "scores.nc",
        "scores.json",
        "comparison.nc",
        "rivals/1_B/scores.nc",
        "paper/scores.tex",
        "paper/comparison.tex",
    } <= written
    assert any(name.endswith(".png") for name in written)
    with xr.open_dataset(tmp_path / "out" / "comparison.nc", engine="scipy") as table:
        assert "CRPS vs B" in [
            str(c.astype(str)) if hasattr(c, "astype") else str(c) for c in table.column.values
        ]


def test_what_fails_leaves_nothing_behind(tmp_path):
    E, R = synthetic_ensemble()
    with pytest.raises(InputError, match="NaN"):
        evaluated(
            tmp_path, Inputs({"A": spoiled(E, 1, 8, 0, 0, 0)}, R)
        )  # in the last frame, after the others are done
    assert not list(tmp_path.iterdir())


def test_a_cluster_gives_the_same_bits(cluster, tmp_path):
    E, R = synthetic_ensemble(members=5, frames=12)
    E.chunk({"time": 3}).to_zarr(tmp_path / "e.zarr")
    R.chunk({"time": 5}).to_zarr(tmp_path / "r.zarr")
    stores = [xr.open_zarr(tmp_path / f"{name}.zarr") for name in "er"]
    xr.testing.assert_identical(evaluate(*stores, scheduler=cluster), evaluate(E, R))


def test_a_mistake_on_a_cluster_is_the_same_one_line(cluster):
    E, R = synthetic_ensemble()
    with pytest.raises(
        InputError, match="expected finite co2 in the ensemble, got NaN or infinity of member 2"
    ):
        evaluate(spoiled(E, 2, 4, 0, 1, 1), R, scheduler=cluster)


def test_a_scheduler_that_is_not_there_is_refused():
    pytest.importorskip("distributed")
    with pytest.raises(
        InputError, match=r"expected a dask scheduler at tcp://127.0.0.1:1, got .*; start one with"
    ):
        evaluate(*synthetic_ensemble(), scheduler="tcp://127.0.0.1:1")


def test_cells_with_nan_are_left_out_where_asked_and_counted():
    E, R = synthetic_ensemble()
    scores = evaluate(spoiled(E, 2, 4, 0, 1, slice(0, 3)), R, mask_nan=True)
    assert scores.attrs["masked_cells"] == 3
    air = R.air_mass.values.copy()
    air[4, 0, 1, :3] = 0
    by_hand = evaluate(E, R.assign(air_mass=R.air_mass.copy(data=air)))
    np.testing.assert_allclose(scores.crps_overall, by_hand.crps_overall, rtol=1e-12)
    assert float(scores.rank_count.sum()) == float(by_hand.rank_count.sum()) == 8 * 3 * 8 * 16 - 3
    assert np.isnan(scores.budget_error.values[0, :, 3]).all()  # a mass with a hole in it is not known


def test_any_ensemble_without_masses_and_fluxes_is_scored_all_but_the_budget():
    E, R = synthetic_ensemble()
    foreign = E[["co2"]].drop_attrs(deep=False)
    scores, ours = evaluate(foreign, R), evaluate(E.drop_attrs(deep=False), R)
    np.testing.assert_array_equal(scores.crps, ours.crps)
    assert np.isnan(scores.budget_error_max)
    assert not np.isnan(ours.budget_error_max)


def test_joint_and_temporal_scores_and_spectra_are_there():
    E, R = synthetic_ensemble(members=12, frames=40)
    s = evaluate(E, R)
    assert float(s.coverage_overall) == pytest.approx(s.attrs["nominal_coverage"], abs=0.05)
    np.testing.assert_allclose((s.spectrum_members / s.spectrum_reference)[:, 1:], 1, atol=0.4)
    assert (s.spectrum_mean < s.spectrum_members)[:, 3:].all()  # an ensemble mean is smooth
    np.testing.assert_allclose(s.autocorrelation_members, s.autocorrelation_reference, atol=0.15)
    assert (s.rank_p_value > 1e-3).all()
    still = E.copy()
    still["co2"] = (E.co2 * 0 + E.co2.isel(time=0)).transpose(*E.co2.dims).assign_attrs(units="1e-6")
    assert (
        evaluate(still, R).step_change_w1 > 3 * s.step_change_w1
    ).all()  # members that stand still are seen


def test_too_little_spread_is_seen_by_the_test_on_decorrelated_points():
    E, R = synthetic_ensemble(members=12, frames=40)
    mean = E.co2.mean("member")
    E["co2"] = (mean + 0.5 * (E.co2 - mean)).transpose(*E.co2.dims).assign_attrs(units="1e-6")
    assert (evaluate(E, R).rank_p_value < 1e-3).all()


def test_masked_probes_have_no_say_in_time_and_structure():
    E, R = synthetic_ensemble(members=8, frames=20)
    whole = evaluate(E, R)
    holes = evaluate(
        spoiled(E, 2, slice(1, None, 2), slice(None), slice(0, 3), slice(0, 7)), R, mask_nan=True
    )
    np.testing.assert_allclose(holes.autocorrelation_reference, whole.autocorrelation_reference, atol=0.2)
    assert float(holes.autocorrelation_reference[1]) > 0  # zeros in every other frame would make it -1
    np.testing.assert_allclose(holes.variogram_score_overall, whole.variogram_score_overall, rtol=0.3)


def test_a_frame_that_is_masked_altogether_spoils_nothing_else():
    E, R = synthetic_ensemble()
    scores = evaluate(spoiled(E, 2, 4), R, mask_nan=True)
    for name in ("crps_overall", "co2_std_overall", "crps_over_std_overall", "coverage_overall"):
        assert np.isfinite(scores[name]), name
    assert np.isfinite(scores.co2_std_by_level).all()


def test_ensembles_masked_differently_are_not_compared():
    E, R = synthetic_ensemble()
    sums = {
        "A": accumulate(E, R, mask_nan=True),
        "B": accumulate(spoiled(E, 2, 4, 0, 0, 0), R, mask_nan=True),
    }
    with pytest.raises(InputError, match="same cells, but B leaves out others"):
        compare(sums)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda E: E.assign(flux=E.flux.where(E.lat > 0).assign_attrs(E.flux.attrs)),
            "expected finite flux .* NaN",
        ),
        (
            lambda E: E.assign(air_mass=-E.air_mass.assign_attrs(E.air_mass.attrs)).assign_attrs(E.attrs),
            "air_mass",
        ),
        (lambda E: E.drop_vars("level"), "expected coordinates on level of the ensemble, got none; add"),
        (lambda E: E.assign_coords(level=["a", "b", "c"]), "expected numbers on level of the ensemble"),
        (lambda E: E.assign_coords(level=[0.9, 0.5, 0.1]), "level numbers 1, 2, ... .* number them"),
        (lambda E: E.isel(level=[]), "expected numbers on level of the ensemble, got 0"),
        (lambda E: E.assign_coords(time=np.arange(9)), "expected datetime64 values on time of the ensemble"),
    ],
)
def test_more_that_is_refused_before_any_work(spoil, message):
    E, R = synthetic_ensemble()
    with pytest.raises(InputError, match=message):
        evaluate(spoil(E), R)


def test_rivals_that_cannot_be_compared_are_refused_before_scoring(tmp_path):
    (E, R), (F, _) = synthetic_ensemble(), synthetic_ensemble(seed=5)
    unknown = F.drop_attrs(deep=False)
    with pytest.raises(InputError, match="first frame is known in one of A and B"):
        evaluated(tmp_path, Inputs({"A": E, "B": unknown}, R))
    assert not list(tmp_path.iterdir())


def test_names_tell_ensembles_apart(tmp_path):
    from gencarbon.cli import _names

    assert _names([tmp_path / "a.zarr", tmp_path / "b.zarr"]) == ["a", "b"]
    assert _names([tmp_path / "x" / "run" / "E.zarr", tmp_path / "y" / "run" / "E.zarr"]) == [
        "x/run/E",
        "y/run/E",
    ]
    assert _names([tmp_path / "ens_0.1", tmp_path / "ens_0.2"]) == ["ens_0.1", "ens_0.2"]
    with pytest.raises(InputError, match="expected different ensembles"):
        _names([tmp_path / "a.zarr", tmp_path / "b" / ".." / "a.zarr"])
