"""A training set from files: what is stored, killed builds, and a network trained on it."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from typer.testing import CliRunner

from gencarbon.budget import accumulated_flux
from gencarbon.cli import app
from gencarbon.config import load_any
from gencarbon.constants import ppm_to_kgkg
from gencarbon.data.own_files import BASE_CO2, FilesBuild, FilesConfig
from gencarbon.data.views import canonical_datasets
from gencarbon.errors import InputError
from gencarbon.metrics import budget_error_of_masses
from gencarbon.training.settings import TrainConfig
from tests import layouts, layouts_models

FRAMES = 17


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carbonbench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts_models, "truth", partial(layouts.truth, FRAMES + 1, 6))
        (path,) = layouts_models.carbonbench(folder)
    values = {
        "kind": "files", "name": "tiny", "co2": [str(path)], "winds": [str(path)], "fluxes": [str(path)], "nlat": 8, "hybrid_a": [0.0] * 4,
        "hybrid_b": [1.0, 0.7, 0.3, 0.0], "restart_days": 2,
        "splits": [{"name": name, "start": "2018-06-01", "days": 4.0} for name in ("train", "validation")],
    }  # fmt: skip
    (folder / "files.yaml").write_text(yaml.safe_dump(values))
    return load_any(folder / "files.yaml")


def test_what_is_stored(config, tmp_path):
    seen = []
    path = FilesBuild(config, config.splits[0], tmp_path).run(lambda done, total: seen.append((done, total)))
    assert seen == [(8, 17), (16, 17), (17, 17)] and sorted(p.name for p in tmp_path.iterdir()) == [
        "train.zarr"
    ]
    ds = xr.open_zarr(path, consolidated=False)
    truth = layouts.truth(FRAMES, 6)
    sets = canonical_datasets(ds)
    assert ds.sizes["time"] == FRAMES and np.array_equal(ds.time, truth.time)
    total = layouts.pgc_per_year(sets["fluxes"].flux, ds.cell_area)
    assert total == pytest.approx(
        layouts.pgc_per_year(truth.flux, truth.cell_area) * (6378.1 / 6371) ** 2, rel=1e-6
    )
    mass = ppm_to_kgkg((sets["reference"].co2 * sets["reference"].air_mass).sum(("level", "lat", "lon")))
    expected = ppm_to_kgkg((truth.co2 * truth.air_mass).sum(("level", "lat", "lon")))
    np.testing.assert_allclose(mass, expected, rtol=2e-4)  # other molar masses, and air of another radius
    for first in (0, 8, 16):  # the coarse run begins again from the files' CO2
        np.testing.assert_allclose(ds.tracer_background[:, first], ds.tracer[:, first], atol=1e-4)
    assert float(abs(ds.tracer_background - ds.tracer)[:, 7].max()) > 0.1
    air = ds.surface_pressure.weighted(ds.cell_area).mean(("lat", "lon"))
    np.testing.assert_allclose(air, air[0], rtol=1e-12)


def test_a_killed_build_is_the_same(config, tmp_path):
    whole = FilesBuild(config, config.splits[0], tmp_path / "whole").run()

    def kill(done, total):
        if done == 16:
            raise KeyboardInterrupt

    build = FilesBuild(config, config.splits[0], tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        build.run(kill)
    assert not build.path.exists()
    seen = []
    again = build.run(lambda done, total: seen.append(done))
    xr.testing.assert_identical(
        xr.open_zarr(again, consolidated=False).load(), xr.open_zarr(whole, consolidated=False).load()
    )


def test_a_period_without_files_is_refused_before_anything_is_written(config, tmp_path):
    late = config.splits[0].model_copy(update={"start": "2019-01-01"})
    with pytest.raises(InputError, match="give more files"):
        FilesBuild(config, late, tmp_path).run()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_shipped_configs_train_and_sample_on_the_command_line(config, tmp_path, monkeypatch):
    """As they ship, but for where the store is, the days that it has, and the number of steps."""
    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    splits = [{"name": name, "start": "2018-06-01", "days": 4.0} for name in ("train", "validation")]
    few = {"steps": 2, "warmup": 1}
    changes = {
        "data": {
            "co2": config.co2,
            "winds": config.winds,
            "fluxes": config.fluxes,
            "restart_days": 2,
            "splits": splits,
        },
        "train": {"mean": few, "remainder": few, "batch": 2, "scale_samples": 4, "validation_windows": 2},
    }
    for kind, changed in changes.items():
        shipped = yaml.safe_load(Path(f"configs/{kind}_carbonbench.yaml").read_text())
        (tmp_path / f"{kind}.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(shipped | changed))))
    store = tmp_path / "data" / "carbonbench" / "validation.zarr"
    for words in (("data", "build", tmp_path / "data.yaml"), ("train", tmp_path / "train.yaml")):
        done = CliRunner().invoke(app, list(map(str, words)))
        assert done.exit_code == 0, done.output
    for role, ds in canonical_datasets(xr.open_zarr(store, consolidated=False), slice(0, 8)).items():
        ds.to_zarr(tmp_path / f"{role}.zarr", consolidated=False)
    options = [f"--{role}={tmp_path / f'{role}.zarr'}" for role in ("winds", "fluxes", "initial")]
    checkpoint, out = tmp_path / "runs" / "carbonbench" / "pipeline", tmp_path / "E.zarr"
    done = CliRunner().invoke(
        app, ["sample", *options, f"--checkpoint={checkpoint}", "--members=2", f"--out={out}"]
    )
    assert done.exit_code == 0, done.output
    made = xr.open_zarr(out)
    assert (
        made.sizes["level"] == 10 and made.sizes["lat"] == 32 and abs(float(made.co2.mean()) - BASE_CO2) < 10
    )
    mass = ppm_to_kgkg((made.co2 * made.air_mass).sum(("level", "lat", "lon")))
    added = accumulated_flux(made.flux.values, made.cell_area.values, 21600.0)
    assert budget_error_of_masses(mass.values, added).max() < 1e-6


@pytest.mark.parametrize("name", ["data_carbonbench", "train_carbonbench"])
def test_shipped_configs_load(name):
    assert isinstance(load_any(f"configs/{name}.yaml"), (FilesConfig, TrainConfig))
