"""Two ensembles on the same cases: the mean difference of a score, and how sure of it one may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from gencarbon.metrics.field import Array

LEAST = 8  # cases below which no interval is given
MANY = 10  # runs from which on whole runs are drawn
FEW = 20  # effective cases below which an interval is not to be relied on


@dataclass(frozen=True)
class Paired:
    """Mean difference, its interval, and the number of independent cases that the series is worth."""

    difference: float
    low: float
    high: float
    n_eff: float
    block: int

    @property
    def few(self) -> bool:
        """Too few independent cases for the interval to be relied on."""
        return self.n_eff < FEW


def paired_interval(
    first: ArrayLike, second: ArrayLike, rng: np.random.Generator, confidence: float = 0.95, draws: int = 2000
) -> Paired:
    """Mean of first - second with a circular block-bootstrap interval (Politis and Romano 1992), and never narrower than Student's for
    the effective number of cases; NaN for fewer than eight cases.

    first, second: (run, time), scores of the same cases, averaged over space already (points of one time are one case). Blocks are drawn
    within runs; their length follows from the autocorrelation of the differences, at least n^(1/3). From ten
    runs on, whole runs are drawn instead. Raises ValueError for other shapes.
    """
    a, b = (np.atleast_2d(np.asarray(v, np.float64)) for v in (first, second))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(
            f"paired scores need the same (run, time), got {a.shape} and {b.shape}; select common cases"
        )
    d = a - b
    runs, n = d.shape
    tau = correlation_time(d)
    n_eff = min(d.size / tau, _between_runs(d))
    if d.size < LEAST:
        return Paired(float(d.mean()), np.nan, np.nan, float(n_eff), n)
    most = n if runs >= MANY else max(1, n // 3)  # longer blocks of one run are all the same
    block = (
        n
        if runs >= MANY
        else int(min(most, max(np.ceil(n ** (1 / 3)), np.ceil(2 * tau) if tau > 1.5 else 1)))
    )
    means = _bootstrap_means(d, block, rng, draws)
    count = max(d.size / block, 2.0)
    spread = (means - means.mean()) * np.sqrt(
        count / (count - 1)
    )  # blocks are few: undo the bootstrap's small-sample bias
    low, high = np.quantile(spread, [(1 - confidence) / 2, (1 + confidence) / 2])
    half = (
        t.ppf((1 + confidence) / 2, max(n_eff - 1, 0.5)) * d.std() / np.sqrt(n_eff)
    )  # what so few cases allow, where that is wider
    return Paired(
        float(d.mean()),
        float(d.mean() - max(high, half)),
        float(d.mean() - min(low, -half)),
        float(n_eff),
        block,
    )


def _between_runs(d: Array) -> float:
    """How many independent cases the run means say there are: variance of the values over that of their mean."""
    runs = len(d)
    of_mean = d.mean(axis=1).var(ddof=1) / runs if runs > 1 else 0.0
    return float(max(1.0, d.var() / of_mean)) if of_mean > 0 else float(d.size)


def correlation_time(d: ArrayLike) -> float:
    """1 + 2 sum of autocorrelations up to the first that is not positive, in steps, at least 1: n / this is the effective sample size.

    d: (run, time). The sum is cut at a quarter of the run: beyond it there is noise only.
    """
    x = np.atleast_2d(np.asarray(d, np.float64))
    x = x - x.mean()
    n, power = x.shape[1], (x**2).mean()
    if power == 0:
        return 1.0
    tau = 1.0
    for lag in range(1, max(2, n // 4)):
        rho = float((x[:, lag:] * x[:, : n - lag]).mean() / power) if lag < n else 0.0
        if rho <= 1 / np.sqrt(x.size):  # not told from noise
            break
        tau += 2 * rho
    return tau


def _bootstrap_means(d: Array, block: int, rng: np.random.Generator, draws: int) -> Array:
    """Means of series put together from random blocks of `block` steps, circular within their runs. (draws,)"""
    runs, n = d.shape
    ring = np.concatenate([d, d[:, : block - 1]], axis=1) if block > 1 else d
    ends = np.concatenate([np.zeros((runs, 1)), np.cumsum(ring, axis=1)], axis=1)
    sums = (ends[:, block:] - ends[:, :-block])[:, :n].ravel()  # of the block that begins at each step
    pieces = max(1, round(runs * n / block))
    return sums[rng.integers(0, sums.size, (draws, pieces))].mean(axis=1) / block
