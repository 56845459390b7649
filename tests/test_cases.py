"""Analytic transport tests at the coarsest resolution: published norms, order of convergence, exact conservation."""

import numpy as np
import pytest

from gencarbon.constants import EARTH_RADIUS
from gencarbon.grid import LatLonGrid
from gencarbon.transport import cases
from gencarbon.transport.cases import carry, cell_means, deformation, norms, solid_rotation

# l2 after one period of Nair-Lauritzen case 4 (non-divergent), 32 x 64 cells, 128 steps, of a Lin-Rood scheme with the same
# reconstructions: Gaussian hills, cosine bells
LIN_ROOD = {
    ("upwind", True): (0.782, 0.641),
    ("van_leer", True): (0.526, 0.541),
    ("ppm", False): (0.327, 0.427),
    ("ppm", True): (0.448, 0.510),
}


@pytest.mark.parametrize(("scheme", "limited"), LIN_ROOD)
def test_deformation_comes_back_as_near_as_with_a_lin_rood_scheme(scheme, limited):
    grid = LatLonGrid.equiangular(32, 64)
    start = np.stack([cell_means(f, grid) for f in (cases.gaussian_hills, cases.cosine_bells)])
    start = np.concatenate([start, np.ones((1, *grid.shape))])
    (made,), mass = carry(start, deformation, grid, 128, [(scheme, limited)])
    for k, expected in enumerate(LIN_ROOD[scheme, limited]):
        assert norms(made[k], start[k], grid.area)["l2"] < 1.05 * expected
    assert np.abs(made[2] - 1).max() < 1e-13
    area = grid.area / EARTH_RADIUS**2
    assert np.abs((made * mass).sum((1, 2)) / (start * area).sum((1, 2)) - 1).max() < 1e-13


def test_ppm_converges_on_a_hill_carried_over_the_poles():
    miss = []
    for n in (16, 32, 64):
        grid = LatLonGrid.equiangular(n, 2 * n)
        start = cell_means(cases.gaussian_hills, grid)
        ((made,),), _ = carry(start[None], solid_rotation(np.pi / 2), grid, 4 * n)
        miss.append(norms(made, start, grid.area)["l2"])
    assert np.log2(np.array(miss[:-1]) / np.array(miss[1:])).min() > 1.5 and miss[-1] < 0.02, miss


def test_initial_fields_have_their_published_size():
    grid = LatLonGrid.equiangular(60, 120)
    area = grid.area / grid.area.sum()
    hills, bells, cylinders, bell = (
        cell_means(f, grid)
        for f in (cases.gaussian_hills, cases.cosine_bells, cases.slotted_cylinders, cases.williamson_bell)
    )
    assert hills.max() == pytest.approx(0.95, abs=0.01) and bells.max() == pytest.approx(1.0, abs=0.02)
    assert cylinders.min() == pytest.approx(0.1) and cylinders.max() == pytest.approx(1.0)
    # a chord-Gaussian exp(-5 |X|^2) has the mean (1 - exp(-20)) / 20 over the sphere
    assert (hills * area).sum() == pytest.approx(2 * 0.95 / 20, rel=1e-3)
    disc = (1 - np.cos(0.5)) / 2
    slot = (2 * 0.5 / 6) * (0.5 + 5 / 12 * 0.5) / (4 * np.pi)  # a flat slot, to a few percent
    assert (cylinders * area).sum() == pytest.approx(0.1 + 0.9 * 2 * (disc - slot), rel=0.02)
    assert 0 < (bell * area).sum() < (1 - np.cos(1 / 3)) / 2
