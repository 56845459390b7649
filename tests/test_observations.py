"""Observations of others, read, and the operator that puts a model in their place."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from gencarbon.constants import GRAVITY
from gencarbon.data import observation_weights as weights
from gencarbon.data.observations import Operator, read_observations
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.observation_scores import SOUNDINGS, blend, columns_of, place_of, values_of
from tests.layouts_observations import COLUMNS, COUNT, REJECTED, START, lite, mip, obspack, prior, tccon
from tests.observed import blend as blend_by_loops
from tests.observed import make_soundings, make_stations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = HybridLevels((0.0, 0.0, 500.0, 3000.0, 4000.0, 0.0), (1.0, 0.85, 0.6, 0.25, 0.05, 0.0))
TIMES = START + np.arange(5) * np.timedelta64(6, "h")
PPM = {"units": "1e-6"}


def surface_pressure(times=TIMES, grid=GRID):
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)
    t = np.arange(len(times))[:, None, None]
    return 1e5 - 1500 * np.sin(lat) ** 2 + 700 * np.cos(lat) * np.cos(lon + t)


def operator(observations, levels=LEVELS, grid=GRID, times=TIMES):
    return Operator.of(observations, grid, levels, surface_pressure(times, grid), times)


def field(*lead, levels=LEVELS, grid=GRID, times=TIMES, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(405 + 5 * rng.standard_normal((*lead, len(times), levels.count, *grid.shape)))


def every_kind(folder):
    """Name -> operator, of all layouts; the last one by layer instead of altitude."""
    paths = [write(folder) for write in (obspack, lite, mip, tccon)]
    seen = {path.name: read_observations(path) for path in paths}
    seen["aircraft"] = read_observations(obspack(folder, moving=True, dim="obs"))
    site = seen[paths[0].name].drop_vars("altitude")
    seen["layer"] = site.assign_coords(level=("station", [2]))
    return {name: operator(ds) for name, ds in seen.items()}


# the operator


@pytest.mark.parametrize("write", COLUMNS, ids=lambda f: f.__name__)
def test_the_prior_gives_back_its_own_column(write, tmp_path):
    """H(x_a) = XCO2_a to 0.01 ppm when the model is the prior, on its own 60 layers."""
    seen, fine = read_observations(write(tmp_path)), HybridLevels.sigma(60)
    edges = np.array(fine.b)[:, None, None] * surface_pressure()[:, None]
    x = torch.from_numpy(prior((edges[:, 1:] + edges[:, :-1]) / 2))
    expected = seen["xco2_prior"].values
    np.testing.assert_allclose(operator(seen, fine)(x), expected, atol=0.01)
    flipped = seen.assign(pressure_level=seen["pressure_level"].isel(retrieval_level=slice(None, None, -1)))
    assert np.abs(operator(flipped, fine)(x).numpy() - expected).max() > 0.1  # levels in the wrong order


def test_a_model_that_is_the_prior_on_the_retrieval_levels_gives_its_column_exactly(tmp_path):
    seen, level = read_observations(lite(tmp_path)), HybridLevels.sigma(8)
    profile = np.linspace(402, 413, 8)
    surface = np.full((len(TIMES), *GRID.shape), 1e5)
    p = weights.layer_pressure(level, np.array([1e5]))[0]
    x_a = np.interp(np.log(seen["pressure_level"].values), np.log(p[::-1]), profile[::-1])
    seen["co2_prior"] = (seen["co2_prior"].dims, x_a, PPM)
    x = torch.from_numpy(profile[:, None, None] + np.zeros((len(TIMES), 8, *GRID.shape)))
    H = Operator.of(seen, GRID, level, surface, TIMES)
    np.testing.assert_allclose(H(x), seen["xco2_prior"].values, rtol=0, atol=1e-9)


def mismatch(H, seed=3):
    """|<H x, y> - <x, H^T y>| over the size of either."""
    x, y = field(2, seed=seed), torch.randn(2, H.offset.numel(), dtype=torch.float64)
    forward, backward = (H.linear(x) * y).sum(), (x * H.adjoint(y)).sum()
    return float(abs(forward - backward) / abs(forward))


def test_the_adjoint_is_the_transpose_and_the_gradient(tmp_path):
    for H in every_kind(tmp_path).values():
        assert mismatch(H) < 1e-12
        x, y = field(2).requires_grad_(), torch.randn(2, H.offset.numel(), dtype=torch.float64)
        (by_autograd,) = torch.autograd.grad((H(x) * y).sum(), x)
        torch.testing.assert_close(H.adjoint(y), by_autograd, rtol=1e-12, atol=1e-14)
        assert H.adjoint(y).shape == x.shape


def test_a_wrong_adjoint_is_caught(tmp_path):
    H = every_kind(tmp_path)["aircraft"]

    class Sloppy(Operator):
        def adjoint(self, y):  # cells that several weights share keep the last one only
            field = torch.zeros(*y.shape[:-1], *self.shape, dtype=y.dtype)
            flat = field.movedim(-3, -4).flatten(-3)
            flat[..., self.cells] = y[..., None, :, None] * self.layer_weights[..., None] * self.cell_weights
            return flat.unflatten(-1, (self.shape[0], *self.shape[2:])).movedim(-3, -4)

    assert mismatch(Sloppy(**vars(H))) > 1e-6


def test_it_is_linear_and_differentiable(tmp_path):
    times, grid, level = TIMES, LatLonGrid.equiangular(3, 4), HybridLevels.sigma(3)
    seen = read_observations(lite(tmp_path)).isel(sounding=slice(0, 3))
    H = operator(seen, level, grid, times)
    x, z = (field(levels=level, grid=grid, seed=s) for s in (0, 1))
    assert torch.autograd.gradcheck(H, x.requires_grad_())
    torch.testing.assert_close(H.linear(2 * x - 3 * z), 2 * H.linear(x) - 3 * H.linear(z))
    torch.testing.assert_close(H(x) - H(z), H.linear(x - z))  # affine: the offset is not of x
    torch.testing.assert_close(H(x), H.offset + H.linear(x))
    assert float(abs(H.offset).min()) > 1  # so H alone would not do


def by_loops(seen, row, x):
    """One observation of canonical data at a flat index, in plain numpy: place, time, height, kernel."""
    ds = seen.stack(n=[d for d in seen["xco2" if "xco2" in seen else "co2"].dims], create_index=False)
    time = np.broadcast_to(seen["time"].values, (COUNT - len(REJECTED),)) if "station" in seen.dims else None
    here = ds.isel(n=row)
    t = (time[row] if time is not None else here["time"].values) - TIMES[0]
    lat, lon = float(here["lat"]), float(here["lon"])
    n = min(int(t // np.timedelta64(6, "h")), len(TIMES) - 2)
    later = t / np.timedelta64(6, "h") - n
    grid = xr.Dataset(coords=GRID.coordinates())
    at = lambda values: (  # noqa: E731
        (1 - later) * blend_by_loops(values[n], lat, lon, grid)
        + later * blend_by_loops(values[n + 1], lat, lon, grid)
    )
    profile, surface = at(x), float(at(surface_pressure()))
    edges = [a + b * surface for a, b in zip(LEVELS.a, LEVELS.b)]
    p = np.array([(low + high) / 2 for low, high in zip(edges[:-1], edges[1:])])
    on = lambda q: np.interp(np.log(q), np.log(p[::-1]), profile[::-1])  # noqa: E731
    if "level" in here.coords:
        return profile[int(here["level"]) - 1]
    if "altitude" in here.coords:
        z = float(here["altitude"])
        T, R = 288.15 - 0.0065 * min(z, 11000), 8.314462618 / 28.9647e-3
        q = 101325 * (T / 288.15) ** (9.80665 / (R * 0.0065))
        return on(q * np.exp(-9.80665 * max(z - 11000, 0) / (R * T)))
    total = float(here["xco2_prior"])
    for k in range(here.sizes["retrieval_level"]):
        v = here.isel(retrieval_level=k)
        change = on(float(v["pressure_level"])) - float(v["co2_prior"])
        total += float(v["pressure_weight"]) * float(v["averaging_kernel"]) * change
    return total


def test_it_is_what_loops_give(tmp_path):
    seen = {write.__name__: read_observations(write(tmp_path)).load() for write in (obspack, lite, tccon)}
    seen["aircraft"] = read_observations(obspack(tmp_path, moving=True, dim="obs"))
    seen["layer"] = seen["obspack"].reset_coords("altitude", drop=True).assign_coords(level=("station", [3]))
    x = field()
    for name, ds in seen.items():
        y = operator(ds)(x).numpy()
        for row in (0, 4, 8):
            assert y[row] == pytest.approx(by_loops(ds, row, x.numpy()), abs=1e-9), (name, row)


def test_it_agrees_with_the_scores_at_stations_and_of_columns(tiny_ensemble):
    E, R = tiny_ensemble
    grid, level = LatLonGrid.from_dataset(E), HybridLevels.from_dataset(E)
    surface = (E.air_mass.sum("level") / E.cell_area).values * GRAVITY
    x = torch.from_numpy(E.co2.values)
    stations = make_stations(E, R)
    place = place_of(E, stations, "stations")
    cells = E.co2.isel(level=xr.DataArray(stations.level.values - 1, dims="point"))
    expected = values_of(
        blend(cells.isel(lat=place.row, lon=place.column), place), ("member", "point", "time")
    )
    H = Operator.of(stations, grid, level, surface, E.time.values)
    np.testing.assert_allclose(H(x), expected.reshape(len(x), -1), rtol=1e-12)
    np.testing.assert_allclose(H.values, stations.co2.values.ravel())
    np.testing.assert_allclose(H.errors, 0.5)

    soundings = make_soundings(E, R)
    frame = np.abs(E.time.values - soundings.time.values[:, None]).argmin(axis=1)
    soundings["time"] = ("sounding", E.time.values[frame])  # scores take the nearest frame
    here = {name: values_of(soundings[name], dims) for name, dims in SOUNDINGS.items() if name != "time"}
    here["pressure_level"] *= 100
    expected = columns_of(E, here, frame, place_of(E, soundings, "soundings"))
    H = Operator.of(soundings, grid, level, surface, E.time.values)
    np.testing.assert_allclose(H(x), expected, rtol=1e-12)


def test_a_field_linear_in_time_place_and_log_pressure_is_seen_exactly():
    level, surface = HybridLevels.sigma(6), np.full((len(TIMES), *GRID.shape), 1e5)
    p = weights.layer_pressure(level, np.array([1e5]))[0]
    t = np.arange(len(TIMES))[:, None, None, None]
    x = 400 + t + 5 * np.log(p)[:, None, None] + GRID.lat[:, None] / 10 + 0 * GRID.lon
    z = np.array([1000.0, 5000.0, 9000.0])
    seen = xr.Dataset(
        {"co2": ("observation", np.full(3, 410.0), PPM)},
        {
            "time": ("observation", START + np.array([90, 800, 1440]) * np.timedelta64(1, "m")),
            "lat": ("observation", [-50.0, 3.3, 60.0]),
            "lon": ("observation", [-170.0, 359.9, 12.0]),
            "altitude": ("observation", z),
        },
    )
    hours = np.array([0.25, 800 / 360, 4.0])
    expected = 400 + hours + 5 * np.log(weights.standard_pressure(z)) + np.array([-5.0, 0.33, 6.0])
    H = Operator.of(seen, GRID, level, surface, TIMES)
    np.testing.assert_allclose(H(torch.from_numpy(x)), expected, rtol=1e-12)
    assert H.errors.isnan().all()
    above = seen.assign_coords(altitude=("observation", [30e3, 30e3, 30e3]))
    top = Operator.of(above, GRID, level, surface, TIMES)(torch.from_numpy(x))
    layer = seen.drop_vars("altitude").assign_coords(level=("observation", [6, 6, 6]))
    np.testing.assert_allclose(top, Operator.of(layer, GRID, level, surface, TIMES)(torch.from_numpy(x)))


def test_the_standard_atmosphere():
    """Table values of ISO 2533 in hPa."""
    z = np.array([0.0, 1000, 5000, 11000, 15000, 20000])
    table = [1013.25, 898.75, 540.20, 226.32, 120.45, 54.749]
    np.testing.assert_allclose(weights.standard_pressure(z) / 100, table, rtol=2e-4)


# what is left out or refused


def test_observations_outside_the_frames_and_with_gaps_are_counted(tmp_path):
    seen = read_observations(lite(tmp_path)).load()
    seen["time"] = seen["time"].copy(data=np.where(np.arange(10) == 2, TIMES[-1] + 1, seen.time.values))
    seen["averaging_kernel"][5, 3] = np.nan
    seen["pressure_level"][6, 0] = -999999.0
    H = operator(seen)
    assert H.kept.tolist() == [0, 1, 3, 4, 7, 8, 9]
    np.testing.assert_array_equal(H.values, seen["xco2"].values[H.kept])
    assert H.notes[0] == "2 of 10 observations with NaN or a fill value, left out"
    assert H.notes[1] == "1 of 10 observations outside the frames, left out"
    whole = operator(seen.isel(sounding=H.kept.tolist()))
    torch.testing.assert_close(H(field()), whole(field()))
    at_the_ends = seen.isel(sounding=[0, 1]).assign(time=("sounding", TIMES[[0, -1]]))
    assert operator(at_the_ends).kept.tolist() == [0, 1]
    with pytest.raises(
        InputError,
        match="expected some within 2018-06-10T00:00 .. 2018-06-11T00:00, got 10 of 10 observations outside",
    ):
        late = TIMES + np.timedelta64(9, "D")
        operator(read_observations(lite(tmp_path)), times=late)


def test_observations_under_the_ground_are_counted(tmp_path):
    seen = read_observations(lite(tmp_path)).load()
    assert operator(seen).notes == ()
    seen["pressure_level"][4, -1] = 1.12e5
    (note,) = operator(seen).notes
    assert note.startswith("1 more than 50 hPa under the model's surface")


def station(**changes):
    coords = {"lat": ("station", [10.0]), "lon": ("station", [20.0]), "level": ("station", [1])}
    ds = xr.Dataset({"co2": (("station", "time"), np.full((1, 5), 410.0), PPM)}, {"time": TIMES, **coords})
    return ds.assign(changes)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (station(level=("station", [9])), "level: expected 1 .. 5, got 9"),
        (station(lat=("station", [95.0])), "lat: expected degrees within -90 .. 90"),
        (station().drop_vars("level"), "expected altitude or level"),
        (station().drop_vars("lon"), "expected variable lon"),
        (station(co2=(("station", "time"), np.full((1, 5), 410.0))), "co2 as: co2: .*no units"),
    ],
)
def test_observations_that_do_not_fit_are_refused(seen, said):
    with pytest.raises(InputError, match=said):
        operator(seen)


def test_a_model_or_weights_that_do_not_fit_are_refused(tmp_path):
    seen = read_observations(lite(tmp_path)).load()
    product = seen.assign(pressure_weight=seen["pressure_weight"] * seen["averaging_kernel"])
    with pytest.raises(InputError, match="expected weights that sum to 1, got 10 of 10"):
        operator(product)
    on_model_levels = seen.assign(averaging_kernel=seen["averaging_kernel"].rename(retrieval_level="level"))
    with pytest.raises(InputError, match="averaging_kernel: expected dims"):
        operator(on_model_levels)
    with pytest.raises(InputError, match="Pa everywhere, got 98"):
        Operator.of(seen, GRID, LEVELS, surface_pressure() / 100, TIMES)
    with pytest.raises(InputError, match="surface_pressure: expected at least 2 frames"):
        Operator.of(seen, GRID, LEVELS, surface_pressure()[:1], TIMES[:1])
    with pytest.raises(ValueError, match="ending in .5, 5, 8, 16., got"):
        operator(seen)(field()[..., :-1])
    with pytest.raises(ValueError, match="at least 2 layers"):
        operator(seen, HybridLevels.sigma(1))


def test_an_operator_is_a_value(tmp_path):
    H = operator(read_observations(lite(tmp_path)))
    assert replace(H, notes=()).notes == ()
    with pytest.raises(AttributeError):
        H.offset = H.offset + 1
