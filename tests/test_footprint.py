"""Gradients of transport: against finite differences, the adjoint identity, and footprints as the field uses them."""

import resource
from dataclasses import replace

import numpy as np
import pytest
import torch

from gencarbon.constants import M_CO2
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.continuity import close, conserve_air, face_fluxes
from gencarbon.transport.footprint import column, footprint, station, trajectory
from gencarbon.transport.mixing import Convection
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.transport.solver import Transport

GRID, LEVELS = LatLonGrid.equiangular(8, 16), HybridLevels((0, 2000, 3000, 0), (1, 0.8, 0.4, 0))
SECONDS = 6 * 3600.0


def winds(frames, seed=0, grid=GRID):
    """Smooth random winds and surface pressure, (time, level, lat, lon) m s-1 and (time, lat, lon) Pa."""
    rng = np.random.default_rng(seed)
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)
    wave = lambda k: np.cos(lat) * np.sin(k * lon + rng.uniform(0, 6, (frames, LEVELS.count, 1, 1)))  # noqa: E731
    u, v = 25 * np.cos(lat) + 10 * wave(1) + 8 * wave(3), 8 * wave(1) + 6 * wave(2)
    ps = conserve_air(torch.tensor(1e5 + 800 * wave(2)[:, 0]), grid)
    return torch.tensor(u), torch.tensor(v), ps


def motion(frames, grid=GRID):
    u, v, ps = winds(frames, grid=grid)
    east, north = face_fluxes(u, v, ps, grid, LEVELS)
    return AirMotion(ps.numpy(), east.numpy(), north.numpy(), SECONDS)


@pytest.mark.parametrize(
    ("scheme", "limited"), [("ppm", False), ("ppm", True), ("van_leer", True), ("upwind", False)]
)
def test_gradients_in_state_flux_and_winds(scheme, limited):
    """gradcheck over a step of four substeps, from winds to mole fractions: the closing of mass fluxes is part of it."""
    grid = LatLonGrid.equiangular(4, 8)
    model = Transport(grid, LEVELS, scheme, limited, convection=Convection(0.01, 40.0))
    u, v, ps = winds(2, grid=grid)
    generator = torch.Generator().manual_seed(0)
    q = 400 + 10 * torch.rand(2, 3, 4, 8, dtype=torch.float64, generator=generator)
    flux = torch.rand(2, 4, 8, dtype=torch.float64, generator=generator)

    def step(q, flux, u, v):
        air = close(*face_fluxes(u, v, ps[0], grid, LEVELS), ps[0], ps[1], SECONDS, grid, LEVELS)
        return model.step(q, air, 1e-7 * flux, SECONDS, substep=SECONDS / 4)

    arguments = [x.clone().requires_grad_() for x in (q, flux, u[0] / 2, v[0] / 2)]
    assert torch.autograd.gradcheck(step, arguments, eps=1e-5, atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_adjoint_identity(dtype, rounding):
    """<A x, y> = <x, A^T y> over ten days, for the state and for the fluxes."""
    air, generator = motion(41), torch.Generator().manual_seed(0)
    run = OfflineRun(GRID, LEVELS, "ppm", dtype=dtype)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    q, flux, y = draw(2, 3, 8, 16), draw(2, 41, 8, 16), draw(2, 3, 8, 16)
    forward = trajectory(run, q, 1e-8 * flux, air)[-1]
    x = [torch.zeros_like(q, requires_grad=True), torch.zeros_like(flux, requires_grad=True)]
    back = torch.autograd.grad(trajectory(run, x[0], 1e-8 * x[1], air)[-1], x, y)
    left, right = float((forward * y).sum()), float((q * back[0]).sum() + (flux * back[1]).sum())
    assert abs(left - right) < rounding * float(forward.norm() * y.norm())
    wrong = float((q * back[0].flip(-1)).sum() + (flux * back[1]).sum())
    assert abs(left - wrong) > 1e-4 * abs(left)  # an adjoint that is a little wrong is seen


def test_footprints_are_the_response_to_a_flux():
    air = motion(9)
    run = OfflineRun(GRID, LEVELS, "van_leer")
    receptors = np.stack(
        [station(GRID, LEVELS, 20.0, -100.0), column(GRID, LEVELS, -40.0, 30.0, air.surface_pressure[5])]
    )
    made = footprint(run, air, receptors, frames=[8, 5])
    assert made.flux.shape == (2, 8, 8, 16) and np.all(made.flux[1, 5:] == 0)
    assert made.initial.sum((1, 2, 3)) == pytest.approx([1, 1], abs=1e-12)
    rng = np.random.default_rng(0)
    start = 400 + rng.normal(size=(1, 3, 8, 16))
    flux = np.zeros((1, 9, 8, 16))
    base = list(run.states(start, flux, air))
    strongest = [np.unravel_index(made.flux[r].argmax(), made.flux[r].shape) for r in (0, 1)]
    for frame, lat, lon in [*strongest, (3, 4, 7), (0, 2, 9)]:
        changed = flux.copy()
        changed[0, frame, lat, lon] = 50 * 1e-6 * M_CO2  # 50 umol m-2 s-1 for six hours
        states = list(run.states(start, changed, air))
        for r, when in enumerate((8, 5)):
            response = ((states[when] - base[when])[0] * receptors[r]).sum() / 50
            assert response == pytest.approx(made.flux[r, frame, lat, lon], rel=1e-6, abs=1e-12)
            assert frame < when or made.flux[r, min(frame, 7), lat, lon] == 0


def test_an_averaging_kernel_weighs_the_layers():
    air = np.full((8, 16), 1e5)
    whole, upper = column(GRID, LEVELS, 10, 10, air), column(GRID, LEVELS, 10, 10, air, np.array([0, 0, 1.0]))
    assert (
        whole.sum() == pytest.approx(1)
        and upper.sum() == pytest.approx(whole[2].sum())
        and upper[:2].sum() == 0
    )
    assert station(GRID, LEVELS, 89.9, 359.9)[0, -1, -1] == 1 == station(GRID, LEVELS, -90, -0.1)[0, 0, -1]


@pytest.mark.slow
def test_a_month_long_adjoint_fits_in_memory():
    """30 days at 5.6 degrees: the peak of the process, all imports included, stays far below 4 GB."""
    grid = LatLonGrid.equiangular(32, 64)
    air = motion(121, grid)
    made = footprint(OfflineRun(grid, LEVELS, "ppm"), air, station(grid, LEVELS, 45.0, 8.0)[None])
    assert made.initial.sum() == pytest.approx(1, abs=1e-10) and made.flux.shape == (1, 120, 32, 64)
    x = torch.zeros(1, 3, 32, 64, dtype=torch.float64, requires_grad=True)
    flux = torch.zeros(1, 121, 32, 64, dtype=torch.float64, requires_grad=True)
    end = trajectory(OfflineRun(grid, LEVELS, "ppm"), x, flux, air)[-1]
    (end[0] * torch.tensor(station(grid, LEVELS, 45.0, 8.0))).sum().backward()
    assert np.allclose(1e-6 * M_CO2 * flux.grad[0, :120].numpy(), made.flux[0], atol=1e-14)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6  # kB


def test_receptors_that_cannot_be_are_refused():
    air, run = motion(3), OfflineRun(GRID, LEVELS)
    receptor = station(GRID, LEVELS, 0, 0)[None]
    with pytest.raises(InputError, match="level must be 1"):
        station(GRID, LEVELS, 0, 0, 9)
    with pytest.raises(InputError, match="level must be 1"):
        station(GRID, LEVELS, 0, 0, 1.5)
    with pytest.raises(InputError, match="latitude must lie"):
        station(GRID, LEVELS, 95, 0)
    with pytest.raises(InputError, match="longitude must be a number"):
        station(GRID, LEVELS, 0, float("nan"))
    with pytest.raises(InputError, match="kernel must be finite"):
        column(GRID, LEVELS, 0, 0, np.full((8, 16), 1e5), np.array([1, np.nan, 1]))
    with pytest.raises(InputError, match="on cells"):
        footprint(run, air, receptor[:, :, :4])
    with pytest.raises(InputError, match=r"within 1..2, got \[7\]"):
        footprint(run, air, receptor, frames=[7])
    with pytest.raises(InputError, match=r"within 1..2, got \[1.5\]"):
        footprint(run, air, receptor, frames=[1.5])
    with pytest.raises(InputError, match="refined 2 times"):
        footprint(replace(run, factor=2), air, receptor)


def test_still_air_keeps_a_footprint_at_home():
    """Without winds and mixing the response of a surface cell is its own flux over its own air, in every interval."""
    ps = np.full((5, 8, 16), 1e5)
    calm = np.zeros((5, 3, 8, 16))
    run = OfflineRun(GRID, LEVELS)
    object.__setattr__(run, "transport", replace(run.transport, diffusivity=None))
    made = footprint(run, AirMotion(ps, calm, calm, SECONDS), station(GRID, LEVELS, 10, 10)[None])
    air = LEVELS.air_mass(ps[0], GRID)[0, 4, 0]
    expected = 1e-6 * GRID.area[4, 0] * SECONDS / air * 28.9647e-3 * 1e6  # mol of CO2 per mol of air, in ppm
    assert made.flux[0, :, 4, 0] == pytest.approx(expected, rel=1e-12) and np.count_nonzero(made.flux) == 4
