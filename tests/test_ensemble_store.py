"""An ensemble written in parts, by several writers, with a kill between, is the ensemble written at once."""

import numpy as np
import pytest
import xarray as xr

from gencarbon.data.ensemble_store import EnsembleWriter
from gencarbon.data.files import open_dataset
from gencarbon.data.store import canonical
from gencarbon.errors import InputError
from gencarbon.variables import VARIABLES
from tests import canonical as build

PRINT = {"checkpoint": "abc", "seed": 0}
RNG = np.random.default_rng(0)
CO2 = 400 + RNG.standard_normal((3, 9, 3, 8, 16))
CORRECTION = 1e-9 * RNG.standard_normal((3, 9))


def writer(path, fingerprint=PRINT, **more):
    return EnsembleWriter.create(path, build.ensemble_template(), 3, 4, fingerprint, **more)


def fill(store, member, windows=((0, 4), (3, 8), (8, 9))):
    for a, b in windows:
        store.write(member, a, CO2[member, a:b], CORRECTION[member, a:b])


def whole(path, members=range(3)):
    store = writer(path)
    for m in members:
        fill(store, m)
        store.finish_member(m)
    return store


def test_what_is_written_is_what_is_read(tmp_path):
    path = whole(tmp_path / "e.zarr").close()
    ds = xr.open_zarr(path)
    np.testing.assert_array_equal(ds.co2, CO2)
    np.testing.assert_array_equal(ds.budget_correction, CORRECTION)
    xr.testing.assert_equal(ds.drop_vars(["co2", "budget_correction", "member"]), build.ensemble_template())
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]


def test_the_store_describes_itself(tmp_path):
    ds = xr.open_zarr(whole(tmp_path / "e.zarr").close())
    assert ds.co2.dtype == np.float64
    assert ds.co2.encoding["chunks"] == (1, 4, 3, 8, 16)
    for name in ("co2", "budget_correction", "flux", "air_mass", "member"):
        assert VARIABLES[name].attrs.items() <= ds[name].attrs.items()
    assert ds.attrs["Conventions"] == "CF-1.11"
    assert ds.attrs["initial_frame"] == "known"
    assert ds.member.attrs["standard_name"] == "realization"
    assert "repairs" not in canonical(open_dataset(tmp_path / "e.zarr"), "ensemble").attrs


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path):
    store = writer(tmp_path / "e.zarr")
    fill(store, 1)
    store.finish_member(1)
    fill(store, 0, [(0, 4)])
    del store  # the kill: member 0 is half written
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr.partial"]
    store = writer(tmp_path / "e.zarr")
    assert store.done_members() == [1]
    for m in (0, 2):
        fill(store, m)
        store.finish_member(m)
    again = xr.open_zarr(store.close())
    once = xr.open_zarr(whole(tmp_path / "once.zarr").close())
    xr.testing.assert_identical(again.load(), once.load())


def test_a_member_is_one_file(tmp_path):
    path = whole(tmp_path / "e.zarr").close()
    assert sorted(p.name for p in (path / "co2" / "c").iterdir()) == ["0", "1", "2"]
    assert len([p for p in (path / "co2" / "c").rglob("*") if p.is_file()]) == 3
    assert xr.open_zarr(path).co2.encoding["chunks"][1] == 4  # of which frames can be read alone


def test_a_lazy_template_is_the_same(tmp_path):
    build.ensemble_template().to_zarr(tmp_path / "t.zarr", zarr_format=3, consolidated=False)
    store = EnsembleWriter.create(
        tmp_path / "e.zarr", open_dataset(tmp_path / "t.zarr").chunk(time=5), 1, 4, PRINT
    )
    fill(store, 0)
    store.finish_member(0)
    np.testing.assert_array_equal(xr.open_zarr(store.close()).flux, build.fluxes().flux)


def test_several_processes_write_different_members(tmp_path):
    stores = [writer(tmp_path / "e.zarr", create=rank == 0) for rank in range(3)]
    for m, store in enumerate(stores):
        fill(store, m)
        store.finish_member(m)
    assert stores[0].done_members() == [0, 1, 2]
    np.testing.assert_array_equal(xr.open_zarr(stores[0].close()).co2, CO2)


@pytest.mark.parametrize("other", [{"checkpoint": "abc", "seed": 1}, {"checkpoint": "abc"}])
def test_another_fingerprint_is_refused(tmp_path, other):
    fill(writer(tmp_path / "e.zarr"), 0)
    with pytest.raises(InputError, match=r"seed=.*, got seed=0; repeat that command"):
        writer(tmp_path / "e.zarr", other)


def test_a_finished_ensemble_is_never_overwritten(tmp_path):
    whole(tmp_path / "e.zarr").close()
    with pytest.raises(InputError, match="exists; choose another --out"):
        writer(tmp_path / "e.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]


def test_a_follower_waits_for_the_first_process(tmp_path):
    with pytest.raises(InputError, match="let the first process create it"):
        writer(tmp_path / "e.zarr", create=False)
    assert not list(tmp_path.iterdir())


def test_a_skeleton_half_made_is_made_again_and_a_foreign_folder_is_left_alone(tmp_path):
    partial = tmp_path / "e.zarr.partial"
    (partial / "store").mkdir(parents=True)
    whole(tmp_path / "e.zarr").close()
    (tmp_path / "f.zarr.partial").mkdir()
    (tmp_path / "f.zarr.partial" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"thesis.tex; move it"):
        writer(tmp_path / "f.zarr")
    assert (tmp_path / "f.zarr.partial" / "thesis.tex").read_text() == "mine"


def test_nothing_unfinished_gets_the_final_name(tmp_path):
    store = whole(tmp_path / "e.zarr", [0, 2])
    with pytest.raises(ValueError, match=r"missing \[1\]"):
        store.close()
    fill(store, 1, [(0, 4), (5, 9)])
    with pytest.raises(ValueError, match="all 9 frames of member 1 expected, got 8; the first missing is 4"):
        store.finish_member(1)
    assert not (tmp_path / "e.zarr").exists()


def test_only_finite_frames_of_the_right_shape_are_stored(tmp_path):
    store = writer(tmp_path / "e.zarr")
    bad = CO2[0, :4].copy()
    bad[1] = np.nan
    with pytest.raises(FloatingPointError, match=r"member 0, frames 0..3"):
        store.write(0, 0, bad, CORRECTION[0, :4])
    with pytest.raises(ValueError, match="expected, got"):
        store.write(0, 0, CO2[0, :4, :2], CORRECTION[0, :4])
    with pytest.raises(IndexError, match=r"got 3, 0..4"):
        store.write(3, 0, CO2[0, :4], CORRECTION[0, :4])
    with pytest.raises(IndexError, match=r"7..11"):
        store.write(0, 7, CO2[0, :4], CORRECTION[0, :4])
