"""The generator's benchmark from end to end on tiny fields: every part runs, names its figures as the limits do, and can miss."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from eval import remember
from eval.benchmark import judge, load_benchmark
from eval.provenance import ROOT
from eval.suites import beginnings, condition, generator, rollout
from gencarbon import CO2Pipeline, NoiseSchedule
from gencarbon.errors import InputError
from tests import canonical
from tests.test_training import store
from tests.tiny_model import tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")

DATA = {
    "config": "configs/data_tiny.yaml", "checkpoint": "tiny", "members": 4, "rival_members": 2, "dates": 8, "frames": 9, "winds_amplitude": 0.2,
    "fluxes_amplitude": 0.5, "twin": "twin", "samplers": {"few steps": {"sampler": "dpmpp_2m", "steps": 2}},
    "rollout_members": 3, "beginning_dates": 4, "beginning_frames": 44, "beginning_members": 3, "bias": {"config": "tiny", "split": "train"},
    "condition_dates": 4, "condition_frames": 9, "condition_members": 3,
}  # fmt: skip


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A store and an untrained pipeline in the places of the real ones."""
    pipe, split = tiny_pipeline(steps=2), store(61)
    split = split.assign(hybrid_a=canonical.winds(1).hybrid_a, hybrid_b=canonical.winds(1).hybrid_b)
    split.attrs |= {"config": "tiny"}
    pipe.source = "tiny"
    monkeypatch.setattr(CO2Pipeline, "from_pretrained", classmethod(lambda cls, name: pipe))
    for module in (generator, beginnings, rollout):
        monkeypatch.setattr(module, "split_store", lambda data, name: split)
        monkeypatch.setattr(module, "load_sample", lambda: generator.initial_cases(DATA, "test")[0])
    monkeypatch.setattr("eval.cases.split_store", lambda data, name: split)
    monkeypatch.setattr(generator, "write", lambda model: None)
    monkeypatch.setattr("gencarbon.baselines.SEARCHED", 1)
    monkeypatch.setattr("gencarbon.baselines.APART_DAYS", 0.25)
    monkeypatch.setattr(rollout, "DAYS", 10)
    monkeypatch.setattr(rollout, "LAST", 4.0)
    monkeypatch.setattr(condition, "CELLS", ((6, 3), (3, 9)))
    monkeypatch.setattr(condition, "LATER", 4)
    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    (tmp_path / "runs" / "twin" / "calibrated").mkdir(parents=True)
    return pipe, split


@pytest.mark.slow
def test_every_limit_names_a_figure_and_an_untrained_model_misses(world):
    benchmark = load_benchmark("generator")
    benchmark = benchmark.model_copy(update={"data": DATA})
    result = generator.run(benchmark, quick=False)
    verdicts = judge(benchmark.limits, result.figures)  # an error where a limit names no figure
    unknown = {v.name for v in verdicts if not np.isfinite(v.value)}
    assert {name.partition("/")[0] for name in unknown} <= {"rank_p"}  # so few points have no chi-squared
    kept = {
        limit.figure for limit in benchmark.limits if all(v.passed for v in judge((limit,), result.figures))
    }
    # what holds by construction, for any weights; the rest an untrained network misses
    assert {
        "budget_error_max",
        "rollout/*/budget_error_max",
        "downscaling/block_mean_error",
        "correction/budget_error_max",
        "condition/shifted",
    } <= kept
    assert (
        not {
            "crps_over_van_leer_mae/settled/*",
            "spread_skill/overall",
            "spectrum/*",
            "condition/permuted_winds",
        }
        & kept
    )
    value = lambda name: result.figures[name].value  # noqa: E731
    assert value("crps_over_van_leer_mae/settled/2.00d") > 0.22
    assert value("interval/crps/2d/low") <= value("crps/settled/2.00d") <= value("interval/crps/2d/high")
    assert (
        value("downscaling/block_mean_error") < 1e-9
        and value("downscaling/crps_over_interpolation_mae/overall") > 0.5
    )
    for name in (
        "downscaling/crps/first_frame",
        "correction/spread_skill/level2",
        "condition/permuted_winds",
    ):
        assert value(f"interval/{name}/low") <= value(name) <= value(f"interval/{name}/high")
    assert value("condition/shifted") == pytest.approx(1, abs=1e-3)
    assert {
        "crps_over_rival/few steps/settled/2.00d",
        "rival/ridge propagator/crps",
        "rival/CRPS twin/crps",
    } <= result.figures.keys()
    json.dumps(result.notes)
    assert "different task" in result.notes["published"]


@pytest.mark.parametrize("quick", [True, False])
def test_a_year_is_a_benchmark_by_itself(world, quick):
    """The last days by hand; a coarse run told to the emulator, or a state to the correction, would be scored as none."""
    pipe, _ = world
    benchmark = load_benchmark("rollout").model_copy(update={"data": DATA})
    result = rollout.run(benchmark, quick)
    verdicts = judge(benchmark.limits, result.figures)
    assert len({v.name for v in verdicts}) == len(verdicts) == 10
    json.dumps(result.notes)
    assert result.notes["checkpoint_sha256"] == pipe.digest
    if quick:
        sets = generator.initial_cases(DATA, "test")[0]
        for kind, told in (
            ("emulator", {"initial": sets["initial"]}),
            ("free", {"background": sets["background"]}),
        ):
            made = pipe(sets["winds"], sets["fluxes"], **told, members=4, seed=0)
            truth, air = (sets["reference"][name].values for name in ("co2", "air_mass"))
            days = np.arange(len(truth)) * 0.25
            late = days > days[-1] - rollout.LAST
            error = ((made.co2.values.mean(0) - truth) ** 2 * air)[late].sum()
            variance = (made.co2.values.var(0, ddof=1) * air)[late].sum()
            found = result.figures[f"rollout/{kind}/spread_skill_last_month"].value
            assert found == pytest.approx(np.sqrt(5 / 4 * variance / error))


@pytest.mark.parametrize("quick", [True, False])
def test_beginnings_are_a_benchmark_by_themselves(world, quick):
    """The figures of the shortest case by hand; a known state told to the pipeline would be scored as none."""
    pipe, _ = world
    benchmark = load_benchmark("beginnings").model_copy(update={"data": DATA | {"beginning_frames": 9}})
    result = beginnings.run(benchmark, quick)
    verdicts = judge(benchmark.limits, result.figures, partial=True)
    assert {v.name.partition("/")[0] for v in verdicts} == {"downscaling", "correction"}
    assert len({v.name for v in verdicts}) == len(verdicts)  # none is counted twice
    assert ("interval/correction/crps/overall/low" in result.figures) != quick
    json.dumps(result.notes)
    if quick:
        sets = generator.initial_cases(DATA, "test")[0]
        made = pipe(sets["winds"], sets["fluxes"], sets["background"], members=4, seed=0)
        truth, air = (sets["reference"][name].values[0] for name in ("co2", "air_mass"))
        error = ((made.co2.values[:, 0].mean(0) - truth) ** 2 * air).sum()
        variance = (made.co2.values[:, 0].var(0, ddof=1) * air).sum()
        told = result.figures["correction/spread_skill/first_frame"].value
        assert told == pytest.approx(np.sqrt(5 / 4 * variance / error))
        assert result.figures["downscaling/block_mean_error"].value < 1e-9


def test_parts_are_remembered_by_all_they_depend_on(monkeypatch, tmp_path):
    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    monkeypatch.setattr(remember, "CODE", "ab")
    made = []
    make = lambda value: lambda: made.append(value) or value  # noqa: E731
    assert [remember.remembered("b", {"k": 1}, make(3)) for _ in range(2)] == [3, 3] and made == [3]
    assert remember.remembered("b", {"k": 2}, make(4)) == 4
    monkeypatch.setattr(remember, "CODE", "ac")
    assert remember.remembered("b", {"k": 1}, make(5)) == 5
    monkeypatch.setattr(remember, "CODE", None)  # a checkout with changes
    assert remember.remembered("b", {"k": 1}, make(6)) == 6 and made == [3, 4, 5, 6]


def test_a_split_of_another_config_is_refused(tmp_path, monkeypatch):
    from eval.cases import split_store

    monkeypatch.setenv("GENCARBON_CACHE", str(tmp_path))
    split = store(5).assign_attrs(config="another")
    split.to_zarr(tmp_path / "data" / "tiny" / "test.zarr", zarr_format=2)
    with pytest.raises(InputError, match="another config"):
        split_store({"config": "configs/data_tiny.yaml"}, "test")


def test_limited_runs_stay_in_range(world):
    from eval.rivals import LIMITED, limited_runs

    _, split = world
    weights, short = split.in_total.values, split.isel(time=slice(0, 9))
    short = short.assign(tracer_flux=0 * short.tracer_flux)
    start = 400 + np.tensordot(weights, short.tracer_background.values[:, 0], axes=1)
    for run in limited_runs(short).values():
        assert (
            run.shape == (9, 3, 8, 16) and run.min() > start.min() - 1e-3 and run.max() < start.max() + 1e-3
        )
    assert set(limited_runs(short)) == set(LIMITED)


def test_a_score_survives_pickling():
    import pickle

    from gencarbon.evaluation import accumulate
    from tests.synthetic import synthetic_ensemble

    scores = accumulate(*synthetic_ensemble(frames=3))
    again = pickle.loads(pickle.dumps(scores))
    assert again.to_dataset().identical(scores.to_dataset()) and dataclasses.is_dataclass(again)


def test_the_scores_that_are_told_are_the_shipped_checkpoint_s(monkeypatch):
    """Its weights, and what its knob does to forecasts of 30 days; the rest of the knob was fitted since, and has benchmarks of its own."""
    read = lambda name: json.loads((ROOT / "eval" / "results" / f"{name}.json").read_text())  # noqa: E731
    result, pipe = read("generator"), CO2Pipeline.from_pretrained("hsco2")
    told, now = result["notes"]["sampler"], pipe.scheduler
    assert {name: read(name)["notes"]["checkpoint_sha256"] for name in ("beginnings", "rollout")} == {
        "beginnings": pipe.digest,
        "rollout": pipe.digest,
    }
    of_forecasts = {k: v for k, v in told.items() if not k.startswith(("free_", "conserve_"))}
    _assert_same_forecasts(NoiseSchedule(**of_forecasts), now, days=30)
    changed = now.settings | {"lead_scale": (*now.config.lead_scale[:-3], *3 * now.config.lead_scale[-1:])}
    with pytest.raises(AssertionError):
        _assert_same_forecasts(NoiseSchedule(**of_forecasts), NoiseSchedule(**changed), days=30)
    monkeypatch.setattr(NoiseSchedule, "settings", told)
    assert result["notes"]["checkpoint_sha256"] == pipe.digest
    met = sum(limit["passed"] for limit in result["limits"])
    assert f"**{met} of {len(result['limits'])} limits met**" in (ROOT / "README.md").read_text()


def _assert_same_forecasts(told: NoiseSchedule, now: NoiseSchedule, days: float) -> None:
    """From a known state, bit for bit: the same draws, multiplied by the same scales and amplitudes, in every window up to `days`."""
    rows = {f"{task}_{what}" for task in ("lead", "free", "conserve") for what in ("scale", "days")}
    same = [{k: v for k, v in one.settings.items() if k not in rows} for one in (told, now)]
    assert same[0] == same[1]
    since = torch.arange(0, 4 * days + 1) / 4
    detail = torch.tensor(told.config.detail_typical) * torch.linspace(0.5, 2, 8)
    for first in range(len(since) - 7):
        for begins in (True, False):
            scales = [
                one.sample_scale(since[first : first + 8], detail, begins, known=True, conserves=False)
                for one in (told, now)
            ]
            assert torch.equal(*scales)
