import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from gencarbon.constants import kgkg_to_ppm
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.advection import advect_east, advect_north, advect_up
from gencarbon.transport.checks import count_substeps, far_rows
from gencarbon.transport.continuity import (
    MassFluxes,
    close,
    coarsen_fluxes,
    conserve_air,
    divergence,
    face_fluxes,
)
from gencarbon.transport.mixing import ColumnMixing, Convection
from gencarbon.transport.solver import Transport

LEVELS = HybridLevels((0, 2000, 4000, 3000, 0), (1, 0.85, 0.5, 0.2, 0))
HOURS = 3600.0


def storm(grid, seconds=6 * HOURS, strength=1.0, steady=False):
    """Strong, divergent winds across both poles and a moving surface pressure (steady: it stays)."""
    lat, lon = torch.deg2rad(torch.tensor(grid.lat))[:, None], torch.deg2rad(torch.tensor(grid.lon))
    shear = torch.linspace(0.3, 1.5, LEVELS.count)[:, None, None]
    u = shear * (
        30 * torch.cos(lat)
        + 20 * torch.sin(lat) * torch.cos(lon)
        + 10 * torch.cos(lat) ** 2 * torch.sin(5 * lon)
    )
    v = shear * (-20 * torch.sin(lon) + 15 * torch.cos(lat) ** 2 * torch.cos(6 * lon))
    ps = torch.stack(
        [1e5 + 1000 * torch.sin(lon) * torch.cos(lat), 1e5 + 1100 * torch.sin(lon + 0.05) * torch.cos(lat)]
    )
    ps = conserve_air(ps, grid)
    faces = (strength * f for f in face_fluxes(u, v, ps[0], grid, LEVELS))
    return close(*faces, ps[0], ps[0] if steady else ps[1], seconds, grid, LEVELS)


@pytest.mark.parametrize("shape", [(8, 16), (32, 64), (24, 48)])
def test_closed_fluxes_carry_exactly_the_pressure_tendency(shape):
    grid = LatLonGrid.equiangular(*shape)
    air = storm(grid)
    gain = (air.mass_end - air.mass_start).sum(0) / (6 * HOURS) + divergence(air.east, air.north).sum(0)
    assert gain.abs().max() < 1e-12 * air.east.abs().max()
    top = air.up[-1] - (air.mass_end - air.mass_start)[-1] / (6 * HOURS) - divergence(air.east, air.north)[-1]
    assert top.abs().max() < 1e-12 * air.east.abs().max()  # nothing leaves through the top


def test_winds_do_not_close_by_themselves():
    grid = LatLonGrid.equiangular(16, 32)
    u, v = torch.randn(4, 16, 32, generator=torch.Generator().manual_seed(0)), torch.zeros(4, 16, 32)
    east, north = face_fluxes(u, v, torch.full((16, 32), 1e5), grid, LEVELS)
    assert divergence(east, north).sum(0).abs().max() > 1e-3 * east.abs().max()


def test_aggregated_fluxes_close_on_the_coarse_grid():
    grid = LatLonGrid.equiangular(24, 48)
    air = storm(grid)
    east, north = coarsen_fluxes(air.east, air.north, 3)
    block = lambda a: a.reshape(LEVELS.count, 8, 3, 16, 3).sum((2, 4))  # noqa: E731
    assert torch.allclose(
        divergence(east, north),
        block(divergence(air.east, air.north)),
        atol=1e-9 * float(air.east.abs().max()),
    )


@pytest.mark.parametrize("scheme", ["ppm", "van_leer", "upwind"])
@pytest.mark.parametrize("limited", [True, False])
def test_transport_conserves_mass_and_keeps_uniform_fields(scheme, limited):
    grid = LatLonGrid.equiangular(32, 64)
    air = storm(grid)
    q = torch.rand(3, LEVELS.count, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q[0] = 400.0
    model = Transport(grid, LEVELS, scheme, limited)
    moved = model.step(q, air, torch.zeros(3, 32, 64), 6 * HOURS)
    before, after = ((a * m).sum((1, 2, 3)) for a, m in ((q, air.mass_start), (moved, air.mass_end)))
    assert (after / before - 1).abs().max() < 1e-12
    assert (moved[0] / 400 - 1).abs().max() < 1e-12
    if limited or scheme == "upwind":
        assert moved[1:].min() >= -1e-15 and moved[1:].max() <= 1 + 1e-12
    else:
        assert moved[1:].min() < 0  # the linear schemes are not positive, and this test would see it


def test_the_advective_form_would_lose_mass():
    grid = LatLonGrid.equiangular(32, 64)
    air, q = (
        storm(grid),
        torch.rand(1, LEVELS.count, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    courant = air.east * HOURS / air.mass_start
    moved = q - courant * (q - torch.roll(q, 1, -1))
    assert abs((moved * air.mass_start).sum() / (q * air.mass_start).sum() - 1) > 1e-6


def test_unlimited_transport_is_linear_in_the_tracer():
    grid = LatLonGrid.equiangular(16, 32)
    air, generator = storm(grid), torch.Generator().manual_seed(0)
    a, b = (torch.randn(1, LEVELS.count, 16, 32, dtype=torch.float64, generator=generator) for _ in range(2))

    def nonlinearity(scheme, limited):
        model, no_flux = Transport(grid, LEVELS, scheme, limited), torch.zeros(1, 16, 32)
        step = lambda q: model.step(q, air, no_flux, 6 * HOURS)  # noqa: E731
        return (step(2 * a - 3 * b + 400) - (2 * step(a) - 3 * step(b) + 400)).abs().max()

    assert nonlinearity("ppm", False) < 1e-10 and nonlinearity("van_leer", False) < 1e-10
    assert nonlinearity("ppm", True) > 1e-3


@pytest.mark.parametrize("shift", [0.3, 1.0, 2.7, -5.4])
def test_zonal_steps_take_any_courant_number(shift):
    """A ring turned by whole cells comes back exactly; by parts, it matches the smooth solution."""
    n = 64
    x = 2 * np.pi * (np.arange(n) + 0.5) / n
    q, mass = torch.tensor(np.sin(x) + 2)[None, None, None], torch.full((1, 1, n), 3.0, dtype=torch.float64)
    moved, mass_after = advect_east(q, mass, shift * mass, "ppm", False)
    expected = np.sin(x - 2 * np.pi * shift / n) + 2
    tolerance = 1e-13 if float(shift).is_integer() else 2e-5
    assert np.abs(moved.numpy()[0, 0, 0] - expected).max() < tolerance and torch.equal(mass, mass_after)


def test_ppm_is_third_order_and_upwind_first_on_smooth_fields():
    def error(n, scheme):
        x = 2 * np.pi * (np.arange(n) + 0.5) / n
        mean = lambda phase: np.sin(x - phase) * np.sin(np.pi / n) / (np.pi / n)  # noqa: E731  cell means
        q, mass = torch.tensor(mean(0.0))[None, None, None], torch.ones(1, 1, n, dtype=torch.float64)
        for _ in range(n):
            q, mass = advect_east(
                q, mass, 0.25 * mass, scheme, False
            )  # not 1/2: there van Leer's scheme is third-order by luck
        return np.abs(q.numpy()[0, 0, 0] - mean(np.pi / 2)).mean()

    order = lambda scheme: np.log2(error(32, scheme) / error(64, scheme))  # noqa: E731
    assert order("ppm") > 2.7 and 1.7 < order("van_leer") < 2.5 and 0.7 < order("upwind") < 1.3


def swept(cells, face, share, moved, limited):
    """Colella and Woodward (1984) with loops: tracer through the face between cells face - 1 and face of a line of cells."""
    k = face - 1 if moved > 0 else face
    q = cells[k]
    left, right = (
        7 * (cells[e - 1] + cells[e]) / 12 - (cells[e - 2] + cells[e + 1]) / 12 for e in (k, k + 1)
    )
    if limited:
        left, right = (sorted((cells[e - 1], v, cells[e]))[1] for e, v in ((k, left), (k + 1, right)))
        jump, bend = right - left, 6 * (q - (left + right) / 2)
        if (right - q) * (q - left) <= 0:
            left = right = q
        elif jump * bend > jump**2:
            left = 3 * q - 2 * right
        elif jump * bend < -(jump**2):
            right = 3 * q - 2 * left
    jump, bend = right - left, 6 * (q - (left + right) / 2)
    if moved > 0:
        return moved * (right - share / 2 * (jump - (1 - 2 * share / 3) * bend))
    return moved * (left + share / 2 * (jump + (1 - 2 * share / 3) * bend))


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("north", [True, False])
def test_beyond_a_pole_lies_the_opposite_meridian(limited, sign, north):
    n, half = 8, 8
    q = torch.rand(1, 1, n, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q += torch.cos(2 * torch.pi * torch.arange(16) / 16)  # odd across the pole: the wrong meridian is seen
    moved = torch.zeros(1, n, 16, dtype=torch.float64)
    face = n - 1 if north else 1
    moved[:, face] = 0.3 * sign
    after, _ = advect_north(q, torch.ones_like(moved), moved, "ppm", limited)
    for i in range(16):
        beyond = (i + half) % 16
        meridian, opposite = q[0, 0, :, i].tolist(), q[0, 0, :, beyond].tolist()
        line = [*opposite[2::-1], *meridian, *opposite[:-4:-1]]  # three cells beyond each pole
        flux = swept(line, face + 3, 0.3, 0.3 * sign, limited)
        for row, gain in ((face - 1, -1), (face, 1)):
            expected = (q[0, 0, row, i] + gain * flux) / (1 + gain * 0.3 * sign)
            assert after[0, 0, row, i] == pytest.approx(float(expected), abs=1e-13)


def test_vertical_advection_keeps_linear_profiles_in_unequal_layers():
    mass = (
        torch.tensor([1.0, 2.0, 4.0, 2.0, 1.0, 1.0], dtype=torch.float64)[:, None, None]
        .expand(-1, 2, 4)
        .clone()
    )
    centre = torch.cumsum(mass, 0) - mass / 2
    moved = torch.full_like(mass, 0.1)
    moved[0] = 0
    after, mass_after = advect_up(centre[None], mass, moved, "ppm", False)
    inner = slice(2, -1)  # a cell or two from the boundaries, where edge values are one-sided
    assert torch.allclose(after[0, inner], (centre - 0.1)[inner], atol=1e-12)
    assert torch.allclose((after * mass_after).sum(), (centre * mass).sum())


def test_surface_flux_arrives_with_its_exact_mass():
    grid = LatLonGrid.equiangular(16, 32)
    air = storm(grid)
    flux = torch.zeros(1, 16, 32, dtype=torch.float64)
    flux[0, 10, 5] = 1e-7
    q = Transport(grid, LEVELS).step(
        torch.zeros(1, LEVELS.count, 16, 32, dtype=torch.float64), air, flux, 6 * HOURS
    )
    from gencarbon.constants import ppm_to_kgkg

    mass = ppm_to_kgkg(float((q[0] * air.mass_end).sum()))
    assert mass == pytest.approx(1e-7 * grid.area[10, 5] * 6 * HOURS, rel=1e-12)


def test_polar_courant_numbers_need_no_small_steps():
    grid = LatLonGrid.equiangular(96, 192)
    air = storm(grid, HOURS)
    courant = (air.east.abs() * HOURS / air.mass_start).max()
    n = count_substeps(air, HOURS, None)
    assert courant > 4 and n <= 4 and 5 < far_rows(air, HOURS / n) < 30


def test_rows_where_air_comes_from_afar_make_no_difference_elsewhere():
    """The rows by the poles are cut out for speed; the cut leaves no trace, bit for bit, so batches of members agree."""
    grid = LatLonGrid.equiangular(32, 64)
    air = storm(grid)
    q = torch.rand(2, LEVELS.count, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model, still = Transport(grid, LEVELS), torch.zeros(2, 32, 64)
    rows = far_rows(air, HOURS)
    assert 0 < rows < 12
    runs = [model.advance(q, air, still, 6 * HOURS, 6, k) for k in (rows, rows + 3, 16)]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])
    assert not torch.equal(
        runs[0], model.advance(q, air, still, 6 * HOURS, 6, 0)
    )  # too few rows would be seen


@pytest.mark.parametrize("limited", [True, False])
def test_members_with_winds_of_their_own_go_in_one_call(limited):
    grid, generator = LatLonGrid.equiangular(16, 32), torch.Generator().manual_seed(0)
    airs = [storm(grid, HOURS), storm(grid, HOURS, strength=0.7)]
    batch = batched(*airs)
    q = torch.rand(2, 3, LEVELS.count, 16, 32, dtype=torch.float64, generator=generator)
    flux = 1e-7 * torch.rand(2, 3, 16, 32, dtype=torch.float64, generator=generator)
    model = Transport(grid, LEVELS, "ppm", limited)
    together = model.step(q, batch, flux, HOURS, substep=HOURS / 2)
    for k in range(2):
        alone = model.step(q[k], airs[k], flux[k], HOURS, substep=HOURS / 2)
        assert torch.allclose(together[k], alone, rtol=0, atol=1e-12)
        first = model.step(q[k, :1], airs[k], flux[k, :1], HOURS, substep=HOURS / 2)
        assert (
            torch.equal(alone[:1], first) if limited else torch.allclose(alone[:1], first, rtol=0, atol=1e-12)
        )


@pytest.mark.parametrize("limited", [True, False])
def test_float32_steps_close_the_budget_in_float64(limited):
    grid, generator = LatLonGrid.equiangular(32, 64), torch.Generator().manual_seed(0)
    air = storm(grid)
    q = 400 + torch.rand(3, LEVELS.count, 32, 64, dtype=torch.float64, generator=generator)
    q[0] = 400.0
    flux = 1e-7 * torch.rand(3, 32, 64, dtype=torch.float64, generator=generator)
    flux[0] = 0.0
    single, double = (
        Transport(grid, LEVELS, "ppm", limited, dtype=d) for d in (torch.float32, torch.float64)
    )
    fast, exact = (m.step(q, air, flux, 6 * HOURS) for m in (single, double))
    assert fast.dtype == torch.float64 and 1e-8 < (fast - exact).abs().max() < 2e-4
    assert (fast[0] - 400).abs().max() < 1e-11
    added = kgkg_to_ppm((flux * torch.tensor(grid.area)).sum((-1, -2)) * 6 * HOURS)
    gained = (fast * air.mass_end).sum((1, 2, 3)) - (q * air.mass_start).sum((1, 2, 3))
    assert ((gained - added)[1:].abs() / added[1:]).max() < 1e-9


def test_a_step_runs_on_any_device():
    """The meta device computes shapes only, and refuses to meet a tensor of another device: nothing stays behind on the CPU."""
    grid = LatLonGrid.equiangular(8, 16)
    air = storm(grid)
    away = MassFluxes(
        *(getattr(air, f).to("meta") for f in ("mass_start", "mass_end", "east", "north", "up"))
    )
    q, flux = torch.zeros(2, LEVELS.count, 8, 16, device="meta"), torch.zeros(2, 8, 16, device="meta")
    for dtype, limited in ((torch.float64, True), (torch.float32, False)):
        model = Transport(grid, LEVELS, "ppm", limited, convection=Convection(), dtype=dtype)
        assert model.advance(q, away, flux, HOURS, 2, 2).shape == q.shape
    with pytest.raises(RuntimeError, match="device"):
        Transport(grid, LEVELS).advance(q, air, flux, HOURS, 2, 2)


@pytest.mark.slow
def test_a_compiled_step_is_the_same_step():
    if not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler")
    grid = LatLonGrid.equiangular(16, 32)
    air = storm(grid, HOURS)
    q = torch.rand(2, LEVELS.count, 16, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain, fused = (
        Transport(grid, LEVELS, compiled=c).step(q, air, torch.zeros(2, 16, 32), HOURS) for c in (False, True)
    )
    assert torch.allclose(plain, fused, rtol=0, atol=1e-13)


def batched(*airs):
    """Air of several members."""
    fields = ("mass_start", "mass_end", "east", "north", "up")
    return MassFluxes(*(torch.stack([getattr(a, f) for a in airs]) for f in fields))


def refused(match, q=None, flux=None, air=None, grid=None, **options):
    grid = grid or LatLonGrid.equiangular(8, 16)
    q = torch.zeros(1, 4, 8, 16) if q is None else q
    flux = torch.zeros(1, 8, 16) if flux is None else flux
    with pytest.raises(InputError, match=match):
        Transport(grid, LEVELS).step(q, air or storm(grid, HOURS), flux, HOURS, **options)


def test_bad_fluxes_and_schemes_are_refused():
    grid = LatLonGrid.equiangular(8, 16)
    air = storm(grid, HOURS)
    bad = air.east.clone()
    bad[0, 2, 3] = float("nan")
    refused(r"\(east\) must be finite, got 1 NaN or infinite.*check the winds", air=replace(air, east=bad))
    refused(
        "positive, got -1 kg in mass_end.*surface pressure", air=replace(air, mass_end=0 * air.mass_end - 1)
    )
    refused("shape of the air mass.*on one grid", air=replace(air, north=air.north[..., :8]))
    refused(
        "over the interval of 3600 s, got a cell that misses .* close the fluxes", air=storm(grid, 6 * HOURS)
    )
    refused(r"cells \(4, 8, 16\).*regrid", q=torch.zeros(1, 4, 16, 32))
    refused(r"one for all, got \(2,\).*leading dimensions", air=batched(air, air))
    refused(
        "mole fractions must be finite, got 1 NaN",
        q=torch.zeros(1, 4, 8, 16).masked_fill(torch.arange(512).reshape(1, 4, 8, 16) == 7, torch.nan),
    )
    refused("regrid the fluxes", flux=torch.zeros(1, 16, 32))
    refused("regrid the fluxes", flux=torch.zeros(8, 16))
    refused("surface fluxes must be finite, got 128", flux=torch.full((1, 8, 16), float("nan")))
    refused("even number of substeps, got substeps of 1000 s; use", substep=1000.0)
    refused("even number of substeps, got substeps of 0 s; use", substep=0.0)
    refused(
        "Courant number .* of a substep of 1800 s.*use",
        air=storm(grid, HOURS, 30.0, steady=True),
        substep=1800.0,
    )
    refused("cells in an interval.*units of the winds", air=storm(grid, HOURS, 1e6, steady=True))
    refused(r"exchange must have the shape \(3, 8, 16\).*regrid", mixing=ColumnMixing(torch.zeros(3, 4, 8)))
    refused(r"exchange must have the shape \(3, 8, 16\)", mixing=ColumnMixing(torch.zeros(4, 8, 16)))
    for seconds in (-HOURS, float("nan")):
        with pytest.raises(InputError, match="positive number of seconds"):
            Transport(grid, LEVELS).step(torch.zeros(1, 4, 8, 16), air, torch.zeros(1, 8, 16), seconds)


def test_settings_that_cannot_be_are_refused(monkeypatch):
    grid = LatLonGrid.equiangular(8, 16)
    with pytest.raises(InputError, match="one of"):
        Transport(grid, LEVELS, "spectral")
    with pytest.raises(InputError, match="float32 or"):
        Transport(grid, LEVELS, dtype=torch.float16)
    with pytest.raises(InputError, match=r"global grid, got 20..60 degrees north"):
        Transport(LatLonGrid((20, 40, 60), tuple(np.linspace(0, 360, 9))), LEVELS)
    with pytest.raises(InputError, match="evenly spaced cells"):
        Transport(LatLonGrid((-90, 0, 90), (0, 90, 100, 200, 360)), LEVELS)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"C\+\+ compiler, found none"):
        Transport(grid, LEVELS, compiled=True)
