"""Stations and columns: figures against brute force, calibration, laziness, and every refusal."""

from io import StringIO

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from gencarbon.metrics import crps_fair, spread_skill
from gencarbon.metrics.observations import spread_skill_observed
from gencarbon.observation_scores import score_columns, score_stations, station_table
from tests.observed import blend, brute_columns, make_stations
from tests.synthetic import synthetic_ensemble

PPM = {"units": "1e-6"}


def test_station_figures_are_those_of_brute_force_sampling(at_stations):
    E, stations = at_stations
    s = score_stations(E, stations)
    where = zip(stations.level.values, stations.lat.values, stations.lon.values)
    twin = np.stack([blend(E.co2.values[:, 1:, k - 1], lat, lon, E) for k, lat, lon in where], axis=1)
    obs = stations.co2.values[:, 1:]
    error = twin.mean(axis=0) - obs
    np.testing.assert_allclose(s.bias, error.mean(axis=1), atol=1e-10)
    np.testing.assert_allclose(s.rmse, np.sqrt((error**2).mean(axis=1)), rtol=1e-10)
    np.testing.assert_allclose(s.crps_without_error, crps_fair(twin, obs).mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(s.spread, np.sqrt(twin.var(axis=0, ddof=1).mean(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(s.spread_skill_overall, spread_skill_observed(twin, obs, 0.5), rtol=1e-9)
    np.testing.assert_allclose(s.rmse_overall, np.sqrt((error**2).mean()), rtol=1e-10)
    np.testing.assert_allclose(s.correlation[2], np.corrcoef(twin.mean(axis=0)[2], obs[2])[0, 1], rtol=1e-9)
    assert s.n.values.tolist() == 5 * [8]  # the known first frame is not scored
    assert s.rank_count.sum("rank").values.tolist() == 5 * [8]
    assert float(s.crps_overall) == pytest.approx(float(s.crps.mean()), rel=1e-12)


def test_a_field_linear_in_latitude_and_longitude_is_sampled_exactly(tiny_ensemble):
    E, R = tiny_ensemble
    E["co2"] = (400 + E.lat / 10 + 0 * E.co2).transpose(*E.co2.dims).assign_attrs(PPM)
    stations = make_stations(E, R)
    stations["co2"] = (400 + stations.lat.clip(E.lat[0], E.lat[-1]) / 10 + 0 * stations.co2).assign_attrs(PPM)
    assert float(score_stations(E, stations).rmse_overall) < 1e-12
    turned = stations.assign_coords(lon=(stations.lon + 720) % 360)
    np.testing.assert_array_equal(score_stations(E, turned).n, score_stations(E, stations).n)


def test_a_calibrated_ensemble_with_observation_error_reads_as_calibrated():
    E, R = synthetic_ensemble(members=9, frames=49, seed=3)
    stations = make_stations(E, R, count=40)
    s, blind = score_stations(E, stations), score_stations(E, stations.drop_vars("co2_error"))
    assert float(s.spread_skill_overall) == pytest.approx(1, abs=0.06)
    assert float(blind.spread_skill_overall) < 0.6  # the error left out is visible
    edge = s.rank_count_overall[[0, -1]].sum() / s.rank_count_overall.sum() * 10 / 2
    blind_edge = blind.rank_count_overall[[0, -1]].sum() / blind.rank_count_overall.sum() * 10 / 2
    assert float(edge) == pytest.approx(1, abs=0.25)
    assert float(blind_edge) > 2
    assert blind.attrs["observation_error"] == "none given, taken as 0"
    assert float(blind.crps_overall) == float(blind.crps_without_error_overall)


def test_a_station_has_the_same_scores_alone_and_among_others(at_stations):
    E, stations = at_stations
    alone, all_of_them = score_stations(E, stations.isel(station=[3])), score_stations(E, stations)
    for name in ("crps", "rank_count", "spread_skill", "diurnal_cycle_modelled"):
        np.testing.assert_allclose(alone[name][0], all_of_them[name][3], rtol=1e-12)
    np.testing.assert_array_equal(all_of_them.rank_count_overall, all_of_them.rank_count.sum("station"))


def test_cycles_of_both_sides_and_the_rectifier(tiny_ensemble):
    E, _ = synthetic_ensemble(frames=4 * 59)
    hour = (E.time.dt.hour + 60.0 / 15) % 24
    cycle = 6 * np.cos(2 * np.pi * hour / 24) + 2.0 * (E.time.dt.month == 2)
    E["co2"] = (410 + cycle + 0 * E.co2).transpose(*E.co2.dims).assign_attrs(PPM)
    del E.attrs["initial_frame"]
    seen = (415 + 0.5 * cycle).values[np.newaxis]
    stations = xr.Dataset(
        {"co2": (("station", "time"), seen, PPM)},
        {"time": E.time, "lat": ("station", [50.0]), "lon": ("station", [60.0]), "level": ("station", [1])},
    )
    s = score_stations(E, stations).isel(station=0)
    expected = 6 * np.cos(2 * np.pi * np.array([4, 10, 16, 22]) / 24)
    np.testing.assert_allclose(
        s.diurnal_cycle_modelled[[4, 10, 16, 22]], expected - expected.mean(), atol=1e-9
    )
    assert int(np.isfinite(s.diurnal_cycle_modelled).sum()) == 4
    assert float(s.diurnal_amplitude_observed) == pytest.approx(float(s.diurnal_amplitude_modelled) / 2)
    assert float(s.seasonal_amplitude_modelled) == pytest.approx(2)
    assert np.isnan(s.rectifier_modelled)  # 4, 10, 16, 22 h: never in the afternoon
    at_zero = score_stations(E, stations.assign_coords(lon=("station", [0.0]))).isel(station=0)
    hours = 6 * np.cos(2 * np.pi * (np.array([0, 6, 12, 18]) + 4) / 24)
    assert float(at_zero.rectifier_modelled) == pytest.approx(hours.mean() - hours[2])
    assert float(at_zero.rectifier_observed_overall) == pytest.approx((hours.mean() - hours[2]) / 2)


def test_every_score_has_units_and_a_long_name(at_stations, of_columns):
    for s in (score_stations(*at_stations), score_columns(*of_columns)):
        assert s.attrs["masked_observations"] == s.attrs["masked_by_members"] == 0
        for name, variable in s.variables.items():
            if variable.dtype.kind == "M" or name == "station":
                continue
            assert variable.attrs.get("units"), name
            assert variable.attrs.get("long_name") or variable.attrs.get("standard_name"), name


def explosive(E, safe):
    """E lazily, in single-cell chunks; one that `safe` (frame, level, row, column) denies raises when it is read."""

    def chunk(block, block_info=None):
        where = [first for first, _ in block_info[None]["array-location"]]
        if not safe(*where[1:]):
            raise AssertionError(f"cells read that were not needed: {where}")
        return block

    lazy = da.from_array(E.co2.values, chunks=(E.sizes["member"], 1, 1, 1, 1))
    return E.assign(co2=(E.co2.dims, da.map_blocks(chunk, lazy, dtype=lazy.dtype), PPM))


def test_stations_read_only_their_cells(at_stations):
    E, stations = at_stations
    stations = stations.isel(station=[0], time=[3, 4]).assign_coords(
        lat=("station", [40.0]), lon=("station", [359.0]), level=("station", [2])
    )
    needed = explosive(
        E, lambda n, k, row, column: n in (3, 4) and k == 1 and row in (5, 6) and column in (0, 15)
    )
    xr.testing.assert_allclose(score_stations(needed, stations), score_stations(E, stations))
    with pytest.raises(AssertionError, match="not needed"):
        score_stations(explosive(E, lambda n, k, row, column: column == 0), stations)


def test_columns_read_only_their_cells(of_columns):
    E, soundings = of_columns
    soundings = soundings.isel(sounding=[0, 1]).assign_coords(
        lat=("sounding", [40.0, -40.0]),
        lon=("sounding", [359.0, -181.0 + 180]),
        time=("sounding", E.time.values[[2, 5]]),
    )
    rows = {2: (5, 6), 5: (1, 2)}
    needed = explosive(E, lambda n, k, row, column: row in rows.get(n, ()) and column in (0, 15))
    xr.testing.assert_allclose(score_columns(needed, soundings), score_columns(E, soundings))


def test_columns_are_those_of_brute_force(of_columns):
    E, soundings = of_columns
    s = score_columns(E, soundings)
    twin = brute_columns(E, E.co2.values, soundings)
    np.testing.assert_allclose(s.xco2, twin, rtol=1e-12)
    obs = soundings.xco2.values
    np.testing.assert_allclose(s.error, twin.mean(axis=0) - obs, atol=1e-9)
    assert float(s.spread_skill_overall) == pytest.approx(
        float(spread_skill_observed(twin, obs, 0.3)), rel=1e-9
    )
    assert float(s.spread_skill_overall) > float(spread_skill(twin, obs))
    assert float(s.crps_without_error_overall) == pytest.approx(crps_fair(twin, obs).mean(), rel=1e-9)
    assert int(s.n_overall) == int(s.rank_count_overall.sum()) == 20


def test_axis_order_and_pressure_units_change_nothing(of_columns):
    E, soundings = of_columns
    turned = soundings.transpose("retrieval_level", "sounding").isel(retrieval_level=slice(None, None, -1))
    turned["pressure_level"] = (100 * turned.pressure_level).assign_attrs(units="Pa")
    np.testing.assert_allclose(score_columns(E, turned).xco2, score_columns(E, soundings).xco2, rtol=1e-13)
    hour = np.timedelta64(3, "h")
    early = soundings.assign_coords(time=("sounding", E.time.values[np.full(20, 4)] - hour))
    assert score_columns(E, early).attrs["largest_time_offset"] == "3 h to the nearest frame"


def test_columns_of_a_member_are_weighed_by_the_air_of_its_own_winds(of_columns):
    E, soundings = of_columns
    plain, heavy = E.air_mass, (1.1 * E.air_mass).assign_attrs(E.air_mass.attrs)
    of = np.arange(E.sizes["member"]) % 2
    two = E.assign(air_mass=xr.concat([plain, heavy], "input")).assign_coords(input_of_member=("member", of))
    made = score_columns(two, soundings).xco2.values
    by_air = [score_columns(E.assign(air_mass=air), soundings).xco2.values for air in (plain, heavy)]
    for m, k in enumerate(of):
        assert np.array_equal(made[m], by_air[k][m]) and not np.allclose(made[m], by_air[1 - k][m], atol=1e-6)


def test_a_kernel_of_zeros_gives_the_prior_and_of_ones_a_uniform_model(of_columns):
    E, soundings = of_columns
    blind = soundings.assign(averaging_kernel=0 * soundings.averaging_kernel)
    np.testing.assert_array_equal(
        score_columns(E, blind).xco2, np.broadcast_to(soundings.xco2_prior, (6, 20))
    )
    E["co2"] = (0 * E.co2 + 419.5).assign_attrs(PPM)
    own = (soundings.pressure_weight * soundings.co2_prior).sum("retrieval_level").assign_attrs(PPM)
    full = soundings.assign(averaging_kernel=0 * soundings.averaging_kernel + 1, xco2_prior=own)
    np.testing.assert_allclose(score_columns(E, full).xco2, 419.5, rtol=1e-13)


def test_many_soundings_are_sampled_in_blocks(of_columns, monkeypatch):
    whole = score_columns(*of_columns)
    monkeypatch.setattr("gencarbon.observation_scores.BLOCK", 7)
    xr.testing.assert_identical(score_columns(*of_columns), whole)


def test_nan_is_left_out_where_asked_and_counted(at_stations, of_columns):
    E, stations = at_stations
    stations["co2"][0, 3:5] = np.nan
    stations["co2_error"] = stations.co2_error.broadcast_like(stations.co2).copy().assign_attrs(PPM)
    stations["co2_error"][0, 3] = -999.0  # an error without an observation does not matter
    E["co2"][4, 6] = np.nan
    s = score_stations(E, stations, mask_nan=True)
    assert s.n.values.tolist() == [5, 7, 7, 7, 7]
    assert (s.attrs["masked_observations"], s.attrs["masked_by_members"]) == (2, 5)
    without = score_stations(E.drop_isel(time=6), stations.drop_isel(time=6), mask_nan=True)
    np.testing.assert_allclose(s.rmse, without.rmse, rtol=1e-12)

    E, soundings = of_columns
    E["co2"][4, 6] = 415.0
    soundings["averaging_kernel"][3, 2] = np.nan
    soundings["xco2"][[4, 9]] = np.nan
    s = score_columns(E, soundings, mask_nan=True)
    assert (int(s.n_overall), s.attrs["masked_observations"]) == (17, 3)
    assert np.isnan(s.error).values.nonzero()[0].tolist() == [3, 4, 9]
    clean = score_columns(E, soundings.drop_isel(sounding=[3, 4, 9]))
    np.testing.assert_allclose(s.rmse_overall, clean.rmse_overall, rtol=1e-12)


def test_station_table_shows_each_station_and_all(at_stations):
    E, stations = at_stations
    stations = stations.assign_coords(station=["brw", "mlo", "smo", "spo", "cgo"])
    console = Console(width=110, record=True, file=StringIO())
    console.print(station_table(score_stations(E, stations)))
    text = console.export_text()
    for label in ("brw", "cgo", "all", "RMSE", "diurnal", "rectifier", "6 members, 5 station(s)", "8"):
        assert label in text
    assert "nan" not in text
