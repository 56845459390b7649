"""How sure a pooled score is: block bootstrap over initial dates, whose forecasts overlap their neighbours'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gencarbon.metrics import Mean
from gencarbon.metrics.field import Array
from gencarbon.scores import Scores


def score_intervals(
    scores: Scores,
    names: Sequence[str],
    axes: tuple[int, ...] = (0, 2),
    block: int | None = None,
    confidence: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> dict[str, tuple[Array, Array]]:
    """(low, high) of pooled scores `names`, shaped as `Scores.figures(axes)` shapes them (by lead as a rule): percentiles over `draws`
    circular blocks of `block` consecutive initial dates (Politis and Romano 1992), by default as many as a forecast is long and at least
    two. ValueError for fewer than 4 blocks of dates."""
    made = [scores.resampled(dates).figures(axes) for dates in _draws(scores, block, draws, seed)]
    return {name: _ends([one[name] for one in made], confidence) for name in names}


def ratio_intervals(
    scores: Scores,
    others: Scores,
    name: str,
    axes: tuple[int, ...] = (0, 2),
    block: int | None = None,
    confidence: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> tuple[Array, Array]:
    """(low, high) of one of `Scores.means` over that of other ensembles from the same initial dates, which are drawn together; as
    `score_intervals`."""
    if not np.array_equal(scores.start, others.start):
        raise ValueError(f"expected the same initial dates, got {scores.start} and {others.start}")
    mine, theirs = scores.means[name], others.means[name]
    pooled = lambda mean, dates: Mean(mean.total[dates], mean.weight[dates]).sum(axes).value  # noqa: E731
    drawn = _draws(scores, block, draws, seed)
    return _ends([pooled(mine, dates) / pooled(theirs, dates) for dates in drawn], confidence)


def date_intervals(
    statistics: Callable[[NDArray[np.int64]], Mapping[str, float]],
    dates: int,
    confidence: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """(low, high) of each of `statistics`, functions of initial dates by number, whose forecasts share no time: percentiles over draws
    of as many dates with replacement. ValueError for fewer than 4 dates."""
    if dates < 4:
        raise ValueError(f"an interval needs at least 4 initial dates, got {dates}; sample more dates")
    rng = np.random.default_rng(seed)
    drawn = [statistics(rng.integers(dates, size=dates)) for _ in range(draws)]
    ends = {name: _ends([np.asarray(one[name]) for one in drawn], confidence) for name in drawn[0]}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _draws(scores: Scores, block: int | None, draws: int, seed: int) -> list[NDArray[np.int64]]:
    if block is None:
        block = _overlap(scores)
    if scores.start.size < 4 * block:
        raise ValueError(
            f"an interval needs at least {4 * block} initial dates for blocks of {block}, got {scores.start.size}; sample more dates"
        )
    rng, order = np.random.default_rng(seed), np.argsort(scores.start)
    return [order[_blocks(scores.start.size, block, rng)] for _ in range(draws)]


def _ends(values: Sequence[Array], confidence: float) -> tuple[Array, Array]:
    low, high = np.quantile(np.stack(values), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def _overlap(scores: Scores) -> int:
    """How many initial dates fall within one forecast, at least 2."""
    apart = (
        np.median(np.diff(np.sort(scores.start)) / np.timedelta64(1, "D"))
        if scores.start.size > 1
        else np.inf
    )
    return max(2, int(np.ceil(scores.lead_time[-1] / apart)))


def _blocks(count: int, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    firsts = rng.integers(count, size=-(-count // block))
    return ((firsts[:, None] + np.arange(block)) % count).ravel()[:count]
