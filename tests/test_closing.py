"""How much of the divergence of estimated winds is believed: least squares, the law of columns, and what may not change."""

import pytest
import torch

from gencarbon.grid import LatLonGrid
from gencarbon.transport.closing import closed, divergences, fit
from gencarbon.transport.continuity import coarsen_fluxes
from gencarbon.transport.subgrid import from_cells, mirrored, settled, to_cells

FACTOR, LEVELS = 3, 4
GRID = LatLonGrid.equiangular(8, 16)
FINE = GRID.refine(FACTOR)
NOISE = torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64)
EVERYTHING = torch.eye(LEVELS, dtype=torch.float64)[None]


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def samples(seed, count):
    """Divergences of winds whose columns close and whose uppermost layer has none, and estimates with errors that grow with level."""
    truth = noise(count, LEVELS, *FINE.shape, seed=seed)
    truth[:, -1] = 0
    truth[:, :-1] -= truth[:, :-1].mean(1, keepdim=True)
    return truth + NOISE[:, None, None] * noise(*truth.shape, seed=seed + 1), truth


def test_least_squares_find_the_covariances_of_winds_and_errors():
    made, truth = samples(0, 400)
    belief = fit(made, truth)
    of_truth = torch.eye(LEVELS, dtype=torch.float64) - 1 / 3
    of_truth[-1] = of_truth[:, -1] = 0
    exact = of_truth @ torch.linalg.inv(of_truth + torch.diag(NOISE**2))
    assert belief.shape == (FINE.shape[0], LEVELS, LEVELS) and torch.equal(belief, belief.flip(0))
    assert (belief - exact).abs().max() < 0.03
    assert exact.sum(0).abs().max() < 1e-12 and (belief.sum(-2)).abs().max() < 1e-12  # columns close
    new, real = samples(7, 20)
    error = lambda x: ((x - real) ** 2).mean((0, -2, -1))  # noqa: E731
    best = error(torch.einsum("ilm,smij->slij", belief, new))
    assert (best < 0.9 * error(new)).all() and (best[:-1] < 0.5 * error(0 * new)[:-1]).all()
    assert float(best[-1]) < 0.01 * float(error(new)[-1])


def test_of_a_network_that_says_nothing_nothing_is_believed():
    nothing = torch.zeros(1, LEVELS, *FINE.shape)
    assert not fit(nothing, nothing).any()


def swirls():
    """Additions without any divergence: around corners of the fine cells, none of which is a corner of a coarse one."""
    psi = noise(LEVELS, FINE.shape[0] + 1, FINE.shape[1], seed=3)
    psi[:, ::FACTOR, ::FACTOR] = 0
    psi[:, [0, -1]] = 0
    east, north = psi[:, 1:] - psi[:, :-1], (psi - torch.roll(psi, -1, -1))[:, :-1]
    return torch.stack([to_cells(east, FACTOR), to_cells(north, FACTOR)], dim=1)


def rough(seed=1):
    return settled(noise(LEVELS, 2, FACTOR**2, *GRID.shape, seed=seed), FACTOR)


def test_coarse_faces_keep_their_sums_and_what_is_believed_stays():
    none = torch.zeros_like(EVERYTHING)
    still, wild = swirls(), rough()
    assert torch.allclose(closed(still, none, FINE, FACTOR), still, atol=1e-11)
    assert torch.allclose(closed(wild, EVERYTHING, FINE, FACTOR), wild, atol=1e-11)
    made = closed(wild + still, none, FINE, FACTOR)
    faces = coarsen_fluxes(*(from_cells(made[:, c], FACTOR) for c in (0, 1)), FACTOR)
    assert max(f.abs().max() for f in faces) < 1e-12
    left = lambda x: float(divergences(x, FACTOR).std())  # noqa: E731
    assert left(made) < 0.35 * left(wild)  # the rest is what coarse faces ask for
    again = made
    for _ in range(20):
        again = closed(again, none, FINE, FACTOR)
    assert left(again) < 0.2 * left(made)


@pytest.mark.parametrize("move", [lambda x: torch.roll(x, 5, -1), lambda x: mirrored(x, FACTOR)])
def test_closing_turns_and_mirrors_with_the_world(move):
    belief, wild = fit(*samples(0, 3)), rough()
    whole = closed(wild, belief, FINE, FACTOR)
    assert torch.allclose(closed(move(wild), belief, FINE, FACTOR), move(whole), atol=1e-10)
    assert (whole - wild).abs().max() > 0.1 and (move(whole) - whole).abs().max() > 0.1
