"""Samplers of a diffusion model: pure functions of (denoiser, noise, noise levels).

They know nothing of CO2. `denoise(x, sigma)` returns the expected clean state given the noisy `x` at noise
level `sigma` (a float); states may have any shape and the steps keep their dtype, so pass float64. `sigmas`
falls from sigma_max to 0. Symbols follow Karras et al. (2022), doi:10.48550/arXiv.2206.00364, and Lu et al.
(2022), doi:10.48550/arXiv.2211.01095.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gencarbon.model.noise import SIGMA_MAX, SIGMA_MIN

Denoise = Callable[[Tensor, float], Tensor]


def rho_schedule(steps: int, sigma_max: float, sigma_min: float, rho: float) -> list[float]:
    """`steps` noise levels from sigma_max to sigma_min, even in sigma^(1/rho), then 0.

    Karras et al. (2022), eq. 5.
    """
    if steps < 2:
        raise ValueError(f"a schedule needs at least 2 steps, got {steps}")
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"expected 0 < sigma_min < sigma_max, got sigma_min {sigma_min} and sigma_max {sigma_max}"
        )
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    inner = [(high + i / (steps - 1) * (low - high)) ** rho for i in range(1, steps - 1)]
    return [float(sigma_max), *inner, float(sigma_min), 0.0]


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Sequence[float], mean_start: bool = True) -> Tensor:
    """DPM-Solver++(2M), Lu et al. (2022), algorithm 2, in sigma: alpha = 1, lambda = -ln sigma.

    x_next = sigma'/sigma x + (1 - sigma'/sigma) D, with D extrapolated linearly in lambda from the last two
    evaluations; the step to sigma' = 0 returns the last evaluation. One evaluation a step.

    The law of x at sigma_max is x0 + sigma_max noise, not sigma_max noise: `mean_start` adds D(x, sigma_max),
    an estimate of x0, to the initial noise and uses the same evaluation for step 0. Without it coherent
    modes, whose spread is comparable to sigma_max, lose mean and spread.
    """
    D = denoise(x, sigmas[0])
    if mean_start:
        x = x + D
    D_before, h_before = D, math.inf
    for i, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        if i > 0:
            D = denoise(x, sigma)
        if sigma_next == 0:
            return D
        h = math.log(sigma / sigma_next)
        D_middle = D + h / (2 * h_before) * (D - D_before)
        x = sigma_next / sigma * x + (1 - sigma_next / sigma) * D_middle
        D_before, h_before = D, h
    return x


def one_step(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """One evaluation at the largest level: a sample, of a network that was trained to make one so, and of no other."""
    return denoise(x, sigmas[0])


def heun(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Algorithm 1 of Karras et al. (2022): integrate dx/dsigma = (x - D(x, sigma)) / sigma down to 0."""
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        x = _heun_step(denoise, x, sigma, sigma_next)
    return x


def stochastic_heun(
    denoise: Denoise,
    x: Tensor,
    sigmas: Sequence[float],
    noise: Callable[[int], Tensor],
    s_churn: float = 5.0,
    s_tmin: float = 0.05,
    s_tmax: float = 50.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Algorithm 2 of Karras et al. (2022): raise the noise level, *then* evaluate the denoiser, step down.

    `noise(i)` gives standard normal noise like `x` for step i, so that every member may own its generator.
    Noise is added where s_tmin <= sigma <= s_tmax: sigma_hat = (1 + gamma) sigma, gamma = min(s_churn /
    steps, sqrt(2) - 1).
    """
    steps = len(sigmas) - 1
    for i, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        gamma = min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= sigma <= s_tmax else 0.0
        sigma_hat = sigma * (1 + gamma)
        if gamma > 0:
            x = x + math.sqrt(sigma_hat**2 - sigma**2) * s_noise * noise(i).to(x)
        x = _heun_step(denoise, x, sigma_hat, sigma_next)
    return x


def _heun_step(denoise: Denoise, x: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """One step of Heun's rule from sigma to sigma_next; the step to 0 is Euler's and returns D(x, sigma)."""
    D = denoise(x, sigma)
    if sigma_next == 0:
        return D
    d = (x - D) / sigma
    x_next = x + (sigma_next - sigma) * d
    d_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
    return x + (sigma_next - sigma) * (d + d_next) / 2


@dataclass(frozen=True)
class Sampler:
    """A solver with its noise levels. `dataclasses.replace(SAMPLERS["dpmpp_2m"], steps=12)` changes one of
    them."""

    solver: Callable[..., Tensor]
    steps: int
    sigma_max: float
    sigma_min: float
    rho: float
    stochastic: bool = False  # the solver draws noise on the way

    @property
    def sigmas(self) -> list[float]:
        """The noise levels, sigma_max first, 0 last."""
        return rho_schedule(self.steps, self.sigma_max, self.sigma_min, self.rho)

    def __call__(
        self, denoise: Denoise, start: Tensor, noise: Callable[[int], Tensor] | None = None
    ) -> Tensor:
        """A sample from `start`, standard normal; `noise(i)` is needed by stochastic samplers only."""
        x = self.sigma_max * start
        if not self.stochastic:
            return self.solver(denoise, x, self.sigmas)
        if noise is None:
            raise ValueError(
                f"{self.solver.__name__} draws noise at every step, got noise=None; pass noise(step)"
            )
        return self.solver(denoise, x, self.sigmas, noise)


# Levels chosen by the Gaussian exam (`exam.py`, `python -m eval.run sampler`): the first has the smallest
# worst error over s = .05 to 30 with 20 evaluations; a finite sigma_max costs the other two the mean of modes
# with s near sigma_max.
SAMPLERS = {
    "dpmpp_2m": Sampler(dpmpp_2m, steps=20, sigma_max=200.0, sigma_min=0.01, rho=20.0),
    "heun": Sampler(heun, steps=20, sigma_max=200.0, sigma_min=0.02, rho=20.0),
    "stochastic_heun": Sampler(
        stochastic_heun, steps=30, sigma_max=200.0, sigma_min=0.02, rho=7.0, stochastic=True
    ),
}
DEFAULT_SAMPLER = "dpmpp_2m"
ONE_STEP = Sampler(
    one_step, steps=2, sigma_max=SIGMA_MAX, sigma_min=SIGMA_MIN, rho=20.0
)  # the first level is its only one
