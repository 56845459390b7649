"""Mixing in columns: conservation, no new extremum, the equation written out, refusals."""

import numpy as np
import pytest
import torch

from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.mixing import ColumnMixing, Convection, Diffusivity, mix

LEVELS = HybridLevels((0, 2000, 4000, 3000, 0), (1, 0.85, 0.5, 0.2, 0))
HOURS = 3600.0


def plume_of():
    """The columns of a coarse grid and their mixing by eddies and by a plume."""
    grid = LatLonGrid.equiangular(4, 8)
    mass = torch.as_tensor(LEVELS.air_mass(np.full((4, 8), 1e5), grid))
    return mass, ColumnMixing(
        Diffusivity().exchange(LEVELS, grid), *Convection(0.02, 40.0).plume(LEVELS, grid)
    )


@pytest.mark.parametrize("convective", [False, True])
def test_mixing_conserves_the_column_and_relaxes_it(convective):
    mass, mixing = plume_of()
    if not convective:
        mixing = ColumnMixing(mixing.exchange)
    q = torch.rand(2, 4, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = lambda x, seconds: mix(x, mass, mixing.operator(mass, seconds))  # noqa: E731
    short, long = step(q, HOURS), step(q, 1e11)
    for after, rounding in ((short, 1e-13), (long, 1e-7)):
        assert torch.allclose((after * mass).sum(1), (q * mass).sum(1), rtol=rounding)
    assert (long.amax(1) - long.amin(1)).max() < 1e-3 and (short.amax(1) - short.amin(1)).max() > 0.1
    assert torch.allclose(step(torch.full_like(q, 400.0), HOURS), torch.full_like(q, 400.0), rtol=1e-14)
    for after in (short, step(q, 30 * HOURS)):  # no new extremum in any column
        assert (after.amax(1) <= q.amax(1) + 1e-12).all() and (after.amin(1) >= q.amin(1) - 1e-12).all()


def test_implicit_mixing_solves_the_equation_layer_by_layer():
    """Against the definition written out with loops: eddies exchange air, the plume lifts it, the air around it sinks."""
    mass, mixing = plume_of()
    q = torch.rand(1, 4, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dt = 6 * HOURS
    after = mix(q, mass, mixing.operator(mass, dt))
    for j, i in ((0, 0), (1, 3), (2, 7)):
        new, m = after[0, :, j, i], mass[:, j, i]
        flux, plume, rising = torch.zeros(5, dtype=torch.float64), 0.0, 0.0
        for k in range(3):
            entrained, detrained = mixing.entrained[k, j, i], mixing.detrained[k, j, i]
            if rising + entrained > 0:
                plume = (rising * plume + entrained * new[k]) / (rising + entrained)
            rising = rising + entrained - detrained
            flux[k + 1] = mixing.exchange[k, j, i] * (new[k] - new[k + 1]) + rising * (plume - new[k + 1])
        assert torch.allclose(
            m * (new - q[0, :, j, i]), dt * (flux[:-1] - flux[1:]), rtol=1e-10, atol=1e-10 * float(m.max())
        )


def test_a_plume_lifts_surface_air_past_the_layers_between():
    grid = LatLonGrid.equiangular(4, 8)
    levels = HybridLevels.sigma(8)
    mass = torch.as_tensor(levels.air_mass(np.full((4, 8), 1e5), grid))
    calm = torch.zeros(7, 4, 8, dtype=torch.float64)
    mixing = ColumnMixing(calm, *Convection(0.01, 90.0).plume(levels, grid))
    q = torch.zeros(1, 8, 4, 8, dtype=torch.float64)
    q[:, 0] = 1.0
    after = mix(q, mass, mixing.operator(mass, HOURS))[0, :, 1, 0]
    assert after[5] > after[2] and after[7] == 0  # detrained aloft, nothing above the top of the plume


def test_updrafts_that_do_not_add_up_are_refused():
    calm, some = torch.zeros(3, 4, 8), torch.ones(4, 4, 8)
    with pytest.raises(InputError, match="both entrained and detrained"):
        ColumnMixing(calm, some)
    with pytest.raises(InputError, match="exchange must not be negative or NaN, got -1"):
        ColumnMixing(calm - 1)
    with pytest.raises(InputError, match="stay positive and end at 0.*detrain what was entrained"):
        ColumnMixing(calm, some, 0.5 * some)


def test_a_plume_above_the_lid_is_refused():
    with pytest.raises(InputError, match="set sigma_base and sigma_top within"):
        Convection().plume(HybridLevels((0, 0), (1, 0.95)), LatLonGrid.equiangular(8, 16))


def test_eddies_alone_by_elimination_are_what_a_dense_solver_finds():
    """A plume that carries nothing takes the dense way; one interface without exchange, one with a thousand times its air."""
    rng = np.random.default_rng(5)
    mass = torch.tensor(rng.uniform(1e14, 5e14, (7, 4, 8)))
    exchange = torch.tensor(rng.uniform(0, 1e11, (6, 4, 8)))
    exchange[2], exchange[4] = 0, 1e14
    nothing = torch.zeros_like(mass)
    made = ColumnMixing(exchange).operator(mass, 3600.0)
    dense = ColumnMixing(exchange, nothing, nothing).operator(mass, 3600.0)
    assert made.shape == dense.shape == (6, 6, 4, 8)
    assert (made - dense).abs().max() < 1e-12 * dense.abs().max()
    other = ColumnMixing(exchange * (1 + 1e-6)).operator(mass, 3600.0)
    assert (other - dense).abs().max() > 1e-9 * dense.abs().max()  # and it would be seen
