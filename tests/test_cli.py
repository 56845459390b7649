"""The commands as a user runs them: end to end on tiny data, one line for every mistake."""

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from gencarbon import CO2Pipeline, InputError, cli
from gencarbon.sampling.store_run import sample_to_store
from tests import canonical
from tests.tiny_model import inputs, tiny_pipeline

# `accelerate launch --cpu` starts one process whatever --num_processes says (huggingface/accelerate issue 2741); accelerate reads the
# environment that torchrun sets
TWO_PROCESSES = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nproc_per_node",
    "2",
    "--standalone",
    "-m",
    "gencarbon",
)


def run(*arguments, launcher=(sys.executable, "-m", "gencarbon"), **environment):
    env = os.environ | {"PYTHONWARNINGS": "ignore", "COLUMNS": "200"} | environment
    return subprocess.run(
        [*launcher, *map(str, arguments)], capture_output=True, text=True, env=env, timeout=300
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint and inputs on disk."""
    folder = tmp_path_factory.mktemp("cli")
    tiny_pipeline(steps=4).save_pretrained(folder / "checkpoint")
    for role, ds in (inputs() | {"reference": canonical.reference(8)}).items():
        ds.to_zarr(folder / f"{role}.zarr")
    return folder


def arguments(folder, out, members=3, **changed):
    paths = {role: folder / f"{role}.zarr" for role in ("winds", "fluxes", "background", "initial")} | changed
    given = [x for role, path in paths.items() for x in (f"--{role}", path)]
    return [
        "sample",
        "--checkpoint",
        folder / "checkpoint",
        *given,
        "--members",
        members,
        "--seed",
        7,
        "--out",
        out,
    ]


def test_one_process_and_two_write_identical_members(folder):
    plain = run(*arguments(folder, folder / "one.zarr"))
    assert plain.returncode == 0, plain.stderr
    two = run(*arguments(folder, folder / "two.zarr"), launcher=TWO_PROCESSES)
    assert two.returncode == 0, two.stderr
    assert (
        "by 1 process" in plain.stdout and "by 2 processes" in two.stdout
    )  # a launcher may quietly start one
    one, other = (xr.open_zarr(folder / f"{name}.zarr").load() for name in ("one", "two"))
    assert one.sizes["member"] == 3 and np.array_equal(one.co2, other.co2) and np.isfinite(one.co2).all()
    xr.testing.assert_identical(one, other)


def test_a_sampling_killed_outright_goes_on_where_it_was(folder):
    """SIGKILL, between members: no handler of ours runs."""
    command = [*map(str, arguments(folder, folder / "killed.zarr", members=16))]
    env = os.environ | {"PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gencarbon", *command], env=env, stdout=subprocess.DEVNULL
    )
    done = folder / "killed.zarr.partial" / "done"
    for _ in range(6000):
        if (done.exists() and any(done.iterdir())) or process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL  # neither finished nor failed by itself
    first = {p.name: p.stat().st_mtime_ns for p in done.iterdir()}
    assert first and not (folder / "killed.zarr").exists()
    again = run(*command)
    assert again.returncode == 0, again.stderr
    whole = run(*arguments(folder, folder / "whole.zarr", members=16))
    assert whole.returncode == 0, whole.stderr
    ours, theirs = (xr.open_zarr(folder / f"{name}.zarr").load() for name in ("killed", "whole"))
    xr.testing.assert_identical(ours, theirs)


def test_sample_then_evaluate(folder):
    made = run(*arguments(folder, folder / "e.zarr"))
    assert made.returncode == 0 and "ensemble:" in made.stdout
    scored = run(
        "evaluate", folder / "e.zarr", "--reference", folder / "reference.zarr", "--out", folder / "scores"
    )
    assert scored.returncode == 0, scored.stderr
    assert {"scores.json", "scores.nc", "report.html"} <= {p.name for p in (folder / "scores").iterdir()}
    again = run(
        "evaluate", folder / "e.zarr", "--reference", folder / "reference.zarr", "--out", folder / "scores"
    )
    assert again.returncode == 2 and "choose another --out" in again.stderr


def test_a_user_s_mistake_gets_one_line_and_nothing_is_written(folder, tmp_path):
    wind = canonical.winds(8)
    wind["u"].attrs["units"] = "furlong"
    wind.to_zarr(tmp_path / "bad.zarr")
    cases = [
        ({"winds": tmp_path / "bad.zarr"}, "furlong"),
        ({"fluxes": tmp_path / "missing.zarr"}, "missing.zarr"),
        ({"winds": folder / "fluxes.zarr"}, "winds"),
    ]
    for changed, word in cases:
        out = tmp_path / "out.zarr"
        failed = run(*arguments(folder, out, **changed))
        assert failed.returncode == 2 and word in failed.stderr
        assert (
            len(failed.stderr.strip().splitlines()) == 1 and "Traceback" not in failed.stderr + failed.stdout
        )
        assert not list(tmp_path.glob("out*"))


def test_a_check_asks_the_checkpoint_what_sampling_would_say(folder, tmp_path):
    """Its step and the length that it needs, and members after the first, are told beforehand."""
    asked = ("--checkpoint", folder / "checkpoint")
    of_folder = {
        role: xr.open_zarr(folder / f"{role}.zarr").load() for role in ("winds", "fluxes", "initial")
    }
    check = lambda *more: run("data", "check", *(tmp_path / f"{role}.zarr" for role in of_folder), *more)  # noqa: E731

    def save(role, ds):
        ds.to_zarr(tmp_path / f"{role}.zarr", mode="w")

    for role, ds in of_folder.items():
        save(role, ds)
    good = check(*asked)
    assert good.returncode == 0 and "1 member of 8 frames for" in good.stdout, good.stdout + good.stderr
    assert "no checkpoint was asked (--checkpoint)" in check().stdout
    alone = run("data", "check", tmp_path / "winds.zarr", *asked)
    assert alone.returncode == 1 and "no checkpoint was asked: it needs fluxes" in alone.stdout

    save("winds", of_folder["winds"].isel(time=slice(3)))
    assert check().returncode == 0
    short = check(*asked)
    assert short.returncode == 1 and "REFUSED" in short.stdout and "needs at least 4 frames" in short.stdout
    save("winds", of_folder["winds"])
    two = xr.concat([of_folder["fluxes"]] * 2, "member").load()
    two.flux[1, 3, 2, 1] = np.nan
    save("fluxes", two)
    assert check().returncode == 0
    spoilt = check(*asked)
    assert spoilt.returncode == 1 and "1 NaN" in spoilt.stdout, spoilt.stdout + spoilt.stderr


def test_a_full_disk_is_one_line_and_the_same_command_can_be_given_again(folder, tmp_path):
    """No file beyond 8 kB may be written: less than a member."""
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))  # noqa: E731
    command = [sys.executable, "-m", "gencarbon", *map(str, arguments(folder, tmp_path / "e.zarr"))]
    failed = subprocess.run(command, capture_output=True, text=True, preexec_fn=small, timeout=300)
    assert failed.returncode == 2 and "expected room to write" in failed.stderr, failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1 and not (tmp_path / "e.zarr").exists()
    again = run(*arguments(folder, tmp_path / "e.zarr"))
    assert again.returncode == 0 and np.isfinite(xr.open_zarr(tmp_path / "e.zarr").co2).all()


def test_help_teaches():
    shown = run("sample", "--help").stdout
    for word in ("--winds", "kg m-2 s-1", "accelerate launch", "--background", "ppm"):
        assert word in shown


def test_a_run_of_other_options_is_refused_before_its_coarse_run(folder, tmp_path, monkeypatch):
    """An unfinished ensemble is looked at first; one of ours is gone on with, without another mean network's run."""
    pipe, sets = tiny_pipeline(steps=4), inputs()

    class Killed(Exception):
        pass

    def kill(total):
        raise Killed

    with pytest.raises(Killed):
        sample_to_store(pipe, sets, 2, 0, tmp_path / "e.zarr", kill)
    made, runs = CO2Pipeline._forecast, []
    monkeypatch.setattr(CO2Pipeline, "_forecast", lambda *a: runs.append(1) or made(*a))
    with pytest.raises(InputError, match="members=2"):
        sample_to_store(pipe, sets, 3, 0, tmp_path / "e.zarr")
    assert not runs
    monkeypatch.setattr("gencarbon.sampling.store_run.mean_network_run", None)  # not called again
    sample_to_store(pipe, sets, 2, 0, tmp_path / "e.zarr")
    assert runs == [1] and np.array_equal(xr.open_zarr(tmp_path / "e.zarr").co2, pipe(**sets, members=2).co2)


def test_a_demo_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    made = []

    def ensemble(out, members, **others):
        made.append(members)
        xr.Dataset({"co2": ("member", np.zeros(members))}).to_zarr(out)

    def scored(ensembles, reference, out):
        if len(made) < 2:
            raise KeyboardInterrupt
        out.mkdir()

    monkeypatch.setattr(cli, "sample", ensemble)
    monkeypatch.setattr(cli, "evaluate_command", scored)
    with pytest.raises(KeyboardInterrupt):
        cli.demo(tmp_path / "d", 2)
    with pytest.raises(InputError, match="choose another --out"):
        cli.demo(tmp_path / "d", 3)
    made.append(0)
    cli.demo(tmp_path / "d", 2)
    assert made == [2, 0] and (tmp_path / "d" / "evaluation").exists()
    with pytest.raises(InputError, match="choose another --out"):
        cli.demo(tmp_path / "d", 2)


def test_unknown_splits_and_checkpoints_are_refused(tmp_path):
    lost = run("data", "build", "configs/data_tiny.yaml", "--split", "tset")
    assert lost.returncode == 2 and "test, got tset" in lost.stderr.replace("\n", " ")
    with pytest.raises(InputError, match="hub id"):
        CO2Pipeline.from_pretrained("runs/typo", local_files_only=True)


def test_an_ensemble_has_one_writer_and_its_own_ending(folder, tmp_path):
    pipe, sets, out = tiny_pipeline(steps=4), inputs(), tmp_path / "e.zarr"
    told = []

    def begin_another(total):
        with pytest.raises(InputError, match="one that is being written"):
            sample_to_store(pipe, sets, 2, 0, out)
        return lambda: None

    sample_to_store(pipe, sets, 2, 0, out, begin_another, tell=told.append)
    assert [path.name for path in tmp_path.iterdir()] == ["e.zarr"] and told == ["inputs used as given"]
    failed = run(*arguments(folder, tmp_path / "e.nc"))
    assert failed.returncode == 2 and "call it e.zarr" in failed.stderr and "data copy" in failed.stderr
