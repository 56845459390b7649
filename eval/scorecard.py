"""`python -m eval.scorecard BENCHMARK`: every model that has a result file in eval/leaderboard/BENCHMARK, side by side.

Adding a model is adding a file. `python -m eval.submit` writes one from a model's ensembles; any other way of making it is as good.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError
from rich.console import Console
from rich.table import Table

from eval.benchmark import load_benchmark
from gencarbon.config import Config
from gencarbon.errors import InputError

LEADERBOARD = Path(__file__).parent / "leaderboard"
LEADS = ("1.00d", "3.00d", "5.00d", "10.00d")


class Score(Config):
    """One figure of a model."""

    value: float | None
    units: str


class Model(Config):
    """One file of the leaderboard. figures: names as in eval/results, `crps/overall`, `crps/10.00d`, `spread_skill/overall`, ..."""

    model: str = Field(min_length=1, max_length=60)
    benchmark: str
    description: str
    members: int = Field(ge=1)
    figures: dict[str, Score]
    initial_dates: tuple[str, ...]
    seeds: tuple[int, ...]
    versions: dict[str, str | None]
    commit: str | None
    written: str


def load_models(benchmark: str, folder: Path = LEADERBOARD) -> list[Model]:
    """Models of a benchmark, best fair CRPS first. Raises InputError for a file that is not a result of it."""
    load_benchmark(benchmark)
    models = []
    for path in sorted((folder / benchmark).glob("*.json")):
        try:
            model = Model.model_validate_json(path.read_text())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{path.name}: {where}: {first['msg']}; write it with `python -m eval.submit`"
            ) from None
        if model.benchmark != benchmark:
            raise InputError(
                f"{path.name}: expected a result of {benchmark}, got one of {model.benchmark}; move it"
            )
        models.append(model)
    if not models:
        raise InputError(f"no result in eval/leaderboard/{benchmark}; write one with `python -m eval.submit`")
    dates = {model.initial_dates for model in models}
    if len(dates) > 1:
        raise InputError(
            f"expected the same initial dates in all results of {benchmark}, got {len(dates)} different sets"
        )
    return sorted(models, key=_crps)


def _crps(model: Model) -> float:
    value = _value(model, "crps/overall")
    return float("inf") if value is None else value


def _value(model: Model, name: str) -> float | None:
    score = model.figures.get(name)
    return None if score is None else score.value


def scorecard(models: Sequence[Model]) -> Table:
    """A row for each model; the best of each column of CRPS in bold."""
    columns = {f"CRPS, ppm, day {lead.split('.')[0]}": f"crps/{lead}" for lead in LEADS}
    columns |= {
        "CRPS, all": "crps/overall",
        "/ CO2 std": "crps_over_std/overall",
        "spread-skill": "spread_skill/overall",
    }
    columns |= {
        "coverage": "coverage/overall",
        "energy score": "energy_score/overall",
        "budget error": "budget_error_max",
    }
    table = Table("model", "members", *columns, title=f"{models[0].benchmark}: {len(models[0].initial_dates)} initial dates",
                  caption="fair CRPS; of a single run its absolute error. Best CRPS in bold")  # fmt: skip
    best = {
        name: min((v for model in models if (v := _value(model, name)) is not None), default=None)
        for name in columns.values()
        if name.startswith("crps")
    }
    for model in models:
        cells = []
        for name in columns.values():
            value = _value(model, name)
            text = "-" if value is None else f"{value:.0e}" if name.startswith("budget") else f"{value:.3f}"
            cells.append(f"[bold]{text}[/]" if value is not None and value == best.get(name) else text)
        table.add_row(model.model, str(model.members), *cells)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eval.scorecard", description=__doc__)
    parser.add_argument("benchmark", help="a file of eval/benchmarks, without .yaml, such as generator")
    options = parser.parse_args(arguments)
    try:
        Console(width=None if sys.stdout.isatty() else 160).print(scorecard(load_models(options.benchmark)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
