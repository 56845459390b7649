"""Cells, layers and steps: nothing is lost, means are means, and closed forms come back."""

import numpy as np
import pytest
import xarray as xr

from gencarbon.data.readers import open_source, read
from gencarbon.data.regrid import at_steps, on_cells, on_layers, overlaps
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from tests import layouts

COARSE = LatLonGrid.equiangular(8, 16)  # does not divide the source's 12 x 24
LAYERS = HybridLevels((0.0, 1000.0, 2000.0, 0.0), (1.0, 0.7, 0.2, 0.0))
M_RATIO = 44.0095 / 28.9647 * 1e-6


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return read(open_source(layouts.carbontracker_molefraction(tmp_path_factory.mktemp("ct")))).load()


def masses(ds):
    """CO2 (kg) and air (kg) of every frame."""
    dims = ("level", "lat", "lon")
    return (ds.co2 * ds.air_mass).sum(dims).values * M_RATIO, ds.air_mass.sum(dims).values


def test_overlaps_are_shares():
    share = overlaps(np.array([0.0, 1, 2, 4]), np.array([0.0, 1.5, 4]))
    assert np.array_equal(share, [[1, 0.5, 0], [0, 0.5, 1]]) and np.array_equal(share.sum(0), np.ones(3))


@pytest.mark.parametrize("cells", [COARSE, LatLonGrid.equiangular(30, 64)], ids=["coarser", "finer"])
def test_cells_keep_mass_of_air_and_co2(source, cells):
    made = on_cells(source, cells)
    for before, after in zip(masses(source), masses(made)):
        np.testing.assert_allclose(after, before, rtol=1e-12)
    flat = on_cells(source.assign(co2=0 * source.co2 + 400), cells)
    assert float(abs(flat.co2 - 400).max()) < 1e-10
    unweighted = on_cells(source.assign(air_mass=0 * source.air_mass + source.air_mass.mean()), cells)
    assert (
        abs(masses(unweighted.assign(air_mass=made.air_mass))[0] / masses(source)[0] - 1).max() > 1e-9
    )  # this test would see it


def test_shifted_longitudes_are_met_across_the_meridian(source):
    edges = tuple(np.linspace(-7.5, 352.5, 25))
    half = on_cells(source, LatLonGrid(GRID_LAT, edges))
    west, east = source.air_mass.isel(lon=-1), source.air_mass.isel(lon=0)
    np.testing.assert_allclose(half.air_mass.isel(lon=0), (west + east) / 2, rtol=1e-12)


GRID_LAT = layouts.GRID.lat_bounds


def test_air_keeps_its_pressure_on_a_sphere_of_another_radius(source):
    wide = source.assign(
        cell_area=source.cell_area * (6378.1 / 6371) ** 2
    )  # of cells; the air was weighed on 6371 km
    mean = lambda ds: float((ds.air_mass.isel(time=0).sum() * 9.80665) / COARSE.area.sum())  # noqa: E731
    assert mean(on_cells(wide, COARSE)) == pytest.approx(98305, abs=1)
    assert mean(on_cells(wide.drop_vars("surface_pressure"), COARSE)) == pytest.approx(98305 / 1.00223, abs=1)


def test_the_same_cells_are_an_identity(source):
    made = on_cells(source, layouts.GRID)
    np.testing.assert_allclose(made.co2, source.co2, rtol=1e-12)


def test_fluxes_keep_their_total(tmp_path):
    source = read(open_source(layouts.carbontracker_flux(tmp_path)))
    made = on_cells(source, COARSE)
    total = layouts.pgc_per_year(made.flux, COARSE.area)
    assert total == pytest.approx(layouts.pgc_per_year(source.flux, source.cell_area), rel=1e-12)
    scaled = source.assign(cell_area=source.cell_area * (6378.1 / 6371) ** 2)  # the radius of another code
    assert layouts.pgc_per_year(on_cells(scaled, COARSE).flux, COARSE.area) == pytest.approx(
        total * 1.00223, rel=1e-5
    )


def test_layers_keep_every_column(source):
    made = on_layers(source, LAYERS)
    dp = xr.DataArray(LAYERS.thickness(made.surface_pressure.values), dims=source.co2.dims)
    g = 9.80665
    column = (source.co2 * source.air_mass * g / source.cell_area).sum("level")
    np.testing.assert_allclose((made.co2 * dp).sum("level"), column, rtol=1e-12)
    np.testing.assert_allclose(
        made.surface_pressure, (source.air_mass * g / source.cell_area).sum("level"), rtol=1e-12
    )


def test_layers_of_a_layered_column_in_closed_form(source):
    """Source values k in layer k; a target layer of known share of two neighbours is their mean by share."""
    ps = 1e5
    ten = xr.Dataset(
        {
            "co2": (("level", "lat", "lon"), np.arange(10.0)[:, None, None] * np.ones((10, 2, 2))),
            "air_mass": (("level", "lat", "lon"), np.full((10, 2, 2), ps / 10 / 9.80665)),
            "cell_area": (("lat", "lon"), np.ones((2, 2))),
        },
        {"lat": [-45.0, 45], "lon": [90.0, 270]},
    )
    layers = HybridLevels((0.0, 0, 0), (1.0, 0.75, 0.0))  # the lowest: layers 0, 1 and half of 2
    made = on_layers(ten, layers).co2.isel(lat=0, lon=0)
    np.testing.assert_allclose(
        made, [(0 + 1 + 0.5 * 2) / 2.5, (0.5 * 2 + sum(range(3, 10))) / 7.5], rtol=1e-12
    )


def test_layers_under_the_ground_do_not_count(source):
    buried = source.copy(deep=True)
    buried["air_mass"][:, 0, 3, :] = 0.0
    buried["co2"][:, 0, 3, :] = -1e30  # what is said of rock
    made = on_layers(on_cells(buried, COARSE), LAYERS)
    assert ((made.co2 > 390) & (made.co2 < 415)).all()


def test_fluxes_of_steps_are_means_and_states_are_linear(source, tmp_path):
    fluxes = read(open_source(layouts.carbontracker_flux(tmp_path))).load()
    times = fluxes.time.values[1:6:2]  # 6-hourly from 3-hourly
    made = at_steps(fluxes, times, "f")
    np.testing.assert_allclose(made.flux[0], fluxes.flux[1:3].mean("time"), rtol=1e-12)
    odd = times[:2] + np.timedelta64(1, "h")  # a step begins within an interval
    np.testing.assert_allclose(
        at_steps(fluxes, odd, "f").flux[0],
        (2 * fluxes.flux[1] + 3 * fluxes.flux[2] + fluxes.flux[3]) / 6,
        rtol=1e-12,
    )
    states = at_steps(source, source.time.values[:2] + np.timedelta64(1, "h"), "s")
    np.testing.assert_allclose(states.co2[0], (2 * source.co2[0] + source.co2[1]) / 3, rtol=1e-12)
    assert at_steps(source, source.time.values[2:4], "s").co2.equals(source.co2[2:4])
    for ds, wanted in (
        (fluxes, fluxes.time.values[4:] + np.timedelta64(1, "D")),
        (source, source.time.values[:2] - np.timedelta64(1, "h")),
    ):
        with pytest.raises(InputError, match="give more files"):
            at_steps(ds, wanted, "x")
    gap = fluxes.isel(time=[0, 1, 3, 4])
    with pytest.raises(InputError, match="give the files between"):
        at_steps(gap, fluxes.time.values[:3], "x")
