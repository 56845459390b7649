"""`gencarbon calibrate` goes on where it was killed, with the same bits."""

import json

import numpy as np
import pytest
import yaml

from gencarbon import CO2Pipeline, cli
from gencarbon.errors import InputError
from gencarbon.sampling import calibrate
from gencarbon.sampling.rounds import Rounds
from tests.test_calibrate import PLAIN
from tests.test_training import store
from tests.tiny_model import tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`gencarbon calibrate` on a small store; arguments: name of the output, changes of the config."""
    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    store(13).assign_attrs(config="t").to_zarr(tmp_path / "data" / "t" / "validation.zarr", zarr_format=2)
    tiny_pipeline(steps=2).save_pretrained(tmp_path / "checkpoint")

    def run(out, **changes):
        config = tmp_path / "calibrate.yaml"
        config.write_text(yaml.safe_dump(PLAIN | {"frames": 9, "rounds": 2} | changes))
        cli.calibrate_command(config, tmp_path / out, str(tmp_path / "checkpoint"))
        return CO2Pipeline.from_pretrained(tmp_path / out)

    return run


def counted(monkeypatch, fails_at=None):
    """Rounds that are sampled from now on; the `fails_at`-th is killed."""
    whole, made = calibrate.spread_to_error, []

    def measured(*arguments):
        made.append(arguments)
        if len(made) == fails_at:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(calibrate, "spread_to_error", measured)
    return made


def test_a_killed_calibration_goes_on_with_the_same_bits(command, monkeypatch, tmp_path):
    at_once = command("at_once")
    with monkeypatch.context() as patch:
        counted(patch, fails_at=3)
        with pytest.raises(KeyboardInterrupt):
            command("killed")
    kept = tmp_path / "killed.rounds.json"
    assert not (tmp_path / "killed").exists() and len(json.loads(kept.read_text())["found"]) == 2
    made = counted(monkeypatch)
    again = command("killed")
    assert len(made) == 1 and not kept.exists()
    assert again.digest == at_once.digest
    assert not np.allclose(again.scheduler.config.lead_scale, 1)  # it fitted something


def test_rounds_of_another_calibration_are_refused(command, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        counted(patch, fails_at=2)
        with pytest.raises(KeyboardInterrupt):
            command("killed")
    before = (tmp_path / "killed.rounds.json").read_bytes()
    made = counted(monkeypatch)
    with pytest.raises(
        InputError, match=r"rounds of this calibration, got those of another config; delete it or"
    ):
        command("killed", seed=2)
    assert not made and (tmp_path / "killed.rounds.json").read_bytes() == before
    tiny_pipeline(steps=3).save_pretrained(tmp_path / "checkpoint")
    with pytest.raises(InputError, match="of another checkpoint"):
        command("killed")


def test_rounds_in_memory_write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rounds = Rounds()
    rounds.add(None)
    rounds.forget()
    assert rounds.found == [None] and not list(tmp_path.iterdir())
