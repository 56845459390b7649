"""What the README shows runs, on the shipped sample and checkpoint."""

import re
from pathlib import Path

import pytest

from gencarbon import sample_data

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
