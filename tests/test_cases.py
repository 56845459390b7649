"""Analytic transport tests at the coarsest resolution: published norms, order of convergence, exact conservation."""

import numpy as np
import pytest
import torch

from gencarbon.constants import EARTH_RADIUS
from gencarbon.grid import LatLonGrid
from gencarbon.transport import cases, correlated, dcmip
from gencarbon.transport.cases import carry, cell_means, deformation, norms, solid_rotation, squeeze, unit_air
from gencarbon.transport.continuity import divergence, vertical_flux

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


def test_the_divergent_flow_gathers_air_and_gives_it_back():
    grid = LatLonGrid.equiangular(32, 64)
    start = np.stack([cell_means(cases.gaussian_hills, grid), np.ones(grid.shape)])
    schemes = [("upwind", False), ("ppm", False)]
    middle, gathered = carry(start, squeeze, grid, 128, schemes, until=cases.PERIOD / 2)
    made, air = carry(start, squeeze, grid, 128, schemes)
    density = gathered / unit_air(grid)
    assert density.max() > 3 and density.min() < 0.4  # it does diverge, and stays positive
    assert np.abs(air / unit_air(grid) - 1).max() < 0.03
    for fields, mass in ((middle, gathered), (made, air)):
        assert np.abs(fields[:, 1] - 1).max() < 1e-13
        assert (
            np.abs((fields * mass).sum((-1, -2)) / (start * unit_air(grid)).sum((-1, -2)) - 1).max() < 1e-13
        )
    upwind, ppm = (norms(f[0], start[0], grid.area)["l2"] for f in made)
    assert ppm < 0.12 < 0.5 < upwind


def test_mixing_diagnostics_on_points_whose_place_is_known():
    """On the curve; on the chord's middle; above the curve; beyond the range."""
    chi = np.array([[0.5, 0.55, 0.5, 1.1]])
    xi = np.array(
        [[correlated.partner(0.5), (correlated.partner(0.1) + correlated.partner(1.0)) / 2, 0.85, 0.1]]
    )
    area = np.ones_like(chi)
    far = correlated.distance(chi, xi)
    curve = np.linspace(0.1, 1, 200001)
    scale = 0.9, correlated.partner(0.1) - correlated.partner(1.0)
    for k in range(4):
        brute = np.hypot(
            (chi[0, k] - curve) / scale[0], (xi[0, k] - correlated.partner(curve)) / scale[1]
        ).min()
        assert far[0, k] == pytest.approx(brute, abs=3e-6)
    found = correlated.diagnostics(chi, xi, area)
    assert found == {
        "real": pytest.approx(far[0, 1] / 4),
        "unmixing": pytest.approx(far[0, 2] / 4),
        "overshooting": pytest.approx(far[0, 3] / 4),
    }
    assert far[0, 0] < 1e-12


def test_schemes_mix_correlated_tracers_as_they_must():
    """Upwind, linear and monotone, mixes as nature could and no other way; no limited scheme leaves the range; PPM without does."""
    grid = LatLonGrid.equiangular(32, 64)
    bells = cell_means(cases.cosine_bells, grid)
    start = np.stack([bells, correlated.partner(bells)])
    schemes = [("upwind", False), ("ppm", True), ("ppm", False)]
    made, _ = carry(start, deformation, grid, 128, schemes, until=cases.PERIOD / 2)
    upwind, limited, linear = (correlated.diagnostics(*q, grid.area) for q in made)
    assert upwind["unmixing"] < 1e-12 and upwind["overshooting"] == 0 == limited["overshooting"]
    assert limited["unmixing"] > 1e-6 and linear["overshooting"] > 1e-5 and linear["real"] < upwind["real"]


@pytest.mark.parametrize(
    ("flow", "speed"), [(dcmip.deformation, 23000 * np.pi / (12 * 86400) / 9.8), (dcmip.hadley, 0.15)]
)
def test_flows_in_three_dimensions_close(flow, speed):
    grid, levels = LatLonGrid.equiangular(16, 32), dcmip.layers(12)
    east, north, up = (torch.tensor(f) for f in flow(grid, levels, 1e3))
    mass = torch.tensor(levels.air_mass(np.full(grid.shape, dcmip.SURFACE), grid))
    assert (vertical_flux(mass, mass, east, north, 1.0) - up).abs().max() < 1e-12 * up.abs().max()
    assert (divergence(east, north)[-1] - up[-1]).abs().max() < 1e-12 * up.abs().max()  # a lid
    fastest = float(
        (up / torch.tensor(grid.area)).abs().max()
    )  # kg m-2 s-1; the published amplitudes, where cells are fine
    assert 0.5 * speed < fastest < 1.05 * speed


def test_linear_relations_survive_three_dimensions_only_without_a_limiter():
    grid, levels = LatLonGrid.equiangular(16, 32), dcmip.layers(8)
    start = dcmip.cell_means(dcmip.four_tracers, grid, levels)
    assert np.abs(0.3 * start[:3].sum(0) + start[3] - 1).max() < 1e-14
    miss = {}
    for limited in (False, True):
        made, air = dcmip.carry(
            start, dcmip.deformation, grid, levels, dcmip.DEFORMATION_PERIOD, 48, "ppm", limited
        )
        miss[limited] = np.abs(0.3 * made[:3].sum(0) + made[3] - 1).max()
        assert np.abs((made * air).sum((1, 2, 3)) / (start * air).sum((1, 2, 3)) - 1).max() < 1e-13
    assert miss[False] < 1e-12 and miss[True] > 1e-5


def test_the_hadley_layer_comes_back_nearer_with_finer_cells():
    miss = []
    for n in (16, 32):
        grid, levels = LatLonGrid.equiangular(n, 8), dcmip.layers(n)
        start = dcmip.cell_means(dcmip.cosine_layer, grid, levels)
        made, air = dcmip.carry(start, dcmip.hadley, grid, levels, dcmip.HADLEY_PERIOD, n)
        miss.append(norms(made, start, air)["l2"])
    assert miss[1] < 0.6 * miss[0] < 0.6, miss
