"""The transport-error covariance: against numpy.cov of brute-force sampling, known answers, tapers, laziness, refusals."""

import dask.array as da
import numpy as np
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

from gencarbon import covariances as module
from gencarbon.cli_covariance import covariance_command
from gencarbon.covariances import EARTH_KM, covariance, gaspari_cohn
from gencarbon.data.files import write_netcdf
from gencarbon.errors import InputError
from gencarbon.metrics.ranks import great_circle
from gencarbon.observation_scores import score_columns
from tests.observed import blend, brute_columns, make_soundings, make_stations
from tests.synthetic import synthetic_ensemble

MEMBERS = 9
PPM = {"units": "1e-6"}


@pytest.fixture
def E():
    ensemble, _ = synthetic_ensemble(members=MEMBERS)
    return ensemble.assign_attrs(checkpoint_sha256="abc", sampler="heun")


@pytest.fixture
def stations(E):
    return make_stations(E, E.isel(member=0)).drop_vars(("co2", "co2_error", "time"))


@pytest.fixture
def soundings(E):
    return make_soundings(E, E.isel(member=0)).drop_vars(("xco2", "xco2_error"))


def by_hand(E, stations, name="co2"):
    """(member, time x station), time by time, by two one-dimensional interpolations."""
    where = zip(stations.level.values, stations.lat.values, stations.lon.values)
    co2 = E[name].values.reshape(-1, *E.co2.shape[1:])
    seen = np.stack([blend(co2[:, :, k - 1], lat, lon, E) for k, lat, lon in where], axis=-1)
    return seen.reshape(len(seen), -1)


def agrees(matrix, twin):
    return np.allclose(matrix, twin, rtol=1e-9, atol=1e-12)


def assert_psd(matrix):
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[0] > -1e-12 * eigenvalues[-1]


def test_stations_are_numpy_cov_of_values_interpolated_by_hand(E, stations):
    made, y = covariance(E, stations), by_hand(E, stations)
    twin = np.cov(y, rowvar=False)
    assert agrees(made.covariance, twin)
    assert not agrees(made.covariance * (MEMBERS - 1) / MEMBERS, twin)  # divided by M: this test would see it
    np.testing.assert_allclose(made.standard_deviation, y.std(axis=0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made["mean"], y.mean(axis=0), rtol=1e-13)
    varies = made.standard_deviation.values > 0
    inner = made.correlation.values[np.ix_(varies, varies)]
    np.testing.assert_allclose(inner, np.corrcoef(y[:, varies], rowvar=False), atol=1e-9)


def test_air_of_winds_with_members_counts_member_by_member(E, soundings):
    of = np.arange(E.sizes["member"]) % 2
    heavy = (1.1 * E.air_mass).assign_attrs(E.air_mass.attrs)
    two = E.assign(air_mass=xr.concat([E.air_mass, heavy], "input"))
    made = covariance(two.assign_coords(input_of_member=("member", of)), soundings)
    y = np.where(
        of[:, None],
        *(brute_columns(E.assign(air_mass=a), E.co2.values, soundings) for a in (heavy, E.air_mass)),
    )
    assert agrees(made.covariance, np.cov(y, rowvar=False)) and not agrees(
        made.covariance, covariance(E, soundings).covariance
    )


def test_observations_are_every_station_at_every_frame_and_say_which(E, stations):
    made = covariance(E, stations.assign_coords(station=["brw", "mlo", "smo", "spo", "cgo"]))
    assert made.sizes == {"observation": 45, "observation_2": 45}
    assert made.station.values[:6].tolist() == ["brw", "mlo", "smo", "spo", "cgo", "brw"]
    np.testing.assert_array_equal(made.time, np.repeat(E.time.values, 5))
    for name in ("lat", "lon", "level"):
        np.testing.assert_array_equal(made[name], np.tile(stations[name].values, 9))
    few = covariance(E, stations.assign_coords(time=E.time[[2, 5]]))
    assert few.station.values.tolist() == 2 * [0, 1, 2, 3, 4]
    both = np.r_[10:15, 25:30]
    np.testing.assert_array_equal(few.covariance, made.covariance[both, both])


def test_symmetric_semidefinite_of_the_rank_it_says(E, stations, soundings):
    for sites in (stations, soundings):
        made = covariance(E, sites)
        for name in ("covariance", "localized"):
            np.testing.assert_allclose(made[name], made[name].T, rtol=1e-13, atol=1e-16)
            assert_psd(made[name].values)
        assert made.attrs["rank"] == MEMBERS - 1 == np.linalg.matrix_rank(made.covariance)
        assert np.linalg.matrix_rank(made.localized, hermitian=True) > made.attrs["rank"]
    assert covariance(E, soundings.isel(sounding=[0, 1, 2])).attrs["rank"] == 3


def test_a_known_first_frame_does_not_vary(E, stations):
    E["co2"][:, 0] = E.co2[0, 0].values  # as the sampler gives it to all members
    E.attrs["initial_frame"] = "known"
    made = covariance(E, stations)
    assert not made.covariance[:5].any()
    assert made.attrs["initial_frame"] == "known"
    assert np.isnan(made.correlation[:5]).all()
    np.testing.assert_array_equal(np.isnan(made.correlation[5:]), np.arange(45)[None] < np.full((40, 1), 5))
    np.testing.assert_allclose(np.diag(made.correlation)[5:], 1, rtol=1e-14)


def test_multiples_of_one_pattern_give_rank_one_and_the_exact_variance(E, stations):
    pattern = np.random.default_rng(1).standard_normal(E.co2.shape[1:])
    amplitude = np.arange(MEMBERS) - 4.0
    E["co2"] = (E.co2.dims, 410 + amplitude[:, None, None, None, None] * pattern, PPM)
    h = by_hand(E.assign(pattern=(E.co2.dims[1:], pattern)), stations, "pattern")[0]
    made = covariance(E, stations)
    assert agrees(made.covariance, 7.5 * np.outer(h, h))  # (16 + 9 + 4 + 1) * 2 / 8
    assert np.linalg.matrix_rank(made.covariance, tol=1e-9) == 1
    np.testing.assert_allclose(abs(made.correlation), 1, rtol=1e-9)
    np.testing.assert_allclose(made["mean"], 410, rtol=1e-14)


def test_members_twice_as_far_from_their_mean_quadruple_it(E, stations, soundings):
    wide = E.assign(co2=(2 * E.co2 - E.co2.mean("member")).assign_attrs(PPM))
    for sites in (stations, soundings):
        once, twice = covariance(E, sites), covariance(wide, sites)
        np.testing.assert_allclose(twice.covariance, 4 * once.covariance, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(
            twice.standard_deviation, 2 * once.standard_deviation, rtol=1e-9, atol=1e-11
        )
        np.testing.assert_allclose(twice["mean"], once["mean"], rtol=1e-12)


def test_gaspari_cohn_is_the_published_function():
    z = np.linspace(0, 3, 3001)
    taper = gaspari_cohn(1500 * z, 1500)
    assert taper[0] == 1
    assert taper[1000] == pytest.approx(5 / 24, abs=1e-15)
    assert not taper[z >= 2].any()
    assert (np.diff(taper) <= 0).all()
    assert (taper >= 0).all()


@pytest.mark.parametrize("apart", [0.5, 1.0, 1.5])
def test_gaspari_cohn_is_the_convolution_of_a_cone_with_itself(apart):
    """Its construction in three dimensions, integrated in cylinder coordinates about the line between the two tips."""
    x, s = np.meshgrid(np.linspace(-1, 2.5, 1751), np.linspace(0, 1, 501))
    cone = lambda tip: np.maximum(1 - np.hypot(x - tip, s), 0)  # noqa: E731
    expected = (cone(0) * cone(apart) * s).sum() / (cone(0) ** 2 * s).sum()
    assert gaspari_cohn(np.array(apart * 700), 700) == pytest.approx(expected, rel=1e-3)


def test_great_circles_have_known_lengths():
    lat, lon = np.array([0.0, 0, 90, 0, 50, 50]), np.array([0.0, 90, 0, 180, 8, 368.001])
    d = EARTH_KM * great_circle(lat, lon, slice(0, 6))
    quarter = np.pi / 2 * 6371
    np.testing.assert_allclose(d[0, :4], [0, quarter, quarter, 2 * quarter], rtol=1e-12)
    assert d[4, 5] == pytest.approx(np.deg2rad(0.001) * np.cos(np.deg2rad(50)) * 6371, rel=1e-6)
    np.testing.assert_array_equal(d, d.T)


def test_tapers_leave_the_diagonal_and_nothing_beyond_two_half_widths(E, stations):
    made = covariance(E, stations, length_km=3000, hours=9)
    C, L = made.covariance.values, made.localized.values
    np.testing.assert_array_equal(np.diag(L), np.diag(C))
    apart = abs(made.time.values[:, None] - made.time.values) / np.timedelta64(1, "h")
    far = EARTH_KM * great_circle(made.lat.values, made.lon.values, slice(None))
    beyond = (apart >= 18) | (far >= 6000)
    assert not L[beyond].any()
    assert C[beyond].any()
    assert (abs(L) <= abs(C)).all()
    np.testing.assert_allclose(L, C * gaspari_cohn(far, 3000) * gaspari_cohn(apart, 9), rtol=1e-14)
    in_time = covariance(E, stations, length_km=None, hours=9)
    np.testing.assert_allclose(in_time.localized, C * gaspari_cohn(apart, 9), rtol=1e-14)
    off = covariance(E, stations, length_km=None, hours=None)
    np.testing.assert_array_equal(off.localized, off.covariance)
    assert (off.attrs["taper_in_distance"], off.attrs["taper_in_time"]) == ("none", "none")


@pytest.mark.parametrize("length_km", [500, 4000, 10007])
def test_the_taper_on_the_sphere_is_semidefinite_up_to_its_limit(length_km):
    rng = np.random.default_rng(2)
    lat, lon = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 400))), rng.uniform(0, 360, 400)
    lat[:7], lon[:7] = 0, np.arange(7) * 360 / 7  # and a ring, the hard case
    assert_psd(gaspari_cohn(EARTH_KM * great_circle(lat, lon, slice(None)), length_km))


def test_a_taper_that_reaches_round_the_globe_is_not_semidefinite():
    ring = gaspari_cohn(EARTH_KM * great_circle(np.zeros(4), np.arange(4) * 90.0, slice(None)), 30000)
    assert np.linalg.eigvalsh(ring)[0] < -1e-3  # hence the limit that is refused


@pytest.mark.parametrize("chunks", [(4, 2, 2, 3, 5), (9, 1, 1, 1, 1), (9, 9, 3, 1, 3)])
def test_lazy_chunks_change_no_bit(E, stations, soundings, chunks):
    lazy = E.chunk(dict(zip(E.co2.dims, chunks)))
    for sites in (stations, soundings):
        xr.testing.assert_identical(covariance(lazy, sites), covariance(E, sites))


def test_blocks_change_no_bit_and_are_reported(E, stations, soundings, monkeypatch):
    whole, calls = [covariance(E, sites) for sites in (stations, soundings)], []
    monkeypatch.setattr(module, "FRAMES", 2)
    monkeypatch.setattr(module, "ROWS", 7)
    monkeypatch.setattr(module.operators, "BLOCK", 3)
    for sites, expected in zip((stations, soundings), whole):
        made = covariance(E, sites, progress=lambda done, total: calls.append((done, total)))
        xr.testing.assert_identical(made, expected)
        assert calls == [(n + 1, len(calls)) for n in range(len(calls))]
        assert len(calls) > 5
        calls.clear()


def test_only_the_cells_needed_are_read(E, stations, soundings):
    def lazy(safe):
        def chunk(block, block_info=None):
            where = [first for first, _ in block_info[None]["array-location"]]
            assert safe(*where[1:]), f"cells read that were not needed: {where}"
            return block

        cells = da.from_array(E.co2.values, chunks=(MEMBERS, 1, 1, 1, 1))
        return E.assign(co2=(E.co2.dims, da.map_blocks(chunk, cells, dtype=cells.dtype), PPM))

    one = stations.isel(station=[0]).assign_coords(
        lat=("station", [40.0]), lon=("station", [359.0]), level=("station", [2]), time=E.time[[3, 4]]
    )
    needed = lazy(lambda n, k, row, column: n in (3, 4) and k == 1 and row in (5, 6) and column in (0, 15))
    xr.testing.assert_identical(covariance(needed, one), covariance(E, one))
    two = soundings.isel(sounding=[0, 1]).assign_coords(
        lat=("sounding", [40.0, -40.0]),
        lon=("sounding", [359.0, -1.0]),
        time=("sounding", E.time.values[[2, 5]]),
    )
    rows = {2: (5, 6), 5: (1, 2)}
    needed = lazy(lambda n, k, row, column: row in rows.get(n, ()) and column in (0, 15))
    xr.testing.assert_identical(covariance(needed, two), covariance(E, two))


def test_columns_are_those_of_the_operator_and_of_brute_force(E, soundings):
    made = covariance(E, soundings)
    observed = soundings.assign(xco2=soundings.xco2_prior, xco2_error=soundings.xco2_prior)
    through = score_columns(E, observed).xco2.values
    np.testing.assert_allclose(made["mean"], through.mean(axis=0), rtol=1e-14)
    assert agrees(made.covariance, np.cov(through, rowvar=False))
    assert agrees(made.covariance, np.cov(brute_columns(E, E.co2.values, soundings), rowvar=False))
    for name in ("time", "lat", "lon"):
        np.testing.assert_array_equal(made[name], soundings[name])
    assert made.sounding.values.tolist() == list(range(20))


def spoiled(ds, name, **where):
    changed = ds[name].copy(deep=True)
    changed[where] = np.nan
    return ds.assign({name: changed})


REFUSED = {  # ensemble, stations, soundings -> arguments
    "members": (lambda E, s, c: (E.isel(member=slice(7)), s), "expected at least 8 members, got 7; sample more"),
    "length": (lambda E, s, c: (E, s, 0.0), "length_km: expected a half-width above 0 .*, got 0; give another"),
    "too long": (lambda E, s, c: (E, s, 1e4 + 8), "length_km: expected .* up to 10008 km, .* got 10008"),
    "hours": (lambda E, s, c: (E, s, None, np.nan), "hours: expected a half-width above 0, got nan; give"),
    "both": (lambda E, s, c: (E, s.merge(c, compat="override")), "either a dim station or a dim sounding"),
    "neither": (lambda E, s, c: (E, s.rename(station="site")), r"got dims \('site',\); rename"),
    "no station": (lambda E, s, c: (E, s.isel(station=[])), r"expected 1 \.\. 20000 observations, got 0"),
    "no level": (lambda E, s, c: (E, s.drop_vars("level")), r"stations: expected .* got no \['level'\]"),
    "level": (lambda E, s, c: (E, s.assign_coords(level=s.level + 3)), "stations: level: expected levels of the"),
    "latitude": (lambda E, s, c: (E, s.assign_coords(lat=s.lat + 200)), "stations: lat: .* 5 of 5 outside"),
    "NaN place": (lambda E, s, c: (E, s.assign_coords(lon=s.lon * np.nan)), "stations: lon: .* first nan; correct"),
    "period": (
        lambda E, s, c: (E, s.assign_coords(time=E.time + np.timedelta64(30, "h"))),
        "stations: time: expected times of the ensemble, .* got 5 of 9 missing",
    ),
    "NaN": (
        lambda E, s, c: (spoiled(E, "co2", member=4, time=3), s),
        "ensemble: co2: expected finite values, got NaN at 5 observations, first in member 4; sample that",
    ),
    "NaN for columns": (lambda E, s, c: (spoiled(E, "co2", member=2), c), "got NaN at 20 observations, .* member 2"),
    "column period": (
        lambda E, s, c: (E, c.assign_coords(time=c.time + np.timedelta64(9, "D"))),
        "soundings: time: expected times within half a step of a frame, .* got 20 of 20",
    ),
    "kernel": (
        lambda E, s, c: (E, spoiled(c, "averaging_kernel", sounding=3, retrieval_level=1)),
        "soundings: averaging_kernel: expected finite values, got NaN or a fill value in 1 of 20 soundings; drop",
    ),
    "weights": (
        lambda E, s, c: (E, c.assign(pressure_weight=2 * c.pressure_weight)),
        "soundings: pressure_weight: expected weights that sum to 1",
    ),
    "no air": (lambda E, s, c: (E.drop_vars("air_mass"), c), r"ensemble: expected .* got no \['air_mass'\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(E, stations, soundings, case):
    spoil, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        covariance(*spoil(E, stations, soundings))


def test_too_many_observations_are_refused_before_any_is_read(E, stations):
    many = stations.isel(station=np.arange(2223) % 5)

    def read(block):
        raise AssertionError("read")

    unread = E.assign(
        co2=(E.co2.dims, da.map_blocks(read, da.from_array(E.co2.values), dtype=float, meta=np.empty(0)), PPM)
    )
    message = r"expected 1 \.\. 20000 observations, got 20007, 3\.2 GB for each matrix; thin them or split them in time"
    with pytest.raises(InputError, match=message):
        covariance(unread, many)


def test_a_file_says_what_it_is_and_comes_back(E, stations, soundings, tmp_path):
    for sites, file in ((stations.assign_coords(station=list("abcde")), "s.nc"), (soundings, "c.nc")):
        made = covariance(E, sites)
        write_netcdf(made, tmp_path / file)
        with xr.open_dataset(tmp_path / file, engine="h5netcdf") as back:
            xr.testing.assert_identical(back.load(), made)
        for name, variable in made.data_vars.items():
            assert variable.attrs["units"], name
            assert variable.attrs["long_name"], name
        expected = {
            "Conventions": "CF-1.11",
            "members": 9,
            "seed": 0,
            "checkpoint_sha256": "abc",
            "sampler": "heun",
        }
        assert expected.items() <= made.attrs.items()
        assert "add the errors of the observations themselves" in made.attrs["comment"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.nc", "s.nc"]


def test_the_command_writes_a_file_once(E, stations, soundings, tmp_path):
    app = typer.Typer()
    app.command()(covariance_command)
    for name, ds in {"e": E, "s": stations, "c": soundings}.items():
        ds.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")

    def run(out, *more):
        return CliRunner().invoke(
            app, [str(tmp_path / "e.nc"), "--out", str(tmp_path / out), *map(str, more)]
        )

    done = run("out.nc", "--stations", tmp_path / "s.nc", "--length-km", 0)
    assert done.exit_code == 0, done.output
    expected = covariance(E, stations, length_km=None)
    assert (
        f"45 observations, median standard deviation {float(expected.standard_deviation.median()):.3g} ppm"
        in (" ".join(done.output.split()))
    )
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), expected)
    assert run("columns.nc", "--columns", tmp_path / "c.nc").exit_code == 0
    again = run("out.nc", "--stations", tmp_path / "s.nc").exception
    assert isinstance(again, InputError)
    assert "one that exists" in str(again)
    assert "got neither; give one" in str(run("new.nc").exception)
    both = run("new.nc", "--stations", tmp_path / "s.nc", "--columns", tmp_path / "c.nc")
    assert "got both; give one" in str(both.exception)
    assert not list(tmp_path.glob("new*"))
