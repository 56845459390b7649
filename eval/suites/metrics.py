"""Scores where their value is known: closed forms, invariances, and other libraries that define the same thing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, SupportsFloat

import numpy as np
from rich.table import Table
from scipy import signal, stats

from eval.benchmark import Benchmark, Figure, Result
from eval.suites import libraries
from gencarbon import metrics as m
from gencarbon.budget import co2_mass
from gencarbon.metrics.ranks import interval_ranks, nominal_coverage
from gencarbon.metrics.spectra import degree_power, fejer_weights, power_ratio, zonal_power

Found = Iterator[tuple[str, SupportsFloat, str]]
SERIES = 300  # of smooth fields whose ranks are tested
KG_CO2_PER_PGC = 3.66406e12  # 44.0095 / 12.011, and 1e12 kg in a Pg


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: a tenth of the Monte Carlo cases, and no other libraries."""
    data = benchmark.data | (
        {"cases": benchmark.data["cases"] // 10, "bootstrap_series": 100} if quick else {}
    )
    exams: list[Callable[[dict[str, Any], np.random.Generator], Found]] = [
        crps, spread, ranks, joint, events, spectra, budget, paired,
    ]  # fmt: skip
    found = [figure for exam in exams for figure in exam(data, np.random.default_rng(benchmark.seeds[0]))]
    if not quick:
        found += libraries.differences(np.random.default_rng(benchmark.seeds[0]))
    figures = {name: Figure(float(value), units) for name, value, units in found}
    table = Table("exam", "value", "units", title=benchmark.title)
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.6g}", figure.units)
    return Result(figures, table, {} if quick else {"libraries": libraries.versions()})


def crps(data: dict[str, Any], rng: np.random.Generator) -> Found:
    for members in data["members"]:
        cases = data["cases"] // members
        scores = m.crps_fair(rng.standard_normal((members, cases)), rng.standard_normal(cases))
        yield f"crps_fair/normal/z/M={members}", _z(scores, 1 / math.sqrt(math.pi)), "1"
    two = np.array([[0.0], [1.0]]), np.array([0.5])
    yield "crps_fair/two_points", m.crps_fair(*two)[0], "1"
    yield "crps_biased/two_points", m.crps_biased(*two)[0], "1"
    drawn, truth = (
        (420 + 0.1 * rng.standard_normal(shape)).astype(np.float32) for shape in ((50, 20_000), (20_000,))
    )
    exact = m.crps_fair(drawn.astype(np.float64), truth.astype(np.float64))
    yield "crps_fair/float32_at_420ppm", np.abs(m.crps_fair(drawn, truth) - exact).max() / exact.mean(), "1"
    yield "crps_skill/reference_against_itself", m.skill(exact.sum(), exact.sum()), "1"
    ens, obs = rng.standard_normal((10, 1000)), rng.standard_normal(1000)
    whole = m.crps_threshold_weighted(ens, obs, -np.inf) - m.crps_fair(ens, obs)
    yield "threshold_weighted/minus_infinity", np.abs(whole).max(), "1"
    gap = m.crps_gaussian(0.0, 1.0, obs[:20]) - _crps_by_integral(obs[:20])
    yield "crps_gaussian/integral", np.abs(gap).max(), "1"


def spread(data: dict[str, Any], rng: np.random.Generator) -> Found:
    ens, obs = rng.standard_normal((10, 50_000)), rng.standard_normal(50_000)
    yield "spread_skill/calibrated", m.spread_skill(ens, obs), "1"
    yield "spread_skill/member_sd_0.8", m.spread_skill(0.8 * ens, obs), "1"


def ranks(data: dict[str, Any], rng: np.random.Generator) -> Found:
    ens, obs = rng.standard_normal((9, 20_000)), rng.standard_normal(20_000)
    tied = [np.where(x < -0.25, -0.25, x) for x in (ens, obs)]  # 40 % of all values are equal
    for name, (x, y) in {"continuous": (ens, obs), "40_percent_ties": tied}.items():
        yield f"ranks/flat_p/{name}", m.flatness(m.rank_histogram(x, y, rng))[1], "1"
        below = (
            (x < y).sum(axis=0) if name != "continuous" else m.ranks(0.8 * x, y, rng)
        )  # ties not broken; too narrow
        yield f"ranks/flat_p_caught/{name}", m.flatness(np.bincount(below, minlength=10))[1], "1"
    for name, value in _false_positives(rng).items():
        yield f"ranks/{name}", value, "1"


def joint(data: dict[str, Any], rng: np.random.Generator) -> Found:
    cases = data["cases"] // 50
    scores = [m.energy_score_fair(*_normal(rng, 10, 5)) for _ in range(cases)]
    yield "energy/normal_5/z", _z(np.array(scores), 1.50451), "1"
    x, y = _normal(rng, 10, 1)
    yield "energy/one_dimension_is_crps", abs(m.energy_score_fair(x, y) - m.crps_fair(x, y)[0]), "1"
    for members in data["members"]:
        expected = 30 * 29 * 0.1724 * (1 + 1 / members)
        scores = [m.variogram_score(*_normal(rng, members, 30)) for _ in range(cases // 10)]
        yield f"variogram/normal/M={members}", float(np.mean(scores)) / expected, "1"


def events(data: dict[str, Any], rng: np.random.Generator) -> Found:
    cases = data["cases"] // 10
    ens, obs = _normal(rng, 10, cases)
    p = stats.norm.sf(0.5)
    yield "brier_fair/normal/z", _z(m.brier_fair(ens, obs, 0.5), p * (1 - p)), "1"
    q = stats.norm.ppf(0.9)
    yield "quantile/normal/z", _z(m.quantile_score(np.full(cases, q), obs, 0.9), stats.norm.pdf(q)), "1"
    taus = (np.arange(2000) + 0.5) / 2000
    mean = np.mean([2 * m.quantile_score(stats.norm.ppf(t), obs[:500], t) for t in taus], axis=0)
    yield "quantile/mean_over_tau_is_crps", np.abs(mean - m.crps_gaussian(0.0, 1.0, obs[:500])).mean(), "1"
    ens, obs = _normal(rng, 39, cases)
    yield "coverage/normal", m.interval_coverage(ens, obs, 0.9).mean(), "1"
    low, high = interval_ranks(39)
    rank = m.ranks(ens, obs, rng)
    yield "coverage/by_ranks_over_nominal", ((rank > low) & (rank <= high)).mean() / nominal_coverage(39), "1"


def spectra(data: dict[str, Any], rng: np.random.Generator) -> Found:
    field = rng.standard_normal((3, 32, 64))
    yield "spectra/parseval", np.abs(zonal_power(field).sum(-1) - (field**2).mean(-1)).max(), "1"
    lat = np.arange(-90 + 90 / 32, 90, 180 / 32)
    waves = np.cos(np.deg2rad(lat))[:, None] ** 5 * np.cos(
        5 * np.arange(64) * 2 * np.pi / 64
    )  # degree and order 5
    power = degree_power(waves, lat)
    yield "spectra/other_degrees", 1 - power[5] / power.sum(), "1"
    area_mean = (fejer_weights(32) * (waves**2).mean(axis=-1)).sum()
    yield "spectra/degree_parseval", abs(power.sum() / area_mean - 1), "1"
    members = field[:, np.newaxis] * np.array([1.0, 2.0])[:, np.newaxis, np.newaxis]
    of_members = power_ratio(degree_power(members[0], lat), degree_power(field[0], lat))
    yield "spectra/member_ratio", float(np.abs(of_members - 2.5).max()), "1"


def budget(data: dict[str, Any], rng: np.random.Generator) -> Found:
    air = rng.random((3, 8, 16))
    air *= 5.1352e18 / air.sum()
    co2 = 400 + rng.random((3, 8, 16))
    yield "budget/one_ppm_everywhere", (co2_mass(co2 + 1, air) - co2_mass(co2, air)) / KG_CO2_PER_PGC, "PgC"


def paired(data: dict[str, Any], rng: np.random.Generator) -> Found:
    """How often a 95 % interval of two equally good ensembles excludes 0, 56 frames, and the effective number of them."""
    for rho in (0.0, 0.5, 0.8):
        found = [
            m.paired_interval(_ar1(rng, rho, 56), np.zeros(56), rng) for _ in range(data["bootstrap_series"])
        ]
        yield f"paired/size/rho={rho:g}", float(np.mean([p.low > 0 or p.high < 0 for p in found])), "1"
        yield f"paired/n_eff/rho={rho:g}", float(np.median([p.n_eff for p in found])), "1"
    persistent = m.paired_interval(np.cumsum(_ar1(rng, 0.5, 56)), np.zeros(56), rng)
    yield "paired/few_flagged", float(persistent.few), "1"
    shifted = [m.paired_interval(1 + _ar1(rng, 0, 56), np.zeros(56), rng) for _ in range(50)]
    yield "paired/power/shift=1", float(np.mean([p.low > 0 for p in shifted])), "1"


def _normal(rng: np.random.Generator, members: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((members, points)), rng.standard_normal(points)


def _z(scores: np.ndarray, expected: float) -> float:
    return float((scores.mean() - expected) / (scores.std(ddof=1) / math.sqrt(scores.size)))


def _ar1(rng: np.random.Generator, rho: float, n: int) -> np.ndarray:
    noise = rng.standard_normal(n + 200) * math.sqrt(1 - rho**2)
    return signal.lfilter([1.0], [1.0, -rho], noise)[200:]


def _crps_by_integral(obs: np.ndarray) -> np.ndarray:
    """The definition, integral of (F(x) - [x >= y])^2, of a standard normal."""
    x = np.linspace(-12, 12, 200_001)
    return np.array([np.trapezoid((stats.norm.cdf(x) - (x >= y)) ** 2, x) for y in obs])


def _false_positives(rng: np.random.Generator) -> dict[str, float]:
    """How often calibrated but smooth fields fail a 5 % chi-squared: on all points, and on the decorrelated ones."""
    rows, columns, times, members = 16, 32, 60, 7
    lat, lon = (
        x.ravel()
        for x in np.meshgrid(
            (np.arange(rows) + 0.5) * 180 / rows - 90, np.arange(columns) * 360 / columns, indexing="ij"
        )
    )
    kinds = ("false_positives/all_points", "false_positives/decorrelated", "power/spread_0.6")
    fails, tested = dict.fromkeys(kinds, 0), 0
    for _ in range(SERIES):
        fields = _smooth(rng, (members + 1, times, rows, columns))
        fields = fields.reshape(members + 1, times, -1)
        ens, obs = fields[1:], fields[0]
        step, points = m.decorrelated_points(ens.mean(axis=0) - obs, lat, lon)
        few = ens[:, ::step][..., points], obs[::step][..., points]
        narrow = 0.6 * few[0] + 0.4 * few[0].mean(axis=0), few[1]
        for name, (x, y) in zip(kinds, ((ens, obs), few, narrow)):
            p = m.flatness(m.rank_histogram(x, y, rng))[1]
            fails[name] += p < 0.05
            tested += np.isfinite(p)
    return {name: count / SERIES for name, count in fails.items()} | {"tested": tested / (3 * SERIES)}


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Red noise in time, smooth in space."""
    noise = signal.lfilter([1.0], [1.0, -0.8], rng.standard_normal(shape), axis=1)
    wide = np.exp(-0.5 * (np.arange(-4, 5) / 2.0) ** 2)
    for axis in (-2, -1):
        noise = np.apply_along_axis(
            lambda x: np.convolve(np.concatenate([x[-4:], x, x[:4]]), wide, "valid"), axis, noise
        )
    return noise
