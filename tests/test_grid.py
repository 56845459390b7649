import numpy as np
import pytest
import xarray as xr

from gencarbon.constants import GRAVITY, SPHERE_AREA
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean, coarsen_sum


@pytest.mark.parametrize("shape", [(32, 64), (96, 192), (2, 3), (181, 360)])
def test_areas_sum_to_the_sphere(shape):
    assert abs(LatLonGrid.equiangular(*shape).area.sum() / SPHERE_AREA - 1) < 1e-13


def test_midpoint_areas_would_not_sum_to_the_sphere():
    grid = LatLonGrid.equiangular(32, 64)
    midpoint = np.cos(np.deg2rad(grid.lat)) * np.deg2rad(180 / 32) * 2 * np.pi
    assert abs(midpoint.sum() / (4 * np.pi) - 1) > 1e-5


def test_coarsening_blocks_keeps_area_and_mass():
    fine = LatLonGrid.equiangular(12, 24)
    rng = np.random.default_rng(0)
    mass, q = rng.uniform(1, 2, (3, 12, 24)), rng.normal(size=(3, 12, 24))
    assert np.allclose(coarsen_sum(fine.area, 3), fine.coarsen(3).area, rtol=1e-13)
    coarse = coarsen_mean(q, 3, mass)
    assert (coarse * coarsen_sum(mass, 3)).sum() == pytest.approx((q * mass).sum(), rel=1e-13)
    unweighted = q.reshape(3, 4, 3, 8, 3).mean((2, 4))
    assert (unweighted * coarsen_sum(mass, 3)).sum() != pytest.approx((q * mass).sum(), rel=1e-6)


def test_a_grid_is_recovered_from_its_centres():
    grid = LatLonGrid.equiangular(32, 64)
    again = LatLonGrid.from_dataset(xr.Dataset(coords=grid.coordinates()))
    assert np.allclose(again.lat_bounds, grid.lat_bounds) and np.allclose(again.lon_bounds, grid.lon_bounds)


def test_half_polar_boxes_reach_the_pole():
    grid = LatLonGrid.from_dataset(
        xr.Dataset(coords={"lat": [-89.5, -88, -86, 0, 86, 88, 89.5], "lon": np.arange(0, 360, 10.0)})
    )
    assert abs(grid.area.sum() / SPHERE_AREA - 1) < 1e-13
    assert grid.lat_bounds[:3] == (-90, -89, -87) and grid.lat_bounds[-3:] == (87, 89, 90)
    points = LatLonGrid.from_dataset(  # at the poles, as in ERA5: nothing is half as high
        xr.Dataset(coords={"lat": np.linspace(-90, 90, 19), "lon": np.arange(0, 360, 10.0)})
    )
    assert points.lat_bounds[:3] == (-90, -85, -75)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LatLonGrid((90, 0, -90), (0, 180, 360)), "south to north.*sort"),
        (lambda: LatLonGrid((-90, 0, 91), (0, 180, 360)), "within -90..90"),
        (lambda: LatLonGrid((-90, 90), (0, 180, 361)), "at most 360"),
        (lambda: LatLonGrid.equiangular(8, 16).coarsen(3), "coarsened by 3.*common divisor"),
        (lambda: HybridLevels((0, 0), (0, 1)), "surface up.*reverse"),
        (lambda: HybridLevels((0, 0), (1,)), "same length"),
    ],
)
def test_impossible_grids_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_repeated_meridian_is_refused():
    ds = xr.Dataset(coords={"lat": [-45.0, 45.0], "lon": np.linspace(0, 360, 9)})
    with pytest.raises(InputError, match="repeated meridian"):
        LatLonGrid.from_dataset(ds)


def test_air_mass_is_surface_pressure_over_gravity():
    grid, levels = LatLonGrid.equiangular(8, 16), HybridLevels((0, 3000, 5000, 0), (1, 0.7, 0.2, 0))
    ps = np.random.default_rng(0).uniform(9e4, 1e5, (2, 8, 16))
    assert np.allclose(levels.air_mass(ps, grid).sum(-3), ps * grid.area / GRAVITY, rtol=1e-14)
