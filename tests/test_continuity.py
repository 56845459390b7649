"""From winds to fluxes: faces, time means, what closing costs, and what it refuses."""

import numpy as np
import pytest
import torch

from gencarbon.constants import EARTH_RADIUS, GRAVITY
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import close, closure, conserve_air, face_fluxes, thickness

GRID, LEVELS = LatLonGrid.equiangular(16, 32), HybridLevels((0, 2000, 3000, 0), (1, 0.8, 0.4, 0))


def turning(grid, at_faces):
    """Solid rotation at 20 m s-1 at the equator: u at centres or, the same, on western faces."""
    u = 20 * torch.cos(torch.deg2rad(torch.tensor(grid.lat)))[:, None].expand(3, *grid.shape)
    return face_fluxes(u, 0 * u, torch.full(grid.shape, 1e5), grid, LEVELS, at_faces)


def test_winds_at_centres_and_on_faces_carry_the_same_air():
    for at_faces in (False, True):
        east, north = turning(GRID, at_faces)
        length = EARTH_RADIUS * np.deg2rad(180 / 16)
        expected = 20 * np.cos(np.deg2rad(GRID.lat)) * 1e5 * length / GRAVITY
        assert np.allclose(east.sum(0).numpy(), expected[:, None]) and not north.any()


def test_winds_on_faces_are_taken_where_they_are():
    u = torch.zeros(3, 16, 32)
    u[:, 5, 7] = 1.0
    v = u.roll(1, -1)
    ps = torch.full((16, 32), 1e5)
    east, north = face_fluxes(u, v, ps, GRID, LEVELS, at_faces=True)
    assert (
        east.count_nonzero() == 3 and east[0, 5, 7] > 0 and north.count_nonzero() == 3 and north[0, 5, 8] > 0
    )
    east, north = face_fluxes(u, v, ps, GRID, LEVELS)
    assert east[0, 5, 7] == east[0, 5, 8] and north[0, 5, 8] > 0 and north[0, 6, 8] > 0
    east, north = face_fluxes(u.roll(-5, -2), u.roll(-5, -2), ps, GRID, LEVELS, at_faces=True)
    assert not north[:, 0].any()  # nothing passes the pole


def test_thickness_sums_to_the_surface_pressure():
    ps = 1e5 + 1000 * torch.rand(2, 16, 32, dtype=torch.float64)
    assert torch.allclose(thickness(ps, LEVELS).sum(-3), ps) and torch.allclose(
        thickness(ps, LEVELS), torch.tensor(LEVELS.thickness(ps.numpy()))
    )


def gap(east, north, start, end):
    return closure(east, north, close(east, north, start, end, 3600.0, GRID, LEVELS), 3600.0, GRID)


def test_closure_is_stated_in_numbers():
    ps = torch.full(GRID.shape, 1e5, dtype=torch.float64)
    east, north = turning(GRID, True)
    found = gap(east, north, ps, ps)
    assert found["pressure_hpa_per_day"] < 1e-9 and found["correction_m_s"] < 1e-12
    square = 2 / 3  # mean of cos^2 over the sphere
    assert found["wind_m_s"] == pytest.approx(20 * square**0.5, rel=0.01)
    # a front that moves without winds: 1 hPa more in one hemisphere, less in the other, in an hour
    lon = torch.deg2rad(torch.tensor(GRID.lon))
    end = conserve_air(torch.stack([ps, ps + 100 * torch.sign(torch.sin(lon))]), GRID)[1]
    still = gap(0 * east, 0 * north, ps, end)
    assert still["pressure_hpa_per_day"] == pytest.approx(24.0, rel=1e-6)
    assert still["air_per_month"] == pytest.approx(24e-3 * 30, rel=1e-3) and still["correction_m_s"] > 0.1


def test_air_from_nowhere_is_refused():
    ps = torch.full(GRID.shape, 1e5, dtype=torch.float64)
    east, north = turning(GRID, True)
    with pytest.raises(InputError, match="relative difference of 0.001; scale it with conserve_air"):
        close(east, north, ps, 1.001 * ps, 3600.0, GRID, LEVELS)
