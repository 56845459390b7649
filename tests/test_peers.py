"""The comparison with `fme` without `fme`: how its learning rate is chosen, what is kept, and that every limit names a figure."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from eval.benchmark import judge, load_benchmark
from eval.suites import peers
from gencarbon import CO2Pipeline
from tests import canonical
from tests.test_training import store
from tests.tiny_model import tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")

ERRORS = {
    "0.0001": 2.0,
    "0.0003": 0.5,
    "0.001": 1.0,
}  # ppm, of what stands for fme's samples, by learning rate
REPORT = {"sampling_cpu_seconds_per_frame_and_member": 1.0, "parameters": 7}
DATA = {"checkpoint": "tiny", "dates": 2, "frames": 9, "every": 4, "members": 3, "trial_members": 2}


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What the peer's script was asked for; its samples are the truth, wrong by `ERRORS`."""
    split, asked = store(21), []
    split = split.assign(hybrid_a=canonical.winds(1).hybrid_a, hybrid_b=canonical.winds(1).hybrid_b)
    split.attrs |= {"config": "tiny"}
    pipe = tiny_pipeline(steps=2)
    monkeypatch.setattr(CO2Pipeline, "from_pretrained", classmethod(lambda cls, name: pipe))
    monkeypatch.setattr(peers, "split_store", lambda data, name: split)
    monkeypatch.setattr(peers, "_environment", lambda path: Path("python"))
    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    (tmp_path / "peers").mkdir()

    def stand_in(call, check):
        data, out = map(Path, call[2:4])
        options = dict(word.removeprefix("--").split("=") for word in call[4:])
        asked.append(options | {"out": out.name, "data": data})
        fields = xr.open_dataset(data / f"{options['sample']}.nc")
        truth = np.stack([fields[f"fine_{k + 1}"].values for k in range(split.sizes["level"])], 1)
        noise = np.random.default_rng(0).normal(size=(int(options["members"]), *truth.shape))
        out.mkdir(exist_ok=True)
        np.savez(out / f"{options['sample']}.npz", ensemble=truth + ERRORS[out.name] * noise)
        report = REPORT | {"reproducible": dict.fromkeys(peers.REPRODUCIBLE, True)}
        (out / f"{options['sample']}.json").write_text(json.dumps(report))

    monkeypatch.setattr(peers.subprocess, "run", stand_in)
    return asked


def _run(**changed):
    benchmark = load_benchmark("peers")
    benchmark = benchmark.model_copy(update={"data": benchmark.data | DATA | changed})
    return benchmark, peers.run(benchmark, quick=False)


def test_the_best_rate_on_validation_goes_on(calls):
    benchmark, result = _run(trial_minutes=2, minutes=9)
    assert [(c["learning-rate"], c["sample"], c["minutes"], c["members"]) for c in calls] == [
        ("0.0001", "validation", "2", "2"),
        ("0.0003", "validation", "2", "2"),
        ("0.001", "validation", "2", "2"),
        ("0.0003", "test", "9", "3"),
    ]
    assert calls[1]["out"] == calls[-1]["out"]  # whose checkpoint it goes on from
    judge(benchmark.limits, result.figures)  # an error where a limit names no figure
    trials = result.notes["fme_validation_crps_ppm_by_learning_rate"]
    # fair CRPS of members N(0, s) about the truth: s (sqrt(2 / pi) - 1 / sqrt(pi))
    assert all(trials[rate] == pytest.approx(0.2337 * s, rel=0.1) for rate, s in ERRORS.items())
    assert result.figures["fme/crps"].value == pytest.approx(0.2337 * 0.5, rel=0.1)
    assert (
        result.figures["gencarbon/block_mean_error"].value
        < 1e-9
        < result.figures["fme/block_mean_error"].value
    )


def test_what_was_made_with_the_same_settings_is_kept(calls):
    _run(minutes=9)
    first = len(calls)
    _run(minutes=9)
    assert len(calls) == first
    _run(minutes=10)
    assert len(calls) == 2 * first and calls[-1]["data"] != calls[0]["data"]
