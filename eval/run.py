"""`python -m eval.run NAME [--quick]`: run one benchmark, print its table and limits, write
eval/results/NAME.json.

Exit status: 0 all limits met, 1 a limit missed, 2 a mistake in the call. `--quick` uses only what ships with
the package and leaves eval/results alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Result, Verdict, judge, load_benchmark
from eval.provenance import provenance
from gencarbon.errors import InputError

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description=__doc__)
    parser.add_argument("name", help="a file of eval/benchmarks, without .yaml")
    parser.add_argument(
        "--quick", action="store_true", help="only what ships with the package; writes nothing"
    )
    options = parser.parse_args(arguments)
    try:
        return run(
            options.name,
            load_benchmark(options.name),
            options.quick,
            RESULTS,
            Console(width=None if sys.stdout.isatty() else 140),
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(name: str, benchmark: Benchmark, quick: bool, results: Path, console: Console) -> int:
    """Run the suite, print, and unless quick write `results`/NAME.json; 1 if a limit is missed."""
    origin = provenance()  # before the run: the code that was loaded, not what is edited meanwhile
    module, function = benchmark.run.split(":")
    started = time.monotonic()
    result: Result = getattr(importlib.import_module(module), function)(benchmark, quick)
    seconds = time.monotonic() - started
    verdicts = judge(benchmark.limits, result.figures, partial=quick)
    console.print(result.table)
    console.print(verdict_table(verdicts))
    if not quick:
        path = results / f"{name}.json"
        record = record_of(name, benchmark, result, verdicts, origin) | {"wall_time_s": round(seconds, 1)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
        console.print(f"written: {path.parent.name}/{path.name}")
    missed = sum(not verdict.passed for verdict in verdicts)
    console.print(f"{len(verdicts) - missed} of {len(verdicts)} limits met, {seconds:.1f} s")
    return int(missed > 0)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Each limit, PASS or MISS."""
    table = Table("limit on", "value", "at least", "at most", "", title="Limits")
    for verdict in verdicts:
        cells = [f"{verdict.value:.4g}", _bound(verdict.at_least), _bound(verdict.at_most)]
        table.add_row(verdict.name, *cells, "[green]PASS" if verdict.passed else "[red]MISS")
    return table


def record_of(
    name: str, benchmark: Benchmark, result: Result, verdicts: Sequence[Verdict], origin: dict[str, Any]
) -> dict[str, Any]:
    """What eval/results/NAME.json holds."""
    return {
        "benchmark": name,
        "title": benchmark.title,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": benchmark.data,
        "split": benchmark.split,
        "seeds": list(benchmark.seeds),
        "figures": {key: {"value": _finite(f.value), "units": f.units} for key, f in result.figures.items()},
        "limits": [
            {
                "figure": v.name,
                "at_least": _finite(v.at_least),
                "at_most": _finite(v.at_most),
                "passed": v.passed,
            }
            for v in verdicts
        ],
        "notes": result.notes,
        **origin,
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN: null."""
    return float(value) if math.isfinite(value) else None


def _bound(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "-"


if __name__ == "__main__":
    sys.exit(main())
