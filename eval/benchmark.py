"""A benchmark (data, metrics, limits: values only), the result of a suite, and the verdict on each limit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from rich.console import RenderableType

from gencarbon.config import Config
from gencarbon.errors import InputError

BENCHMARKS = Path(__file__).parent / "benchmarks"


class Limit(Config):
    """Bounds, both inclusive, on every figure whose name matches a shell pattern such as
    `*/std_ratio/s=1`."""

    figure: str
    at_least: float = -math.inf
    at_most: float = math.inf

    @model_validator(mode="after")
    def _bounds_something(self) -> Limit:
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            raise ValueError(f"expected at_least or at_most for {self.figure!r}, got neither")
        return self


class Benchmark(Config):
    """One file of eval/benchmarks."""

    title: str
    run: str = Field(pattern=r"^eval\.suites\.\w+:\w+$", description="module:function of the suite")
    data: dict[str, Any] = Field(default_factory=dict, description="what the suite runs on")
    split: str = Field(description="split of the data, or `none`")
    seeds: tuple[int, ...] = ()
    metrics: tuple[str, ...] = Field(min_length=1)
    limits: tuple[Limit, ...] = Field(min_length=1)


def load_benchmark(name: str) -> Benchmark:
    """The benchmark in eval/benchmarks/NAME.yaml."""
    known = sorted(path.stem for path in BENCHMARKS.glob("*.yaml"))
    if name not in known:
        raise InputError(f"expected a benchmark of {known}, got {name!r}; see eval/benchmarks")
    return Benchmark.load(BENCHMARKS / f"{name}.yaml")


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    value: float
    units: str


@dataclass(frozen=True)
class Result:
    """What a suite hands back: every figure by name, the table a person reads, and notes for the record."""

    figures: dict[str, Figure]
    table: RenderableType
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One figure held against one limit."""

    name: str
    value: float
    at_least: float
    at_most: float

    @property
    def passed(self) -> bool:
        """A figure that is not a number is a miss."""
        return self.at_least <= self.value <= self.at_most


def judge(limits: tuple[Limit, ...], figures: dict[str, Figure], partial: bool = False) -> list[Verdict]:
    """Every limit on every figure it names. A limit that names no figure is an error: it would pass
    unseen. A partial (quick) run may lack figures."""
    verdicts = []
    for limit in limits:
        names = [name for name in figures if fnmatchcase(name, limit.figure)]
        if not names and not partial:
            raise InputError(
                f"limit {limit.figure!r} matches none of the figures {sorted(figures)}; correct its pattern"
            )
        verdicts += [Verdict(name, figures[name].value, limit.at_least, limit.at_most) for name in names]
    return verdicts
