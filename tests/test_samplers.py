"""Samplers where the answer is known: a Gaussian target and its perfect denoiser."""

import math
from dataclasses import replace

import pytest
import torch

from gencarbon.sampling.exam import gaussian_moments
from gencarbon.sampling.samplers import DEFAULT_SAMPLER, SAMPLERS, dpmpp_2m, heun, rho_schedule


def moments(name, s, **changes):
    sampler = replace(SAMPLERS[name], **changes)
    return gaussian_moments(sampler, s, sampler.steps if sampler.stochastic else 0)


@pytest.mark.parametrize("s", [0.3, 1.0])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_passes_the_exam(name, s):
    law = moments(name, s)
    assert abs(law.std_ratio - 1) < 0.05 and abs(law.mean_gain - 1) < 0.05


@pytest.mark.parametrize("s", [0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0])
def test_the_default_passes_at_every_spread_in_20_evaluations(s):
    law = moments(DEFAULT_SAMPLER, s)
    assert abs(law.std_ratio - 1) < 0.03 and abs(law.mean_gain - 1) < 0.01 and law.evaluations == 20


def test_mean_start_saves_coherent_modes():
    def without(denoise, start, noise):
        return dpmpp_2m(denoise, 80 * start, rho_schedule(20, 80, 0.01, 12), mean_start=False)

    assert gaussian_moments(without, 30.0).mean_gain == pytest.approx(
        0.646, abs=0.002
    )  # the classic mistake is caught
    assert moments("dpmpp_2m", 30.0, sigma_max=80.0, rho=12.0).mean_gain == pytest.approx(0.952, abs=0.002)


@pytest.mark.parametrize(("s", "std"), [(0.05, 1.247), (0.3, 1.195), (1.0, 1.136), (30.0, 0.973)])
def test_heun_has_the_known_bias(s, std):
    assert moments("heun", s, steps=10, sigma_max=80.0, rho=7.0).std_ratio == pytest.approx(std, abs=1e-3)


def order(solver, s=1.0):
    """Observed order from sigma 10 to 1, where the exact solution of the ODE is x ~ sqrt(s^2 + sigma^2)."""

    def error(steps):
        sigmas = [10 ** (1 - i / steps) for i in range(steps + 1)]
        x = solver(lambda x, sigma: s**2 / (s**2 + sigma**2) * x, torch.ones(1, dtype=torch.float64), sigmas)
        return abs(float(x) - math.sqrt((s**2 + 1) / (s**2 + 100)))

    return math.log2(error(40) / error(80))


def test_the_order_of_convergence():
    def euler(denoise, x, sigmas):
        for a, b in zip(sigmas[:-1], sigmas[1:]):
            x = x + (b - a) * (x - denoise(x, a)) / a
        return x

    assert order(heun) == pytest.approx(2, abs=0.15)
    assert order(lambda *a: dpmpp_2m(*a, mean_start=False)) == pytest.approx(2, abs=0.25)
    assert order(euler) == pytest.approx(1, abs=0.15)


def late_churn(denoise, start, noise, steps=40, s_churn=16.0):
    """The mistake of a borrowed scheduler: the denoiser sees x before the noise is added to it."""
    sigmas = rho_schedule(steps, 80, 0.02, 7)
    x = sigmas[0] * start
    for i, (a, b) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        D, hat = denoise(x, a), a * (1 + min(s_churn / steps, math.sqrt(2) - 1))
        x = x + math.sqrt(hat**2 - a**2) * noise(i)
        x = x + (b - hat) * (x - D) / hat
    return x


def test_churn_after_the_evaluation_fails_the_exam():
    law = gaussian_moments(late_churn, 1.0, draws=40)
    assert abs(law.std_ratio - 1) > 0.05
    assert abs(moments("stochastic_heun", 1.0).std_ratio - 1) < 0.05


def test_exact_moments_agree_with_random_draws():
    sampler, s, m, n = SAMPLERS["stochastic_heun"], 0.5, 2.0, 20_000
    generator = torch.Generator().manual_seed(0)

    def draw(step):
        return torch.randn(n, generator=generator, dtype=torch.float64)

    x = sampler(lambda x, sigma: (s**2 * x + sigma**2 * m) / (s**2 + sigma**2), draw(-1), draw)
    law = moments("stochastic_heun", s)
    std = s * law.std_ratio
    assert abs(x.mean() - m * law.mean_gain) < 4 * std / math.sqrt(n)
    assert abs(x.std() - std) < 4 * std / math.sqrt(2 * n)


def test_steps_keep_float64_and_shape():
    start = torch.randn(2, 3, 4, dtype=torch.float64)
    x = SAMPLERS["dpmpp_2m"](lambda x, sigma: (x / (1 + sigma**2)).float().double(), start)
    assert x.dtype == torch.float64 and x.shape == start.shape


def test_the_schedule():
    sigmas = rho_schedule(20, 200.0, 0.01, 12)
    assert len(sigmas) == 21 and sigmas[0] == 200.0 and sigmas[-2] == 0.01 and sigmas[-1] == 0.0
    assert all(a > b for a, b in zip(sigmas[:-1], sigmas[1:]))


def test_bad_calls():
    with pytest.raises(ValueError, match="at least 2 steps, got 1"):
        rho_schedule(1, 80, 0.01, 7)
    with pytest.raises(ValueError, match=r"0 < sigma_min < sigma_max, got sigma_min 80 and sigma_max 0.01"):
        rho_schedule(10, 0.01, 80, 7)
    with pytest.raises(ValueError, match=r"draws noise at every step, got noise=None; pass noise\(step\)"):
        SAMPLERS["stochastic_heun"](lambda x, sigma: x, torch.zeros(1))
    with pytest.raises(ValueError, match="must be positive, got 0"):
        gaussian_moments(SAMPLERS["heun"], 0)
