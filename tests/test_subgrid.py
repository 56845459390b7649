"""What finer winds add: layout, exact coarse sums, the mirror, and the runs that are given it."""

import numpy as np
import pytest
import torch

from gencarbon.grid import HybridLevels, LatLonGrid, coarsen_mean
from gencarbon.transport.continuity import coarsen_fluxes, face_fluxes
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.transport.refine import refine_mole_fraction
from gencarbon.transport.subgrid import from_cells, mirrored, settled, subgrid_fluxes, to_cells

FACTOR, LEVELS = 3, HybridLevels.sigma(2)
GRID = LatLonGrid.equiangular(8, 16)
FINE = GRID.refine(FACTOR)


def fine_fluxes(steps=4, seed=0):
    """Rough winds on the fine faces, (time, level, lat, lon) kg s-1."""
    rng = np.random.default_rng(seed)
    u, v = (torch.tensor(10 * rng.standard_normal((steps, 2, *FINE.shape))) for _ in range(2))
    east, north = face_fluxes(u, v, torch.full((steps, *FINE.shape), 1e5, dtype=torch.float64), FINE, LEVELS)
    return east, north


def test_cells_and_fine_faces_are_two_layouts_of_one_field():
    x = torch.arange(6 * 9.0).reshape(6, 9)
    cells = to_cells(x, 3)
    assert cells.shape == (9, 2, 3)
    assert cells[:, 1, 2].tolist() == x[3:, 6:].flatten().tolist()
    assert torch.equal(from_cells(cells, 3), x)


def test_what_interpolation_lacks_sums_to_zero_over_coarse_faces_and_so_does_anything_settled():
    lacking = subgrid_fluxes(*fine_fluxes(), FACTOR)
    assert lacking.shape == (4, 2, 2, 9, 8, 16)
    size = lacking.abs().max()
    on_faces = lambda x: coarsen_fluxes(*(from_cells(x[..., c, :, :, :], FACTOR) for c in (0, 1)), FACTOR)  # noqa: E731
    assert max(f.abs().max() for f in on_faces(lacking)) < 1e-12 * size
    guess = torch.randn(lacking.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert max(f.abs().max() for f in on_faces(guess)) > 0.1
    assert max(f.abs().max() for f in on_faces(settled(guess, FACTOR))) < 1e-12
    assert torch.allclose(settled(lacking, FACTOR), lacking, atol=1e-12 * float(size))
    assert not settled(guess, FACTOR)[..., 1, :3, 0, :].any()  # nothing crosses the south pole


def test_the_mirror_of_what_is_lacking_is_what_the_mirrored_winds_lack():
    east, north = fine_fluxes()
    turned = -torch.cat([north[..., 1:, :], torch.zeros_like(north[..., :1, :])], -2)
    mine = mirrored(subgrid_fluxes(east, north, FACTOR), FACTOR)
    theirs = subgrid_fluxes(east.flip(-2), turned.flip(-2), FACTOR)
    assert torch.allclose(mine, theirs, atol=1e-9 * float(theirs.abs().max()))


@pytest.fixture(scope="module")
def blown():
    """A blob after some steps of the fine winds, run on fine cells with the same half steps, and runs from coarse fluxes."""
    east, north = (0.05 * f for f in fine_fluxes())
    coarse = coarsen_fluxes(east, north, FACTOR)
    air = AirMotion(np.full((4, *GRID.shape), 1e5), *(f.numpy() for f in coarse), 6 * 3600.0)
    start = np.exp(-((GRID.lat[:, None] / 40) ** 2) - ((GRID.lon - 150) / 40) ** 2) * np.ones((1, 2, 1, 1))
    lacking = subgrid_fluxes(east, north, FACTOR)
    whole = lambda k: tuple(from_cells(lacking[k, :, c], FACTOR) for c in (0, 1))  # noqa: E731

    def end(subgrid):
        run = OfflineRun(GRID, LEVELS, "ppm", FACTOR, subgrid=subgrid)
        return list(run.states(start, np.zeros((1, 4, *GRID.shape)), air))[-1]

    return {"without": end(None), "with": end(whole), "fine": (east, north), "start": start}


def test_a_run_with_all_that_is_lacking_is_the_run_on_the_fine_fluxes(blown):
    run = OfflineRun(FINE, LEVELS, "ppm")
    like_it = OfflineRun(GRID, LEVELS, "ppm", FACTOR)
    ps = like_it.pressure(AirMotion(np.full((4, *GRID.shape), 1e5), None, None, 0.0))
    q = refine_mole_fraction(torch.tensor(blown["start"]), FACTOR, like_it.mass(ps[0]))
    for k in range(3):
        for sign in (-1, 1):
            faces = [f[k] + sign * (f[min(k + 1, 3)] - f[max(k - 1, 0)]) / 8 for f in blown["fine"]]
            air = run.transport.close(*faces, ps[0], ps[0], 3 * 3600.0)
            q = run.transport.step(q, air, torch.zeros(1, *FINE.shape, dtype=torch.float64), 3 * 3600.0)
    truth = coarsen_mean(q.numpy(), FACTOR, LEVELS.air_mass(np.full(FINE.shape, 1e5), FINE))
    assert np.abs(blown["with"] - truth).max() < 1e-10
    assert np.abs(blown["without"] - truth).max() > 1e-3  # and without it another
