"""What the networks minimise, and which frames they are told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gencarbon.data.clips import OVERLAP
from gencarbon.data.normalize import Normalizer
from gencarbon.model import ResidualDenoiser
from gencarbon.model.noise import SIGMA_MAX, draw_noise_levels
from gencarbon.training.settings import OneStepConfig


@dataclass(frozen=True)
class Window:
    """A batch ready for the networks. residual: (batch, level, time, lat, lon) in units of `unit` ppm."""

    cond: dict[str, Tensor]
    residual: Tensor
    unit: Tensor
    known: Tensor
    area: Tensor


def prepare(batch: dict[str, Tensor], normalizer: Normalizer, known: Tensor, step_seconds: float) -> Window:
    """Normalised windows of a batch of `clips.ClipDataset`; known: (batch, time)."""
    cond, amplitude = normalizer.encode(batch, step_seconds)
    unit = normalizer.residual_unit(amplitude)
    return Window(
        cond, (batch["residual"] / unit).float(), unit, known, (batch["area"] / batch["area"].mean()).float()
    )


def draw_known(most: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Which frames are told, (batch, time): none, a prefix of one or two as in a roll-out, or any, as for filling gaps.

    most: (batch,), `most_known` of `ClipDataset.window`.
    """
    batch = len(most)
    u = torch.rand(batch, 1, generator=generator)
    prefix = torch.minimum((u > 0.2).int() + (u > 0.5).int(), most[:, None])
    known = torch.arange(frames)[None] < prefix
    anywhere = torch.rand(batch, frames, generator=generator) < 0.3
    return torch.where(u < 0.1, anywhere, known).float()


def _mean_over_unknown(square: Tensor, window: Window) -> Tensor:
    weight = (1 - window.known)[:, None, :, None, None] * window.area
    return (square * weight).sum() / (weight.expand_as(square).sum() + 1e-12)


def following(before: Window, guess: Tensor, window: Window) -> Window:
    """`window` told the last frames of `guess`, residuals of the window before it in that one's unit, instead of the truth."""
    told = (guess[:, :, -OVERLAP:] * before.unit / window.unit).to(window.residual.dtype)
    return replace(window, residual=torch.cat([told, window.residual[:, :, OVERLAP:]], 2))


def mean_loss(model: ResidualDenoiser, window: Window, before: Window | None = None) -> Tensor:
    """Squared error of the mean network in unknown frames, area-weighted, each window in units of its scale. before: the window from whose
    mean the known frames are taken."""
    if before is not None:
        with torch.no_grad():
            guess = model.mean(before.cond, before.residual, before.known)
        window = following(before, guess, window)
    miss = model.mean(window.cond, window.residual, window.known) - window.residual
    return _mean_over_unknown((miss / model.scale(window.residual, window.known)) ** 2, window)


@torch.no_grad()
def _remainder(model: ResidualDenoiser, window: Window, unit: Tensor) -> tuple[Tensor, Tensor]:
    """The mean network's guess, and what it leaves in the denoiser's units."""
    mean = model.mean(window.cond, window.residual, window.known)
    scale = model.scale(window.residual, window.known)
    return mean, ((window.residual - mean) / (scale * unit)).float()


def remainder_loss(
    model: ResidualDenoiser, window: Window, unit: Tensor, generator: torch.Generator
) -> Tensor:
    """EDM loss of the denoiser, weight (sigma^2 + 1) / sigma^2 (Karras et al. 2022, eq. 8). unit: remainder units, (level, 1, 1, 1)."""
    mean, target = _remainder(model, window, unit)
    batch, frames = window.known.shape
    sigma = draw_noise_levels(batch, frames, generator).to(target.device)
    noise = torch.randn(target.shape, generator=generator).to(target.device)
    level = sigma[:, None, :, None, None]
    denoised = model(target + level * noise, sigma, window.cond, mean, window.known)
    return _mean_over_unknown((denoised - target) ** 2 * (level**2 + 1) / level**2, window)


def one_step_loss(
    model: ResidualDenoiser,
    window: Window,
    unit: Tensor,
    config: OneStepConfig,
    generator: torch.Generator,
    before: Window | None = None,
) -> Tensor:
    """Almost fair CRPS of samples made in one step, at every point and of means over squares of cells, so that neighbours vary together.

    unit: remainder units, (level, 1, 1, 1). before: the window from whose samples each member takes its known frames.
    """
    many = repeated(window, config.members)
    if before is not None:
        past = repeated(before, config.members)
        with torch.no_grad():
            made = one_step_sample(model, past, unit, generator)
        many = following(past, made, many)
    size = (model.scale(window.residual, window.known) * unit).float()
    made = one_step_sample(model, many, unit, generator).unflatten(0, (len(window.known), config.members))
    members, target = (made / size[:, None]).movedim(1, 0), window.residual / size
    total: Any = 0.0
    for cells in config.squares:
        pool = lambda x, n=cells: functional.avg_pool2d(x.flatten(0, -3), n).unflatten(0, x.shape[:-2])  # noqa: E731
        score = almost_fair_crps(pool(members), pool(target), config.alpha)
        weight = (1 - window.known)[:, None, :, None, None] * pool(window.area[None])[0]
        total = total + (score * weight).sum() / (weight.expand_as(score).sum() + 1e-12)
    return total / len(config.squares)


def repeated(window: Window, members: int) -> Window:
    """Every window of a batch `members` times, one after the other."""
    several = lambda x: x.repeat_interleave(members, 0)  # noqa: E731
    cond = {name: several(x) for name, x in window.cond.items()}
    return replace(
        window,
        cond=cond,
        residual=several(window.residual),
        unit=several(window.unit),
        known=several(window.known),
    )


def one_step_sample(
    model: ResidualDenoiser, window: Window, unit: Tensor, generator: torch.Generator
) -> Tensor:
    """A sample of the residual of each window, in its unit; known frames as they are told. The mean network is not trained by it."""
    with torch.no_grad():
        mean = model.mean(window.cond, window.residual, window.known)
        size = (model.scale(window.residual, window.known) * unit).float()
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    level = torch.full(window.known.shape, SIGMA_MAX, device=mean.device)
    made = model(SIGMA_MAX * noise, level, window.cond, mean, window.known, model.one_step_net)
    return mean + size * made


def almost_fair_crps(members: Tensor, target: Tensor, alpha: float) -> Tensor:
    """alpha times the fair CRPS plus (1 - alpha) times the biased one (Lang et al. 2024, arXiv:2412.15832, eq. 4): the fair score of two
    members cannot tell where one of them is, once the other is right. members: (member, ...), target: (...)."""
    M = len(members)
    distance = (members - target).abs().mean(0)
    pairs = sum((members[m] - members[:m]).abs().sum(0) for m in range(1, M))
    return distance - (1 - (1 - alpha) / M) * pairs / (M * (M - 1))


@torch.no_grad()
def fit_remainder_scale(model: ResidualDenoiser, normalizer: Normalizer, windows: list[Window]) -> None:
    """Sets `remainder_std` per level from held-out windows."""
    total = torch.zeros_like(normalizer.remainder_std)
    for window in windows:
        left = model.mean(window.cond, window.residual, window.known) - window.residual
        left = left / model.scale(window.residual, window.known)
        hidden = (1 - window.known)[:, None, :, None, None] * window.area
        total += ((left**2 * hidden).sum((0, 2, 3, 4)) / hidden.expand_as(left[:, :1]).sum()).to(total)
    normalizer.remainder_std.copy_((total / len(windows)).sqrt())
