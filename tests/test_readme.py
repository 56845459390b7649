"""What the README shows runs, on the shipped sample and checkpoint."""

import re
from pathlib import Path

import pytest
import torch

from gencarbon import sample_data
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sampling.coarse_run import air_motion

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch):
    sample = sample_data.load_sample()
    for role, ds in sample.items():
        short = ds if role == "initial" else ds.isel(time=slice(0, 8))
        short.drop_encoding().to_zarr(tmp_path / f"{role}.zarr")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1).replace("members=16", "members=2")
    names: dict = {}
    exec(code, names)  # the README is ours
    assert float(names["scores"].budget_error_max) < 1e-6
    assert (
        float(names["scores"].crps_over_coarse_mae_overall) < 0.6
    )  # the shipped checkpoint corrects the coarse run


def test_the_transport_example_runs():
    winds = sample_data.load_sample()["winds"].isel(time=slice(0, 2))
    grid, levels = LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds)
    motion, seconds = air_motion(winds, grid, levels, 21600.0), 21600.0
    ps_start, ps_end = torch.tensor(motion.surface_pressure)
    names = {"grid": grid, "levels": levels, "ps_start": ps_start, "ps_end": ps_end, "seconds": seconds}
    names |= {"east": torch.tensor(motion.east[0]), "north": torch.tensor(motion.north[0])}
    names |= {
        "q": torch.full((2, levels.count, *grid.shape), 400.0),
        "surface_flux": torch.zeros(2, *grid.shape),
    }
    exec(re.findall(r"```python\n(.*?)```", README, re.S)[1], names)
    assert (names["q"] - 400).abs().max() < 1e-9


def test_the_shipped_sample_and_checkpoint_are_small():
    size = lambda path: sum(p.stat().st_size for p in Path(path).rglob("*") if p.is_file())  # noqa: E731
    package = Path(sample_data.__file__).parent
    assert 0 < size(package / "samples") <= 6e6 and 0 < size(package / "checkpoints") <= 16e6


def test_every_command_in_the_readme_exists():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.M)
    for name in re.findall(r"eval.run (\w+)", README):
        assert (Path(__file__).parent.parent / "eval" / "benchmarks" / f"{name}.yaml").exists()
    for config in re.findall(r"configs/\w+\.yaml", README):
        assert (Path(__file__).parent.parent / config).exists()
