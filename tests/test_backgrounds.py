"""The mixture of coarse runs: mass, interpolation, who begins from what."""

import numpy as np
import xarray as xr

from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.data.backgrounds import (
    REFERENCE,
    SEGMENTS,
    background_runs,
    interpolated,
    state_of,
    with_blocks_of,
)
from gencarbon.data.refined import refined_run_of
from gencarbon.data.settings import RefinedConfig
from gencarbon.grid import coarsen_mean
from tests import canonical
from tests.test_training import store


def plain(frames):
    return store(frames).drop_vars(
        ["tracer_refined", "tracer_background_diffusive", "tracer_background_wide"]
    )


def test_runs_of_other_schemes_hold_the_mass_of_the_benchmarks_and_are_made_once(tmp_path):
    split, told = plain(5), []
    made = background_runs(split, tmp_path / "b.zarr", lambda *news: told.append(news)).load()
    again = background_runs(split, tmp_path / "b.zarr", lambda *news: told.append(None)).load()
    xr.testing.assert_identical(made, again)
    assert None not in told and ("wide", 0, 5) in told
    air = canonical.LEVELS.air_mass(split.surface_pressure.values, canonical.GRID)
    added = [
        accumulated_flux(f.astype(float), canonical.GRID.area, 21600.0) for f in split.tracer_flux.values
    ]
    runs = {name: run.values.astype(float) for name, run in made.items()}
    for run in runs.values():
        mass = np.stack([co2_mass(tracer, air) for tracer in run])
        # the test's surface pressure does not conserve air
        assert np.abs(mass - mass[:, :1] - added).max() < 1e-2 * np.abs(mass).max()
        assert not np.array_equal(run, split.tracer_background.values)
    diffusive, wide = runs.values()
    assert (
        diffusive.std() < split.tracer_background.values.astype(float)[:, :1].std()
        and wide.shape == diffusive.shape
    )


def test_blocks_are_kept_and_nothing_else_is_known():
    air = canonical.LEVELS.air_mass(canonical.winds(1).surface_pressure.values[0], canonical.GRID)
    rng = np.random.default_rng(0)
    field = rng.normal(size=(2, 3, 8, 16))
    blocks = with_blocks_of(field, 2, air)
    means = lambda x: coarsen_mean(x, 2, air)  # noqa: E731
    assert np.abs(means(blocks) - means(field)).max() < 1e-12
    inside = rng.normal(size=field.shape)
    inside -= np.repeat(np.repeat(means(inside), 2, -2), 2, -1)
    assert np.abs(with_blocks_of(field + inside, 2, air) - blocks).max() < 1e-12
    assert np.abs(blocks - field).max() > 0.1
    assert np.abs(interpolated(np.ones((3, 4, 8)), 2, air) - 1).max() < 1e-12


def test_every_third_segment_of_a_refined_run_begins_from_one_of_the_backgrounds(tmp_path):
    assert SEGMENTS[:6] == (REFERENCE, REFERENCE, "coarse", REFERENCE, REFERENCE, "blocks")
    assert set(SEGMENTS[2::3]) == {"coarse", "wide", "blocks"}
    split = store(53)
    made = refined_run_of(split, RefinedConfig(scheme="van_leer", segment_days=1), tmp_path / "r.zarr")
    for number in (0, 2, 5, 8, 11):
        first = 4 * number
        assert np.allclose(made[:, first], state_of(split, SEGMENTS[number % 12], first), atol=1e-6)
        if SEGMENTS[number % 12] != REFERENCE:
            assert np.abs(made[:, first] - split.tracer[:, first]).max() > 0.01
