"""From files of others to an ensemble."""

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from gencarbon.cli import app
from gencarbon.data import prepare
from gencarbon.data.checks import check_sampling_inputs
from gencarbon.data.prepare import frame_times, prepared, write_frames
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from tests import layouts
from tests.broken_files import block_spoiled

CELLS, LAYERS = LatLonGrid.equiangular(8, 16), HybridLevels.sigma(3)
SIX = 21600.0


def files(folder):
    fields = layouts.carbontracker_molefraction(folder)
    return {"winds": fields, "fluxes": layouts.carbontracker_flux(folder), "initial": fields}


def test_what_is_prepared_can_be_sampled_from(tmp_path):
    times = frame_times("2018-06-01T00", 0.5, SIX)
    paths = files(tmp_path)
    made = {role: prepared(role, some, times, CELLS, LAYERS) for role, some in paths.items()}
    inputs = check_sampling_inputs(made["winds"], made["fluxes"], None, made["initial"], CELLS, LAYERS, SIX)
    assert inputs.winds.sizes == {"time": 3, "level": 3, "lat": 8, "lon": 16, "level_interface": 4}
    total = layouts.pgc_per_year(made["fluxes"].flux, CELLS.area)
    assert total == pytest.approx(layouts.pgc_per_year(layouts.truth().flux[:6], layouts.GRID.area), rel=1e-6)
    assert (
        395 < float(made["initial"].co2.mean()) < 405
        and "found to be moist" in made["winds"].attrs["repairs"]
    )
    with pytest.raises(InputError, match="winds: expected a source of u, v, air_mass"):
        prepared("winds", paths["fluxes"], times, CELLS, LAYERS)
    with pytest.raises(InputError, match="give more files"):
        prepared(
            "winds",
            paths["winds"],
            times + np.timedelta64(1, "D"),
            CELLS,
            LAYERS,
        )


def test_a_killed_preparation_goes_on(tmp_path, monkeypatch):
    times = frame_times("2018-06-01T00", 0.75, 10800.0)
    ds = prepared("fluxes", layouts.carbontracker_flux(tmp_path), times, CELLS, LAYERS)
    monkeypatch.setattr(prepare, "BLOCK", 2)

    def kill(done, total):
        if done == 4:
            raise KeyboardInterrupt

    out = tmp_path / "f.zarr"
    with pytest.raises(KeyboardInterrupt):
        write_frames(ds, out, {"a": 1}, kill)
    assert not out.exists()
    with pytest.raises(InputError, match="repeat that command"):
        write_frames(ds, out, {"a": 2})
    seen = []
    write_frames(ds, out, {"a": 1}, lambda done, total: seen.append((done, total)))
    assert seen == [(6, 7), (7, 7)] and [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
    written = xr.open_zarr(out, consolidated=False)
    assert np.array_equal(written.flux, ds.flux) and np.array_equal(written.time, ds.time)
    with pytest.raises(InputError, match="another --out"):
        write_frames(ds, out, {"a": 1})


def test_a_damaged_block_is_named(tmp_path):
    (path,) = layouts.carbontracker_molefraction(tmp_path)
    block_spoiled("u")([path])
    times = frame_times("2018-06-01T00", 0.5, SIX)
    with pytest.raises(InputError, match=f"{path}: u: expected values that can be read, got OSError"):
        write_frames(prepared("winds", [path], times, CELLS, LAYERS), tmp_path / "w", {"files": [str(path)]})
    assert not (tmp_path / "w").exists()


def test_nan_is_not_prepared(tmp_path):
    times = frame_times("2018-06-01T00", 0.5, SIX)
    ds = prepared("winds", layouts.carbontracker_molefraction(tmp_path), times, CELLS, LAYERS).load()
    ds["u"][1, 2, 3, 4] = np.nan
    with pytest.raises(
        InputError, match=r"w\.zarr: u: expected finite values.*2018-06-01T12.*gencarbon data check"
    ):
        write_frames(ds, tmp_path / "w.zarr", {})
    assert not (tmp_path / "w.zarr").exists()


@pytest.mark.parametrize(
    ("start", "days", "words"),
    [
        ("june", 1.0, "a date such as"),
        ("", 1.0, "a date such as"),
        ("2018-06-01", 0.1, "at least one step of 6 h"),
    ],
)
def test_periods_are_refused(start, days, words):
    with pytest.raises(InputError, match=words):
        frame_times(start, days, SIX)


@pytest.mark.slow
def test_a_preparation_killed_between_its_stores_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files(tmp_path)
    period = ["--start", "2018-06-01", "--days", "0.75", "--out", "out"]
    command = [
        "data",
        "prepare",
        "--winds",
        "CT2022.molefrac*.nc",
        "--fluxes",
        "CT2022.flux1x1.*.nc",
        *period,
    ]
    write, whole = prepare.write_frames, CliRunner().invoke(app, [*command[:-1], "whole"])
    assert whole.exit_code == 0, whole.output
    begun = []

    def killed(ds, path, *others):
        begun.append(path.name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        write(ds, path, *others)

    monkeypatch.setattr(prepare, "write_frames", killed)
    assert CliRunner().invoke(app, command).exit_code != 0 and begun == ["winds.zarr", "fluxes.zarr"]
    other = CliRunner().invoke(app, [*command, "--days", "0.5"])
    assert "winds.zarr: expected a new output" in str(other.exception)
    assert CliRunner().invoke(app, command).exit_code == 0 and begun[2:] == ["fluxes.zarr"]
    for name in ("winds", "fluxes"):
        ours, theirs = (xr.open_zarr(f"{out}/{name}.zarr", consolidated=False) for out in ("out", "whole"))
        xr.testing.assert_identical(ours.load(), theirs.load())
    assert "one that is complete" in str(CliRunner().invoke(app, command).exception)


@pytest.mark.slow
def test_from_files_to_an_ensemble_on_the_command_line(tmp_path):
    """What the README shows: the files of another source, prepared, then sampled with the shipped checkpoint."""
    (tmp_path / "in").mkdir()
    for path in files(tmp_path / "in").values():
        assert path
    run = lambda *words: CliRunner().invoke(app, [str(word) for word in words])  # noqa: E731
    winds, fluxes = tmp_path / "in" / "CT2022.molefrac*.nc", tmp_path / "in" / "CT2022.flux1x1.*.nc"
    period = ("--start", "2018-06-01", "--days", 0.75)
    made = run(
        "data",
        "prepare",
        "--winds",
        winds,
        "--initial",
        winds,
        "--fluxes",
        fluxes,
        *period,
        "--out",
        tmp_path / "out",
    )
    assert made.exit_code == 0, made.output
    stores = [tmp_path / "out" / f"{role}.zarr" for role in ("winds", "fluxes", "initial")]
    assert run("data", "check", *stores).exit_code == 0
    lost = run(
        "data", "prepare", "--winds", "nothing*.nc", "--fluxes", fluxes, *period, "--out", tmp_path / "other"
    )
    assert lost.exit_code != 0 and not (tmp_path / "other").exists()
