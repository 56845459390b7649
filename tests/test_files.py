"""Files in buckets, as netCDF for others, and by the rules of CF."""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from gencarbon.cli import app
from gencarbon.data.files import copy_store, open_dataset, write_whole
from gencarbon.data.info import check_files
from gencarbon.errors import InputError
from tests import canonical
from tests.test_ensemble_store import CO2, whole
from tests.test_info import store
from tests.tiny_model import tiny_pipeline


@pytest.fixture(scope="module")
def bucket():
    """An empty bucket of an S3 server on this machine, as s3://bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "FSSPEC_S3_KEY": "key",
        "FSSPEC_S3_SECRET": "secret",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    fsspec.config.set_conf_env(fsspec.config.conf)
    files = fsspec.filesystem("s3")
    files.mkdir("bucket")
    yield "s3://bucket", files
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    fsspec.config.conf.pop("s3", None)


def test_a_bucket_is_written_to_and_read_from(bucket, tmp_path):
    address, files = bucket
    path = whole(tmp_path / "e.zarr").close()
    run = CliRunner().invoke(app, ["data", "copy", str(path), f"{address}/e.zarr"])
    assert run.exit_code == 0, run.output
    again = open_dataset(f"{address}/e.zarr")
    assert again.co2.chunks is not None and np.array_equal(again.co2, CO2)
    xr.testing.assert_identical(again.load(), xr.open_zarr(path).load())
    with pytest.raises(InputError, match="a new output"):
        copy_store(path, f"{address}/e.zarr")
    canonical.fluxes().to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    files.put_file(str(tmp_path / "f.nc"), f"{address}/f.nc")
    assert np.array_equal(open_dataset(f"{address}/f.nc").flux, canonical.fluxes().flux)
    (found,) = check_files([f"{address}/f.nc"])
    assert found.ok and found.role == "fluxes"
    assert (
        open_dataset(Path(f"{address}/f.nc")).sizes == canonical.fluxes().sizes
    )  # as options of the command line come


def test_half_a_copy_is_no_store(bucket, tmp_path, monkeypatch):
    address, files = bucket
    path, left = whole(tmp_path / "e.zarr").close(), iter(range(7))

    class Breaking:
        exists = staticmethod(files.exists)

        def put_file(self, *words):
            if next(left, None) is None:
                raise KeyboardInterrupt
            files.put_file(*words)

    monkeypatch.setattr("gencarbon.data.files._file_system", lambda address: Breaking())
    with pytest.raises(KeyboardInterrupt):
        copy_store(path, f"{address}/half.zarr")
    monkeypatch.undo()
    assert files.find(f"{address}/half.zarr")
    with pytest.raises(InputError, match="s3://bucket/half.zarr: expected a Zarr store"):
        open_dataset(f"{address}/half.zarr")


@pytest.mark.parametrize("address", ["s3://bucket/none.zarr", "s3://bucket/none.nc", "nowhere://x/y.zarr"])
def test_what_is_not_there_is_one_line(bucket, address):
    with pytest.raises(InputError) as error:
        open_dataset(address)
    assert "\n" not in str(error.value) and str(error.value).startswith(address)


def errors_of_cf(path) -> list[str]:
    """What the IOOS compliance checker calls an error (not a warning)."""
    out, checker = path.with_suffix(".json"), Path(sys.executable).with_name("compliance-checker")
    call = [str(checker), "--test=cf:1.11", "--format=json", f"--output={out}", str(path)]
    subprocess.run(call, capture_output=True)  # its exit status counts warnings too
    found = json.loads(out.read_text())["cf:1.11"]["high_priorities"]
    return [text for check in found for text in check["msgs"]]


@pytest.mark.slow
def test_output_is_cf(tmp_path):
    """An ensemble, and winds, as netCDF."""
    pytest.importorskip("compliance_checker")
    path = whole(tmp_path / "e.zarr").close()
    for name, source in (("e", path), ("w", store(canonical.winds(), tmp_path / "w.zarr"))):
        run = CliRunner().invoke(app, ["data", "copy", str(source), str(tmp_path / f"{name}.nc")])
        assert run.exit_code == 0, run.output
        assert errors_of_cf(tmp_path / f"{name}.nc") == []
    broken = xr.open_dataset(tmp_path / "e.nc").load()
    broken["co2"].attrs["standard_name"] = "carbon_dioxide"
    broken.to_netcdf(tmp_path / "broken.nc", engine="h5netcdf")
    assert any("carbon_dioxide" in text for text in errors_of_cf(tmp_path / "broken.nc"))
    run = CliRunner().invoke(app, ["data", "copy", str(path), str(tmp_path / "e.nc")])
    assert run.exit_code != 0 and "a new output" in str(run.exception) + run.output


def test_only_stores_go_to_an_address(tmp_path):
    canonical.fluxes().to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    path = whole(tmp_path / "e.zarr").close()
    for source, out in ((tmp_path / "f.nc", "memory://b/f.zarr"), (path, "memory://b/e.nc")):
        run = CliRunner().invoke(app, ["data", "copy", str(source), out])
        assert isinstance(run.exception, InputError) and "a Zarr store in a local folder" in str(
            run.exception
        )
    assert not fsspec.filesystem("memory").exists("memory://b")


@contextmanager
def full_disk():
    """No file beyond 8 kB may be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_on_a_full_disk_says_so(tmp_path):
    with full_disk(), pytest.raises(OSError) as full:
        tiny_pipeline().save_pretrained(tmp_path / "checkpoint")
    assert full.value.errno == errno.EFBIG and "checkpoint" in str(full.value)


@pytest.mark.parametrize("save", ["numpy", "torch"])
def test_a_full_disk_says_so_and_leaves_what_was_there(tmp_path, save):
    """NumPy and torch themselves do not say why they failed."""
    path, small, large = tmp_path / "state", np.zeros(8), np.zeros(8000)
    write = {
        "numpy": lambda x: partial(np.save, arr=x),
        "torch": lambda x: partial(torch.save, torch.tensor(x)),
    }[save]
    write_whole(path, write(small))
    whole = path.read_bytes()
    with full_disk():
        with pytest.raises(OSError) as full:
            write_whole(path, write(large))
        with pytest.raises((OSError, RuntimeError)) as plain, (tmp_path / "plain").open("wb") as file:
            write(large)(file)
    assert full.value.errno == errno.EFBIG and getattr(plain.value, "errno", None) != errno.EFBIG
    assert path.read_bytes() == whole and [found.name for found in tmp_path.iterdir()] == ["state", "plain"]
    write_whole(path, write(large))
    assert len(path.read_bytes()) > 64_000
