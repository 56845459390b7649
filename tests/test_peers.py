"""The comparison with `fme` without `fme`: what time it gets, how its learning rate is chosen, what is kept, that every limit names a figure."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from eval import fme_peer
from eval.benchmark import judge, load_benchmark
from eval.suites import peers
from gencarbon import CO2Pipeline
from gencarbon.training.optimise import cpu_seconds, cpu_seconds_of
from gencarbon.training.settings import TrainConfig
from tests import canonical
from tests.test_training import store
from tests.tiny_model import tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")

ERRORS = {
    "0.0001": 2.0,
    "0.0003": 0.5,
    "0.001": 1.0,
}  # ppm, of what stands for fme's samples, by learning rate
REPORT = {
    "sampling_cpu_seconds_per_frame_and_member": 1.0,
    "parameters": 7,
    "training_cpu_seconds": 543.0,
}
DATA = {
    "checkpoint": "tiny",
    "trial_share": 0.25,
    "dates": 2,
    "frames": 9,
    "every": 4,
    "members": 3,
    "trial_members": 2,
}


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What the peer's script was asked for, after ours took nine minutes; its samples are the truth, wrong by `ERRORS`."""
    split, asked = store(21), []
    run = tmp_path / "runs" / "hsco2_peer"
    split = split.assign(hybrid_a=canonical.winds(1).hybrid_a, hybrid_b=canonical.winds(1).hybrid_b)
    split.attrs |= {"config": "tiny"}
    pipe = tiny_pipeline(steps=2)
    monkeypatch.setattr(CO2Pipeline, "from_pretrained", classmethod(lambda cls, name: pipe))
    monkeypatch.setattr(peers, "split_store", lambda data, name: split)
    monkeypatch.setattr(fme_peer, "_environment", lambda path: Path("python"))
    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    (tmp_path / "peers").mkdir()

    def stand_in(call, check, env=None):
        if call[1:4] == ["-m", "gencarbon", "train"]:
            assert call[4].endswith("train_hsco2_peer.yaml") and env["OMP_NUM_THREADS"] == "2"
            asked.append({"trained": TrainConfig.load(call[4])})
            (run / "pipeline").mkdir(parents=True, exist_ok=True)
            (run / "pipeline" / "model_index.json").write_text("{}")
            (run / "config.json").write_text(asked[-1]["trained"].model_dump_json(indent=1))
            (run / "log.jsonl").write_text(json.dumps({"cpu_seconds": 540.0}) + "\n")
            return
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

    monkeypatch.setattr(subprocess, "run", stand_in)
    return asked


def _run(**changed):
    benchmark = load_benchmark("peers")
    benchmark = benchmark.model_copy(update={"data": benchmark.data | DATA | changed})
    return benchmark, peers.run(benchmark, quick=False)


def test_the_best_rate_on_validation_goes_on(calls):
    benchmark, result = _run()
    assert [(c["learning-rate"], c["sample"], c["minutes"], c["members"]) for c in calls[1:]] == [
        ("0.0001", "validation", "2.25", "2"),
        ("0.0003", "validation", "2.25", "2"),
        ("0.001", "validation", "2.25", "2"),
        ("0.0003", "test", "9.0", "3"),  # as many minutes as ours took
    ]
    assert calls[2]["out"] == calls[-1]["out"]  # whose checkpoint it goes on from
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
    assert result.figures["fme_closed/block_mean_error"].value < 1e-9
    assert result.figures["fme_closed/crps"].value < result.figures["fme/crps"].value


def test_what_was_made_with_the_same_settings_is_kept(calls):
    _run()
    first = len(calls)
    _run()
    assert len(calls) == first
    _run(width=16)
    assert len(calls) == 2 * first - 1 and calls[-1]["data"] != calls[1]["data"]  # ours was not trained again


@pytest.mark.parametrize("spoilt", ["config.json", "pipeline/model_index.json"])
def test_a_run_of_another_config_or_half_a_checkpoint_is_not_taken_for_ours(calls, tmp_path, spoilt):
    _run()
    path = tmp_path / "runs" / "hsco2_peer" / spoilt
    path.write_text("{}") if spoilt == "config.json" else path.unlink()
    _run()
    assert ["trained" in call for call in calls] == [True, *[False] * 4, True]


def test_what_a_run_cost_is_the_sum_of_its_goes(tmp_path):
    seconds = [10.0, 25.0, 4.0, 9.0, 9.0, 2.0]  # killed after 25 and after 9
    lines = [json.dumps({"phase": "mean", "cpu_seconds": s}) for s in seconds]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    assert cpu_seconds_of(tmp_path / "log.jsonl") == 25 + 9 + 2


def test_processes_that_were_started_count():
    before = cpu_seconds()
    busy = "import time\nwhile time.process_time() < 1: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        running = cpu_seconds() - before
        child.communicate(b"\n")
    assert running >= 0.9 and cpu_seconds() - before >= 0.9  # while it runs, and when it has ended
