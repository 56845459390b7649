"""The runner of benchmarks: limits are caught, quick runs write nothing, records are complete."""

import io
import json
import math

import pytest
from rich.console import Console
from rich.table import Table

from eval import run as runner
from eval.benchmark import BENCHMARKS, Benchmark, Figure, Limit, Result, judge, load_benchmark
from eval.suites import sampler as suite
from gencarbon.errors import InputError


def benchmark(at_most=1.0):
    values = {
        "title": "t",
        "run": "eval.suites.sampler:run",
        "split": "none",
        "metrics": ("a",),
        "seeds": (3,),
    }
    return Benchmark(**values, limits=(Limit(figure="a/*", at_most=at_most),))


def execute(monkeypatch, tmp_path, value=0.5, quick=False):
    result = Result({"a/x": Figure(value, "ppm")}, Table("a"))
    monkeypatch.setattr(suite, "run", lambda benchmark, quick: result)
    console = Console(file=io.StringIO(), width=120)
    status = runner.run("one", benchmark(), quick, tmp_path, console)
    return status, console.file.getvalue()


def test_a_missed_limit_is_seen(monkeypatch, tmp_path):
    status, text = execute(monkeypatch, tmp_path, value=0.5)
    assert status == 0 and "PASS" in text and "MISS" not in text
    status, text = execute(monkeypatch, tmp_path, value=1.5)
    assert status == 1 and "MISS" in text
    assert execute(monkeypatch, tmp_path, value=math.nan)[0] == 1


def test_quick_writes_nothing(monkeypatch, tmp_path):
    execute(monkeypatch, tmp_path, quick=True)
    assert not list(tmp_path.iterdir())


def test_the_record_is_complete(monkeypatch, tmp_path):
    execute(monkeypatch, tmp_path)
    text = (tmp_path / "one.json").read_text()
    record = json.loads(text)
    assert record["figures"] == {"a/x": {"value": 0.5, "units": "ppm"}}
    assert record["limits"] == [{"figure": "a/x", "at_least": None, "at_most": 1.0, "passed": True}]
    assert (
        record["seeds"] == [3] and {"torch", "numpy", "diffusers", "gencarbon"} <= record["versions"].keys()
    )
    assert {"commit", "dirty", "machine", "written", "wall_time_s"} <= record.keys()
    assert str(BENCHMARKS.parent.parent) not in text


def test_a_limit_on_nothing_is_an_error():
    with pytest.raises(InputError, match=r"limit 'a/\*' matches none of the figures \['b'\]"):
        judge(benchmark().limits, {"b": Figure(1.0, "1")})
    with pytest.raises(ValueError, match="expected at_least or at_most for 'a', got neither"):
        Limit(figure="a")


def test_an_unknown_benchmark(capsys):
    assert runner.main(["nonsense"]) == 2
    assert "expected a benchmark of" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(p.stem for p in BENCHMARKS.glob("*.yaml")))
def test_every_benchmark_loads(name):
    assert load_benchmark(name).limits


def test_the_exam_ranks_a_borrowed_scheduler():
    figures = suite.run(load_benchmark("sampler"), quick=True).figures
    wrong, right = (
        figures["diffusers/euler_40_churn_16/std_ratio/s=1"],
        figures["gencarbon/stochastic_heun/std_ratio/s=1"],
    )
    assert abs(wrong.value - 1) > 0.05 > abs(right.value - 1)
