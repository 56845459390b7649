"""The scorecard across models: a file is a model, and a file that is none is refused."""

import json
from io import StringIO

import pytest
from rich.console import Console

from eval.scorecard import load_models, main, scorecard
from eval.submit import entry, pooled, write
from gencarbon.errors import InputError
from gencarbon.evaluation import accumulate
from tests.synthetic import synthetic_ensemble


@pytest.fixture
def scores():
    first, second = (accumulate(*synthetic_ensemble(seed=n, start=f"2001-0{n}-01")) for n in (1, 2))
    return first + second


def shown(models):
    console = Console(width=200, file=StringIO(), record=True)
    console.print(scorecard(models))
    return console.export_text()


def test_models_come_back_best_first_with_their_figures(scores, tmp_path):
    for name, rival in (("coarse run", "coarse"), ("ours", None)):
        write(entry(name, "generator", "a test", scores, (0,), rival), tmp_path)
    models = load_models("generator", tmp_path)
    ds = scores.to_dataset()
    assert [m.model for m in models] == ["ours", "coarse run"]
    assert models[0].figures["crps/overall"].value == float(ds.crps_overall)
    assert models[1].figures["crps/2.00d"].value == float(ds.coarse_mae_by_lead.sel(lead_time=2))
    assert models[0].members == 6 and models[1].members == 1
    text = shown(models)
    assert f"{float(ds.crps_overall):.3f}" in text and "coarse run" in text


def test_ensembles_are_found_by_their_dates():
    (E, R), (F, Q) = synthetic_ensemble(seed=1), synthetic_ensemble(seed=2, start="2001-02-01")
    cases = [{"reference": R}, {"reference": Q}]
    swapped = pooled([F, E], cases)
    assert float(swapped.to_dataset().crps_overall) == float(
        (accumulate(E, R) + accumulate(F, Q)).to_dataset().crps_overall
    )
    with pytest.raises(
        InputError, match=r"one ensemble for each initial date .* got \['2001-01-01T00:00'\]; sample"
    ):
        pooled([E], cases)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.pop("members"), r"ours.json: members: .*; write it with"),
        (
            lambda d: d.update(benchmark="transport"),
            "expected a result of generator, got one of transport; move it",
        ),
        (lambda d: d.update(speed=1), "speed"),
    ],
)
def test_a_file_that_is_no_result_is_refused(scores, tmp_path, spoil, message):
    path = write(entry("ours", "generator", "a test", scores, (0,)), tmp_path)
    values = json.loads(path.read_text())
    spoil(values)
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        load_models("generator", tmp_path)


def test_other_dates_are_not_compared(scores, tmp_path):
    write(entry("ours", "generator", "a test", scores, (0,)), tmp_path)
    write(entry("theirs", "generator", "a test", accumulate(*synthetic_ensemble()), (0,)), tmp_path)
    with pytest.raises(InputError, match="same initial dates in all results of generator, got 2"):
        load_models("generator", tmp_path)


def test_an_unknown_benchmark_is_one_line(capsys):
    assert main(["nothing"]) == 2
    assert "expected a benchmark of" in capsys.readouterr().err


def test_an_ensemble_that_ends_early_is_not_ranked_with_others():
    E, R = synthetic_ensemble()
    with pytest.raises(InputError, match="expected 9 frames from .* got others; sample the whole case"):
        pooled([E.isel(time=slice(0, 4))], [{"reference": R}])
